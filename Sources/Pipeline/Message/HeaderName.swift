/// The name of an HTTP header: lower case, a token of RFC 9110 §5.6.2, interned for the life of the process.
///
/// Interning makes a name plain old data: it can sit in a filter's config or in an exchange without reference counting.
/// Only configs and programs make names, never a peer's bytes, so the table stays small.
@frozen
@safe
public struct HeaderName: BitwiseCopyable, Hashable, @unchecked Sendable, ExpressibleByStringLiteral {
    package let bytes: Bytes
    /// See ``HeaderName/tag(of:)``.
    package let tag: UInt32

    /// Nil unless `text` is a token. Upper case is folded.
    public init?(_ text: String) {
        guard let name = Self.interned(Array(text.utf8)) else { return nil }
        self = name
    }

    /// A name known when the program is written; traps if it is not a token.
    public init(stringLiteral text: StaticString) {
        guard let name = unsafe Self.interned(Array(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)))
        else { preconditionFailure("a header name literal must be a token") }
        self = name
    }

    private init(bytes: Bytes, tag: UInt32) {
        self.bytes = bytes
        self.tag = tag
    }

    public var string: String { bytes.string }

    /// Interning makes the address the identity.
    public static func == (a: HeaderName, b: HeaderName) -> Bool { unsafe a.bytes.base == b.bytes.base }
    public func hash(into hasher: inout Hasher) { unsafe hasher.combine(bytes.base) }

    /// Whether a peer's spelling, in any case, is this name.
    @inline(__always)
    package func matches(_ other: Bytes, tag otherTag: UInt32) -> Bool {
        tag == otherTag && bytes.count == other.count && other.hasFoldedPrefix(bytes)
    }

    /// Four bytes that differ for most different names and never for spellings of one: length, first, middle and last
    /// letter, case folded. Comparing tags first makes a lookup among twenty headers about twenty word compares.
    @inline(__always)
    package static func tag(of name: Bytes) -> UInt32 {
        let count = name.count
        guard count > 0 else { return 0 }
        let first = UInt32(name[0] | 0x20)
        let middle = UInt32(name[count / 2] | 0x20)
        let last = UInt32(name[count - 1] | 0x20)
        return UInt32(truncatingIfNeeded: count) << 24 | first << 16 | middle << 8 | last
    }

    private static let table = Lock<[[UInt8]: HeaderName]>([:])

    private static func interned(_ text: [UInt8]) -> HeaderName? {
        guard !text.isEmpty, text.count <= Self.countMax, text.allSatisfy(ASCII.isToken) else { return nil }
        let key = text.map(ASCII.lowercased)
        return table.withLock { names in
            if let known = names[key] { return known }
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: key.count)
            unsafe memory.initialize(from: key, count: key.count)
            let bytes = unsafe Bytes(UnsafePointer(memory), count: key.count)
            let name = HeaderName(bytes: bytes, tag: tag(of: bytes))
            names[key] = name
            return name
        }
    }

    /// Longer than any registered name by far; a name of a peer over it matches nothing.
    package static let countMax = 255
}
