internal import Pipeline

/// What a connection is to a tunnel.
struct TunnelSide: BitwiseCopyable {
    /// It is one end of a tunnel: its bytes are no messages any more.
    var isOpen = false
    /// It finished sending.
    var hasEnded = false
    /// It has been told that the other end finished sending.
    var wasToldEnd = false
    /// Its end shall be seen to be no orderly one.
    var isCut = false
}

/// Relays between a caller and a service that agreed on another protocol, or have a raw stream between them, each as far as the other has room.
///
/// Back-pressure as with bodies: over `HostLimits.outputMax` bytes that one end does not take, the other is not read. An end of
/// one direction is passed on behind its last byte, and the other direction goes on; a reset ends both. A piece costs a read and a
/// write and no allocation; an end that is silent holds no buffer.
struct Tunnel: BitwiseCopyable {
    let d: UnsafeMutablePointer<DownstreamStorage>
    let u: UnsafeMutablePointer<UpstreamStorage>
    let x: UnsafeMutablePointer<ExchangeStorage>

    /// The tunnel whose caller is `d`; nil if there is none.
    init?(_ d: UnsafeMutablePointer<DownstreamStorage>) {
        guard d.pointee.tunnel.isOpen, d.pointee.hasBegun, let x = d.pointee.exchange, let upstream = x.pointee.upstream else { return nil }
        self.init(d, upstream.assumingMemoryBound(to: UpstreamStorage.self), x)
    }

    init(
        _ d: UnsafeMutablePointer<DownstreamStorage>, _ u: UnsafeMutablePointer<UpstreamStorage>, _ x: UnsafeMutablePointer<ExchangeStorage>
    ) {
        self.d = d
        self.u = u
        self.x = x
    }

    private var worker: Worker { d.pointee.worker }
    private var now: Instant { worker.w.pointee.loop.now }

    // MARK: Opening

    /// Tells the caller of the agreement. From here on neither machine sees a byte.
    static func open(_ d: UnsafeMutablePointer<DownstreamStorage>, _ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard let upstream = x.pointee.upstream else { return }
        Tunnel(d, upstream.assumingMemoryBound(to: UpstreamStorage.self), x).open()
    }

    private func open() {
        if d.pointee.isStream { startCounting() } else { agree() }
        d.pointee.tunnel.isOpen = true
        u.pointee.tunnel.isOpen = true
        // Who reads a query's answer page by page may take nothing for minutes, and the kernel knows no pause from death while bytes wait.
        Socket.allowPauses(d.pointee.transport.descriptor)
        Socket.allowPauses(u.pointee.transport.descriptor)
        // Tunnels live long: they must not use up what requests need.
        u.pointee.leavePool()
        d.pointee.isStalled = false
        d.pointee.isLeaving = false
        // What came while nobody read comes without an edge.
        d.pointee.canRead = true
        worker.w.pointee.tunnelCount += 1
        worker.w.pointee.stats.tunnelActive.increment()
        touch()
    }

    /// The caller of a WebSocket learns that it is one; the heads move out of the buffers.
    private func agree() {
        d.pointee.machine.switched()
        HeadEncoding.agreement(
            x, via: d.pointee.wayIn == .proxy ? worker.w.pointee.outboundHop.line : .empty, into: &d.pointee.output,
            &worker.w.pointee.buffers)
        let request = d.pointee.input.front, response = u.pointee.input.front
        let heads = UnsafeMutableRawPointer.allocate(byteCount: max(1, request.count + response.count), alignment: 8)
        x.pointee.moveHeads(request: request, response: response, to: heads)
        d.pointee.tunnelMemory = heads
        d.pointee.input.unpin(&worker.w.pointee.buffers)
        u.pointee.input.unpin(&worker.w.pointee.buffers)
    }

    /// A raw stream counts for its pair while it runs: one that lasts for days is seen before it ends.
    private func startCounting() {
        let own = worker.w.pointee.own
        let pair =
            d.pointee.isInbound
            ? ConnectionPair(
                reporter: .destination, source: d.pointee.filters.peer?.pointee.serviceLabel ?? .unknown, destination: own.service,
                version: own.version)
            : ConnectionPair(
                reporter: .source, source: own.service, destination: x.pointee.destination.serviceLabel,
                version: x.pointee.destination.versionLabel)
        let counters = worker.streamCounters(of: pair)
        counters.pointee.opened.increment()
        d.pointee.tunnelMemory = UnsafeMutableRawPointer(counters)
    }

    // MARK: Events

    enum Side { case caller, service }

    /// One end is ready for something; what can go on goes on.
    func handle(_ readiness: Readiness, of side: Side) {
        if end(side).transport.pointee.directions(for: readiness).read { end(side).canRead.pointee = true }
        relay()
        // A reset ends both directions at once, also where the other end takes nothing at the moment.
        if readiness.contains(.failed), d.pointee.tunnel.isOpen, d.pointee.hasBegun { breakOff(side) }
    }

    /// Moves what there is, both ways.
    func relay() {
        var steps = 0
        while true {
            let up = pass(.request)
            if case .broken(let side) = up { return breakOff(side) }
            let down = pass(.response)
            if case .broken(let side) = down { return breakOff(side) }
            if case .waits = up, case .waits = down { break }
            steps += 1
            if steps >= HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(d.pointee.registration, [])
                break
            }
        }
        Downstream(d).settleLater()
    }

    /// When the turn's events have been looked at: what was gathered leaves, and an end that has nothing before it any more.
    func settle() {
        guard flush(end(.service)) else { return breakOff(.service) }
        guard flush(end(.caller)) else { return breakOff(.caller) }
        passEnd(.request)
        if d.pointee.hasBegun { passEnd(.response) }
    }

    private func passEnd(_ direction: ChainRun.TunnelDirection) {
        let (from, to) = ends(direction)
        guard from.side.pointee.hasEnded, to.output.pointee.isEmpty, !to.side.pointee.wasToldEnd, to.transport.pointee.endWriting()
        else { return }
        to.side.pointee.wasToldEnd = true
        ChainRun(x).tunnelEnded(direction, at: now)
        Downstream(d).perform()
    }

    /// Ends it from our side, for both to see.
    func cut(_ error: ProxyError, because reason: Reason) {
        ChainRun(x).cutTunnel(error, because: reason, at: now)
        Caller(x).perform(x)
    }

    // MARK: One direction

    private enum Step { case moved, waits, broken(Side) }

    private func pass(_ direction: ChainRun.TunnelDirection) -> Step {
        let (from, to) = ends(direction)
        let source: Side = direction == .request ? .caller : .service
        guard !from.side.pointee.hasEnded else { return .waits }
        if to.output.pointee.count >= HostLimits.outputMax {
            guard flush(to) else { return .broken(source == .caller ? .service : .caller) }
            guard to.output.pointee.isEmpty else { return .waits }
        }
        if from.input.pointee.isEmpty {
            guard from.canRead.pointee else { return .waits }
            _ = from.input.pointee.makeRoom(&worker.w.pointee.buffers)
            switch from.transport.pointee.read(into: from.input.pointee.tail, count: from.input.pointee.room) {
            case .bytes(let count):
                from.input.pointee.filled(count)
                if !from.transport.pointee.mayHaveMore, !from.endIsNear.pointee { from.canRead.pointee = false }
            case .wouldBlock:
                from.canRead.pointee = false
                from.input.pointee.free(&worker.w.pointee.buffers)
                return .waits
            case .closed:
                from.side.pointee.hasEnded = true
                from.input.pointee.free(&worker.w.pointee.buffers)
                return .moved
            case .failed: return .broken(source)
            }
        }
        let piece = from.input.pointee.unread
        from.input.pointee.drop(piece.count)
        _ = WriteThrough.send(piece, after: &to.output.pointee, over: &to.transport.pointee, &worker.w.pointee.buffers)
        if !from.canRead.pointee { from.input.pointee.free(&worker.w.pointee.buffers) }
        count(piece.count, direction)
        touch()
        return .moved
    }

    private var streamCounters: UnsafeMutablePointer<StreamCounters>? {
        d.pointee.isStream ? d.pointee.tunnelMemory?.assumingMemoryBound(to: StreamCounters.self) : nil
    }

    private func count(_ count: Int, _ direction: ChainRun.TunnelDirection) {
        ChainRun(x).tunnelPassed(count, direction)
        switch direction {
        case .request:
            d.pointee.filters.bytesReceived &+= UInt64(count)
            worker.w.pointee.stats.tunnelBytesReceived.add(UInt64(count))
            streamCounters?.pointee.received.add(UInt64(count))
        case .response:
            d.pointee.filters.bytesSent &+= UInt64(count)
            worker.w.pointee.stats.tunnelBytesSent.add(UInt64(count))
            streamCounters?.pointee.sent.add(UInt64(count))
        }
    }

    /// False if the connection broke.
    private func flush(_ to: End) -> Bool {
        while !to.output.pointee.isEmpty {
            let unread = to.output.pointee.unread
            switch to.transport.pointee.write(from: unread.base!, count: unread.count) {
            case .bytes(let count):
                to.output.pointee.drop(count)
                touch()
            case .wouldBlock: return true
            case .closed, .failed: return false
            }
        }
        to.output.pointee.free(&worker.w.pointee.buffers)
        return true
    }

    private func touch() { Downstream(d).awaitUntil(worker.w.pointee.bounds.tunnelIdleTime) }

    /// One end broke: the other sees a reset, behind what had come before it and can leave at once.
    private func breakOff(_ side: Side) {
        switch side {
        case .caller: Downstream(d).gone()
        case .service:
            _ = flush(end(.caller))
            Upstream(u).fail(ProxyError(.responseCut))
        }
    }

    // MARK: Ends

    /// Where one end keeps what a relay needs of it.
    private struct End: BitwiseCopyable {
        let transport: UnsafeMutablePointer<Transport>
        let input: UnsafeMutablePointer<IOBuffer>
        let output: UnsafeMutablePointer<IOBuffer>
        let side: UnsafeMutablePointer<TunnelSide>
        let canRead: UnsafeMutablePointer<Bool>
        let endIsNear: UnsafeMutablePointer<Bool>
    }

    private func ends(_ direction: ChainRun.TunnelDirection) -> (from: End, to: End) {
        direction == .request ? (end(.caller), end(.service)) : (end(.service), end(.caller))
    }

    private func end(_ side: Side) -> End {
        switch side {
        case .caller:
            End(
                transport: withUnsafeMutablePointer(to: &d.pointee.transport) { $0 }, input: withUnsafeMutablePointer(to: &d.pointee.input) { $0 },
                output: withUnsafeMutablePointer(to: &d.pointee.output) { $0 }, side: withUnsafeMutablePointer(to: &d.pointee.tunnel) { $0 },
                canRead: withUnsafeMutablePointer(to: &d.pointee.canRead) { $0 },
                endIsNear: withUnsafeMutablePointer(to: &d.pointee.endIsNear) { $0 })
        case .service:
            End(
                transport: withUnsafeMutablePointer(to: &u.pointee.transport) { $0 }, input: withUnsafeMutablePointer(to: &u.pointee.input) { $0 },
                output: withUnsafeMutablePointer(to: &u.pointee.output) { $0 }, side: withUnsafeMutablePointer(to: &u.pointee.tunnel) { $0 },
                canRead: withUnsafeMutablePointer(to: &u.pointee.canRead) { $0 },
                endIsNear: withUnsafeMutablePointer(to: &u.pointee.endIsNear) { $0 })
        }
    }
}
