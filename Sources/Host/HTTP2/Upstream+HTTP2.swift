internal import Pipeline

/// A connection to an endpoint that speaks HTTP/2: its frames, its streams as a whole, its end. What one stream does is in
/// `ClientStream`.
extension Upstream {
    /// Streams that wait for a connection to be made stand on it already: at most what every server takes (RFC 9113 §6.5.2).
    private static let streamsBeforeSettings = 100

    // MARK: Beginning

    /// A connection with a stream to give.
    static func multiplexing(_ pool: UnsafeMutablePointer<UpstreamPool>, _ worker: Worker) -> Result<Upstream, ProxyError> {
        var next = pool.pointee.shared
        while let u = next {
            next = u.pointee.next
            if let h = u.pointee.http2, !u.pointee.isClosing, h.pointee.machine.canOpen(),
                u.pointee.state == .ready || h.pointee.live < streamsBeforeSettings, u.pointee.trustEpoch == worker.w.pointee.trustEpoch
            {
                return .success(Upstream(u))
            }
        }
        return open(pool, worker, speaking: .http2).map { upstream in
            let u = upstream.u
            u.pointee.http2 = HTTP2Storage.make(isServer: false, worker)
            u.pointee.next = pool.pointee.shared
            pool.pointee.shared?.pointee.previous = u
            pool.pointee.shared = u
            upstream.link?.control { u.pointee.http2?.pointee.machine.begin(into: &$0) }
            return upstream
        }
    }

    var link: HTTP2Link? {
        guard let h = u.pointee.http2 else { return nil }
        return HTTP2Link(
            h: h, output: withUnsafeMutablePointer(to: &u.pointee.output) { $0 },
            transport: withUnsafeMutablePointer(to: &u.pointee.transport) { $0 }, maySend: u.pointee.state == .ready && !u.pointee.writeFailed,
            worker: u.pointee.worker)
    }

    /// What was written leaves when this turn's events have been looked at, all at once.
    func flushLater() {
        let worker = u.pointee.worker
        guard u.pointee.state == .ready, !u.pointee.flushesLater else { return }
        guard !worker.w.pointee.loop.isEndingTurn else { return flush() }
        u.pointee.flushesLater = true
        worker.w.pointee.loop.atEndOfTurn(
            { context, _ in
                let u = context.assumingMemoryBound(to: UpstreamStorage.self)
                u.pointee.flushesLater = false
                Upstream(u).flush()
            }, UnsafeMutableRawPointer(u))
    }

    /// Connected. A sidecar that knows HTTP/1 alone has chosen that: what waits goes there by connections of its own.
    func multiplexed() {
        if u.pointee.transport.isTLS, !u.pointee.transport.speaks(Downstream.http2Protocol) {
            u.pointee.pool.pointee.refusesHTTP2 = true
            close()
            while let h = u.pointee.http2, h.pointee.live > 0 {
                let place = h.pointee.machine.streams.place(at: h.pointee.live - 1)
                h.pointee.machine.forget(place)
                ClientStream(h.pointee.streams + place).beginElsewhere()
            }
            return
        }
        if let h = u.pointee.http2, h.pointee.live > 0, let x = (h.pointee.streams + h.pointee.machine.streams.place(at: 0)).pointee.exchange {
            countForPair(x)
        }
        pumpHTTP2(mayWrite: true)
    }

    // MARK: Events

    /// Goes on with everything that can go on.
    func pumpHTTP2(mayWrite: Bool) {
        if mayWrite {
            flush()
            sendWaiting()
        }
        receiveHTTP2()
    }

    private func sendWaiting() {
        guard u.pointee.state == .ready, let link else { return }
        link.sendWaiting { ClientStream($0).roomMade() }
    }

    private func receiveHTTP2() {
        var steps = 0
        let worker = u.pointee.worker
        while u.pointee.state == .ready, let link {
            if u.pointee.output.count >= HostLimits.outputMax {
                flush()
                guard u.pointee.state == .ready, u.pointee.output.count < HostLimits.outputMax else { break }
            }
            steps += 1
            if steps > HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(u.pointee.registration, u.pointee.canRead ? .readable : [])
                break
            }
            if u.pointee.input.isEmpty {
                guard u.pointee.canRead, readFrames() else { break }
            }
            let event = link.control { link.h.pointee.machine.receive(u.pointee.input.unread, at: worker.w.pointee.loop.now, into: &$0) }
            guard step(event, link) else { break }
        }
        releaseHeldHead(before: .needMore(consumed: 0), isLast: true)
        if u.pointee.state == .ready, !u.pointee.output.isEmpty { flushLater() }
    }

    private func readFrames() -> Bool {
        let worker = u.pointee.worker
        guard u.pointee.input.makeRoom(&worker.w.pointee.buffers) else {
            fail(ProxyError(.upstreamProtocol))
            return false
        }
        switch u.pointee.transport.read(into: u.pointee.input.tail, count: u.pointee.input.room) {
        case .bytes(let count):
            u.pointee.input.filled(count)
            if !u.pointee.transport.mayHaveMore, !u.pointee.endIsNear { u.pointee.canRead = false }
            return true
        case .wouldBlock:
            u.pointee.canRead = false
            if u.pointee.input.isEmpty { u.pointee.input.free(&worker.w.pointee.buffers) }
            return false
        case .closed:
            fail(ProxyError(.upstreamReset))
            return false
        case .failed(let why):
            fail(ProxyError(.upstreamReset, isProvablyUnsent: why.isProvablyUnsent))
            return false
        }
    }

    /// Carries out one event; false if nothing more can be done now.
    private func step(_ event: HTTP2Event, _ link: HTTP2Link) -> Bool {
        let h = link.h
        let now = u.pointee.worker.w.pointee.loop.now
        if h.pointee.heldHead != nil {
            releaseHeldHead(before: event)
            guard u.pointee.state == .ready else { return false }
        }
        switch event {
        case .needMore(let consumed):
            u.pointee.input.drop(consumed)
            return u.pointee.canRead && readFrames()
        case .handled(let consumed), .pong(let consumed): u.pointee.input.drop(consumed)
        case .head(let place, let consumed):
            let stream = ClientStream(h.pointee.streams + place)
            guard let x = stream.s.pointee.exchange else { break }
            let endsStream = h.pointee.machine.headEndsStream
            let taken = link.control {
                h.pointee.machine.takeResponse(isToHead: x.pointee.request.method == .head, into: &x.pointee.response, at: now, &$0)
            }
            u.pointee.input.drop(consumed)
            if case .failed = taken { fail(ProxyError(.upstreamProtocol)) } else { stream.receiveHead(taken, x, endsStream: endsStream) }
        case .trailers(let place, let consumed):
            var table = HeaderTable()
            var sensitive = FieldMask()
            let taken = link.control { h.pointee.machine.takeTrailers(into: &table, sensitive: &sensitive, at: now, &$0) }
            u.pointee.input.drop(consumed)
            let stream = ClientStream(h.pointee.streams + place)
            switch taken {
            case .message(let text): stream.receive(trailers: table, text, sensitive: sensitive)
            case .failed: fail(ProxyError(.upstreamProtocol))
            case .malformed, .refused, .interim: stream.reset(.protocolError)
            }
        case .data(let place, let offset, let count, let isLast, let consumed):
            let piece = u.pointee.input.unread.slice(offset, offset + count)
            u.pointee.input.drop(consumed)
            let stream = ClientStream(h.pointee.streams + place)
            if stream.holdsHead {
                let number = h.pointee.machine.streams[place].pointee.number
                stream.releaseHead()
                // A stage may have turned the answer down, and the place be another stream's.
                guard h.pointee.machine.streams.place(of: number) == place else { break }
            }
            stream.receive(piece, isLast: isLast)
        case .reset(let place, _, let code, let consumed):
            u.pointee.input.drop(consumed)
            ClientStream(h.pointee.streams + place).reset(code)
        case .room(_, let consumed):
            u.pointee.input.drop(consumed)
            sendWaiting()
        case .goAway(let lastStream, let consumed):
            u.pointee.input.drop(consumed)
            goneAway(behind: lastStream, link)
        case .failed: fail(ProxyError(.upstreamProtocol))
        }
        return u.pointee.state == .ready
    }

    /// A head that waits for trailers goes on before anything else happens.
    private func releaseHeldHead(before event: HTTP2Event, isLast: Bool = false) {
        guard let h = u.pointee.http2, let held = h.pointee.heldHead else { return }
        switch event {
        case .trailers(held.pointee.place, _), .data(held.pointee.place, _, _, _, _): return
        case .reset(held.pointee.place, _, _, _): h.pointee.heldHead = nil
        case .needMore where !isLast, .handled: return
        default: ClientStream(held).releaseHead()
        }
    }

    // MARK: Ends

    /// The service takes no more streams: those behind its last one were not looked at.
    private func goneAway(behind lastStream: UInt32, _ link: HTTP2Link) {
        u.pointee.isClosing = true
        leaveSharedList()
        var index = link.h.pointee.live - 1
        while index >= 0, u.pointee.state == .ready {
            let place = link.h.pointee.machine.streams.place(at: index)
            if link.h.pointee.machine.streams[place].pointee.number > lastStream {
                link.h.pointee.machine.forget(place)
                ClientStream(link.h.pointee.streams + place).broken(ProxyError(.upstreamReset, isProvablyUnsent: true))
            }
            index = min(index, link.h.pointee.live) - 1
        }
        if u.pointee.state == .ready, link.h.pointee.live == 0 { close() }
    }

    /// Every attempt on it failed, and the connection with them.
    func failStreams(_ error: ProxyError) {
        guard let h = u.pointee.http2 else { return }
        while h.pointee.live > 0 {
            let place = h.pointee.machine.streams.place(at: h.pointee.live - 1)
            let stream = ClientStream(h.pointee.streams + place)
            h.pointee.machine.forget(place)
            var error = error
            if let x = stream.s.pointee.exchange, x.pointee.state == .responding, !error.isProvablyUnsent { error = ProxyError(.responseCut) }
            stream.broken(error)
        }
    }

    /// A stream is over; what that means for the connection.
    func streamEnded() {
        guard let h = u.pointee.http2, h.pointee.live == 0, u.pointee.state != .closed else { return }
        if u.pointee.isClosing || h.pointee.machine.isSpent() || u.pointee.trustEpoch != u.pointee.worker.w.pointee.trustEpoch {
            flush()
            return close()
        }
        if u.pointee.state == .ready { closeUnlessUsed(within: u.pointee.worker.w.pointee.bounds.upstreamIdleTime) }
    }

    /// Closes those on which nothing is under way; how many.
    @discardableResult
    static func closeIdleShared(of pool: UnsafeMutablePointer<UpstreamPool>) -> Int {
        var closed = 0
        var next = pool.pointee.shared
        while let u = next {
            next = u.pointee.next
            guard u.pointee.http2?.pointee.live == 0 else { continue }
            Upstream(u).close()
            closed += 1
        }
        return closed
    }

    /// Gives no more streams.
    func leaveSharedList() { _ = unlink(from: &u.pointee.pool.pointee.shared) }
}
