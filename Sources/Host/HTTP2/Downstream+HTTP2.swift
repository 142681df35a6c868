internal import Pipeline

/// A caller's connection that speaks HTTP/2: its frames, its streams as a whole, its end.
///
/// What one stream does is in `ServerStream`. TLS agrees on `h2` (ALPN); in the clear the preface says it (RFC 9113 §3.3).
extension Downstream {
    static let http2Protocol: StaticString = "h2"

    // MARK: Beginning

    /// From here on its bytes are frames.
    func beginHTTP2() {
        let h = HTTP2Storage.make(isServer: true, worker)
        d.pointee.tunnelMemory = UnsafeMutableRawPointer(h)
        d.pointee.speaksHTTP2 = true
        link?.control { h.pointee.machine.begin(into: &$0) }
        d.pointee.canRead = true
        awaitUntil(worker.w.pointee.bounds.downstreamIdleTime)
        pumpHTTP2()
    }

    /// Nil: it speaks HTTP/1, or nothing yet.
    var http2: UnsafeMutablePointer<HTTP2Storage>? {
        d.pointee.speaksHTTP2 ? d.pointee.tunnelMemory?.assumingMemoryBound(to: HTTP2Storage.self) : nil
    }

    var link: HTTP2Link? {
        guard let h = http2 else { return nil }
        return HTTP2Link(
            h: h, output: withUnsafeMutablePointer(to: &d.pointee.output) { $0 },
            transport: withUnsafeMutablePointer(to: &d.pointee.transport) { $0 },
            maySend: d.pointee.state == .open && !d.pointee.isStalled, worker: worker)
    }

    // MARK: Events

    func handleHTTP2(_ readiness: Readiness) {
        let directions = d.pointee.transport.directions(for: readiness)
        if directions.read { d.pointee.canRead = true }
        if directions.write { flush() }
        if readiness.intersection([.hungUp, .failed]) != [], d.pointee.state == .open { return gone() }
        sendWaiting()
        pumpHTTP2()
    }

    /// Streams that waited for room go on, and are given more.
    private func sendWaiting() {
        guard d.pointee.state == .open, let link else { return }
        link.sendWaiting { ServerStream($0).roomMade() }
    }

    /// Takes frames as long as there are any, and room for what they are answered with.
    func pumpHTTP2() {
        var steps = 0
        while d.pointee.state == .open, let link {
            guard d.pointee.output.count < HostLimits.outputMax else {
                settle()
                guard d.pointee.state == .open, d.pointee.output.count < HostLimits.outputMax else { return }
                continue
            }
            steps += 1
            if steps > HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(d.pointee.registration, d.pointee.canRead ? .readable : [])
                break
            }
            if d.pointee.input.isEmpty {
                guard d.pointee.canRead, readFrames() else { break }
            }
            let event = link.control { link.h.pointee.machine.receive(d.pointee.input.unread, at: now, into: &$0) }
            guard step(event, link) else { break }
        }
        settleLater()
    }

    /// Reads once; false if there is nothing now, or the end was dealt with.
    private func readFrames() -> Bool {
        guard d.pointee.input.makeRoom(&worker.w.pointee.buffers) else {
            gone()
            return false
        }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: d.pointee.input.room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            if !d.pointee.transport.mayHaveMore, !d.pointee.endIsNear { d.pointee.canRead = false }
            return true
        case .wouldBlock:
            d.pointee.canRead = false
            if d.pointee.input.isEmpty { d.pointee.input.free(&worker.w.pointee.buffers) }
            return false
        case .closed, .failed:
            gone()
            return false
        }
    }

    /// Carries out one event; false if nothing more can be done now.
    private func step(_ event: HTTP2Event, _ link: HTTP2Link) -> Bool {
        let h = link.h
        switch event {
        case .needMore(let consumed):
            d.pointee.input.drop(consumed)
            return d.pointee.canRead && readFrames()
        case .handled(let consumed), .goAway(_, let consumed): d.pointee.input.drop(consumed)
        case .head(let place, let consumed):
            takeHead(at: place, link)
            d.pointee.input.drop(consumed)
        case .trailers(let place, let consumed):
            takeTrailers(at: place, link)
            d.pointee.input.drop(consumed)
        case .data(let place, let offset, let count, let isLast, let consumed):
            let piece = d.pointee.input.unread.slice(offset, offset + count)
            d.pointee.input.drop(consumed)
            ServerStream(h.pointee.streams + place).receive(piece, isLast: isLast)
        case .reset(let place, _, _, let consumed):
            d.pointee.input.drop(consumed)
            ServerStream(h.pointee.streams + place).broken()
        case .room(_, let consumed):
            d.pointee.input.drop(consumed)
            sendWaiting()
        case .pong(let consumed):
            d.pointee.input.drop(consumed)
            // What was under way when the end was announced has come.
            if h.pointee.isLeaving { leaveHTTP2() }
        case .failed: fail()
        }
        return true
    }

    /// A head's block is here: a request, or something to be answered at once.
    private func takeHead(at place: Int, _ link: HTTP2Link) {
        if d.pointee.exchange == nil { prepareExchange() }
        guard let x = d.pointee.exchange else { return }
        let s = link.h.pointee.streams + place
        s.initialize(to: StreamStorage(owner: UnsafeMutableRawPointer(d), place: place))
        d.pointee.idleDeadline = .distantFuture
        let taken = link.control {
            link.h.pointee.machine.takeRequest(targetScratch: worker.w.pointee.scratch, into: &x.pointee.request, at: now, &$0)
        }
        switch taken {
        case .message(let text):
            d.pointee.exchange = nil
            ServerStream(s).begin(x, text)
        case .refused(let fault):
            worker.w.pointee.stats.protocolErrors.increment()
            ServerStream(s).refuse(fault.status, Bytes(fault.reason))
        case .malformed, .interim:
            worker.w.pointee.stats.protocolErrors.increment()
            streamEnded()
        case .failed: fail()
        }
    }

    private func takeTrailers(at place: Int, _ link: HTTP2Link) {
        var table = HeaderTable()
        var sensitive = FieldMask()
        let stream = ServerStream(link.h.pointee.streams + place)
        switch link.control({ link.h.pointee.machine.takeTrailers(into: &table, sensitive: &sensitive, at: now, &$0) }) {
        case .message: stream.receive(trailers: table, sensitive: sensitive)
        case .malformed, .refused, .interim:
            worker.w.pointee.stats.protocolErrors.increment()
            stream.broken()
        case .failed: fail()
        }
    }

    // MARK: Ends

    /// The peer broke the protocol: GOAWAY is written.
    private func fail() {
        worker.w.pointee.stats.protocolErrors.increment()
        endStreams(ProxyError(.downstreamProtocol))
        discardPrepared()
        finish()
    }

    /// The connection is to end: its caller opens no new streams, those there are go on.
    func announceEnd() {
        guard let link, !link.h.pointee.isLeaving else { return }
        link.h.pointee.isLeaving = true
        if link.h.pointee.live == 0 { return leaveHTTP2() }
        link.control { link.h.pointee.machine.prepareToLeave(into: &$0) }
        settleLater()
    }

    /// No stream is taken any more; without any left the connection closes.
    func leaveHTTP2() {
        guard let link else { return }
        link.h.pointee.isLeaving = true
        link.control { link.h.pointee.machine.leave(into: &$0) }
        if link.h.pointee.live == 0 {
            discardPrepared()
            finish()
        }
        settleLater()
    }

    /// A stream is over; what that means for the connection.
    func streamEnded() {
        guard let h = http2, h.pointee.live == 0, d.pointee.state == .open else { return }
        if h.pointee.isLeaving { return leaveHTTP2() }
        awaitUntil(worker.w.pointee.bounds.downstreamIdleTime)
    }

    /// The connection is over for all that is on it.
    func endStreams(_ error: ProxyError) {
        guard let h = http2 else { return }
        while h.pointee.live > 0 {
            let place = h.pointee.machine.streams.place(at: h.pointee.live - 1)
            let stream = ServerStream(h.pointee.streams + place)
            h.pointee.machine.forget(place)
            stream.broken(error)
        }
    }

    /// Streams of this connection that run on `chain`.
    func uses(_ chain: UnsafeMutablePointer<Chain>) -> Bool {
        guard let h = http2 else { return d.pointee.hasBegun && d.pointee.exchange?.pointee.chain == chain }
        for index in 0..<h.pointee.live where (h.pointee.streams + h.pointee.machine.streams.place(at: index)).pointee.exchange?.pointee.chain == chain {
            return true
        }
        return false
    }

    /// Exchanges under way.
    var inFlight: Int { http2.map { $0.pointee.live } ?? (d.pointee.hasBegun ? 1 : 0) }

    // MARK: Time

    /// The earliest of what its streams wait for has come, or seemed to.
    func streamsTimeOut() {
        guard let h = http2 else { return }
        var index = h.pointee.live - 1
        while index >= 0, d.pointee.state == .open {
            if index < h.pointee.live { ServerStream(h.pointee.streams + h.pointee.machine.streams.place(at: index)).timeOut() }
            index -= 1
        }
        var earliest = Instant.distantFuture
        for index in 0..<h.pointee.live {
            let s = h.pointee.streams + h.pointee.machine.streams.place(at: index)
            earliest = min(earliest, s.pointee.deadline, s.pointee.progress)
        }
        d.pointee.exchangeDeadline = earliest
        settle()
    }
}
