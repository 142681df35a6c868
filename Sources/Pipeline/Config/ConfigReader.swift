/// Reads JSON with `//` and `/* */` comments and trailing commas into a tree that knows where everything stands.
///
/// It never gives up at the first slip: it says what is wrong, skips to the next place it understands and goes on, up to
/// `ConfigLimits.problemsMax`. It is total: every loop consumes a byte or ends, and depth is bounded, so no text can trap
/// it or make it run for ever.
public struct ConfigReader {
    public struct Result: Sendable {
        /// What could be read; nil if nothing could. With errors it may lack parts.
        public let root: ConfigNode?
        public let problems: [ConfigProblem]
    }

    let source: ConfigSource
    let bytes: [UInt8]
    let limits: ConfigLimits
    var offset: Int
    /// Reading stops here: behind the text, or at once when there are enough problems. Whoever has seen a byte may still step over it.
    private var end: Int
    var nodeCount = 0
    var problems: [ConfigProblem] = []

    public static func read(_ text: String, name: String, limits: ConfigLimits = ConfigLimits()) -> Result {
        read(ConfigSource(name: name, bytes: Array(text.utf8)), limits: limits)
    }

    package static func read(bytes: [UInt8], name: String, limits: ConfigLimits = ConfigLimits()) -> Result {
        read(ConfigSource(name: name, bytes: bytes), limits: limits)
    }

    package static func read(_ source: ConfigSource, limits: ConfigLimits = ConfigLimits()) -> Result {
        guard source.bytes.count <= limits.bytesMax else {
            let size = ByteCount(Int64(source.bytes.count)), most = ByteCount(Int64(limits.bytesMax))
            let problem = ConfigProblem(
                "the text has \(size), more than the limit of \(most)", source: source, range: 0..<0,
                notes: ["split it into several files"])
            return Result(root: nil, problems: [problem])
        }
        var reader = ConfigReader(source: source, limits: limits)
        let root = reader.document()
        return Result(root: root, problems: reader.problems)
    }

    private init(source: ConfigSource, limits: ConfigLimits) {
        self.source = source
        self.limits = limits
        bytes = source.bytes
        end = source.bytes.count
        offset = source.textStart
    }

    // MARK: Structure

    private mutating func document() -> ConfigNode? {
        if let bad = invalidUTF8() {
            report("this is not UTF-8", bad..<bad + 1, notes: ["save the file in UTF-8"])
        }
        skipTrivia()
        if offset >= bytes.count, problems.isEmpty {
            report("the text is empty", offset..<offset, notes: ["write at least {}"])
            return nil
        }
        let root = value(depth: 0)
        skipTrivia()
        if current != nil {
            report("one value is enough: nothing may follow it", offset..<offset + 1, notes: ["several objects stand in a list: [ {…}, {…} ]"])
        }
        return root
    }

    /// Nil if there was no value, which has been reported. Consumes nothing if it stands before `,`, `}`, `]` or the end.
    private mutating func value(depth: Int) -> ConfigNode? {
        skipTrivia()
        let start = offset
        nodeCount += 1
        if nodeCount > limits.nodesMax {
            report("the text has more than \(limits.nodesMax) values", start..<start, notes: ["split it into several files"])
            offset = bytes.count
            return nil
        }
        switch current {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < limits.depthMax else {
                report("objects and lists are nested more than \(limits.depthMax) deep", start..<start + 1)
                offset += 1
                skipPastClose()
                return nil
            }
            return current == UInt8(ascii: "{") ? object(depth: depth) : array(depth: depth)
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            return string().map { ConfigNode(.string($0), range: start..<offset, source: source) }
        case nil, UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ":"):
            let end = min(start + 1, bytes.count)
            report("a value is missing here", min(start, end)..<end)
            if current == UInt8(ascii: ":") { offset += 1 }
            return nil
        default:
            return word()
        }
    }

    private mutating func object(depth: Int) -> ConfigNode {
        let start = offset
        offset += 1
        var members: [ConfigNode.Member] = []
        var seen: [String: Int] = [:]
        members: while true {
            skipTrivia()
            switch current {
            case nil:
                report("this { is never closed", start..<start + 1, label: "its } is missing")
                break members
            case UInt8(ascii: "}"):
                offset += 1
                break members
            case UInt8(ascii: "]"):
                report("] where } belongs", offset..<offset + 1, related: related(start, "opened here"))
                offset += 1
                break members
            case UInt8(ascii: ","):
                report("a comma with nothing before it", offset..<offset + 1)
                offset += 1
                continue members
            default: break
            }
            let keyStart = offset
            guard let key = key() else { continue members }
            let keyRange = keyStart..<offset
            guard colon(after: key, keyRange) else {
                separator(keyRange.upperBound)
                continue members
            }
            if let value = value(depth: depth + 1) {
                if let first = seen[key] {
                    report(
                        "key \(JSONWriter.quoted(key)) stands here twice", keyRange, label: "again",
                        notes: ["keep one of them"],
                        related: .init(source: source, range: members[first].keyRange, label: "first"))
                } else {
                    seen[key] = members.count
                    members.append(.init(key: key, keyRange: keyRange, value: value))
                }
            }
            separator(offset)
        }
        return ConfigNode(.object(members), range: start..<offset, source: source)
    }

    private mutating func array(depth: Int) -> ConfigNode {
        let start = offset
        offset += 1
        var nodes: [ConfigNode] = []
        elements: while true {
            skipTrivia()
            switch current {
            case nil:
                report("this [ is never closed", start..<start + 1, label: "its ] is missing")
                break elements
            case UInt8(ascii: "]"):
                offset += 1
                break elements
            case UInt8(ascii: "}"):
                report("} where ] belongs", offset..<offset + 1, related: related(start, "opened here"))
                offset += 1
                break elements
            case UInt8(ascii: ","):
                report("a comma with nothing before it", offset..<offset + 1)
                offset += 1
                continue elements
            default: break
            }
            if let node = value(depth: depth + 1) { nodes.append(node) }
            separator(offset)
        }
        return ConfigNode(.array(nodes), range: start..<offset, source: source)
    }

    /// Nil if no key could be read; then something has been skipped.
    private mutating func key() -> String? {
        let start = offset
        if current == UInt8(ascii: "\"") || current == UInt8(ascii: "'") {
            if let key = string() { return key }
            skipToSeparator()
            return nil
        }
        let text = bareWord()
        if text.isEmpty {
            report("a key in double quotes belongs here", start..<start + 1)
            offset += 1
            skipToSeparator()
            return nil
        }
        report("keys stand in double quotes", start..<offset, label: "write \(JSONWriter.quoted(text))")
        return text
    }

    private mutating func colon(after key: String, _ keyRange: Range<Int>) -> Bool {
        skipTrivia()
        switch current {
        case UInt8(ascii: ":"):
            offset += 1
            return true
        case UInt8(ascii: "="):
            report("a colon belongs between a key and its value", offset..<offset + 1, label: "write :")
            offset += 1
            return true
        case nil, UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"):
            report("key \(JSONWriter.quoted(key)) has no value", keyRange)
            return false
        default:
            report("a colon is missing after key \(JSONWriter.quoted(key))", keyRange)
            return true
        }
    }

    /// Consumes the comma after an entry; reports a missing one and leaves what follows to be read as the next entry.
    private mutating func separator(_ end: Int) {
        skipTrivia()
        switch current {
        case UInt8(ascii: ","): offset += 1
        case nil, UInt8(ascii: "}"), UInt8(ascii: "]"): break
        case UInt8(ascii: ":"):
            report("a colon does not belong here", offset..<offset + 1)
            offset += 1
            skipToSeparator()
            if current == UInt8(ascii: ",") { offset += 1 }
        default:
            report("a comma is missing here", max(0, end - 1)..<end, label: "write , after this")
        }
    }

    // MARK: Reporting and skipping

    var current: UInt8? { offset < end ? bytes[offset] : nil }

    private func related(_ at: Int, _ label: String) -> ConfigProblem.Related {
        .init(source: source, range: at..<at + 1, label: label)
    }

    /// Past the limit of problems the rest of the text is not read.
    mutating func report(
        _ message: String, _ range: Range<Int>, label: String = "", notes: [String] = [], related: ConfigProblem.Related? = nil
    ) {
        guard problems.count < limits.problemsMax else { return }
        problems.append(
            ConfigProblem(message, source: source, range: range, label: label, notes: notes, related: related))
        if problems.count == limits.problemsMax {
            problems[problems.count - 1].notes.append("\(limits.problemsMax) problems: the rest of the text was not read")
            end = 0
        }
    }

    /// Moves to the next `,`, `}` or `]` of the object or list we are in.
    private mutating func skipToSeparator() {
        var open = 0
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "/"): skipOpaque()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                open += 1
                offset += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if open == 0 { return }
                open -= 1
                offset += 1
            case UInt8(ascii: ","):
                if open == 0 { return }
                offset += 1
            default: offset += 1
            }
        }
    }

    /// Moves past the bracket that closes the one just entered.
    private mutating func skipPastClose() {
        while current != nil {
            skipToSeparator()
            if current == nil { return }
            let byte = current
            offset += 1
            if byte != UInt8(ascii: ",") { return }
        }
    }

    /// A string or a comment, without a word about what is wrong in it; at least one byte.
    private mutating func skipOpaque() {
        let before = offset
        if current == UInt8(ascii: "/") {
            skipComment()
        } else {
            offset += 1
            while let byte = current, byte != 0x0A {
                offset += byte == UInt8(ascii: "\\") && offset + 1 < bytes.count ? 2 : 1
                if byte == UInt8(ascii: "\"") { break }
            }
        }
        if offset == before { offset += 1 }
    }

    mutating func skipTrivia() {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: offset += 1
            case UInt8(ascii: "/"):
                let before = offset
                skipComment()
                if offset == before { return }
            default: return
            }
        }
    }

    private mutating func skipComment() {
        guard offset + 1 < bytes.count else { return }
        switch bytes[offset + 1] {
        case UInt8(ascii: "/"):
            while let byte = current, byte != 0x0A { offset += 1; _ = byte }
        case UInt8(ascii: "*"):
            let start = offset
            offset += 2
            while offset + 1 < bytes.count {
                if bytes[offset] == UInt8(ascii: "*"), bytes[offset + 1] == UInt8(ascii: "/") {
                    offset += 2
                    return
                }
                offset += 1
            }
            offset = bytes.count
            report("this comment is never closed", start..<start + 2, label: "its */ is missing")
        default: return
        }
    }

    private func invalidUTF8() -> Int? {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var position = 0
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): position += UTF8.width(scalar)
            case .emptyInput: return nil
            case .error: return min(position, max(0, bytes.count - 1))
            }
        }
    }
}
