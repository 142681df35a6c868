internal import Glibc
internal import Pipeline

/// One connection to an endpoint. Plain data, confined to its loop; `Upstream` is the pointer with the verbs.
struct UpstreamStorage {
    enum State: UInt8 { case connecting, handshaking, ready, closed }

    let worker: Worker
    let pool: UnsafeMutablePointer<UpstreamPool>
    var transport: Transport
    var registration = EventLoop.Registration.none
    var timer = Timer.none
    var timerAt = Instant.distantFuture
    /// When it closes if no exchange takes it before.
    var idleDeadline = Instant.distantFuture
    var state = State.connecting
    /// Served an exchange before: it may have gone stale unnoticed.
    var isReused = false
    var canRead = false
    /// The service finished sending: its last bytes and the end came, or will come, without another edge.
    var endIsNear = false
    var writeFailed = false
    var isClosing = false
    /// It flushes at the end of the turn.
    var flushesLater = false
    /// It counts among its pool's connections.
    var isPooled = true
    var tunnel = TunnelSide()
    /// Whether the request's body goes out in chunks of our own.
    var sendsChunks = false
    var wroteTrailers = false
    /// The answer's head has been delivered; its body waits until the runner takes it.
    var hasHead = false
    /// While the runner looks at the answer's head: a stage that wants another one lets go of it now.
    var isAtHead = false
    /// Bytes that may still be dropped of an answer nobody wants; -1: none is under way.
    var drainLeft = -1
    let trustEpoch: UInt32
    var counted = CountedConnection()
    var machine = ClientMachine()
    var input = IOBuffer()
    var output = IOBuffer()
    var exchange: UnsafeMutablePointer<ExchangeStorage>?
    /// Nil: it speaks HTTP/1, or carries a raw stream.
    var http2: UnsafeMutablePointer<HTTP2Storage>?
    /// Neighbours in the pool's list of idle, or of shared connections.
    var next: UnsafeMutablePointer<UpstreamStorage>?
    var previous: UnsafeMutablePointer<UpstreamStorage>?

    /// Serves no request any more.
    mutating func leavePool() {
        guard isPooled else { return }
        isPooled = false
        pool.pointee.count -= 1
    }
}

/// Acts for one upstream connection: connects, sends what the runner ordered, turns the answer's bytes into events.
struct Upstream: BitwiseCopyable {
    let u: UnsafeMutablePointer<UpstreamStorage>

    init(_ u: UnsafeMutablePointer<UpstreamStorage>) { self.u = u }

    var worker: Worker { u.pointee.worker }

    // MARK: Opening

    /// What a connection is to carry; the sidecar at its other end is told (ALPN).
    enum Spoken { case http1, http2, rawStream }

    /// A connection on its way, or why not even that.
    static func open(_ pool: UnsafeMutablePointer<UpstreamPool>, _ worker: Worker, speaking spoken: Spoken = .http1) -> Result<Upstream, ProxyError> {
        guard pool.pointee.count < worker.w.pointee.bounds.connectionsPerEndpointMax else {
            return .failure(ProxyError(.overflow, isProvablyUnsent: true))
        }
        let descriptor: Int32
        let isConnected: Bool
        var options = Socket.Options()
        options.sendBufferBytes = worker.w.pointee.bounds.sendBufferBytes
        options.deadPeerTime = worker.w.pointee.bounds.deadPeerTime
        var connecting = Socket.connect(to: pool.pointee.address, options)
        // For want of descriptors: idle connections have some to give.
        if case .failed(errno: EMFILE) = connecting, worker.shedIdle() > 0 {
            connecting = Socket.connect(to: pool.pointee.address, options)
        }
        switch connecting {
        case .connected(let socket): (descriptor, isConnected) = (socket, true)
        case .inProgress(let socket): (descriptor, isConnected) = (socket, false)
        case .failed(let code):
            worker.w.pointee.stats.upstreamConnectFailed.increment()
            // Our own want is not the endpoint's fault: nobody may hold it against that.
            let isOurs = code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM
            return .failure(ProxyError(isOurs ? .overloaded : .connectFailed, isProvablyUnsent: true))
        }
        let transport: Transport
        if let expected = pool.pointee.expected {
            guard let secured = worker.w.pointee.clientTLS(for: spoken)?.connect(descriptor, expecting: expected) else {
                Descriptor.close(descriptor)
                return .failure(ProxyError(.tlsFailed, isProvablyUnsent: true))
            }
            transport = secured
        } else {
            transport = Transport(plain: descriptor)
        }
        let u = UnsafeMutablePointer<UpstreamStorage>.allocate(capacity: 1)
        u.initialize(
            to: UpstreamStorage(worker: worker, pool: pool, transport: transport, trustEpoch: worker.w.pointee.trustEpoch))
        do {
            u.pointee.registration = try worker.w.pointee.loop.register(descriptor, onEvent, UnsafeMutableRawPointer(u))
        } catch {
            u.pointee.transport.close()
            u.deallocate()
            return .failure(ProxyError(.overloaded, isProvablyUnsent: true))
        }
        pool.pointee.count += 1
        worker.w.pointee.stats.upstreamOpened.increment()
        worker.w.pointee.stats.upstreamActive.increment()
        let upstream = Upstream(u)
        u.pointee.state = isConnected ? .handshaking : .connecting
        u.pointee.timer = worker.w.pointee.loop.arm(
            at: worker.w.pointee.loop.now + worker.w.pointee.bounds.connectTime, onTimer, UnsafeMutableRawPointer(u))
        return .success(upstream)
    }

    private static let onEvent: LoopCallback = { context, word in
        Upstream(context.assumingMemoryBound(to: UpstreamStorage.self)).handle(Readiness(rawValue: word))
    }

    private static let onTimer: LoopCallback = { context, _ in
        Upstream(context.assumingMemoryBound(to: UpstreamStorage.self)).timeOut()
    }

    // MARK: Events

    private func handle(_ readiness: Readiness) {
        if readiness.intersection([.peerFinished, .hungUp, .failed]) != [] { u.pointee.endIsNear = true }
        switch u.pointee.state {
        case .connecting:
            guard readiness.callsForWrite || readiness.callsForRead else { return }
            let code = Socket.connectResult(u.pointee.transport.descriptor)
            if code == EINPROGRESS || code == EAGAIN { return }
            guard code == 0 else { return failConnecting(.connectFailed) }
            u.pointee.state = .handshaking
            shakeHands(readiness)
        case .handshaking: shakeHands(readiness)
        case .ready where u.pointee.tunnel.isOpen:
            guard let x = u.pointee.exchange else { return }
            if x.pointee.callerSpeaksHTTP2 { return StreamTunnel(ServerStream(owner: x))?.handle(readiness) ?? () }
            Tunnel(Downstream(owner: x).d)?.handle(readiness, of: .service)
        case .ready:
            let directions = u.pointee.transport.directions(for: readiness)
            if directions.read { u.pointee.canRead = true }
            if u.pointee.http2 != nil { pumpHTTP2(mayWrite: directions.write) } else { pump(mayWrite: directions.write) }
        case .closed: break
        }
    }

    private func shakeHands(_ readiness: Readiness) {
        switch u.pointee.transport.handshake() {
        case .wouldBlock: return
        case .failed: return failConnecting(.tlsFailed)
        case .done:
            let isStream = u.pointee.exchange?.pointee.isStream == true
            if isStream, u.pointee.transport.isTLS, !u.pointee.transport.speaks(Downstream.streamProtocol) { return failConnecting(.tlsFailed) }
            u.pointee.state = .ready
            worker.w.pointee.loop.cancel(u.pointee.timer)
            u.pointee.timer = .none
            u.pointee.canRead = true
            if u.pointee.http2 != nil { return multiplexed() }
            if let x = u.pointee.exchange {
                countForPair(x)
                if isStream { return Downstream(owner: x).openStream(x) }
            }
            pump(mayWrite: true)
        }
    }

    /// An open connection counts for the pair whose exchange it carries, or carried last. The application behind an inbound
    /// port is no pair of the mesh.
    func countForPair(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard !Caller(x).connection.d.pointee.isInbound else { return }
        let pair = ConnectionPair(
            reporter: .source, source: worker.w.pointee.own.service, destination: x.pointee.destination.serviceLabel,
            version: x.pointee.destination.versionLabel)
        u.pointee.counted.count(under: pair, worker)
    }

    private func failConnecting(_ kind: ProxyError.Kind) {
        worker.w.pointee.stats.upstreamConnectFailed.increment()
        fail(ProxyError(kind, isProvablyUnsent: true))
    }

    private func timeOut() {
        u.pointee.timer = .none
        u.pointee.timerAt = .distantFuture
        switch u.pointee.state {
        case .connecting: failConnecting(.connectTimedOut)
        case .handshaking: failConnecting(.connectTimedOut)
        case .ready where u.pointee.exchange == nil && u.pointee.http2.map { $0.pointee.live == 0 } ?? true: if u.pointee.idleDeadline <= worker.w.pointee.loop.now { close() } else { armTimer() }
        case .ready, .closed: break
        }
    }

    // MARK: Sending

    /// An exchange takes the connection: its head and what is kept of its body go into the output.
    func begin(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        u.pointee.exchange = x
        x.pointee.upstream = UnsafeMutableRawPointer(u)
        if u.pointee.state == .ready { countForPair(x) }
        u.pointee.machine.begin(x.pointee.request.method, asksUpgrade: x.offersUpgrade)
        u.pointee.sendsChunks = false
        u.pointee.wroteTrailers = false
        u.pointee.hasHead = false
        if case .chunked = x.pointee.request.framing { u.pointee.sendsChunks = true }
        let hop = x.pointee.wayIn == .inbound ? worker.w.pointee.inboundHop : worker.w.pointee.outboundHop
        HeadEncoding.request(x, hop: hop, into: &u.pointee.output, &worker.w.pointee.buffers)
        let kept = x.pointee.replay.bytes
        if !kept.isEmpty { sendBody(kept, isLast: false) }
        if x.pointee.requestEnded { sendBody(.empty, isLast: true) }
    }

    /// A raw stream takes the connection: nothing is sent before it is a tunnel.
    func begin(stream x: UnsafeMutablePointer<ExchangeStorage>) {
        u.pointee.exchange = x
        x.pointee.upstream = UnsafeMutableRawPointer(u)
    }

    func sendBody(_ piece: Bytes, isLast: Bool) {
        guard !u.pointee.writeFailed else { return }
        let sent = BodyEncoding.send(
            piece, isLast: isLast, inChunks: u.pointee.sendsChunks, afterTrailers: u.pointee.wroteTrailers,
            after: &u.pointee.output, over: u.pointee.state == .ready ? withUnsafeMutablePointer(to: &u.pointee.transport) { $0 } : nil,
            &worker.w.pointee.buffers)
        if sent > 0 { wrote(sent) }
        if isLast { u.pointee.machine.requestDidEnd() }
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes) {
        guard !u.pointee.writeFailed, u.pointee.sendsChunks else { return }
        if !u.pointee.wroteTrailers { u.pointee.output.append(Bytes("0\r\n"), &u.pointee.worker.w.pointee.buffers) }
        u.pointee.wroteTrailers = true
        BodyEncoding.trailer(name, value, to: &u.pointee.output, &u.pointee.worker.w.pointee.buffers)
    }

    /// Whether more of a request's body can be taken.
    var acceptsBody: Bool { u.pointee.output.count < HostLimits.outputMax || u.pointee.writeFailed }

    /// Writes what it can; false if the connection broke (reading tells how).
    func flush() {
        guard u.pointee.state == .ready, !u.pointee.writeFailed else { return }
        while !u.pointee.output.isEmpty {
            let unread = u.pointee.output.unread
            switch u.pointee.transport.write(from: unread.base!, count: unread.count) {
            case .bytes(let count):
                u.pointee.output.drop(count)
                wrote(count)
            case .wouldBlock: return
            case .closed, .failed:
                // The answer may be on its way all the same: what the peer sent before it closed is read first.
                u.pointee.writeFailed = true
                u.pointee.canRead = true
                u.pointee.output.free(&worker.w.pointee.buffers)
                worker.w.pointee.loop.runAgain(u.pointee.registration, .readable)
                return
            }
        }
        u.pointee.output.free(&worker.w.pointee.buffers)
        if let h = u.pointee.http2, h.pointee.waitsForOutput {
            // Streams that found no room have it now, and no edge tells them.
            h.pointee.waitsForOutput = false
            worker.w.pointee.loop.runAgain(u.pointee.registration, .writable)
        }
    }

    private func wrote(_ count: Int) {
        u.pointee.machine.wrote(count)
        u.pointee.exchange?.pointee.attemptBytesSent &+= UInt64(count)
    }

    // MARK: Receiving

    /// Goes on with everything that can go on.
    func pump(mayWrite: Bool) {
        if mayWrite {
            flush()
            if acceptsBody, let x = u.pointee.exchange {
                Caller(x).pump()
                guard u.pointee.state == .ready else { return }
            }
        }
        receive()
    }

    /// Takes the answer's bytes as far as the caller's connection has room for them.
    func receive() {
        var steps = 0
        let downstream = u.pointee.exchange.map(Caller.init)
        while u.pointee.state == .ready, !u.pointee.isClosing, !u.pointee.tunnel.isOpen {
            let x = u.pointee.exchange
            if let downstream, x != nil, !downstream.acceptsBody {
                downstream.settle()
                guard u.pointee.exchange != nil, downstream.acceptsBody else { break }
            }
            if let x, u.pointee.hasHead, !ChainRun(x).acceptsResponseBody { break }
            steps += 1
            if steps > HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(u.pointee.registration, u.pointee.canRead ? .readable : [])
                break
            }
            guard let x else {
                if u.pointee.drainLeft >= 0 {
                    guard drain(mayRead: true) else { break }
                    continue
                }
                // Idle: the only thing that may come is the end.
                guard u.pointee.canRead else { break }
                guard readMore() else { break }
                if !u.pointee.input.isEmpty { return close() }
                continue
            }
            if !u.pointee.hasHead, u.pointee.input.isEmpty {
                guard u.pointee.canRead, readMore() else { break }
                continue
            }
            let unread = u.pointee.input.unread
            // What a stream's window has no room for need not be taken apart yet.
            let given = u.pointee.hasHead ? unread.slice(0, min(unread.count, downstream?.bodyRoom ?? .max)) : unread
            let event = u.pointee.machine.receive(given, into: &x.pointee.response)
            guard step(event, x, isCut: given.count < unread.count) else { break }
        }
        if let downstream { downstream.settleLater() }
    }

    /// Carries out one event; false if nothing more can be done now.
    private func step(_ event: ClientEvent, _ x: UnsafeMutablePointer<ExchangeStorage>, isCut: Bool) -> Bool {
        let now = worker.w.pointee.loop.now
        switch event {
        case .needMore(let consumed):
            u.pointee.input.drop(consumed)
            if isCut, consumed > 0 { return true }
            guard u.pointee.canRead else { return false }
            return readMore()
        case .interim(let count):
            Caller(x).sendInterim(x)
            u.pointee.input.drop(count)
        // To HTTP/2 any 2xx says that there is a WebSocket now (RFC 8441 §5).
        case .head where x.pointee.callerSpeaksHTTP2 && x.pointee.request.asksUpgrade && x.pointee.response.status / 100 == 2:
            fail(ProxyError(.upstreamProtocol))
        case .head(let count):
            u.pointee.input.drop(count)
            u.pointee.input.pin()
            u.pointee.hasHead = true
            u.pointee.isAtHead = true
            ChainRun(x).responseHead(at: now)
            Caller(x).perform(x)
            u.pointee.isAtHead = false
        case .bodyData(let offset, let count):
            let piece = u.pointee.input.unread.slice(offset, offset + count)
            u.pointee.input.drop(offset + count)
            // Where the length was known, the last piece and the end go on as one.
            if let isReusable = u.pointee.machine.takeEnd(unread: u.pointee.input.count) {
                finishResponse(x, piece, isReusable: isReusable)
                break
            }
            ChainRun(x).responseBody(piece, isLast: false, at: now)
            Caller(x).perform(x)
        case .trailer(let trailer):
            let (name, value) = trailer.views(in: u.pointee.input.unread)
            Caller(x).sendTrailer(name, value)
            u.pointee.input.drop(trailer.byteCount)
        case .bodyEnd(let consumed, let isReusable):
            u.pointee.input.drop(consumed)
            finishResponse(x, .empty, isReusable: isReusable && u.pointee.input.isEmpty)
        case .switched(let count):
            guard Upgrade.isAgreed(x.pointee.response.headers, on: x.pointee.request.headers), !x.pointee.callerSpeaksHTTP2 || WebSocketKey.isAnswered(x) else {
                fail(ProxyError(.upstreamProtocol))
                break
            }
            u.pointee.input.drop(count)
            u.pointee.input.pin()
            u.pointee.hasHead = true
            ChainRun(x).switched(at: now)
            if x.pointee.callerSpeaksHTTP2 {
                let stream = ServerStream(owner: x)
                Caller(stream).perform(x)
                StreamTunnel(stream)?.relay()
                break
            }
            let downstream = Downstream(owner: x)
            downstream.perform()
            Tunnel(downstream.d)?.relay()
        case .reject: fail(ProxyError(.upstreamProtocol, isProvablyUnsent: u.pointee.machine.isUnsent))
        }
        return true
    }

    private func finishResponse(_ x: UnsafeMutablePointer<ExchangeStorage>, _ piece: Bytes, isReusable: Bool) {
        // Let go first: the exchange's memory is gone after its last action. The piece stays in our input until then.
        u.pointee.isClosing = !isReusable
        ChainRun(x).responseBody(piece, isLast: true, at: worker.w.pointee.loop.now)
        u.pointee.exchange = nil
        x.pointee.upstream = nil
        Caller(x).perform(x)
        release()
    }

    /// Reads once; false if there is nothing now, or the end was dealt with.
    func readMore() -> Bool {
        // A head leaves room for body behind it; one that fills the buffer was refused before.
        let hasRoom = u.pointee.input.makeRoom(&worker.w.pointee.buffers)
        let room = u.pointee.input.room - (u.pointee.input.pinned == 0 ? BufferPool.spareBytes : 0)
        guard hasRoom, room > 0 else {
            fail(ProxyError(.upstreamProtocol))
            return false
        }
        // Hundreds of streams that their callers' windows hold up must not have read ahead.
        let wanted = u.pointee.exchange.map { min(room, Caller($0).bodyRoom) } ?? room
        switch u.pointee.transport.read(into: u.pointee.input.tail, count: wanted) {
        case .bytes(let count):
            u.pointee.input.filled(count)
            if !u.pointee.transport.mayHaveMore, !u.pointee.endIsNear { u.pointee.canRead = false }
            return true
        case .wouldBlock:
            u.pointee.canRead = false
            if u.pointee.exchange == nil, u.pointee.input.isEmpty { u.pointee.input.free(&worker.w.pointee.buffers) }
            return false
        case .closed:
            ended(isReset: false)
            return false
        case .failed(let why):
            ended(isReset: true, isProvablyUnsent: why.isProvablyUnsent)
            return false
        }
    }

    private func ended(isReset: Bool, isProvablyUnsent: Bool = false) {
        guard let x = u.pointee.exchange else { return close() }
        switch u.pointee.machine.receivedEnd(isReset: isReset) {
        case .idle: close()
        case .bodyEnd:
            finishResponse(x, .empty, isReusable: false)
        case .unanswered: failUnanswered(x, isUnsent: u.pointee.machine.isUnsent || isProvablyUnsent)
        case .truncated:
            fail(ProxyError(x.pointee.state == .responding ? .responseCut : .upstreamReset))
        }
    }

    /// A pooled connection may have been closed by the service just as we used it. Where that is the likely reason and
    /// sending again is safe, the attempt moves to a new connection and no stage hears of it (RFC 9112 §9.3.1).
    private func failUnanswered(_ x: UnsafeMutablePointer<ExchangeStorage>, isUnsent: Bool) {
        let isSafe = isUnsent || x.pointee.request.method.isIdempotent && u.pointee.machine.isUnanswered
        let isReplayable = x.pointee.requestBytes == 0 || x.pointee.replay.count > 0 && !x.pointee.replay.isLost
        guard u.pointee.isReused, isSafe, isReplayable else {
            return fail(ProxyError(.upstreamReset, isProvablyUnsent: isUnsent))
        }
        worker.w.pointee.stats.upstreamStale.increment()
        u.pointee.exchange = nil
        x.pointee.upstream = nil
        let pool = u.pointee.pool
        close()
        let worker = self.worker, caller = Caller(x)
        Service.attempt(x, over: pool, fresh: true, worker)
        caller.perform(x)
        caller.settle()
    }

    // MARK: Ends

    /// The attempt failed, and the connection with it.
    func fail(_ error: ProxyError) {
        let x = u.pointee.exchange
        u.pointee.exchange = nil
        close()
        failStreams(error)
        guard let x else { return }
        x.pointee.upstream = nil
        ChainRun(x).attemptFailed(error, at: worker.w.pointee.loop.now)
        let caller = Caller(x)
        caller.perform(x)
        caller.settle()
    }

    /// The exchange gave the attempt up. Where all it did was to turn an answer down at its head, the connection may stay.
    func cancel() {
        let framing = u.pointee.exchange?.pointee.response.framing
        u.pointee.exchange = nil
        guard u.pointee.isAtHead, u.pointee.machine.canServeAgain, let framing, startDraining(framing) else { return close() }
        // What has come already goes now: the next attempt, if it comes at once, finds the connection in the pool.
        while u.pointee.drainLeft >= 0, u.pointee.state == .ready, drain(mayRead: false) {}
    }

    /// The exchange is over on this connection.
    func release() {
        u.pointee.exchange = nil
        u.pointee.input.unpin(&worker.w.pointee.buffers)
        if u.pointee.isClosing || u.pointee.trustEpoch != worker.w.pointee.trustEpoch || u.pointee.writeFailed
            || !u.pointee.output.isEmpty || u.pointee.pool.pointee.idleCount >= HostLimits.idlePerEndpointMax
        {
            return close()
        }
        u.pointee.isReused = true
        let pool = u.pointee.pool
        u.pointee.previous = nil
        u.pointee.next = pool.pointee.idle
        pool.pointee.idle?.pointee.previous = u
        pool.pointee.idle = u
        pool.pointee.idleCount += 1
        closeUnlessUsed(within: worker.w.pointee.bounds.upstreamIdleTime)
    }

    func closeUnlessUsed(within time: Nanoseconds) {
        u.pointee.idleDeadline = worker.w.pointee.loop.now + time
        armTimer()
    }

    /// Moved only to fire earlier, as a caller's: a later deadline is found when it fires.
    private func armTimer() {
        let deadline = u.pointee.idleDeadline
        guard deadline < u.pointee.timerAt else { return }
        u.pointee.timerAt = deadline
        if !worker.w.pointee.loop.move(u.pointee.timer, to: deadline) {
            u.pointee.timer = worker.w.pointee.loop.arm(at: deadline, Self.onTimer, UnsafeMutableRawPointer(u))
        }
    }

    /// Takes the connection out of its pool's idle list.
    func leaveIdleList() {
        if u.pointee.http2 != nil { return leaveSharedList() }
        if unlink(from: &u.pointee.pool.pointee.idle) { u.pointee.pool.pointee.idleCount -= 1 }
    }

    /// Takes the connection out of the list that begins at `first`; false if it stands in none.
    func unlink(from first: inout UnsafeMutablePointer<UpstreamStorage>?) -> Bool {
        if let previous = u.pointee.previous {
            previous.pointee.next = u.pointee.next
        } else if first == u {
            first = u.pointee.next
        } else {
            return false
        }
        u.pointee.next?.pointee.previous = u.pointee.previous
        u.pointee.next = nil
        u.pointee.previous = nil
        return true
    }

    func close() {
        guard u.pointee.state != .closed else { return }
        u.pointee.state = .closed
        leaveIdleList()
        let worker = self.worker
        worker.w.pointee.loop.deregister(u.pointee.registration)
        worker.w.pointee.loop.cancel(u.pointee.timer)
        if u.pointee.tunnel.isCut { u.pointee.transport.reset() } else { u.pointee.transport.close() }
        u.pointee.leavePool()
        worker.w.pointee.stats.upstreamActive.decrement()
        u.pointee.counted.end()
        // Buffers and storage stay until the turn ends: callers further up the stack still look at them.
        worker.w.pointee.loop.atEndOfTurn(
            { context, _ in
                let u = context.assumingMemoryBound(to: UpstreamStorage.self)
                u.pointee.input.free(&u.pointee.worker.w.pointee.buffers)
                u.pointee.output.free(&u.pointee.worker.w.pointee.buffers)
                if let h = u.pointee.http2 { HTTP2Storage.free(h) }
                u.deinitialize(count: 1)
                u.deallocate()
            }, UnsafeMutableRawPointer(u))
    }
}
