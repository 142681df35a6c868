/// Writes frames (RFC 9113 §6) behind what `output` holds. Each is written whole, or not at all and false.
package enum FrameWriter {
    /// The header of a frame whose `length` bytes the caller writes behind it: DATA, HEADERS, CONTINUATION. No padding, no priority.
    package static func header(_ header: FrameHeader, into output: inout OutputSpace) -> Bool {
        begin(header, room: FrameHeader.byteCount, &output)
    }

    /// `values` are a handful, once per connection.
    package static func settings(_ values: [(identifier: UInt16, value: UInt32)], into output: inout OutputSpace) -> Bool {
        let length = values.count * 6
        let head = FrameHeader(length: length, kind: FrameHeader.Kind.settings, flags: 0, stream: 0)
        guard begin(head, room: FrameHeader.byteCount &+ length, &output) else { return false }
        for setting in values {
            output.append(UInt8(truncatingIfNeeded: setting.identifier >> 8))
            output.append(UInt8(truncatingIfNeeded: setting.identifier))
            output.append(bigEndian: setting.value)
        }
        return true
    }

    package static func settingsAcknowledgement(into output: inout OutputSpace) -> Bool {
        header(FrameHeader(length: 0, kind: FrameHeader.Kind.settings, flags: FrameHeader.Flag.acknowledge, stream: 0), into: &output)
    }

    package static func ping(_ data: UInt64, isAcknowledgement: Bool, into output: inout OutputSpace) -> Bool {
        let flags = isAcknowledgement ? FrameHeader.Flag.acknowledge : 0
        return words(
            FrameHeader.Kind.ping, flags: flags, stream: 0, UInt32(truncatingIfNeeded: data >> 32), UInt32(truncatingIfNeeded: data),
            &output)
    }

    package static func goAway(lastStream: UInt32, _ code: HTTP2ErrorCode, into output: inout OutputSpace) -> Bool {
        words(FrameHeader.Kind.goAway, flags: 0, stream: 0, lastStream & 0x7FFF_FFFF, code.rawValue, &output)
    }

    package static func reset(stream: UInt32, _ code: HTTP2ErrorCode, into output: inout OutputSpace) -> Bool {
        words(FrameHeader.Kind.reset, flags: 0, stream: stream, code.rawValue, nil, &output)
    }

    /// `increment` is from 1 to 2^31 - 1.
    package static func windowUpdate(stream: UInt32, increment: Int, into output: inout OutputSpace) -> Bool {
        assert(increment > 0 && increment <= HTTP2Limits.windowMax)
        return words(FrameHeader.Kind.windowUpdate, flags: 0, stream: stream, UInt32(truncatingIfNeeded: increment), nil, &output)
    }

    // MARK: Parts

    private static func words(
        _ kind: UInt8, flags: UInt8, stream: UInt32, _ first: UInt32, _ second: UInt32?, _ output: inout OutputSpace
    ) -> Bool {
        let length = second == nil ? 4 : 8
        let head = FrameHeader(length: length, kind: kind, flags: flags, stream: stream)
        guard begin(head, room: FrameHeader.byteCount &+ length, &output) else { return false }
        output.append(bigEndian: first)
        if let second { output.append(bigEndian: second) }
        return true
    }

    private static func begin(_ header: FrameHeader, room: Int, _ output: inout OutputSpace) -> Bool {
        assert(header.length >= 0 && header.length <= HTTP2Limits.peerFrameBytesMax)
        guard output.room >= room else { return false }
        output.append(UInt8(truncatingIfNeeded: header.length >> 16))
        output.append(UInt8(truncatingIfNeeded: header.length >> 8))
        output.append(UInt8(truncatingIfNeeded: header.length))
        output.append(header.kind)
        output.append(header.flags)
        output.append(bigEndian: header.stream)
        return true
    }
}
