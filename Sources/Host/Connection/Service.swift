internal import Pipeline

/// The end of an exchange at which the service is, while an attempt is out: a connection of HTTP/1, or a stream of HTTP/2.
struct Service: BitwiseCopyable {
    private let upstream: UnsafeMutableRawPointer
    private let speaksHTTP2: Bool

    /// Nil: no attempt is out.
    @inline(__always)
    init?(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard let upstream = x.pointee.upstream else { return nil }
        self.upstream = upstream
        speaksHTTP2 = x.pointee.serviceSpeaksHTTP2
    }

    @inline(__always)
    private var connection: Upstream { Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)) }
    private var stream: ClientStream { ClientStream(upstream.assumingMemoryBound(to: StreamStorage.self)) }

    // MARK: Attempts

    /// Sends the exchange to the endpoint that the router picked.
    static func attempt(_ x: UnsafeMutablePointer<ExchangeStorage>, _ worker: Worker) {
        guard let pool = worker.pool(of: x.pointee.endpoint) else {
            return ChainRun(x).attemptFailed(ProxyError(.noEndpoint, isProvablyUnsent: true), at: worker.w.pointee.loop.now)
        }
        if x.pointee.isStream { return Downstream(owner: x).connectStream(x, pool) }
        attempt(x, over: pool, worker)
    }

    /// Sends it over a connection to `pool`'s endpoint, a pooled one unless it must be `fresh`.
    static func attempt(_ x: UnsafeMutablePointer<ExchangeStorage>, over pool: UnsafeMutablePointer<UpstreamPool>, fresh: Bool = false, _ worker: Worker) {
        Caller(x).askForBody()
        if pool.pointee.multiplexes(x) {
            if case .failure(let error) = ClientStream.begin(x, over: pool, worker) { ChainRun(x).attemptFailed(error, at: worker.w.pointee.loop.now) }
            return
        }
        if !fresh, let idle = pool.pointee.idle {
            let upstream = Upstream(idle)
            upstream.leaveIdleList()
            upstream.begin(x)
            // A connection of HTTP/1 settles both ends of its one exchange; streams share theirs.
            if x.pointee.callerSpeaksHTTP2 { upstream.flushLater() }
            return
        }
        switch Upstream.open(pool, worker) {
        case .success(let upstream):
            upstream.begin(x)
            if x.pointee.callerSpeaksHTTP2 { upstream.flushLater() }
        case .failure(let error): ChainRun(x).attemptFailed(error, at: worker.w.pointee.loop.now)
        }
    }

    // MARK: What a caller asks of it

    /// Whether more of the request's body can be taken.
    @inline(__always)
    var acceptsBody: Bool { speaksHTTP2 ? stream.acceptsBody : connection.acceptsBody }

    func sendBody(_ piece: Bytes, isLast: Bool) {
        if speaksHTTP2 { stream.sendBody(piece, isLast: isLast) } else { connection.sendBody(piece, isLast: isLast) }
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes, isSensitive: Bool = false) {
        if speaksHTTP2 { stream.sendTrailer(name, value, isSensitive: isSensitive) } else { connection.sendTrailer(name, value) }
    }

    /// The caller, or the runner, has room for more of the answer.
    func receive() {
        if speaksHTTP2 { stream.pump() } else { connection.receive() }
    }

    /// What was written leaves.
    @inline(__always)
    func flush() {
        if speaksHTTP2 { stream.connection.flush() } else { connection.flush() }
    }

    /// As `flush`, at the end of the turn.
    func flushLater() {
        if speaksHTTP2 { stream.connection.flushLater() } else { connection.flushLater() }
    }

    /// The exchange gave the attempt up: the other end of a tunnel sees a reset.
    func cancel() {
        if !speaksHTTP2 { connection.u.pointee.tunnel.isCut = connection.u.pointee.tunnel.isOpen }
        leave()
    }

    /// The exchange is over. Of a tunnel both ends have finished; a reset now could overtake the farewell.
    func leave() {
        if speaksHTTP2 { stream.cancel() } else { connection.cancel() }
    }
}
