/// Reads frames (RFC 9113 §3.4, §4, §6) from a receive buffer that may grow and move between calls.
///
/// DATA comes out in pieces as its bytes come in, and what is ignored is dropped so; every other frame comes out whole, so a buffer
/// of ``bufferBytesMin`` is enough. Plain old data; the reader points into no buffer.
package struct FrameReader: BitwiseCopyable {
    package enum Step: Equatable, Sendable {
        /// Drop `consumed` bytes, keep the rest, read more.
        case needMore(consumed: Int)
        /// The first `consumed` bytes are this; use what it points to, drop them, and call again.
        case frame(Frame, consumed: Int)
        /// A stream's fault: the frame of `consumed` bytes is over, call again. The connection's: call no more.
        case reject(HTTP2Fault, consumed: Int)
    }

    /// The longest frame that comes out whole.
    package static let bufferBytesMin = FrameHeader.byteCount + HTTP2Limits.frameBytesMax

    package static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    private enum State: UInt8 { case preface, firstFrame, header, data, padding, skip, failed }

    private var state: State
    /// Bytes of the preface that have come.
    private var prefaceCount = 0
    /// Bytes of the payload to come: of data, then of what is dropped.
    private var remaining = 0
    private var paddingCount = 0
    private var dataStream: UInt32 = 0
    private var endsStream = false
    private var isDataBegun = false
    private var windowBytes = 0
    private var openBlock: UInt32 = 0

    /// - Parameter expectsPreface: the peer is a client, whose connection begins with 24 bytes before its SETTINGS (§3.4).
    package init(expectsPreface: Bool) { state = expectsPreface ? .preface : .firstFrame }

    /// Takes what is unread.
    package mutating func next(_ input: Bytes) -> Step {
        switch state {
        case .preface: readPreface(input)
        case .firstFrame, .header: readFrame(input, from: 0)
        case .data: readData(input, from: 0)
        case .padding, .skip: drop(input)
        case .failed: .needMore(consumed: input.count)
        }
    }

    // MARK: Parts

    private mutating func readPreface(_ input: Bytes) -> Step {
        let expected = Bytes(Self.preface)
        var position = 0
        while position < input.count, prefaceCount < expected.count {
            guard input[position] == expected[prefaceCount] else { return fail(HTTP2Fault(.protocolError)) }
            position &+= 1
            prefaceCount &+= 1
        }
        guard prefaceCount == expected.count else { return .needMore(consumed: position) }
        state = .firstFrame
        return readFrame(input, from: position)
    }

    private mutating func readFrame(_ input: Bytes, from start: Int) -> Step {
        guard input.count &- start >= FrameHeader.byteCount else { return .needMore(consumed: start) }
        let header = FrameHeader(input.slice(start, input.count))
        if state == .firstFrame {
            // §3.4: the first frame is SETTINGS, even an empty one.
            guard header.kind == FrameHeader.Kind.settings, !header.has(FrameHeader.Flag.acknowledge) else {
                return fail(HTTP2Fault(.protocolError))
            }
        }
        if let fault = FrameRules.fault(of: header, openBlock: openBlock) {
            guard case .stream = fault.scope else { return fail(fault) }
            beginSkip(header.length)
            return .reject(fault, consumed: start &+ FrameHeader.byteCount)
        }
        let payload = start &+ FrameHeader.byteCount
        switch header.kind {
        case FrameHeader.Kind.data:
            return beginData(header, input, payload, frameStart: start)
        case FrameHeader.Kind.headers, FrameHeader.Kind.reset, FrameHeader.Kind.settings, FrameHeader.Kind.ping, FrameHeader.Kind.goAway,
            FrameHeader.Kind.windowUpdate, FrameHeader.Kind.continuation, FrameHeader.Kind.priority:
            guard input.count &- payload >= header.length else { return .needMore(consumed: start) }
            state = .header
            return whole(header, input, payload)
        default:
            beginSkip(header.length)
            return .frame(.ignored, consumed: payload)
        }
    }

    /// A frame that is here completely; its header has been judged.
    private mutating func whole(_ header: FrameHeader, _ input: Bytes, _ payload: Int) -> Step {
        let end = payload &+ header.length
        let isAcknowledgement = header.has(FrameHeader.Flag.acknowledge)
        switch header.kind {
        case FrameHeader.Kind.headers:
            return readBlock(header, input, payload)
        case FrameHeader.Kind.priority:
            guard input.bigEndian(at: payload) & 0x7FFF_FFFF != header.stream else {
                return .reject(HTTP2Fault(.protocolError, .stream(header.stream)), consumed: end)
            }
            return .frame(.ignored, consumed: end)
        case FrameHeader.Kind.continuation:
            let isLast = header.has(FrameHeader.Flag.endHeaders)
            if isLast { openBlock = 0 }
            let block = Frame.Fragment(offset: payload, count: header.length, isLast: isLast)
            return .frame(.continuation(stream: header.stream, block: block), consumed: end)
        case FrameHeader.Kind.reset:
            return .frame(.reset(stream: header.stream, HTTP2ErrorCode(rawValue: input.bigEndian(at: payload))), consumed: end)
        case FrameHeader.Kind.settings:
            return .frame(isAcknowledgement ? .settingsAcknowledged : .settings(offset: payload, count: header.length), consumed: end)
        case FrameHeader.Kind.ping:
            let data = UInt64(input.bigEndian(at: payload)) << 32 | UInt64(input.bigEndian(at: payload &+ 4))
            return .frame(isAcknowledgement ? .pingAcknowledged(data) : .ping(data), consumed: end)
        case FrameHeader.Kind.goAway:
            let last = input.bigEndian(at: payload) & 0x7FFF_FFFF
            return .frame(.goAway(lastStream: last, HTTP2ErrorCode(rawValue: input.bigEndian(at: payload &+ 4))), consumed: end)
        default:
            let increment = Int(input.bigEndian(at: payload) & 0x7FFF_FFFF)
            guard increment > 0 else {
                if header.stream == 0 { return fail(HTTP2Fault(.protocolError)) }
                return .reject(HTTP2Fault(.protocolError, .stream(header.stream)), consumed: end)
            }
            return .frame(.windowUpdate(stream: header.stream, increment: increment), consumed: end)
        }
    }

    private mutating func readBlock(_ header: FrameHeader, _ input: Bytes, _ payload: Int) -> Step {
        var start = payload
        var end = payload &+ header.length
        if header.has(FrameHeader.Flag.padded) {
            start &+= 1
            end &-= Int(input[payload])
        }
        if header.has(FrameHeader.Flag.priority) {
            // Of a scheme that nobody follows any more this alone is left to be refused (RFC 7540 §5.3.1).
            guard start &+ 5 <= end, input.bigEndian(at: start) & 0x7FFF_FFFF != header.stream else { return fail(HTTP2Fault(.protocolError)) }
            start &+= 5
        }
        guard end >= start else { return fail(HTTP2Fault(.protocolError)) }
        let isLast = header.has(FrameHeader.Flag.endHeaders)
        if !isLast { openBlock = header.stream }
        return .frame(
            .headers(
                stream: header.stream, block: .init(offset: start, count: end &- start, isLast: isLast),
                endsStream: header.has(FrameHeader.Flag.endStream)),
            consumed: payload &+ header.length)
    }

    private mutating func beginData(_ header: FrameHeader, _ input: Bytes, _ payload: Int, frameStart: Int) -> Step {
        var start = payload
        paddingCount = 0
        remaining = header.length
        if header.has(FrameHeader.Flag.padded) {
            guard input.count > payload else { return .needMore(consumed: frameStart) }
            paddingCount = Int(input[payload])
            start &+= 1
            remaining &-= 1
            guard paddingCount <= remaining else { return fail(HTTP2Fault(.protocolError)) }
            remaining &-= paddingCount
        }
        state = .data
        dataStream = header.stream
        endsStream = header.has(FrameHeader.Flag.endStream)
        isDataBegun = false
        windowBytes = header.length
        return readData(input, from: start)
    }

    private mutating func readData(_ input: Bytes, from start: Int) -> Step {
        let count = min(remaining, input.count &- start)
        // Nothing of a frame's data has come: only its first piece, which opens it, may be empty then.
        if count == 0, remaining > 0, isDataBegun { return .needMore(consumed: start) }
        remaining &-= count
        let isLast = remaining == 0
        let piece = Frame.DataPiece(
            stream: dataStream, offset: start, count: count, windowBytes: isDataBegun ? 0 : windowBytes, isFirst: !isDataBegun,
            isLast: isLast, endsStream: isLast && endsStream)
        isDataBegun = true
        guard isLast else { return .frame(.data(piece), consumed: start &+ count) }
        // Padding means nothing; the next call drops what is not here yet.
        let end = start &+ count
        let padding = min(paddingCount, input.count &- end)
        remaining = paddingCount &- padding
        state = remaining > 0 ? .padding : .header
        return .frame(.data(piece), consumed: end &+ padding)
    }

    private mutating func beginSkip(_ count: Int) {
        remaining = count
        state = count > 0 ? .skip : .header
    }

    private mutating func drop(_ input: Bytes) -> Step {
        let count = min(remaining, input.count)
        remaining &-= count
        guard remaining == 0 else { return .needMore(consumed: count) }
        state = .header
        return readFrame(input, from: count)
    }

    private mutating func fail(_ fault: HTTP2Fault) -> Step {
        state = .failed
        return .reject(fault, consumed: 0)
    }
}
