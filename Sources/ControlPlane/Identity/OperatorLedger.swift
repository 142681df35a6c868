internal import Pipeline

/// Who may operate the mesh from afar: names, each with the hash of a secret of 256 bits.
///
/// A secret and not a certificate: taking it back is one record less, at once; it never goes over a connection that does not
/// prove to be the control plane's (the credential pins its root); and no certificate of the mesh, which every workload has,
/// can ever be mistaken for it. Pure: each event answers with the change to store.
package struct OperatorLedger: Sendable {
    package struct Record: Equatable, Sendable {
        /// In the secret, and in lists; says nothing about it.
        package var id: [UInt8]
        /// SHA-256 of the secret.
        package var hash: [UInt8]
        package var created: UnixTime
        package var expires: UnixTime
    }

    package static let table = "operator"
    package static let recordsMax = 1_000
    package static let prefix = "weftop1"
    package static let idSize = 8
    /// 256 bits.
    package static let secretSize = 32

    /// By name.
    package private(set) var records: [String: Record] = [:]
    /// Names by id in hexadecimal.
    private var names: [String: String] = [:]

    package init() {}

    /// From the store; nil if an entry is of another version.
    package init?(_ entries: [(key: String, entry: Tables.Entry)]) {
        for (key, entry) in entries {
            guard let record = Record(encoded: entry.value) else { return nil }
            records[key] = record
            names[record.id.hex] = key
        }
    }

    package enum Creation: Equatable, Sendable {
        /// The secret is shown once and kept by nobody.
        case created(secret: String, Change)
        /// The sentence is for the operator.
        case refused(String)
    }

    /// - Parameter random: at least 40 bytes that nobody can guess.
    package mutating func create(_ name: String, life: Int64, at now: UnixTime, random: [UInt8]) -> Creation {
        guard records[name] == nil else { return .refused("there is an operator \(name) already: revoke it first") }
        guard records.count < Self.recordsMax else { return .refused("there are \(records.count) operators already: revoke some") }
        let (id, secret) = (Array(random.prefix(Self.idSize)), Array(random.dropFirst(Self.idSize).prefix(Self.secretSize)))
        precondition(secret.count == Self.secretSize)
        let record = Record(id: id, hash: Digest.sha256(secret), created: now, expires: now + life)
        records[name] = record
        names[id.hex] = name
        return .created(secret: "\(Self.prefix).\(id.hex).\(secret.hex)", .set(Self.table, name, record.encode()))
    }

    /// Nil if there is no such operator.
    package mutating func revoke(_ name: String) -> Change? {
        guard let record = records.removeValue(forKey: name) else { return nil }
        names[record.id.hex] = nil
        return .delete(Self.table, name)
    }

    package enum Verdict: Equatable, Sendable {
        case granted(String)
        /// The sentence is for whoever asked; it tells a guess nothing.
        case refused(String)
    }

    /// - Parameter authorization: the header as it came.
    package func check(_ authorization: String?, at now: UnixTime) -> Verdict {
        guard let authorization else { return .refused("an operator's credential is needed here: weft operator create, on the control plane's host") }
        let wrong = Verdict.refused("this is no operator's credential, or one that was revoked")
        let words = authorization.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard words.count == 2, words[0].lowercased() == "bearer" else { return wrong }
        let parts = words[1].split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == Self.prefix[...], let secret = Self.bytes(parts[2]), secret.count == Self.secretSize else { return wrong }
        // An unknown id and a wrong secret take the same path and give the same answer.
        let name = names[String(parts[1])]
        let record = name.flatMap { records[$0] }
        let matches = Digest.areEqual(Digest.sha256(secret), record?.hash ?? [UInt8](repeating: 0, count: 32))
        guard matches, let name, let record else { return wrong }
        guard now < record.expires else { return .refused("the credential of operator \(name) has expired: weft operator create makes another") }
        return .granted(name)
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count == secretSize * 2 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = ASCII.hexValue(digits[index]), let low = ASCII.hexValue(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}

// === on disk ===

extension OperatorLedger.Record {
    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(counted: id)
        writer.write(counted: hash)
        writer.write(created.seconds)
        writer.write(expires.seconds)
        return writer.bytes
    }

    init?(encoded: [UInt8]) {
        var reader = ByteReader(encoded)
        guard reader.read(UInt8.self) == 1, let id = reader.readCounted(), let hash = reader.readCounted(), hash.count == 32,
            let created = reader.read(Int64.self), let expires = reader.read(Int64.self), reader.isAtEnd
        else { return nil }
        self.init(id: id, hash: hash, created: UnixTime(created), expires: UnixTime(expires))
    }
}
