/// A header block that comes in several frames (RFC 9113 §6.10), gathered; nearly all come in one and never get here.
@safe
struct BlockBuffer: BitwiseCopyable {
    private var base: UnsafeMutablePointer<UInt8>?
    private(set) var count = 0

    var bytes: Bytes { unsafe Bytes(UnsafePointer(base), count: count) }

    /// False: over `HTTP2Limits.blockBytesMax`.
    mutating func append(_ fragment: Bytes) -> Bool {
        guard count &+ fragment.count <= HTTP2Limits.blockBytesMax else { return false }
        guard let source = unsafe fragment.base, fragment.count > 0 else { return true }
        let target = unsafe base ?? .allocate(capacity: HTTP2Limits.blockBytesMax)
        unsafe base = target
        unsafe (target + count).update(from: source, count: fragment.count)
        count &+= fragment.count
        return true
    }

    mutating func free() {
        unsafe base?.deallocate()
        self = BlockBuffer()
    }
}
