/// What a peer's frames come to; `consumed` bytes of the input are done with. A `place` is a stream's in the connection's table.
package enum HTTP2Event: Equatable, Sendable {
    /// Read more.
    case needMore(consumed: Int)
    /// Nothing to be done but to call again.
    case handled(consumed: Int)
    /// A head's block is complete: call ``HTTP2Machine/takeRequest(scratch:into:)`` or ``HTTP2Machine/takeResponse(isToHead:into:)``
    /// before anything else.
    case head(place: Int, consumed: Int)
    /// So is a block of trailers: ``HTTP2Machine/takeTrailers(into:)``.
    case trailers(place: Int, consumed: Int)
    /// Bytes of a body. They count against the windows until ``HTTP2Machine/release(_:at:into:)``.
    case data(place: Int, offset: Int, count: Int, isLast: Bool, consumed: Int)
    /// The stream is over, by the peer's word or because of what the peer sent on it. The place is free.
    case reset(place: Int, stream: UInt32, code: HTTP2ErrorCode, consumed: Int)
    /// There is room to send: on this stream, or, with -1, perhaps on all.
    case room(place: Int, consumed: Int)
    /// The peer opens no more streams, or serves none after this one.
    case goAway(lastStream: UInt32, consumed: Int)
    case pong(consumed: Int)
    /// The connection is over. What is to be said of it is written: send that, then close.
    case failed(HTTP2ErrorCode)
}

/// One HTTP/2 connection (RFC 9113) of either end: which streams there are, what may flow, what the protocol itself answers.
///
///     bytes ─▶ frames ─▶ rules of streams, windows, settings, floods ─▶ events
///                            └─▶ acknowledgements, WINDOW_UPDATE, RST_STREAM, GOAWAY, written to `control`
///
/// A pure machine over memory that its owner brings and frees; it points into no buffer between calls, but for the block of an event
/// that asks to be taken. `control` has room for ``controlBytesMax`` at every call that takes it.
@safe
package struct HTTP2Machine: BitwiseCopyable {
    /// What one call writes at most.
    package static let controlBytesMax = 64

    /// What decoded text is written to; nothing of it is kept, so one serves all connections of a loop.
    @safe
    package struct Scratch: BitwiseCopyable {
        package let text: UnsafeMutableBufferPointer<UInt8>
        package let fields: UnsafeMutablePointer<HeaderField>

        package init() {
            unsafe text = .allocate(capacity: HPACKDecoder.textBytesMin)
            unsafe fields = .allocate(capacity: HTTP1Limits.fieldsMax)
        }

        package func free() {
            unsafe text.deallocate()
            unsafe fields.deallocate()
        }
    }

    enum BlockKind: BitwiseCopyable {
        /// Of a stream that begins with it, or of one of our own.
        case none, opening, head, trailers
        /// Decoded because the table must follow, and for nothing else; then the stream is told the code, if there is one.
        case dropped(HTTP2ErrorCode?)
    }

    let isServer: Bool
    /// Callers may open WebSockets on streams (RFC 8441), and are told so.
    let takesWebSockets: Bool
    private var reader: FrameReader
    var decoder: HPACKDecoder
    package var encoder: HPACKEncoder
    package internal(set) var streams: StreamTable
    var closed: ClosedStreams
    var floods = FloodGuard()
    package private(set) var peer = PeerSettings()
    private var send = SendWindow()
    private var receive = ReceiveWindow(size: HTTP2Limits.connectionWindowBytes, announced: HTTP2Limits.windowDefault)
    /// The last stream that the peer opened, the last of these that we took, and the next of our own.
    var lastSeenStream: UInt32 = 0
    private var lastTakenStream: UInt32 = 0
    private var nextStream: UInt32
    /// The peer said that it serves no more.
    private var peerIsLeaving = false
    /// We said so: what is opened from now on is not looked at.
    private(set) var isLeaving = false
    private var hasFailed = false

    // The block under way.
    var blockKind = BlockKind.none
    var blockStream: UInt32 = 0
    var blockEndsStream = false
    var block = Bytes.empty
    var collected = BlockBuffer()

    /// Of the DATA frame under way: what it takes of its stream's window and no piece has claimed.
    private var padding = 0

    let scratch: Scratch

    /// Of a stream that begins.
    private var windowBytes: Int { isServer ? HTTP2Limits.callerWindowBytes : HTTP2Limits.serviceWindowBytes }

    /// Bytes of memory for a connection with so many streams.
    package static func memoryBytes(streams: Int) -> Int {
        rounded(DynamicTable.memoryBytes(capacity: HPACKLimits.tableBytesDefault))
            + rounded(HPACKEncoder.memoryBytes(tableBytes: HPACKLimits.tableBytesDefault))
            + rounded(StreamTable.memoryBytes(capacity: streams)) + ClosedStreams.memoryBytes
    }

    private static func rounded(_ bytes: Int) -> Int { (bytes + 15) & ~15 }

    /// - Parameters:
    ///   - memory: ``memoryBytes(streams:)`` aligned to 16, which outlive the machine.
    ///   - streams: that may be open at once.
    package init(isServer: Bool, takesWebSockets: Bool = false, memory: UnsafeMutableRawPointer, streams capacity: Int, scratch: Scratch) {
        self.isServer = isServer
        self.takesWebSockets = takesWebSockets
        self.scratch = scratch
        reader = FrameReader(expectsPreface: isServer)
        nextStream = isServer ? 2 : 1
        let table = HPACKLimits.tableBytesDefault
        var next = unsafe memory
        unsafe decoder = HPACKDecoder(
            memory: next, tableBytes: table, listBytesMax: HTTP1Limits.headBytesMax, fieldsMax: HTTP1Limits.fieldsMax + 8)
        unsafe next += Self.rounded(DynamicTable.memoryBytes(capacity: table))
        unsafe encoder = HPACKEncoder(memory: next, tableBytes: table)
        unsafe next += Self.rounded(HPACKEncoder.memoryBytes(tableBytes: table))
        unsafe streams = StreamTable(memory: next, capacity: capacity)
        unsafe next += Self.rounded(StreamTable.memoryBytes(capacity: capacity))
        unsafe closed = ClosedStreams(memory: next)
    }

    /// What it holds besides its memory.
    package mutating func free() { collected.free() }

    /// Bytes that ``begin(into:)`` writes at most.
    package static let beginBytesMax = 128

    /// The first thing to be sent (§3.4).
    package mutating func begin(into output: inout OutputSpace) {
        if !isServer { output.append(Bytes(FrameReader.preface)) }
        typealias Identifier = PeerSettings.Identifier
        let common = [
            (Identifier.initialWindowSize, UInt32(windowBytes)),
            (Identifier.maxHeaderListSize, UInt32(HTTP1Limits.headBytesMax)),
        ]
        let own =
            isServer
            ? (Identifier.maxConcurrentStreams, UInt32(truncatingIfNeeded: streams.capacity)) : (Identifier.enablePush, 0)
        let connect = isServer && takesWebSockets ? [(Identifier.enableConnectProtocol, UInt32(1))] : []
        _ = FrameWriter.settings([own] + common + connect, into: &output)
        _ = FrameWriter.windowUpdate(stream: 0, increment: receive.release(0), into: &output)
    }

    // MARK: Receiving

    /// Takes what is unread.
    package mutating func receive(_ input: Bytes, at now: Instant, into control: inout OutputSpace) -> HTTP2Event {
        assert(control.room >= Self.controlBytesMax)
        guard !hasFailed else { return .needMore(consumed: input.count) }
        switch reader.next(input) {
        case .needMore(let consumed): return .needMore(consumed: consumed)
        case .reject(let fault, let consumed):
            guard case .stream(let number) = fault.scope else { return fail(fault.code, &control) }
            guard !isIdle(number) else { return fail(fault.code == .frameSizeError ? .frameSizeError : .protocolError, &control) }
            return refuse(number, fault.code, consumed: consumed, at: now, &control)
        case .frame(let frame, let consumed): return take(frame, input, consumed, at: now, &control)
        }
    }

    private mutating func take(
        _ frame: Frame, _ input: Bytes, _ consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event {
        switch frame {
        case .data(let piece): return takeData(piece, consumed, at: now, &control)
        case .headers(let stream, let fragment, let endsStream):
            if let fault = beginBlock(stream, endsStream: endsStream) { return fail(fault, &control) }
            return takeFragment(fragment, input, consumed, at: now, &control)
        case .continuation(_, let fragment):
            guard floods.admitsContinuation(bytes: fragment.count, isLast: fragment.isLast) else { return fail(.enhanceYourCalm, &control) }
            return takeFragment(fragment, input, consumed, at: now, &control)
        case .reset(let stream, let code):
            guard !isIdle(stream) else { return fail(.protocolError, &control) }
            let place = streams.place(of: stream)
            guard place >= 0 else { return .handled(consumed: consumed) }
            if isServer, !floods.admits(.reset, at: now) { return fail(.enhanceYourCalm, &control) }
            close(place, .byPeer)
            return .reset(place: place, stream: stream, code: code, consumed: consumed)
        case .settings(let offset, let count):
            guard floods.admits(.control, at: now) else { return fail(.enhanceYourCalm, &control) }
            return takeSettings(input.slice(offset, offset &+ count), consumed, &control)
        case .ping(let data):
            guard floods.admits(.control, at: now) else { return fail(.enhanceYourCalm, &control) }
            _ = FrameWriter.ping(data, isAcknowledgement: true, into: &control)
            return .handled(consumed: consumed)
        case .pingAcknowledged: return .pong(consumed: consumed)
        case .goAway(let lastStream, _):
            guard floods.admits(.control, at: now) else { return fail(.enhanceYourCalm, &control) }
            peerIsLeaving = true
            return .goAway(lastStream: lastStream, consumed: consumed)
        case .windowUpdate(let stream, let increment): return takeUpdate(stream, increment, consumed, at: now, &control)
        case .settingsAcknowledged, .ignored:
            guard floods.admits(.ignored, at: now) else { return fail(.enhanceYourCalm, &control) }
            return .handled(consumed: consumed)
        }
    }

    /// No frame but HEADERS of whoever may open it can be on such a stream (§5.1).
    func isIdle(_ stream: UInt32) -> Bool {
        let isOurs = stream & 1 == (isServer ? 0 : 1)
        return isOurs ? stream >= nextStream : stream > lastSeenStream
    }

    private mutating func takeSettings(_ payload: Bytes, _ consumed: Int, _ control: inout OutputSpace) -> HTTP2Event {
        let window = peer.windowBytes
        if let fault = peer.apply(payload, isServer: !isServer) { return fail(fault.code, &control) }
        guard streams.moveSendWindows(by: peer.windowBytes &- window) else { return fail(.flowControlError, &control) }
        encoder.peerAllows(tableBytes: peer.headerTableBytes)
        _ = FrameWriter.settingsAcknowledgement(into: &control)
        return .room(place: -1, consumed: consumed)
    }

    private mutating func takeUpdate(
        _ stream: UInt32, _ increment: Int, _ consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event {
        guard floods.admitsUpdate() else { return fail(.enhanceYourCalm, &control) }
        if stream == 0 {
            guard send.move(by: increment) else { return fail(.flowControlError, &control) }
            return .room(place: -1, consumed: consumed)
        }
        guard !isIdle(stream) else { return fail(.protocolError, &control) }
        let place = streams.place(of: stream)
        guard place >= 0 else { return .handled(consumed: consumed) }
        guard unsafe streams[place].pointee.send.move(by: increment) else {
            return refuse(stream, .flowControlError, consumed: consumed, at: now, &control)
        }
        return .room(place: place, consumed: consumed)
    }

    private mutating func takeData(
        _ piece: Frame.DataPiece, _ consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event {
        if piece.isFirst {
            guard !isIdle(piece.stream) else { return fail(.protocolError, &control) }
            guard receive.receive(piece.windowBytes) else { return fail(.flowControlError, &control) }
            let increment = receive.release(piece.windowBytes)
            if increment > 0 { _ = FrameWriter.windowUpdate(stream: 0, increment: increment, into: &control) }
            if piece.isLast, piece.count == 0, !piece.endsStream, !floods.admits(.emptyData, at: now) { return fail(.enhanceYourCalm, &control) }
            if let event = beginData(piece, consumed, at: now, &control) { return event }
            padding = piece.windowBytes
        }
        let place = streams.place(of: piece.stream)
        guard place >= 0 else { return .handled(consumed: consumed) }
        padding &-= piece.count
        if let fault = unsafe streams[place].pointee.takeData(piece.count, endsStream: piece.endsStream) {
            return refuse(piece.stream, fault.code, consumed: consumed, at: now, &control)
        }
        // It is nobody's.
        if piece.isLast { release(padding, at: place, into: &control) }
        if piece.count == 0, !piece.endsStream { return .handled(consumed: consumed) }
        return .data(place: place, offset: piece.offset, count: piece.count, isLast: piece.endsStream, consumed: consumed)
    }

    /// What a DATA frame comes to that its stream cannot take.
    private mutating func beginData(
        _ piece: Frame.DataPiece, _ consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event? {
        let place = streams.place(of: piece.stream)
        if place >= 0 {
            guard unsafe !streams[place].pointee.receive.receive(piece.windowBytes) else { return nil }
            return refuse(piece.stream, .flowControlError, consumed: consumed, at: now, &control)
        }
        switch closed.fault(of: piece.stream) {
        case .connection: return fail(.streamClosed, &control)
        case .stream: return refuse(piece.stream, .streamClosed, consumed: consumed, at: now, &control)
        case nil: return nil
        }
    }

    /// So many bytes that came on a stream are held no longer.
    ///
    /// - Parameter keepsUp: nothing of the stream waits: it may have more at once.
    package mutating func release(_ count: Int, at place: Int, keepsUp: Bool = false, into control: inout OutputSpace) {
        let stream = unsafe streams[place]
        let share = HTTP2Limits.connectionWindowBytes / max(1, streams.count)
        let increment = unsafe stream.pointee.receive.release(count, growingTo: keepsUp ? min(share, HTTP2Limits.windowBytesMax) : 0)
        // Of a peer that has finished nothing more is wanted.
        guard increment > 0, unsafe !stream.pointee.peerEnded else { return }
        _ = unsafe FrameWriter.windowUpdate(stream: stream.pointee.number, increment: increment, into: &control)
    }

    // MARK: Streams

    /// A stream of our own; -1 if the peer takes none now.
    package mutating func open() -> Int {
        guard canOpen() else { return -1 }
        let place = streams.open(
            HTTP2Stream(number: nextStream, sendBytes: peer.windowBytes, receiveBytes: windowBytes))
        if place >= 0 {
            nextStream &+= 2
            floods.openedStream()
        }
        return place
    }

    /// Mutating, as all that is asked often: through a pointer the others copy the machine.
    package mutating func canOpen() -> Bool {
        !peerIsLeaving && !hasFailed && nextStream < 1 << 31 && streams.count < min(streams.capacity, Int(clamping: peer.streamsMax))
    }

    /// Whether it will never again take a stream of ours.
    package mutating func isSpent() -> Bool { peerIsLeaving || hasFailed || nextStream >= 1 << 31 }

    /// A stream that the peer opens by a head which is complete; why not, if not.
    mutating func accept(_ number: UInt32) -> HTTP2ErrorCode? {
        lastTakenStream = number
        floods.openedStream()
        let place = streams.open(HTTP2Stream(number: number, sendBytes: peer.windowBytes, receiveBytes: windowBytes))
        return place < 0 ? .refusedStream : nil
    }

    /// Ends a stream that has nothing more to say from our side: a peer that has not finished is told to stop, without blame (§8.1).
    package mutating func finish(_ place: Int, into control: inout OutputSpace) {
        let stream = unsafe streams[place].pointee
        if !stream.isOver {
            _ = FrameWriter.reset(stream: stream.number, stream.weEnded ? .noError : .cancel, into: &control)
        }
        close(place, stream.peerEnded ? .ended : .byUs)
    }

    /// Breaks a stream off.
    package mutating func reset(_ place: Int, _ code: HTTP2ErrorCode, into control: inout OutputSpace) {
        _ = unsafe FrameWriter.reset(stream: streams[place].pointee.number, code, into: &control)
        close(place, .byUs)
    }

    /// A stream's fault of the peer's (§5.4.2).
    mutating func refuse(
        _ number: UInt32, _ code: HTTP2ErrorCode, consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event {
        // Work begun and thrown away, whoever says the word (CVE-2025-8671).
        guard floods.admits(.reset, at: now) else { return fail(.enhanceYourCalm, &control) }
        _ = FrameWriter.reset(stream: number, code, into: &control)
        let place = streams.place(of: number)
        guard place >= 0 else { return .handled(consumed: consumed) }
        close(place, .byUs)
        return .reset(place: place, stream: number, code: code, consumed: consumed)
    }

    private mutating func close(_ place: Int, _ how: ClosedStreams.How) {
        let number = unsafe streams[place].pointee.number
        streams.close(number)
        closed.insert(number, how)
    }

    /// The connection is gone, and the stream with it.
    package mutating func forget(_ place: Int) { unsafe streams.close(streams[place].pointee.number) }

    // MARK: Ends

    /// The connection's fault (§5.4.1).
    mutating func fail(_ code: HTTP2ErrorCode, _ control: inout OutputSpace) -> HTTP2Event {
        hasFailed = true
        _ = FrameWriter.goAway(lastStream: lastTakenStream, code, into: &control)
        return .failed(code)
    }

    /// Announces that the connection will end, and takes everything that is on its way; to be followed by ``leave(into:)`` a round
    /// trip later (§6.8), which the answer to a PING shows.
    package mutating func prepareToLeave(into control: inout OutputSpace) {
        _ = FrameWriter.goAway(lastStream: (1 << 31) - 1, .noError, into: &control)
        _ = FrameWriter.ping(0, isAcknowledgement: false, into: &control)
    }

    /// Takes no further stream.
    package mutating func leave(into control: inout OutputSpace) {
        guard !isLeaving, !hasFailed else { return }
        isLeaving = true
        _ = FrameWriter.goAway(lastStream: lastTakenStream, .noError, into: &control)
    }

    // MARK: Sending

    /// Bytes of DATA that may go out on a stream now, in one frame.
    package mutating func room(at place: Int) -> Int {
        unsafe min(min(streams[place].pointee.send.available, send.available), peer.frameBytesMax)
    }

    /// The header of a DATA frame of at most ``room(at:)`` bytes, which the caller writes behind it.
    package mutating func data(_ count: Int, isLast: Bool, at place: Int, into output: inout OutputSpace) {
        let stream = unsafe streams[place]
        unsafe stream.pointee.send.take(count)
        send.take(count)
        if isLast { unsafe stream.pointee.weEnded = true }
        if count > 0 { floods.sentData() }
        let header = unsafe FrameHeader(
            length: count, kind: FrameHeader.Kind.data, flags: isLast ? FrameHeader.Flag.endStream : 0, stream: stream.pointee.number)
        _ = FrameWriter.header(header, into: &output)
    }
}
