package import Pipeline

/// Which join tokens exist and what is left of them.
///
/// Pure: each event answers with the change that the store must make durable before anything that rests on it leaves. A
/// kill between a redemption's commit and its reply costs the token, never a second use.
package struct JoinTokenLedger: Sendable {
    package struct Record: Equatable, Sendable {
        /// SHA-256 of the secret.
        package var hash: [UInt8]
        package var namespace: String
        package var service: String
        /// Nil: as often as one likes until it expires.
        package var usesLeft: UInt32?
        package var created: UnixTime
        package var expires: UnixTime
        package var isRevoked: Bool
    }

    package static let table = "token"
    /// Open, used and expired together; beyond it none are minted.
    package static let recordsMax = 100_000
    /// How long an expired token is remembered, in seconds, so that its holder is told "expired" and not "unknown".
    package static let memory: Int64 = 7 * 86_400
    /// The life of a token that does not say otherwise, in seconds.
    package static let lifeDefault: Int64 = 86_400

    /// By the token's id in hexadecimal.
    package private(set) var records: [String: Record] = [:]

    package init() {}

    /// From the store's table `token`; nil if an entry is of another version.
    package init?(_ entries: [(key: String, entry: Tables.Entry)]) {
        for (key, entry) in entries {
            guard let record = Record(encoded: entry.value) else { return nil }
            records[key] = record
        }
    }

    package enum Minting: Equatable, Sendable {
        case minted(Change)
        case refused(String)
    }

    /// - Parameters:
    ///   - uses: 1 for a token that works once; nil for as often as one likes.
    ///   - life: in seconds.
    package mutating func mint(
        _ token: JoinToken, namespace: String, service: String, uses: UInt32? = 1, life: Int64 = lifeDefault, at now: UnixTime
    ) -> Minting {
        guard records.count < JoinTokenLedger.recordsMax else {
            return .refused("there are \(records.count) join tokens already: revoke some, or wait until they expire")
        }
        guard life > 0, uses != 0 else { return .refused("a join token needs a life and at least one use") }
        guard records[token.name] == nil else { return .refused("a join token \(token.name) exists already") }
        let record = Record(
            hash: Digest.sha256(token.secret), namespace: namespace, service: service, usesLeft: uses, created: now,
            expires: now + life, isRevoked: false)
        records[token.name] = record
        return .minted(.set(JoinTokenLedger.table, token.name, record.encode()))
    }

    package enum Redemption: Equatable, Sendable {
        /// Append the change, if there is one, commit, and only then let the certificate leave.
        case granted(namespace: String, service: String, Change?)
        /// The sentence is for the sidecar's log.
        case refused(String)
    }

    /// Why the token lets nobody in; nil if it does. Takes nothing.
    package func objection(to token: JoinToken, at now: UnixTime) -> String? {
        // A guess learns nothing: an unknown id and a wrong secret take the same path and give the same answer.
        let known = records[token.name]
        let hash = known?.hash ?? [UInt8](repeating: 0, count: 32)
        let matches = Digest.areEqual(Digest.sha256(token.secret), hash)
        guard let record = known, matches else { return "unknown join token" }
        guard !record.isRevoked else { return "join token \(token.name) was revoked" }
        guard now < record.expires else { return "join token \(token.name) has expired" }
        return record.usesLeft == 0 ? "join token \(token.name) is used up" : nil
    }

    /// Takes one use.
    package mutating func redeem(_ token: JoinToken, at now: UnixTime) -> Redemption {
        if let why = objection(to: token, at: now) { return .refused(why) }
        guard var record = records[token.name] else { return .refused("unknown join token") }
        guard let usesLeft = record.usesLeft else {
            return .granted(namespace: record.namespace, service: record.service, nil)
        }
        record.usesLeft = usesLeft - 1
        records[token.name] = record
        return .granted(
            namespace: record.namespace, service: record.service, .set(JoinTokenLedger.table, token.name, record.encode()))
    }

    /// - Returns: nil if there is no such token.
    package mutating func revoke(_ name: String) -> Change? {
        guard var record = records[name] else { return nil }
        record.isRevoked = true
        records[name] = record
        return .set(JoinTokenLedger.table, name, record.encode())
    }

    /// Forgets what expired long ago; call it now and then.
    package mutating func sweep(at now: UnixTime) -> [Change] {
        let gone = records.filter { $0.value.expires + JoinTokenLedger.memory <= now }.keys.sorted()
        for name in gone { records[name] = nil }
        return gone.map { .delete(JoinTokenLedger.table, $0) }
    }
}

// === on disk ===

extension JoinTokenLedger.Record {
    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(counted: hash)
        writer.write(counted: namespace)
        writer.write(counted: service)
        writer.write(UInt8(usesLeft == nil ? 0 : 1))
        writer.write(usesLeft ?? 0)
        writer.write(created.seconds)
        writer.write(expires.seconds)
        writer.write(UInt8(isRevoked ? 1 : 0))
        return writer.bytes
    }

    init?(encoded: [UInt8]) {
        var reader = ByteReader(encoded)
        guard reader.read(UInt8.self) == 1, let hash = reader.readCounted(), let namespace = reader.readText(),
            let service = reader.readText(), let isCounted = reader.read(UInt8.self), let uses = reader.read(UInt32.self),
            let created = reader.read(Int64.self), let expires = reader.read(Int64.self), let revoked = reader.read(UInt8.self),
            reader.isAtEnd
        else { return nil }
        self.init(
            hash: hash, namespace: namespace, service: service, usesLeft: isCounted == 1 ? uses : nil, created: UnixTime(created),
            expires: UnixTime(expires), isRevoked: revoked == 1)
    }
}
