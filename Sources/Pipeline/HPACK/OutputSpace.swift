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

    /// The caller has checked ``room``.
    @inline(__always)
    mutating func append(_ byte: UInt8) {
        assert(room > 0)
        unsafe end.pointee = byte
        count &+= 1
    }

    /// The caller has checked ``room``.
    mutating func append(_ bytes: Bytes) {
        assert(bytes.count <= room)
        guard let source = unsafe bytes.base, bytes.count > 0 else { return }
        unsafe end.update(from: source, count: bytes.count)
        count &+= bytes.count
    }

    /// Four bytes in network order.
    @inline(__always)
    mutating func append(bigEndian value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    @inline(__always)
    func tail(from offset: Int) -> UnsafeMutableBufferPointer<UInt8> {
        guard let base = unsafe base, offset < capacity else { return unsafe UnsafeMutableBufferPointer(start: nil, count: 0) }
        return unsafe UnsafeMutableBufferPointer(start: base + offset, count: capacity &- offset)
    }
}
