internal import Pipeline

/// A WebSocket whose caller's end is a stream of HTTP/2 (RFC 8441): `Tunnel`, but for that end. The service's is a connection of HTTP/1,
/// which agreed with 101; the caller hears 200.
///
/// Back-pressure goes through the stream's windows: what the service does not take waits in the stream, under its window, and what the
/// windows have no room for is not read.
struct StreamTunnel: BitwiseCopyable {
    let stream: ServerStream
    let u: UnsafeMutablePointer<UpstreamStorage>
    let x: UnsafeMutablePointer<ExchangeStorage>

    /// The tunnel of a stream; nil if it is none.
    init?(_ stream: ServerStream) {
        guard stream.s.pointee.isTunnel, let x = stream.s.pointee.exchange, let upstream = x.pointee.upstream else { return nil }
        (self.stream, self.x) = (stream, x)
        u = upstream.assumingMemoryBound(to: UpstreamStorage.self)
    }

    private var s: UnsafeMutablePointer<StreamStorage> { stream.s }
    private var worker: Worker { u.pointee.worker }
    private var now: Instant { worker.w.pointee.loop.now }

    // MARK: Opening

    /// Tells the caller of the agreement.
    static func open(_ stream: ServerStream, _ x: UnsafeMutablePointer<ExchangeStorage>) {
        stream.s.pointee.isTunnel = true
        StreamTunnel(stream)?.open()
    }

    private func open() {
        stream.sendAgreement(x)
        // The answer's head moves out of the connection's buffer, which is for the tunnel's bytes now.
        let head = u.pointee.input.front
        let memory = x.pointee.arena.allocate(head.count) ?? keep(head.count)
        x.pointee.moveResponse(head, to: memory)
        u.pointee.input.unpin(&worker.w.pointee.buffers)
        u.pointee.tunnel.isOpen = true
        Socket.allowPauses(u.pointee.transport.descriptor)
        u.pointee.leavePool()
        worker.w.pointee.tunnelCount += 1
        worker.w.pointee.stats.tunnelActive.increment()
        touch()
    }

    /// For what the exchange's arena has no room for. No filter keeps a piece of a request that has no body.
    private func keep(_ count: Int) -> UnsafeMutableRawPointer {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, count), alignment: 8)
        s.pointee.held?.deallocate()
        s.pointee.held = memory
        return memory
    }

    /// It is over, for whatever reason.
    static func closed(_ worker: Worker, _ failure: ProxyError?) {
        worker.w.pointee.tunnelCount -= 1
        worker.w.pointee.stats.tunnelActive.decrement()
        worker.w.pointee.stats.tunnelEnded(failure)
        worker.releaseRetiredChains()
    }

    // MARK: Relaying

    /// The service's end is ready for something.
    func handle(_ readiness: Readiness) {
        if u.pointee.transport.directions(for: readiness).read { u.pointee.canRead = true }
        relay()
        if readiness.contains(.failed), u.pointee.state == .ready, u.pointee.exchange == x { Upstream(u).fail(ProxyError(.responseCut)) }
    }

    /// Moves what there is, both ways, and passes on what has ended.
    func relay() {
        var steps = 0
        while true {
            let up = passUp(), down = passDown()
            if up == .broken || down == .broken { return Upstream(u).fail(ProxyError(.responseCut)) }
            if up == .waits, down == .waits { break }
            steps += 1
            if steps >= HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(u.pointee.registration, [])
                break
            }
        }
        guard flush() else { return Upstream(u).fail(ProxyError(.responseCut)) }
        let connection = stream.connection
        passEnds()
        connection.settleLater()
    }

    private enum Step { case moved, waits, broken }

    private func passUp() -> Step {
        guard !s.pointee.inbound.isEmpty else { return .waits }
        if u.pointee.output.count >= HostLimits.outputMax {
            guard flush() else { return .broken }
            guard u.pointee.output.isEmpty else { return .waits }
        }
        let waiting = s.pointee.inbound.unread
        let piece = waiting.slice(0, min(waiting.count, HostLimits.outputMax))
        s.pointee.inbound.drop(piece.count)
        _ = WriteThrough.send(piece, after: &u.pointee.output, over: &u.pointee.transport, &worker.w.pointee.buffers)
        if s.pointee.inbound.isEmpty { s.pointee.inbound.free(&worker.w.pointee.buffers) }
        stream.release(piece.count, keepsUp: s.pointee.inbound.isEmpty)
        count(piece.count, .request)
        return .moved
    }

    private func passDown() -> Step {
        guard !u.pointee.tunnel.hasEnded, stream.acceptsBody else { return .waits }
        let window = stream.window
        guard window > 0 else {
            stream.tellWhenRoom()
            return .waits
        }
        if u.pointee.input.isEmpty {
            guard u.pointee.canRead else { return .waits }
            _ = u.pointee.input.makeRoom(&worker.w.pointee.buffers)
            switch u.pointee.transport.read(into: u.pointee.input.tail, count: u.pointee.input.room) {
            case .bytes(let count):
                u.pointee.input.filled(count)
                if !u.pointee.transport.mayHaveMore, !u.pointee.endIsNear { u.pointee.canRead = false }
            case .wouldBlock:
                u.pointee.canRead = false
                u.pointee.input.free(&worker.w.pointee.buffers)
                return .waits
            case .closed:
                u.pointee.tunnel.hasEnded = true
                u.pointee.input.free(&worker.w.pointee.buffers)
                stream.sendBody(.empty, isLast: true)
                return .moved
            case .failed: return .broken
            }
        }
        let unread = u.pointee.input.unread
        let piece = unread.slice(0, min(unread.count, window))
        u.pointee.input.drop(piece.count)
        stream.sendBody(piece, isLast: false)
        if u.pointee.input.isEmpty, !u.pointee.canRead { u.pointee.input.free(&worker.w.pointee.buffers) }
        count(piece.count, .response)
        return .moved
    }

    /// False if the service's connection broke.
    private func flush() -> Bool {
        while !u.pointee.output.isEmpty {
            let unread = u.pointee.output.unread
            switch u.pointee.transport.write(from: unread.base!, count: unread.count) {
            case .bytes(let count): u.pointee.output.drop(count)
            case .wouldBlock: return true
            case .closed, .failed: return false
            }
        }
        u.pointee.output.free(&worker.w.pointee.buffers)
        return true
    }

    /// An end goes on behind the last byte before it; the other direction goes on.
    private func passEnds() {
        if s.pointee.inboundEnded, s.pointee.inbound.isEmpty, u.pointee.output.isEmpty, !u.pointee.tunnel.wasToldEnd,
            u.pointee.transport.endWriting()
        {
            u.pointee.tunnel.wasToldEnd = true
            ChainRun(x).tunnelEnded(.request, at: now)
            Caller(stream).perform(x)
        }
        guard s.pointee.exchange == x, s.pointee.isTunnel, u.pointee.tunnel.hasEnded, stream.hasEnded else { return }
        ChainRun(x).tunnelEnded(.response, at: now)
        Caller(stream).perform(x)
    }

    private func count(_ count: Int, _ direction: ChainRun.TunnelDirection) {
        ChainRun(x).tunnelPassed(count, direction)
        switch direction {
        case .request:
            stream.connection.d.pointee.filters.bytesReceived &+= UInt64(count)
            worker.w.pointee.stats.tunnelBytesReceived.add(UInt64(count))
        case .response: worker.w.pointee.stats.tunnelBytesSent.add(UInt64(count))
        }
        touch()
    }

    // The runner wants no time while it is a tunnel.
    private func touch() { stream.setDeadline(now + worker.w.pointee.bounds.tunnelIdleTime) }

    /// Ends it from our side, for both to see.
    func cut(_ error: ProxyError, because reason: Reason) { Tunnel(stream.connection.d, u, x).cut(error, because: reason) }
}
