/// What a frame's header must say, kind by kind, in one table (RFC 9113 §6).
///
/// | kind | stream | length | else |
/// |---|---|---|---|
/// | DATA, HEADERS | not 0 | room for what its flags announce: FRAME_SIZE_ERROR | padding within it |
/// | PRIORITY | not 0 | 5, or FRAME_SIZE_ERROR of the stream | no dependency on itself, or PROTOCOL_ERROR of the stream |
/// | RST_STREAM | not 0 | 4 | |
/// | SETTINGS | 0 | a multiple of 6; 0 with ACK | |
/// | PUSH_PROMISE | never | | nobody here enables it (§6.6, §8.4) |
/// | PING | 0 | 8 | |
/// | GOAWAY | 0 | 8 or more | |
/// | WINDOW_UPDATE | any | 4 | increment not 0, or PROTOCOL_ERROR of stream or connection |
/// | CONTINUATION | not 0 | any | only behind an open block, on its stream |
///
/// A wrong stream is PROTOCOL_ERROR, a wrong length FRAME_SIZE_ERROR, both of the connection where nothing else is said. So is a
/// length over what we take, whatever the kind.
enum FrameRules {
    /// - Parameter openBlock: the stream whose header block has begun and not ended, 0 if there is none.
    @inline(__always)
    static func fault(of header: FrameHeader, openBlock: UInt32) -> HTTP2Fault? {
        if header.length > HTTP2Limits.frameBytesMax { return HTTP2Fault(.frameSizeError) }
        // §4.3: a block's frames are contiguous, with nothing between them of whatever kind or stream.
        if openBlock != 0 || header.kind == FrameHeader.Kind.continuation {
            let continues = header.kind == FrameHeader.Kind.continuation && header.stream == openBlock && openBlock != 0
            return continues ? nil : HTTP2Fault(.protocolError)
        }
        let stream = header.stream
        switch header.kind {
        case FrameHeader.Kind.data:
            return isOnStream(stream) ?? hasLength(header.length >= (header.has(FrameHeader.Flag.padded) ? 1 : 0))
        case FrameHeader.Kind.headers:
            let fixed = (header.has(FrameHeader.Flag.padded) ? 1 : 0) + (header.has(FrameHeader.Flag.priority) ? 5 : 0)
            return isOnStream(stream) ?? hasLength(header.length >= fixed)
        case FrameHeader.Kind.priority:
            return isOnStream(stream) ?? (header.length == 5 ? nil : HTTP2Fault(.frameSizeError, .stream(stream)))
        case FrameHeader.Kind.reset:
            return isOnStream(stream) ?? hasLength(header.length == 4)
        case FrameHeader.Kind.settings:
            let isWhole = header.has(FrameHeader.Flag.acknowledge) ? header.length == 0 : header.length % 6 == 0
            if let fault = isOnConnection(stream) ?? hasLength(isWhole) { return fault }
            return header.length <= 6 * HTTP2Limits.settingsMax ? nil : HTTP2Fault(.enhanceYourCalm)
        case FrameHeader.Kind.pushPromise:
            return HTTP2Fault(.protocolError)
        case FrameHeader.Kind.ping:
            return isOnConnection(stream) ?? hasLength(header.length == 8)
        case FrameHeader.Kind.goAway:
            return isOnConnection(stream) ?? hasLength(header.length >= 8)
        case FrameHeader.Kind.windowUpdate:
            return hasLength(header.length == 4)
        default:
            return nil
        }
    }

    @inline(__always)
    private static func isOnStream(_ stream: UInt32) -> HTTP2Fault? { stream != 0 ? nil : HTTP2Fault(.protocolError) }
    @inline(__always)
    private static func isOnConnection(_ stream: UInt32) -> HTTP2Fault? { stream == 0 ? nil : HTTP2Fault(.protocolError) }
    @inline(__always)
    private static func hasLength(_ isRight: Bool) -> HTTP2Fault? { isRight ? nil : HTTP2Fault(.frameSizeError) }
}
