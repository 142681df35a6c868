/// The framing around chunks that we send (RFC 9112 §7.1).
package enum ChunkWriter {
    /// Room that ``head(of:into:)`` needs: 16 digits and CRLF.
    package static let headBytesMax = 18

    /// Goes behind the data of every chunk.
    package static let tail: StaticString = "\r\n"
    /// Ends a body without trailers.
    package static let end: StaticString = "0\r\n\r\n"

    /// Writes the size line of a chunk of `count` > 0 bytes; returns its length, nil if there is no room.
    @inline(__always)
    package static func head(of count: Int, into memory: UnsafeMutableRawBufferPointer) -> Int? {
        assert(count > 0, "an empty chunk would end the body")
        let value = UInt64(max(0, count))
        let digits = max(1, (67 &- value.leadingZeroBitCount) / 4)
        guard memory.count >= digits &+ 2 else { return nil }
        var index = 0
        while index < digits {
            let digit = UInt8(truncatingIfNeeded: value &>> UInt64(4 &* (digits &- 1 &- index)) & 0x0F)
            unsafe memory[index] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            index &+= 1
        }
        unsafe memory[digits] = 0x0D
        unsafe memory[digits &+ 1] = 0x0A
        return digits &+ 2
    }

    /// Ends a body with trailers: `trailers` are whole lines with their CRLF, as `HeadWriter.field` writes them.
    package static func end(trailers: Bytes, into memory: UnsafeMutableRawBufferPointer) -> Int? {
        var writer = unsafe HeadWriter(into: memory)
        writer.append(Bytes("0\r\n"))
        writer.append(trailers)
        return writer.finish(.none)
    }
}
