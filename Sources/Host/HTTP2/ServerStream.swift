internal import Pipeline

/// One stream of a caller's: an exchange that shares its connection with others.
///
/// Bytes that the service, or a filter, cannot take yet wait here, at most a window of them; what the caller's windows have no room
/// for waits here too, at most a piece.
struct ServerStream: BitwiseCopyable {
    let s: UnsafeMutablePointer<StreamStorage>

    init(_ s: UnsafeMutablePointer<StreamStorage>) { self.s = s }
    /// The stream an exchange came in on.
    init(owner x: UnsafeMutablePointer<ExchangeStorage>) { s = x.pointee.owner!.assumingMemoryBound(to: StreamStorage.self) }

    var connection: Downstream { Downstream(s.pointee.owner.assumingMemoryBound(to: DownstreamStorage.self)) }
    private var worker: Worker { connection.worker }
    private var now: Instant { connection.now }
    private var link: HTTP2Link { connection.link.unsafelyUnwrapped }

    func isBusy(with x: UnsafeMutablePointer<ExchangeStorage>) -> Bool { s.pointee.exchange == x }

    // MARK: The request

    /// Its head is complete; its text is copied from the loop's scratch.
    func begin(_ x: UnsafeMutablePointer<ExchangeStorage>, _ text: Bytes) {
        let d = connection.d
        let memory = HTTP2Link.keep(text.count, s, x)
        x.pointee.moveRequest(text, to: memory)
        s.pointee.exchange = x
        x.pointee.owner = UnsafeMutableRawPointer(s)
        x.pointee.callerSpeaksHTTP2 = true
        guard connection.mayServe() else {
            giveBack()
            return connection.close()
        }
        if worker.w.pointee.buffers.isExhausted {
            worker.w.pointee.stats.memoryShed.increment()
            return refuse(503, "the sidecar is out of memory for more")
        }
        if let fault = connection.keepTarget(x) ?? connection.judgeHops(x) {
            worker.w.pointee.stats.protocolErrors.increment()
            return refuse(fault.status, Bytes(fault.reason))
        }
        if MaxForwards.isAsked(by: x.pointee.request.method), let answer = connection.answerAsLast(x) { return refuse(answer.status, answer.text) }
        s.pointee.omitsBody = x.pointee.request.method == .head
        s.pointee.owesContinue = x.pointee.request.expectsContinue
        d.pointee.filters.bytesReceived &+= UInt64(text.count)
        let ended = stream.pointee.peerEnded
        s.pointee.inboundEnded = ended
        connection.start(x)
        // What follows the wish for a WebSocket is no body, and waits for the agreement.
        let isWish = x.pointee.request.asksUpgrade
        if !ended, !isWish { expectProgress() }
        ChainRun(x).requestHead(at: now, ended: ended || isWish)
        Caller(self).perform(x)
    }

    private var stream: UnsafeMutablePointer<HTTP2Stream> { link.h.pointee.machine.streams[s.pointee.place] }

    /// A piece of its body came.
    func receive(_ piece: Bytes, isLast: Bool) {
        guard let x = s.pointee.exchange else { return release(piece.count) }
        s.pointee.inboundEnded = isLast
        if x.pointee.request.asksUpgrade {
            s.pointee.inbound.append(piece, &worker.w.pointee.buffers)
            return StreamTunnel(self)?.relay() ?? ()
        }
        expectProgress()
        if s.pointee.inbound.isEmpty, wantsBody {
            deliver(piece, isLast: isLast, keepsUp: true)
        } else {
            s.pointee.inbound.append(piece, &worker.w.pointee.buffers)
        }
    }

    func receive(trailers table: HeaderTable, sensitive: FieldMask) {
        guard let x = s.pointee.exchange else { return }
        if x.pointee.request.asksUpgrade {
            // §8.5: nothing but DATA on a tunnel.
            link.control { link.h.pointee.machine.reset(s.pointee.place, .protocolError, into: &$0) }
            return broken(ProxyError(.downstreamProtocol))
        }
        s.pointee.inboundEnded = true
        for index in 0..<Int(table.count) {
            TrailerLines.append(
                table.name(index), table.value(index), isSensitive: sensitive.contains(index), to: &s.pointee.inboundTrailers,
                &worker.w.pointee.buffers)
        }
        pump()
    }

    /// Whether a piece of the request's body can be used now.
    private var wantsBody: Bool {
        guard let x = s.pointee.exchange, ChainRun(x).acceptsRequestBody else { return false }
        guard let service = Service(x), !service.acceptsBody else { return true }
        // What has gathered there may leave at once: then no event would tell.
        service.flush()
        return service.acceptsBody
    }

    /// There may be room for what waits.
    func pump() {
        while wantsBody {
            if !s.pointee.inbound.isEmpty {
                let waiting = s.pointee.inbound.unread
                let piece = waiting.slice(0, min(waiting.count, HostLimits.outputMax))
                s.pointee.inbound.drop(piece.count)
                let isLast = s.pointee.inboundEnded && s.pointee.inbound.isEmpty && s.pointee.inboundTrailers.isEmpty
                deliver(piece, isLast: isLast)
                if s.pointee.inbound.isEmpty { s.pointee.inbound.free(&worker.w.pointee.buffers) }
            } else if s.pointee.inboundEnded {
                deliverEnd()
            } else {
                return
            }
        }
    }

    private func deliver(_ piece: Bytes, isLast: Bool, keepsUp: Bool = false) {
        guard let x = s.pointee.exchange else { return }
        s.pointee.held?.deallocate()
        s.pointee.held = nil
        if !piece.isEmpty { s.pointee.owesContinue = false }
        ChainRun(x).requestBody(piece, isLast: isLast, at: now)
        Caller(self).perform(x)
        guard s.pointee.exchange == x, !s.pointee.isGone else { return }
        if x.pointee.state == .suspended, x.pointee.suspendedInBody { hold(x) }
        release(piece.count, keepsUp: keepsUp)
        Service(x)?.flushLater()
    }

    private func deliverEnd() {
        guard let x = s.pointee.exchange else { return }
        if let service = Service(x) {
            TrailerLines.forEach(s.pointee.inboundTrailers.unread) { service.sendTrailer($0, $1, isSensitive: $2) }
        }
        s.pointee.inboundTrailers.free(&worker.w.pointee.buffers)
        deliver(.empty, isLast: true)
    }

    /// The connection's buffer goes on: a piece that a filter keeps back moves out of it.
    private func hold(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let piece = x.pointee.heldPiece
        guard let source = piece.base, piece.count > 0 else { return }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: piece.count, alignment: 8)
        memory.copyMemory(from: source, byteCount: piece.count)
        s.pointee.held = memory
        x.pointee.heldPiece = Bytes(UnsafePointer(memory.assumingMemoryBound(to: UInt8.self)), count: piece.count)
    }

    func release(_ count: Int, keepsUp: Bool = false) {
        guard count > 0, !s.pointee.isGone else { return }
        link.control { link.h.pointee.machine.release(count, at: s.pointee.place, keepsUp: keepsUp, into: &$0) }
        connection.settleLater()
    }

    func askForBody() {
        guard s.pointee.owesContinue else { return }
        s.pointee.owesContinue = false
        FieldEncoding.status(100, on: s, link)
    }

    // MARK: The answer

    func sendHead(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        s.pointee.owesContinue = false
        expectProgress()
        let via = connection.d.pointee.wayIn == .proxy ? worker.w.pointee.outboundHop.line : .empty
        FieldEncoding.response(x, on: s, link, via: via)
    }

    /// The service agreed to a WebSocket.
    func sendAgreement(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let via = connection.d.pointee.wayIn == .proxy ? worker.w.pointee.outboundHop.line : .empty
        FieldEncoding.agreement(x, on: s, link, via: via)
    }

    func sendInterim(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        if x.pointee.response.status == 100 {
            guard s.pointee.owesContinue else { return }
            s.pointee.owesContinue = false
        }
        FieldEncoding.interim(x, on: s, link)
    }

    func sendBody(_ piece: Bytes, isLast: Bool) {
        connection.d.pointee.filters.bytesSent &+= UInt64(piece.count)
        guard !link.hasEnded(s) else { return s.pointee.outboundEnded = true }
        link.send(s.pointee.omitsBody ? .empty : piece, isLast: isLast, on: s)
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes, isSensitive: Bool) {
        guard !s.pointee.omitsBody else { return }
        TrailerLines.append(name, value, isSensitive: isSensitive, to: &s.pointee.outboundTrailers, &worker.w.pointee.buffers)
    }

    func sendReply(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        s.pointee.owesContinue = false
        expectProgress()
        let d = connection.d
        let tellsReason = d.pointee.isInbound && d.pointee.filters.peer != nil && x.pointee.flag != .none
        guard let status = x.pointee.grpcStatus else {
            FieldEncoding.reply(x, on: s, link, tellsReason: tellsReason)
            return sendBody(x.pointee.replyBody, isLast: true)
        }
        FieldEncoding.reply(x, status, on: s, link, tellsReason: tellsReason)
        s.pointee.outboundEnded = true
    }

    /// An answer outside of any exchange; one that was prepared goes back.
    func refuse(_ status: UInt16, _ text: Bytes) {
        giveBack()
        FieldEncoding.status(status, text, on: s, link)
        link.send(text, isLast: true, on: s)
        if link.hasEnded(s) { ended() } else { expectProgress() }
        connection.settleLater()
    }

    func refuse(_ status: UInt16, _ text: StaticString) { refuse(status, Bytes(text)) }

    var acceptsBody: Bool { !s.pointee.isGone && link.acceptsBody(s) }

    /// What the windows take, and a little, so that an end behind the last byte is not missed.
    var bodyRoom: Int { max(window, 2 * 1024) }

    var window: Int { link.h.pointee.machine.room(at: s.pointee.place) }

    func tellWhenRoom() { link.wait(s) }

    /// Whether our message is complete and out.
    var hasEnded: Bool { link.hasEnded(s) }

    /// Everything that waited has gone.
    func roomMade() {
        if let tunnel = StreamTunnel(self) { return tunnel.relay() }
        if let x = s.pointee.exchange { return Service(x)?.receive() ?? () }
        if link.hasEnded(s) { ended() }
    }

    // MARK: Ends

    /// The response has begun and cannot be finished.
    func cut() { s.pointee.outboundEnded = false }

    /// The last outcome was given: the exchange's memory is free. What waits to be sent still goes.
    func finished(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let old = x.pointee.chain, failure = x.pointee.error
        giveBack()
        if s.pointee.isTunnel {
            s.pointee.isTunnel = false
            StreamTunnel.closed(worker, failure)
        }
        if old != connection.chain { worker.releaseRetiredChains() }
        s.pointee.deadline = .distantFuture
        if s.pointee.isGone { return free() }
        guard s.pointee.outboundEnded else {
            link.control { link.h.pointee.machine.reset(s.pointee.place, .internalError, into: &$0) }
            return free()
        }
        if link.hasEnded(s) { ended() } else { expectProgress() }
        connection.settleLater()
    }

    private func giveBack() {
        guard let x = s.pointee.exchange else { return }
        s.pointee.exchange = nil
        x.pointee.arena.freeAll()
        worker.w.pointee.giveExchange(x)
    }

    /// Our message is out: the stream is over, whatever of the caller's is still to come.
    private func ended() {
        link.control { link.h.pointee.machine.finish(s.pointee.place, into: &$0) }
        free()
    }

    private func free() {
        if !s.pointee.isGone || s.pointee.isWaiting { link.stopWaiting(s) }
        s.pointee.free(&worker.w.pointee.buffers)
        connection.streamEnded()
    }

    /// The caller broke the stream off, or the connection is gone. The machine has forgotten it.
    func broken(_ error: ProxyError = ProxyError(.downstreamGone)) {
        s.pointee.isGone = true
        guard let x = s.pointee.exchange else { return free() }
        ChainRun(x).downstreamFailed(error, at: now)
        Caller(self).perform(x)
    }

    // MARK: Time

    func setDeadline(_ deadline: Instant) {
        s.pointee.deadline = deadline
        arm(deadline)
    }

    /// From now on something must move.
    private func expectProgress() {
        s.pointee.progress = now + worker.w.pointee.bounds.bodyProgressTime
        arm(s.pointee.progress)
    }

    private func arm(_ deadline: Instant) {
        let d = connection.d
        guard deadline < d.pointee.exchangeDeadline else { return }
        d.pointee.exchangeDeadline = deadline
        connection.armTimer()
    }

    func timeOut() {
        if s.pointee.deadline <= now, let x = s.pointee.exchange {
            s.pointee.deadline = .distantFuture
            if let tunnel = StreamTunnel(self) {
                return tunnel.cut(ProxyError(.tunnelIdle), because: "no byte either way within the idle timeout")
            }
            ChainRun(x).timer(at: now)
            return Caller(self).perform(x)
        }
        guard s.pointee.progress <= now else { return }
        s.pointee.progress = .distantFuture
        // A tunnel's ends may be silent for as long as they like.
        if s.pointee.isTunnel { return }
        // The service has all of the request, or does not take it: the stages' deadlines are for that.
        let waitsForCaller = s.pointee.isWaiting || !s.pointee.inboundEnded && s.pointee.inbound.isEmpty
        guard waitsForCaller else { return expectProgress() }
        worker.w.pointee.stats.timeouts.increment()
        guard let x = s.pointee.exchange else {
            link.control { link.h.pointee.machine.reset(s.pointee.place, .cancel, into: &$0) }
            return free()
        }
        let canAnswer = x.pointee.state != .responding
        if canAnswer {
            FieldEncoding.status(408, on: s, link, endsStream: true)
            link.control { link.h.pointee.machine.finish(s.pointee.place, into: &$0) }
        } else {
            link.control { link.h.pointee.machine.reset(s.pointee.place, .cancel, into: &$0) }
        }
        broken(ProxyError(.downstreamTimedOut))
    }
}
