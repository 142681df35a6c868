/// Writes a head or trailers as HEADERS, and CONTINUATION where one frame does not hold them (RFC 9113 §6.2, §6.10).
///
///     var writer = FieldBlockWriter(into: room)        // FieldBlockWriter.bytesMax(…) of it
///     writer.field(":status", "200", &encoder); writer.field(…)
///     let count = writer.finish(stream: 1, endsStream: false, frameBytesMax: 16_384)
///
/// An encoder's table moves with each field, so nothing can be tried twice: the room is there before the first one.
@safe
package struct FieldBlockWriter {
    /// Frames that one block may take: its bound in `HTTP2Limits`, twice.
    private static let framesMax = 9
    private static let spareBytes = HTTP1Limits.nameBytesMax

    /// Room for `fields` fields whose names and values are `textBytes` together.
    package static func bytesMax(textBytes: Int, fields: Int) -> Int {
        textBytes + fields * HPACKEncoder.fieldBytesMax + HPACKEncoder.beginBytesMax + framesMax * FrameHeader.byteCount + spareBytes
    }

    private let memory: UnsafeMutableRawBufferPointer
    private var block: OutputSpace

    package init(into memory: UnsafeMutableRawBufferPointer, _ encoder: inout HPACKEncoder) {
        unsafe self.memory = memory
        let bytes = unsafe memory.bindMemory(to: UInt8.self)
        unsafe block = OutputSpace(UnsafeMutableBufferPointer(rebasing: bytes[FrameHeader.byteCount...]))
        _ = encoder.beginBlock(into: &block)
    }

    package mutating func field(_ name: Bytes, _ value: Bytes, isSensitive: Bool = false, _ encoder: inout HPACKEncoder) {
        let isWritten = encoder.encode(name: lowercased(name), value: value, isSensitive: isSensitive, into: &block)
        assert(isWritten, "a block outgrew the room that was reckoned for it")
    }

    package mutating func field(_ name: StaticString, _ value: Bytes, _ encoder: inout HPACKEncoder) {
        _ = encoder.encode(name: Bytes(name), value: value, into: &block)
    }

    package mutating func field(_ name: StaticString, number: Int64, _ encoder: inout HPACKEncoder) {
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var start = 20
        var rest = UInt64(max(0, number))
        repeat {
            start &-= 1
            digits[start] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        unsafe withUnsafeBytes(of: &digits) { raw in
            let base = unsafe raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
            _ = unsafe encoder.encode(name: Bytes(name), value: Bytes(base + start, count: 20 &- start), into: &block)
        }
    }

    /// The lines of a head that stay.
    package mutating func fields(_ table: HeaderTable, skipping dropped: FieldMask, sensitive: FieldMask, _ encoder: inout HPACKEncoder) {
        var index = 0
        while unsafe index < Int(table.count) {
            if !dropped.contains(index) {
                unsafe field(table.name(index), table.value(index), isSensitive: sensitive.contains(index), &encoder)
            }
            index &+= 1
        }
    }

    /// Lines as HTTP/1 writes them, which this program has rendered.
    package mutating func lines(_ text: Bytes, _ encoder: inout HPACKEncoder) {
        var position = 0
        while position < text.count {
            let end = text.first(0x0D, from: position, to: text.count)
            let colon = text.first(UInt8(ascii: ":"), from: position, to: end)
            field(text.slice(position, colon), text.slice(colon &+ 1, end).trimmed, &encoder)
            position = end &+ 2
        }
    }

    /// The bytes written.
    package mutating func finish(stream: UInt32, endsStream: Bool, frameBytesMax: Int) -> Int {
        let frames = max(1, (block.count &+ frameBytesMax &- 1) / frameBytesMax)
        let base = unsafe memory.baseAddress.unsafelyUnwrapped
        var frame = frames &- 1
        // From the last one on: each moves behind the headers of those before it.
        while frame >= 0 {
            let offset = frame &* frameBytesMax
            let count = min(frameBytesMax, block.count &- offset)
            let target = offset &+ frame &* FrameHeader.byteCount
            if frame > 0 {
                unsafe (base + target + FrameHeader.byteCount).copyMemory(from: base + FrameHeader.byteCount + offset, byteCount: count)
            }
            var flags: UInt8 = frame == frames &- 1 ? FrameHeader.Flag.endHeaders : 0
            if frame == 0, endsStream { flags |= FrameHeader.Flag.endStream }
            let kind = frame == 0 ? FrameHeader.Kind.headers : FrameHeader.Kind.continuation
            let room = unsafe UnsafeMutableRawBufferPointer(start: base + target, count: FrameHeader.byteCount).bindMemory(to: UInt8.self)
            var space = unsafe OutputSpace(unsafe room)
            _ = FrameWriter.header(FrameHeader(length: count, kind: kind, flags: flags, stream: stream), into: &space)
            frame &-= 1
        }
        return block.count &+ frames &* FrameHeader.byteCount
    }

    /// Names are in lower case here (§8.2.1), and in any in HTTP/1.
    private func lowercased(_ name: Bytes) -> Bytes {
        var index = 0
        while index < name.count, name[index] &- 0x41 >= 26 { index &+= 1 }
        guard index < name.count, name.count <= Self.spareBytes else { return name }
        let spare = unsafe (memory.baseAddress.unsafelyUnwrapped + memory.count - Self.spareBytes).assumingMemoryBound(to: UInt8.self)
        index = 0
        while index < name.count {
            unsafe spare[index] = ASCII.lowercased(name[index])
            index &+= 1
        }
        return unsafe Bytes(UnsafePointer(spare), count: name.count)
    }
}
