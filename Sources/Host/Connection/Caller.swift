internal import Pipeline

/// The end of an exchange at which its caller is: a connection of HTTP/1, or a stream of HTTP/2.
///
/// What the runner orders is carried out from here (`perform`), and what a service has to say passes by here.
struct Caller: BitwiseCopyable {
    private let owner: UnsafeMutableRawPointer
    private let speaksHTTP2: Bool

    @inline(__always)
    init(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        owner = x.pointee.owner.unsafelyUnwrapped
        speaksHTTP2 = x.pointee.callerSpeaksHTTP2
    }

    init(_ d: Downstream) { (owner, speaksHTTP2) = (UnsafeMutableRawPointer(d.d), false) }
    init(_ s: ServerStream) { (owner, speaksHTTP2) = (UnsafeMutableRawPointer(s.s), true) }

    private var connection1: Downstream { Downstream(owner.assumingMemoryBound(to: DownstreamStorage.self)) }
    private var stream: ServerStream { ServerStream(owner.assumingMemoryBound(to: StreamStorage.self)) }

    /// The connection that it came in on.
    @inline(__always)
    var connection: Downstream { speaksHTTP2 ? stream.connection : connection1 }
    @inline(__always)
    private var worker: Worker { connection.worker }

    // MARK: Performing

    /// Does what the runner ordered. Never called within itself: what it does only appends to outputs and orders more.
    func perform(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let worker = self.worker
        while let action = worker.w.pointee.ring.pointee.pop() {
            switch action {
            case .startAttempt: Service.attempt(x, worker)
            case .cancelAttempt:
                if let service = Service(x) {
                    x.pointee.upstream = nil
                    service.cancel()
                }
            case .forwardRequestBody(let piece, let isLast): Service(x)?.sendBody(piece, isLast: isLast)
            case .sendResponseHead: if speaksHTTP2 { stream.sendHead(x) } else { connection1.sendHead(x) }
            case .openTunnel: if speaksHTTP2 { StreamTunnel.open(stream, x) } else { Tunnel.open(connection1.d, x) }
            case .forwardResponseBody(let piece, let isLast):
                if speaksHTTP2 { stream.sendBody(piece, isLast: isLast) } else { connection1.sendBody(piece, isLast: isLast) }
            case .sendReply: if speaksHTTP2 { stream.sendReply(x) } else { connection1.sendReply(x) }
            case .cutDownstream: if speaksHTTP2 { stream.cut() } else { connection1.cut() }
            case .setTimer(let deadline): if speaksHTTP2 { stream.setDeadline(deadline) } else { connection1.setDeadline(deadline) }
            case .finished:
                if let service = Service(x) {
                    x.pointee.upstream = nil
                    service.leave()
                }
                if speaksHTTP2 { stream.finished(x) } else { connection1.finished(x) }
            }
        }
    }

    // MARK: What a service asks of it

    /// Whether it has room for more of the response: all that was given before has left, or nearly.
    @inline(__always)
    var acceptsBody: Bool { speaksHTTP2 ? stream.acceptsBody : connection1.acceptsBody }

    /// Bytes of the response that are best given at once.
    @inline(__always)
    var bodyRoom: Int { speaksHTTP2 ? stream.bodyRoom : .max }

    /// Bytes of the response that can leave at once, as far as the other end's windows go.
    @inline(__always)
    var window: Int { speaksHTTP2 ? stream.window : .max }

    /// Has `Service.receive` called when its windows open.
    func tellWhenRoom() { if speaksHTTP2 { stream.tellWhenRoom() } }

    func sendInterim(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        if speaksHTTP2 { stream.sendInterim(x) } else { connection1.sendInterim(x) }
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes, isSensitive: Bool = false) {
        if speaksHTTP2 { stream.sendTrailer(name, value, isSensitive: isSensitive) } else { connection1.sendTrailer(name, value) }
    }

    /// An endpoint was found: a caller that waits with its body until it is asked to go on is asked.
    func askForBody() {
        if speaksHTTP2 { stream.askForBody() } else { connection1.askForBody() }
    }

    /// The service has room for more of the request.
    func pump() {
        if speaksHTTP2 { stream.pump() } else { connection1.pump() }
    }

    @inline(__always)
    func settle() { connection.settle() }
    @inline(__always)
    func settleLater() { connection.settleLater() }

    /// A filter's decision came from elsewhere; false if it came too late.
    func resume(_ x: UnsafeMutablePointer<ExchangeStorage>, generation: UInt32, _ verdict: RequestVerdict) -> Bool {
        guard speaksHTTP2 ? stream.isBusy(with: x) : connection1.isBusy(with: x) else { return false }
        guard ChainRun(x).resume(generation: generation, verdict, at: connection.now) else { return false }
        perform(x)
        if speaksHTTP2 ? stream.isBusy(with: x) : connection1.isBusy(with: x) { Service(x)?.receive() }
        pump()
        return true
    }
}
