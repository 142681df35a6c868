internal import Glibc
internal import Pipeline

/// Raw streams (TCP): from the first byte, or before it, to a tunnel.
///
///     accepted ─▶ inbound: who is it? ─▶ connection phase ─▶ an endpoint is connected ─▶ Tunnel
///
/// Until it is a tunnel not one byte is taken from the caller: what it has sent waits in the kernel, and a service that speaks first
/// is connected to without waiting for any.
extension Downstream {
    /// What two sidecars agree on (ALPN) before a raw stream, so that neither takes it for HTTP.
    static let streamProtocol: StaticString = "weft-tcp"

    // MARK: Who is it

    /// Strict: TLS of the mesh, or nothing. Permissive: TLS that asks for our protocol is the mesh's; anything else, other people's TLS
    /// included, is the application's affair and comes from nobody we know (as Istio's permissive mode has it). A caller that says
    /// nothing waits for the service to speak: after `detectTime` it is taken for plaintext, for a peer's sidecar speaks at once.
    func sniffStream() {
        guard worker.w.pointee.acceptsPlaintext else {
            switch ProtocolSniff.peek(d.pointee.transport.descriptor) {
            case .wouldBlock: return
            case .closed, .failed: return close()
            case .plaintext: return takeStreamInTheClear()
            case .tls: return secureStream()
            }
        }
        guard let scratch = worker.w.pointee.scratch.baseAddress else { return close() }
        let room = min(worker.w.pointee.scratch.count, ClientHello.bytesMax)
        switch Socket.peek(d.pointee.transport.descriptor, into: scratch, count: room) {
        case .wouldBlock: return
        case .failed: return close()
        case .closed: return takeStreamInTheClear()
        case .bytes(let count):
            switch ClientHello.read(Bytes(scratch, count: count)) {
            case .needMore: if d.pointee.endIsNear { takeStreamInTheClear() }
            case .hello(let hello) where hello.offers(Self.streamProtocol): secureStream()
            case .hello, .unreadable, .notTLS: takeStreamInTheClear()
            }
        }
    }

    func takeStreamInTheClear() {
        guard worker.w.pointee.acceptsPlaintext else {
            worker.w.pointee.stats.plaintextRefused.increment()
            return refuseStream("plaintext, and mtls is strict")
        }
        worker.w.pointee.stats.plaintextAccepted.increment()
        opened()
    }

    /// Its first bytes are here: from now on it is a handshake that is waited for.
    private func secureStream() {
        awaitUntil(worker.w.pointee.bounds.handshakeTime)
        secure()
    }

    // MARK: The stream

    /// The connection phase let it in.
    func beginStream() {
        prepareExchange()
        guard let x = d.pointee.exchange else { return close() }
        d.pointee.hasBegun = true
        d.pointee.idleDeadline = .distantFuture
        x.pointee.startedAt = now
        x.pointee.wayIn = wayIn
        x.pointee.draw = worker.w.pointee.loop.random.pointee.next()
        x.pointee.random = Random(seed: worker.w.pointee.loop.random.pointee.next())
        ChainRun(x).stream(at: now)
        perform()
    }

    /// While its endpoint is being connected to, only a caller that breaks off is of interest: one that has finished sending may wait
    /// for all that the service has to say.
    func streamIsReady(_ readiness: Readiness) {
        if readiness.intersection([.hungUp, .failed]) != [] { gone() }
    }

    /// The attempt of a stream: always over a connection of its own.
    func connectStream(_ x: UnsafeMutablePointer<ExchangeStorage>, _ pool: UnsafeMutablePointer<UpstreamPool>) {
        switch Upstream.open(pool, worker, speaking: .rawStream) {
        case .success(let upstream): upstream.begin(stream: x)
        case .failure(let error): ChainRun(x).attemptFailed(error, at: now)
        }
    }

    /// Its endpoint is connected. The config and the trust may have changed meanwhile.
    func openStream(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard isStillTrusted else { return close() }
        guard admitted() else { return }
        if d.pointee.sendsProxyHeader { introduce(to: x) }
        ChainRun(x).streamConnected(at: now)
        perform()
        Tunnel(d)?.relay()
    }

    /// The application's first bytes say where the caller is.
    private func introduce(to x: UnsafeMutablePointer<ExchangeStorage>) {
        guard let upstream = x.pointee.upstream?.assumingMemoryBound(to: UpstreamStorage.self) else { return }
        var header = ProxyHeader()
        header.source = d.pointee.filters.caller
        header.sourcePort = d.pointee.callerPort
        if let own = Socket.localAddress(d.pointee.transport.descriptor) { (header.destination, header.destinationPort) = (own.caller, own.port) }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ProxyHeader.writtenMax) { space in
            guard let base = space.baseAddress else { return }
            upstream.pointee.output.append(Bytes(base, count: header.write(to: base)), &worker.w.pointee.buffers)
        }
    }

    /// It ended before it was a tunnel: the caller sees a reset, the log why.
    func streamFailed(_ error: ProxyError?, _ reason: Reason) {
        if let error, error.kind != .downstreamGone {
            worker.logStream("\(streamText) failed (\(error.flag.text)): \(reason.string)")
        }
        d.pointee.tunnel.isCut = true
        close()
    }

    // MARK: Refusing

    /// A reset, a count, a line in the log.
    func refuseStream(_ reason: Reason) {
        worker.w.pointee.stats.downstreamRefused.increment()
        if d.pointee.isInbound {
            // It never became an exchange that a stage could count.
            let own = worker.w.pointee.own
            worker.w.pointee.context.calls[worker.w.pointee.index].record(
                CallKey(
                    reporter: .destination, source: d.pointee.filters.peer?.pointee.serviceLabel ?? .unknown, destination: own.service,
                    version: own.version, status: 403, answeredBy: .stream), latency: now - d.pointee.filters.openedAt)
        }
        worker.logStream("\(streamText) refused: \(reason.string)")
        d.pointee.tunnel.isCut = true
        close()
    }

    /// For the log.
    var streamText: String {
        guard d.pointee.isInbound else { return "a tcp connection of the application" }
        let name = d.pointee.filters.peer?.pointee.spiffeID.string ?? (d.pointee.filters.isTLS ? "without an id" : "without an identity")
        let port = d.pointee.filters.servicePort == 0 ? "" : " to port \(d.pointee.filters.servicePort)"
        return "a tcp connection\(port) from \(d.pointee.callerText), \(name),"
    }
}

extension DownstreamStorage {
    /// For the log: the address that a proxy named, else the socket's.
    var callerText: String {
        guard !filters.caller.isNone else { return "nowhere" }
        let text = filters.caller.description
        return filters.caller.isIPv6 ? "[\(text)]:\(callerPort)" : "\(text):\(callerPort)"
    }
}

/// What is counted of one pair's streams on one loop.
struct StreamCounters: BitwiseCopyable {
    let opened: Counter
    let received: Counter
    let sent: Counter
}

extension Worker {
    /// Costs a lock the first time, a look-up from then on; stays where it is as long as the process.
    func streamCounters(of pair: ConnectionPair) -> UnsafeMutablePointer<StreamCounters> {
        if let known = w.pointee.streamCounters[pair] { return known }
        let labels = w.pointee.context.labels
        let texts = ConnectionSeries.labels(
            reporter: pair.reporter, source: labels.text(pair.source), destination: labels.text(pair.destination),
            version: labels.text(pair.version))
        let counter = { (name: StreamSeries.Name) in
            w.pointee.context.stats.counter(name.name, name.help, labels: texts, loop: w.pointee.index)
        }
        let counters = UnsafeMutablePointer<StreamCounters>.allocate(capacity: 1)
        counters.initialize(
            to: StreamCounters(
                opened: counter(StreamSeries.opened), received: counter(StreamSeries.received), sent: counter(StreamSeries.sent)))
        w.pointee.streamCounters[pair] = counters
        return counters
    }

    /// A line per stream that came to nothing, up to `HostLimits.streamLinesPerSecond`: whoever floods a port must not flood the log.
    func logStream(_ line: @autoclosure () -> String) {
        guard let log = w.pointee.log else { return }
        let now = w.pointee.loop.now
        if now >= w.pointee.streamLinesUntil {
            if w.pointee.streamLinesDropped > 0 { log.warning("\(w.pointee.streamLinesDropped) more tcp connections were refused or failed") }
            w.pointee.streamLinesUntil = now + .seconds(1)
            w.pointee.streamLines = 0
            w.pointee.streamLinesDropped = 0
        }
        guard w.pointee.streamLines < HostLimits.streamLinesPerSecond else {
            w.pointee.streamLinesDropped += 1
            return
        }
        w.pointee.streamLines += 1
        log.warning(line())
    }
}
