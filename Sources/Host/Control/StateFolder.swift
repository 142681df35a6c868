internal import Pipeline

/// What a sidecar keeps on disk between its lives, all of it for its owner alone.
///
///     identity.json         key, certificate chain, roots
///     last-good/<part>      the last accepted version of each part of the snapshot
///     endpoints.json        where this life listens
///     admin.sock
struct StateFolder: Sendable {
    let path: String

    init(_ path: String) throws(SystemError) {
        self.path = path
        try Files.makeFolder(path)
        try Files.makeFolder(path + "/last-good")
    }

    var adminSocket: String { path + "/admin.sock" }

    // MARK: Identity

    private var identityPath: String { path + "/identity.json" }

    /// Nil if there is none; throws if there is one that cannot be used.
    func readCredentials() throws -> WorkloadCredentials? {
        do {
            return try WorkloadCredentials(decoding: Files.readSecret(identityPath, limit: 1 << 20))
        } catch let error as SystemError where error.isNoSuchFile {
            return nil
        }
    }

    func write(_ credentials: WorkloadCredentials) throws { try Files.write(credentials.encoded(), to: identityPath, mode: 0o600) }

    // MARK: The last good snapshot

    /// A part as it was accepted: its version and its text.
    struct StoredPart: Equatable, Sendable {
        let part: SnapshotPart
        let version: String
        let body: [UInt8]
    }

    private func path(of part: SnapshotPart) -> String { path + "/last-good/" + part.rawValue }

    /// One line `weft-part-1 <part> <version> <CRC-32C of all the rest>`, then the text.
    func write(_ stored: StoredPart) throws(SystemError) {
        let prefix = "weft-part-1 \(stored.part.rawValue) \(stored.version)"
        try Files.write(Array("\(prefix) \(Self.checksum(prefix, stored.body))\n".utf8) + stored.body, to: path(of: stored.part), mode: 0o600)
    }

    enum Read: Equatable, Sendable {
        case part(StoredPart)
        case absent
        /// Not what was written: it counts as absent, and somebody should hear of it.
        case damaged(String)
    }

    func read(_ part: SnapshotPart) -> Read {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path(of: part), limit: PushLimits.frameBytesMax + 4_096)
        } catch {
            return error.isNoSuchFile ? .absent : .damaged("\(error)")
        }
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return .damaged("it has no first line") }
        let words = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "weft-part-1", words[1] == part.rawValue else { return .damaged("its first line is not ours") }
        let body = Array(bytes[(end + 1)...])
        guard words[3] == Self.checksum(words[0..<3].joined(separator: " "), body) else { return .damaged("its checksum is wrong") }
        return .part(StoredPart(part: part, version: String(words[2]), body: body))
    }

    private static func checksum(_ prefix: String, _ body: [UInt8]) -> String {
        String(CRC32C.checksum(body, seed: CRC32C.checksum(prefix.utf8)), radix: 16)
    }

    // MARK: Where it listens

    func writeEndpoints(_ json: String) throws(SystemError) { try Files.write(Array(json.utf8), to: path + "/endpoints.json", mode: 0o600) }
}
