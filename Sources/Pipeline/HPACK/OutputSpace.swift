/// Memory of a caller's that is being filled from its beginning: text of decoded fields, blocks of encoded ones.
@safe
package struct OutputSpace: BitwiseCopyable {
    package let base: UnsafeMutablePointer<UInt8>?
    package let capacity: Int
    package var count = 0

    package init(_ memory: UnsafeMutableBufferPointer<UInt8>) {
        unsafe base = memory.baseAddress
        capacity = memory.count
    }

    /// What is filled.
    package var bytes: Bytes { unsafe Bytes(UnsafePointer(base), count: count) }

    @inline(__always)
    var room: Int { capacity &- count }

    /// The caller has checked ``room``.
    @inline(__always)
    var end: UnsafeMutablePointer<UInt8> { unsafe base.unsafelyUnwrapped + count }

    @inline(__always)
    func tail(from offset: Int) -> UnsafeMutableBufferPointer<UInt8> {
        guard let base = unsafe base, offset < capacity else { return unsafe UnsafeMutableBufferPointer(start: nil, count: 0) }
        return unsafe UnsafeMutableBufferPointer(start: base + offset, count: capacity &- offset)
    }
}
