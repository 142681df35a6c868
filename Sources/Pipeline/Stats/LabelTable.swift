/// Turns label texts into dense numbers and back: services, versions, routes, peers.
///
/// Numbers fit a packed key and cost nothing to copy. Only config and verified identities may be put in, never a client's
/// text, so the
/// table stays small; past ``LabelTable/entriesMax`` everything new is ``LabelID/other``, counted. Entries stay for the
/// process's life.
package final class LabelTable: Sendable {
    package static let entriesMax = 65_536
    /// A longer text is cut there, on a character's border.
    package static let textBytesMax = 255

    private struct Contents: Sendable {
        var ids: [String: LabelID] = [:]
        var texts: [String] = []
        var refused: UInt64 = 0
    }

    private let contents: Lock<Contents>
    private let entriesMax: Int

    package init(entriesMax: Int = LabelTable.entriesMax) {
        self.entriesMax = max(entriesMax, 3)
        var start = Contents()
        for text in ["other", "none", "unknown"] {
            start.ids[text] = LabelID(number: UInt32(start.texts.count))
            start.texts.append(text)
        }
        contents = Lock(start)
    }

    package func id(_ text: String) -> LabelID {
        let text = Self.cut(text)
        return contents.withLock { contents in
            if let known = contents.ids[text] { return known }
            guard contents.texts.count < entriesMax else {
                contents.refused += 1
                return .other
            }
            let id = LabelID(number: UInt32(contents.texts.count))
            contents.ids[text] = id
            contents.texts.append(text)
            return id
        }
    }

    /// What metrics call a service: `payment`, and `payment.shop` outside of the default namespace.
    package func service(_ name: String, namespace: String) -> LabelID {
        id(namespace == "default" ? name : "\(name).\(namespace)")
    }

    /// `other` for a number this table never gave out.
    package func text(_ id: LabelID) -> String {
        contents.withLock { Int(id.number) < $0.texts.count ? $0.texts[Int(id.number)] : $0.texts[0] }
    }

    /// How many asks found the table full.
    package var refused: UInt64 { contents.withLock { $0.refused } }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > textBytesMax else { return text }
        var short = Substring()
        var bytes = 0
        for character in text {
            bytes += character.utf8.count
            if bytes > textBytesMax { break }
            short.append(character)
        }
        return String(short)
    }
}

/// A label's number in a ``LabelTable``.
package struct LabelID: BitwiseCopyable, Hashable, Sendable {
    package let number: UInt32
    package init(number: UInt32) { self.number = number }

    /// Too many of them to tell apart.
    package static let other = LabelID(number: 0)
    /// There is none: no route, no version.
    package static let none = LabelID(number: 1)
    /// There must be one, but nobody proved it: a caller without identity.
    package static let unknown = LabelID(number: 2)
}
