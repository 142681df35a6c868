/// Identities that an operator has revoked: they join, renew and are steered no more, and nobody of the mesh lets them in.
///
/// Pure: each event answers with the change to store. Certificates that are out stay valid until they end (a day); what makes
/// a revocation bite at once is the access part that every other sidecar is pushed.
package struct RevocationList: Sendable {
    package struct Entry: Equatable, Sendable {
        package var reason: String
        package var since: UnixTime
    }

    package static let table = "revocation"
    /// Identities; every sidecar's access part names them all.
    package static let entriesMax = 1_000
    /// Of a reason, in bytes.
    package static let reasonBytesMax = 500

    /// By namespace and service, `default/payment`.
    package private(set) var entries: [String: Entry] = [:]

    package init() {}

    /// From the store; nil if an entry is of another version.
    package init?(_ stored: [(key: String, entry: Tables.Entry)]) {
        for (key, entry) in stored {
            var reader = ByteReader(entry.value)
            guard reader.read(UInt8.self) == 1, let since = reader.read(Int64.self), let reason = reader.readText(), reader.isAtEnd,
                key.split(separator: "/").count == 2
            else { return nil }
            entries[key] = Entry(reason: reason, since: UnixTime(since))
        }
    }

    static func key(_ namespace: String, _ service: String) -> String { "\(namespace)/\(service)" }

    /// Sorted, for the compiler.
    package var identities: [(namespace: String, service: String)] {
        entries.keys.sorted().map { key in
            let parts = key.split(separator: "/").map(String.init)
            return (parts[0], parts[1])
        }
    }

    /// Why it is refused; nil if it is not revoked.
    package func objection(_ namespace: String, _ service: String) -> String? {
        entries[Self.key(namespace, service)].map {
            "the identity \(Self.key(namespace, service)) is revoked" + ($0.reason.isEmpty ? "" : ": \($0.reason)")
        }
    }

    package enum Outcome: Equatable, Sendable {
        case changed(Change)
        /// The sentence is for the operator.
        case refused(String)
    }

    package mutating func revoke(_ namespace: String, _ service: String, because reason: String, at now: UnixTime) -> Outcome {
        let key = Self.key(namespace, service)
        guard reason.utf8.count <= Self.reasonBytesMax else { return .refused("a reason has at most \(Self.reasonBytesMax) bytes") }
        guard entries[key] != nil || entries.count < Self.entriesMax else {
            return .refused("\(entries.count) identities are revoked already: restore some, or rotate the root (weft ca rotate)")
        }
        let entry = Entry(reason: reason, since: entries[key]?.since ?? now)
        entries[key] = entry
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(entry.since.seconds)
        writer.write(counted: entry.reason)
        return .changed(.set(Self.table, key, writer.bytes))
    }

    /// Nil if it is not revoked.
    package mutating func restore(_ namespace: String, _ service: String) -> Change? {
        let key = Self.key(namespace, service)
        return entries.removeValue(forKey: key) == nil ? nil : .delete(Self.table, key)
    }
}
