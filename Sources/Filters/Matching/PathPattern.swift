import Pipeline

/// Which canonical paths: all, one, or those below a prefix. A prefix ends at a segment: `/a` takes `/a` and `/a/b`, not `/ab`.
struct PathPattern: BitwiseCopyable {
    private enum Kind: UInt8, BitwiseCopyable { case any, exact, prefix }

    private let kind: Kind
    private let text: Bytes

    /// The path it is about, as a key of tables. The bytes are pinned.
    struct Key: Hashable {
        let path: [UInt8]
        let bytes: Bytes

        static func == (a: Key, b: Key) -> Bool { a.path == b.path }
        func hash(into hasher: inout Hasher) { hasher.combine(path) }
    }

    /// Nil: it takes every path.
    var key: (Key, isPrefix: Bool)? {
        kind == .any ? nil : (Key(path: (0..<text.count).map { text[$0] }, bytes: text), kind == .prefix)
    }

    static let any = PathPattern(.any, .empty)

    private init(_ kind: Kind, _ text: Bytes) {
        self.kind = kind
        self.text = text
    }

    /// Patterns are brought into the one spelling that requests have, so that `/a%7eb` and `/a~b` are one pattern too.
    init(_ path: TrafficPart.MatchEntry.Path, in memory: PinnedMemory) {
        switch path {
        case .any: self = .any
        case .exact(let path): self.init(.exact, memory.text(Self.canonical(path)))
        case .prefix(let path):
            var path = Self.canonical(path)
            while path.hasSuffix("/") { path.removeLast() }
            self = path.isEmpty ? .any : PathPattern(.prefix, memory.text(path))
        }
    }

    /// As policies write it: exact, or with `/*` at its end a prefix.
    init(policy path: String, in memory: PinnedMemory) {
        self.init(path.hasSuffix("/*") ? .prefix(String(path.dropLast(2))) : .exact(path), in: memory)
    }

    func matches(_ path: Bytes) -> Bool {
        switch kind {
        case .any: true
        case .exact: path.equals(text)
        case .prefix: path.hasPrefix(text) && (path.count == text.count || path[text.count] == UInt8(ascii: "/"))
        }
    }

    /// A pattern that is no canonical path stays as it was written, and matches nothing.
    private static func canonical(_ path: String) -> String {
        let bytes = Array(path.utf8)
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3 * bytes.count + 1) { memory in
            let written = bytes.withUnsafeBytes { CanonicalPath.write(Bytes($0), into: memory) }
            guard case .written(let count) = written else { return path }
            return String(decoding: memory[..<count], as: UTF8.self)
        }
    }
}
