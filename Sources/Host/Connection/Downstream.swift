internal import Pipeline

/// One connection of a caller. Plain data, confined to its loop; `Downstream` is the pointer with the verbs.
struct DownstreamStorage {
    enum State: UInt8 {
        /// Waiting for the first byte to tell TLS from plaintext.
        case sniffing
        case handshaking
        case open
        /// The last answer is on its way out; then the connection closes.
        case closing
        /// Everything is out and our direction is finished: what the caller still sends is read and dropped, so that no reset
        /// destroys the answer.
        case lingering
        case closed
    }

    let worker: Worker
    let isInbound: Bool
    let listener: Int32
    let wayIn: Listening.Kind
    var transport: Transport
    var registration = EventLoop.Registration.none
    var state = State.open
    var canRead = false
    /// The caller does not take what is written.
    var isStalled = false
    var responseEnded = false
    /// The body goes to the caller in chunks of our own; or not at all (HEAD).
    var sendsChunks = false
    var omitsBody = false
    var wroteTrailers = false
    var trustEpoch: UInt32
    var machine = ServerMachine()
    var input = IOBuffer()
    var output = IOBuffer()
    var filters = ConnectionStorage()
    var exchange: UnsafeMutablePointer<ExchangeStorage>?
    /// The exchange has begun: its head is complete.
    var hasBegun = false
    /// What the runner asked for, and what the connection itself waits for.
    var exchangeDeadline = Instant.distantFuture
    var idleDeadline = Instant.distantFuture
    var timer = Timer.none
    var timerAt = Instant.distantFuture
    /// Neighbours in the worker's list.
    var next: UnsafeMutablePointer<DownstreamStorage>?
    var previous: UnsafeMutablePointer<DownstreamStorage>?
}

/// Acts for one caller's connection: turns its bytes into events for the runner and the runner's actions into bytes.
struct Downstream: BitwiseCopyable {
    let d: UnsafeMutablePointer<DownstreamStorage>

    init(_ d: UnsafeMutablePointer<DownstreamStorage>) { self.d = d }
    /// The connection an exchange came in on.
    init(owner x: UnsafeMutablePointer<ExchangeStorage>) {
        d = x.pointee.owner!.assumingMemoryBound(to: DownstreamStorage.self)
    }

    var worker: Worker { d.pointee.worker }
    private var now: Instant { worker.w.pointee.loop.now }

    // MARK: Opening

    static func accept(_ descriptor: Int32, on listening: Listening, _ worker: Worker) {
        guard worker.w.pointee.connectionCount < HostLimits.downstreamMax else {
            worker.w.pointee.stats.downstreamRefused.increment()
            return Descriptor.close(descriptor)
        }
        let d = UnsafeMutablePointer<DownstreamStorage>.allocate(capacity: 1)
        d.initialize(
            to: DownstreamStorage(
                worker: worker, isInbound: listening.kind == .inbound, listener: listening.index, wayIn: listening.kind,
                transport: Transport(plain: descriptor), trustEpoch: worker.w.pointee.trustEpoch))
        d.pointee.state = listening.kind == .inbound && !listening.isPlain ? .sniffing : .open
        do {
            d.pointee.registration = try worker.w.pointee.loop.register(descriptor, onEvent, UnsafeMutableRawPointer(d))
        } catch {
            worker.w.pointee.stats.downstreamRefused.increment()
            Descriptor.close(descriptor)
            d.deallocate()
            return
        }
        d.pointee.filters.openedAt = worker.w.pointee.loop.now
        d.pointee.next = worker.w.pointee.connections
        worker.w.pointee.connections?.pointee.previous = d
        worker.w.pointee.connections = d
        worker.w.pointee.connectionCount += 1
        worker.w.pointee.stats.downstreamOpened.increment()
        worker.w.pointee.stats.downstreamActive.increment()
        let connection = Downstream(d)
        connection.awaitUntil(
            d.pointee.state == .open ? HostLimits.downstreamIdleTime : HostLimits.handshakeTime)
    }

    private static let onEvent: LoopCallback = { context, word in
        Downstream(context.assumingMemoryBound(to: DownstreamStorage.self)).handle(Readiness(rawValue: word))
    }

    private static let onTimer: LoopCallback = { context, _ in
        Downstream(context.assumingMemoryBound(to: DownstreamStorage.self)).timeOut()
    }

    // MARK: Events

    private func handle(_ readiness: Readiness) {
        switch d.pointee.state {
        case .sniffing: sniff()
        case .handshaking: shakeHands()
        case .open, .closing:
            let directions = d.pointee.transport.directions(for: readiness)
            if directions.read { d.pointee.canRead = true }
            if directions.write { flush() }
            if readiness.intersection([.peerFinished, .hungUp, .failed]) != [], hasLeft() { return gone() }
            // The room that was made lets the service's answer go on.
            if directions.write, acceptsBody, let x = d.pointee.exchange, let upstream = x.pointee.upstream {
                Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).receive()
            }
            pump()
        case .lingering: linger()
        case .closed: break
        }
    }

    /// Whether the caller of a request that is complete is gone, after it finished sending.
    ///
    /// A caller that keeps its connection alive has no reason to half-close it: it went away, and its work upstream ends now.
    /// One that said `Connection: close` may have finished sending for good and wait for its answer.
    private func hasLeft() -> Bool {
        guard d.pointee.state == .open, d.pointee.hasBegun, let x = d.pointee.exchange, x.pointee.requestEnded,
            x.pointee.request.keepsAlive, d.pointee.input.isEmpty, d.pointee.input.makeRoom(&worker.w.pointee.buffers)
        else { return false }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: d.pointee.input.room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            return false
        case .wouldBlock: return false
        case .closed, .failed: return true
        }
    }

    private func sniff() {
        switch ProtocolSniff.peek(d.pointee.transport.descriptor) {
        case .wouldBlock: return
        case .closed, .failed: return close()
        case .plaintext:
            guard worker.w.pointee.acceptsPlaintext else {
                worker.w.pointee.stats.plaintextRefused.increment()
                return close()
            }
            worker.w.pointee.stats.plaintextAccepted.increment()
            opened()
        case .tls:
            guard let secured = worker.w.pointee.serverTLS?.accept(d.pointee.transport.descriptor) else {
                worker.w.pointee.stats.handshakeFailures.increment()
                return close()
            }
            d.pointee.transport = secured
            d.pointee.state = .handshaking
            shakeHands()
        }
    }

    private func shakeHands() {
        switch d.pointee.transport.handshake() {
        case .wouldBlock: return
        case .failed:
            worker.w.pointee.stats.handshakeFailures.increment()
            // The alert must reach the peer: a reset would destroy it.
            d.pointee.transport.finishWriting()
            d.pointee.transport.drain()
            close()
        case .done:
            d.pointee.filters.isTLS = true
            if let identity = d.pointee.transport.peerIdentity { d.pointee.filters.peer = Peers.record(of: identity.id, worker.w.pointee.context.labels) }
            opened()
        }
    }

    /// The peer is known: the connection phase runs, then requests may come.
    private func opened() {
        d.pointee.state = .open
        guard admitted() else { return }
        awaitUntil(HostLimits.downstreamIdleTime)
        d.pointee.canRead = true
        pump()
    }

    private var chain: UnsafeMutablePointer<Chain> {
        d.pointee.isInbound ? worker.w.pointee.inbound : worker.w.pointee.outbound
    }

    /// Runs the connection phase of the chain that is current, once per chain; false if the connection was refused.
    private func admitted() -> Bool {
        let generation = chain.pointee.generation
        guard d.pointee.filters.admittedBy != generation else { return true }
        let connection = Connection(withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }, now: now)
        if case .refuse = chain.pointee.admit(connection) {
            worker.w.pointee.stats.downstreamRefused.increment()
            close()
            return false
        }
        d.pointee.filters.admittedBy = generation
        return true
    }

    // MARK: Receiving

    /// Takes bytes as far as the exchange and the upstream have room for them.
    func pump() {
        var steps = 0
        while d.pointee.state == .open {
            guard wantsInput else {
                // What is out of the way on the other side makes room for more of a body.
                settle()
                guard d.pointee.state == .open, d.pointee.hasBegun, wantsInput else { return }
                continue
            }
            steps += 1
            if steps > HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(d.pointee.registration, d.pointee.canRead ? .readable : [])
                break
            }
            if d.pointee.input.isEmpty, !d.pointee.hasBegun {
                // Between requests nothing is held but the connection itself.
                guard d.pointee.canRead else { break }
                guard readMore() else { break }
                continue
            }
            if d.pointee.exchange == nil { prepareExchange() }
            guard let x = d.pointee.exchange else { break }
            let event = d.pointee.machine.receive(
                d.pointee.input.unread, scratch: worker.w.pointee.scratch, into: &x.pointee.request)
            guard step(event, x) else { break }
        }
        settle()
    }

    /// Whether the next bytes of the caller can be used now; otherwise they wait in the socket.
    private var wantsInput: Bool {
        guard d.pointee.hasBegun, let x = d.pointee.exchange else { return acceptsBody }
        if x.pointee.requestEnded { return false }
        guard ChainRun(x).acceptsRequestBody else { return false }
        guard let upstream = x.pointee.upstream else { return true }
        return Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).acceptsBody
    }

    private func step(_ event: ServerEvent, _ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        switch event {
        case .needMore(let consumed):
            d.pointee.input.drop(consumed)
            guard d.pointee.canRead else { return noteWaiting() }
            return readMore()
        case .head(let count):
            d.pointee.input.drop(count)
            d.pointee.input.pin()
            return begin(x)
        case .bodyData(let offset, let count):
            let piece = d.pointee.input.unread.slice(offset, offset + count)
            d.pointee.input.drop(offset + count)
            guard d.pointee.hasBegun else { return true }
            awaitUntil(HostLimits.bodyProgressTime)
            ChainRun(x).requestBody(piece, isLast: false, at: now)
            perform()
        case .trailer(let trailer):
            if let upstream = x.pointee.upstream {
                let bytes = d.pointee.input.unread
                Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).sendTrailer(trailer, in: bytes)
            }
            d.pointee.input.drop(trailer.byteCount)
        case .bodyEnd(let consumed):
            d.pointee.input.drop(consumed)
            d.pointee.idleDeadline = .distantFuture
            if d.pointee.hasBegun {
                ChainRun(x).requestBody(.empty, isLast: true, at: now)
                perform()
            } else {
                // The rest of a request that was answered before it ended: the next one begins behind it.
                discardPrepared()
            }
        case .paused: return false
        case .reject(let fault): refuse(fault, x)
        case .close:
            discardPrepared()
            finish()
        }
        return true
    }

    /// A request head is complete: the exchange begins on the chain that is current.
    private func begin(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        guard d.pointee.trustEpoch == worker.w.pointee.trustEpoch || !d.pointee.isInbound, admitted() else {
            close()
            return false
        }
        if d.pointee.isInbound, !d.pointee.filters.isTLS, !worker.w.pointee.acceptsPlaintext, d.pointee.wayIn == .inbound,
            worker.w.pointee.serverTLS != nil
        {
            // The mesh went strict while the connection was open.
            worker.w.pointee.stats.plaintextRefused.increment()
            close()
            return false
        }
        if worker.w.pointee.isDraining, d.pointee.isInbound { d.pointee.machine.closeSoon() }
        keepTarget(x)
        d.pointee.hasBegun = true
        d.pointee.responseEnded = false
        x.pointee.chain = chain
        x.pointee.startedAt = now
        x.pointee.wayIn = wayIn
        x.pointee.draw = worker.w.pointee.loop.random.pointee.next()
        x.pointee.random = Random(seed: worker.w.pointee.loop.random.pointee.next())
        d.pointee.filters.bytesReceived &+= UInt64(d.pointee.input.pinned)
        var ended = false
        switch x.pointee.request.framing {
        case .none, .length(0):
            // The machine is told too: what follows is the next request.
            if case .bodyEnd(let consumed) = d.pointee.machine.receive(
                d.pointee.input.unread, scratch: worker.w.pointee.scratch, into: &x.pointee.request)
            {
                d.pointee.input.drop(consumed)
            }
            ended = true
            d.pointee.idleDeadline = .distantFuture
        case .length, .chunked, .untilClose: awaitUntil(HostLimits.bodyProgressTime)
        }
        ChainRun(x).requestHead(at: now, ended: ended)
        perform()
        return true
    }

    private var wayIn: WayIn {
        switch d.pointee.wayIn {
        case .inbound: return .inbound
        case .proxy: return .proxy
        case .service:
            let index = worker.w.pointee.serviceIndex[Int(d.pointee.listener)]
            return .servicePort(index < 0 ? .max : UInt32(index))
        }
    }

    /// A canonical target that differs from the received one was written to the loop's scratch: it moves to the exchange.
    private func keepTarget(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let target = x.pointee.request.target
        guard let base = target.base, let scratch = worker.w.pointee.scratch.baseAddress, base >= UnsafePointer(scratch),
            base < UnsafePointer(scratch) + worker.w.pointee.scratch.count
        else { return }
        guard let kept = x.pointee.arena.copy(target), let start = kept.base else { return }
        x.pointee.request.target = kept
        let move = { (part: Bytes) -> Bytes in
            guard let from = part.base, from >= base, from <= base + target.count else { return part }
            return Bytes(start + (from - base), count: part.count)
        }
        x.pointee.request.path = move(x.pointee.request.path)
        x.pointee.request.query = move(x.pointee.request.query)
    }

    private func prepareExchange() {
        let (memory, slot) = worker.w.pointee.takeExchange()
        let filters = withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }
        memory.storage.initialize(
            to: ExchangeStorage(
                chain: chain, actions: worker.w.pointee.ring, connection: filters, memory: memory, pool: worker.w.pointee.blocks,
                random: Random(seed: 0), now: now))
        memory.storage.pointee.owner = UnsafeMutableRawPointer(d)
        memory.storage.pointee.loop = UInt16(worker.w.pointee.index)
        memory.storage.pointee.slot = slot
        memory.storage.pointee.suspendGeneration = worker.w.pointee.exchangeSlots[Int(slot)].generation
        d.pointee.exchange = memory.storage
    }

    private func discardPrepared() {
        guard let x = d.pointee.exchange, !d.pointee.hasBegun else { return }
        x.pointee.arena.freeAll()
        worker.w.pointee.giveExchange(x)
        d.pointee.exchange = nil
        d.pointee.input.unpin(&worker.w.pointee.buffers)
    }

    /// Reads once; false if there is nothing now, or the end was dealt with.
    private func readMore() -> Bool {
        guard d.pointee.input.makeRoom(&worker.w.pointee.buffers) else {
            // Only a head can fill a buffer, and the parser refuses one of this size first.
            guard d.pointee.input.grow(&worker.w.pointee.buffers) else {
                close()
                return false
            }
            return true
        }
        // A head leaves room for body behind it.
        let spare = d.pointee.input.pinned == 0 ? 4_096 : 0
        let room = d.pointee.input.room - spare
        guard room > 0 else {
            if d.pointee.input.grow(&worker.w.pointee.buffers) { return true }
            close()
            return false
        }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            if !d.pointee.transport.mayHaveMore { d.pointee.canRead = false }
            return true
        case .wouldBlock:
            d.pointee.canRead = false
            if d.pointee.input.isEmpty, d.pointee.exchange == nil { d.pointee.input.free(&worker.w.pointee.buffers) }
            return noteWaiting()
        case .closed:
            ended()
            return false
        case .failed:
            gone()
            return false
        }
    }

    /// Sets the deadline that fits what the machine waits for. Always false: nothing more can be done now.
    private func noteWaiting() -> Bool {
        if d.pointee.machine.awaits == .restOfHead, d.pointee.idleDeadline > now + HostLimits.headTime {
            awaitUntil(HostLimits.headTime)
        }
        return false
    }

    /// The caller finished sending.
    private func ended() {
        d.pointee.canRead = false
        switch d.pointee.machine.receivedEnd() {
        case .close:
            discardPrepared()
            finish()
        case .truncated: gone()
        case .finishResponse: break
        }
    }

    /// The caller is gone, or cannot be talked to.
    private func gone() {
        d.pointee.machine.abort()
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(ProxyError(.downstreamGone), at: now)
            perform()
        }
        discardPrepared()
        close()
    }

    private func refuse(_ fault: HTTP1Fault, _ x: UnsafeMutablePointer<ExchangeStorage>) {
        worker.w.pointee.stats.protocolErrors.increment()
        answerAndFinish(fault.status, Bytes(fault.reason), ProxyError(.downstreamProtocol))
    }

    /// Ends the connection from our side: with an answer if none has begun, and with whatever exchange there is.
    private func answerAndFinish(_ status: UInt16, _ text: Bytes, _ error: ProxyError) {
        if d.pointee.machine.canAnswer {
            write(status, text)
            finish()
        }
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(error, at: now)
            perform()
        }
        discardPrepared()
        if d.pointee.state == .open { close() }
    }

    /// A reply outside of any exchange.
    private func write(_ status: UInt16, _ body: Bytes) {
        let plan = d.pointee.machine.sendsHead(status: status, framing: .length(Int64(body.count)))
        HeadEncoding.write(&d.pointee.output, &worker.w.pointee.buffers) { writer in
            writer.statusLine(status)
            writer.field(Bytes("content-type"), Bytes("text/plain; charset=utf-8"))
            guard writer.finish(.length(Int64(body.count) + 1), connection: plan.connection) != nil else { return nil }
            writer.append(body)
            writer.append(Bytes("\n"))
            return writer.needed
        }
    }

    // MARK: Performing

    /// Does what the runner ordered. Never called within itself: what it does only appends to outputs and orders more.
    func perform() {
        guard let x = d.pointee.exchange else { return }
        while let action = worker.w.pointee.ring.pointee.pop() {
            switch action {
            case .startAttempt: attempt(x)
            case .cancelAttempt:
                if let upstream = x.pointee.upstream {
                    x.pointee.upstream = nil
                    Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).cancel()
                }
            case .forwardRequestBody(let piece, let isLast):
                if let upstream = x.pointee.upstream {
                    Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).sendBody(piece, isLast: isLast)
                }
            case .sendResponseHead: sendHead(x)
            case .forwardResponseBody(let piece, let isLast): sendBody(piece, isLast: isLast)
            case .sendReply: sendReply(x)
            case .cutDownstream: d.pointee.machine.abort()
            case .setTimer(let deadline):
                d.pointee.exchangeDeadline = deadline
                armTimer()
            case .finished: finished(x)
            }
        }
    }

    private func attempt(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard let pool = worker.pool(of: x.pointee.endpoint) else {
            return ChainRun(x).attemptFailed(ProxyError(.noEndpoint, isProvablyUnsent: true), at: now)
        }
        attempt(x, over: pool, fresh: false)
    }

    /// Sends the exchange over a connection to `pool`'s endpoint, a pooled one unless it must be `fresh`.
    func attempt(_ x: UnsafeMutablePointer<ExchangeStorage>, over pool: UnsafeMutablePointer<UpstreamPool>, fresh: Bool) {
        if d.pointee.machine.wantsBody() { d.pointee.output.append(Bytes(ReplyWriter.continueHead), &worker.w.pointee.buffers) }
        if !fresh, let idle = pool.pointee.idle {
            let upstream = Upstream(idle)
            upstream.leaveIdleList()
            upstream.begin(x)
            return
        }
        switch Upstream.open(pool, worker) {
        case .success(let upstream): upstream.begin(x)
        case .failure(let error):
            ChainRun(x).attemptFailed(error, at: now)
            if fresh { perform() }
        }
    }

    private func sendHead(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let plan = d.pointee.machine.sendsHead(status: x.pointee.response.status, framing: x.pointee.response.framing)
        d.pointee.omitsBody = plan.omitsBody
        d.pointee.sendsChunks = plan.framing == .chunked
        d.pointee.wroteTrailers = false
        HeadEncoding.response(
            x, plan: plan, stripsReason: !d.pointee.isInbound, into: &d.pointee.output, &worker.w.pointee.buffers)
    }

    func sendInterim(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard d.pointee.machine.mayForwardInterim(status: x.pointee.response.status) else { return }
        HeadEncoding.interim(x, into: &d.pointee.output, &worker.w.pointee.buffers)
    }

    private func sendBody(_ piece: Bytes, isLast: Bool) {
        d.pointee.filters.bytesSent &+= UInt64(piece.count)
        if !d.pointee.omitsBody {
            BodyEncoding.append(
                piece, isLast: isLast, inChunks: d.pointee.sendsChunks, afterTrailers: d.pointee.wroteTrailers,
                to: &d.pointee.output, &worker.w.pointee.buffers)
        }
        if isLast { d.pointee.responseEnded = true }
    }

    func sendTrailer(_ trailer: BodyStep.Trailer, in bytes: Bytes) {
        guard d.pointee.sendsChunks, !d.pointee.omitsBody else { return }
        if !d.pointee.wroteTrailers { d.pointee.output.append(Bytes("0\r\n"), &worker.w.pointee.buffers) }
        d.pointee.wroteTrailers = true
        BodyEncoding.trailer(trailer, in: bytes, to: &d.pointee.output, &worker.w.pointee.buffers)
    }

    private func sendReply(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let plan = d.pointee.machine.sendsHead(
            status: x.pointee.response.status, framing: .length(Int64(x.pointee.replyBody.count)))
        HeadEncoding.reply(
            x, plan: plan, tellsReason: d.pointee.isInbound && d.pointee.filters.peer != nil && x.pointee.flag != .none,
            into: &d.pointee.output, &worker.w.pointee.buffers)
        d.pointee.filters.bytesSent &+= UInt64(x.pointee.replyBody.count)
        d.pointee.responseEnded = true
    }

    /// The last outcome was given: the exchange's memory is free, and the connection goes on or closes.
    private func finished(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        if let upstream = x.pointee.upstream {
            x.pointee.upstream = nil
            Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).cancel()
        }
        let old = x.pointee.chain
        x.pointee.arena.freeAll()
        worker.w.pointee.giveExchange(x)
        d.pointee.exchange = nil
        d.pointee.hasBegun = false
        d.pointee.exchangeDeadline = .distantFuture
        if old != chain { worker.releaseRetiredChains() }
        guard d.pointee.responseEnded else {
            // Cut, or nobody is left to answer.
            d.pointee.machine.abort()
            if d.pointee.state == .open { close() }
            return
        }
        switch d.pointee.machine.responseEnded() {
        case .nextRequest, .drain:
            d.pointee.input.unpin(&worker.w.pointee.buffers)
            awaitUntil(HostLimits.downstreamIdleTime)
        case .close: finish()
        }
    }

    // MARK: Sending

    /// Whether the caller's side has room for more of the response: all that was given before has left.
    var acceptsBody: Bool { d.pointee.output.count < HostLimits.outputMax || d.pointee.state == .closed }

    private func flush() {
        while !d.pointee.output.isEmpty, d.pointee.state == .open || d.pointee.state == .closing {
            let unread = d.pointee.output.unread
            switch d.pointee.transport.write(from: unread.base!, count: unread.count) {
            case .bytes(let count):
                d.pointee.output.drop(count)
                if d.pointee.isStalled { awaitUntil(HostLimits.bodyProgressTime) }
            case .wouldBlock:
                if !d.pointee.isStalled {
                    d.pointee.isStalled = true
                    awaitUntil(HostLimits.bodyProgressTime)
                }
                return
            case .closed, .failed: return gone()
            }
        }
        if d.pointee.isStalled {
            d.pointee.isStalled = false
            if d.pointee.hasBegun { d.pointee.idleDeadline = .distantFuture }
        }
        d.pointee.output.free(&worker.w.pointee.buffers)
    }

    /// After a round of work: what was written leaves, on both sides, and a connection that is done closes.
    func settle() {
        guard d.pointee.state != .closed else { return }
        if let x = d.pointee.exchange, let upstream = x.pointee.upstream {
            Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).flush()
        }
        let hadOutput = !d.pointee.output.isEmpty
        flush()
        switch d.pointee.state {
        case .closing where d.pointee.output.isEmpty: startLingering()
        case .open where hadOutput && d.pointee.output.isEmpty && !d.pointee.hasBegun && (d.pointee.canRead || !d.pointee.input.isEmpty):
            // The next request may be here already.
            worker.w.pointee.loop.runAgain(d.pointee.registration, d.pointee.canRead ? .readable : [])
        case .open, .closing, .sniffing, .handshaking, .lingering, .closed: break
        }
    }

    // MARK: Ends

    /// Closes once everything written has left.
    private func finish() {
        guard d.pointee.state == .open else { return }
        d.pointee.state = .closing
        awaitUntil(HostLimits.bodyProgressTime)
    }

    private func startLingering() {
        d.pointee.transport.finishWriting()
        d.pointee.state = .lingering
        awaitUntil(HostLimits.lingerTime)
        linger()
    }

    /// Reads and drops until the caller closes too: closing with unread bytes would reset the answer away.
    private func linger() {
        let scratch = UnsafeMutableRawPointer(worker.w.pointee.scratch.baseAddress!)
        var rounds = 0
        while rounds < HostLimits.stepsPerTurn {
            switch Socket.read(d.pointee.transport.descriptor, into: scratch, count: worker.w.pointee.scratch.count) {
            case .bytes: rounds += 1
            case .wouldBlock: return
            case .closed, .failed: return close()
            }
        }
        close()
    }

    func close() {
        guard d.pointee.state != .closed else { return }
        let wasOpen = d.pointee.state == .open || d.pointee.state == .closing || d.pointee.state == .lingering
        d.pointee.state = .closed
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(ProxyError(.downstreamGone), at: now)
            perform()
        }
        discardPrepared()
        let worker = self.worker
        if wasOpen, d.pointee.filters.admittedBy != 0 {
            chain.pointee.connectionEnded(Connection(withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }, now: now))
        }
        worker.w.pointee.loop.deregister(d.pointee.registration)
        worker.w.pointee.loop.cancel(d.pointee.timer)
        d.pointee.transport.close()
        d.pointee.next?.pointee.previous = d.pointee.previous
        if let previous = d.pointee.previous {
            previous.pointee.next = d.pointee.next
        } else {
            worker.w.pointee.connections = d.pointee.next
        }
        worker.w.pointee.connectionCount -= 1
        worker.w.pointee.stats.downstreamActive.decrement()
        worker.w.pointee.loop.atEndOfTurn(
            { context, _ in
                let d = context.assumingMemoryBound(to: DownstreamStorage.self)
                d.pointee.input.free(&d.pointee.worker.w.pointee.buffers)
                d.pointee.output.free(&d.pointee.worker.w.pointee.buffers)
                d.deinitialize(count: 1)
                d.deallocate()
            }, UnsafeMutableRawPointer(d))
    }

    // MARK: Time

    private func awaitUntil(_ wait: Nanoseconds) {
        d.pointee.idleDeadline = now + wait
        armTimer()
    }

    /// One timer per connection, moved only to fire earlier: a later deadline is found when it fires.
    private func armTimer() {
        let deadline = min(d.pointee.idleDeadline, d.pointee.exchangeDeadline)
        guard deadline < d.pointee.timerAt else { return }
        d.pointee.timerAt = deadline
        if !worker.w.pointee.loop.move(d.pointee.timer, to: deadline) {
            d.pointee.timer = worker.w.pointee.loop.arm(at: deadline, Self.onTimer, UnsafeMutableRawPointer(d))
        }
    }

    /// A filter's decision came from elsewhere.
    func resume(_ x: UnsafeMutablePointer<ExchangeStorage>, generation: UInt32, _ verdict: RequestVerdict) -> Bool {
        guard d.pointee.hasBegun, d.pointee.exchange == x else { return false }
        guard ChainRun(x).resume(generation: generation, verdict, at: now) else { return false }
        perform()
        if d.pointee.exchange == x, let upstream = x.pointee.upstream {
            Upstream(upstream.assumingMemoryBound(to: UpstreamStorage.self)).receive()
        }
        pump()
        return true
    }

    private func timeOut() {
        d.pointee.timer = .none
        d.pointee.timerAt = .distantFuture
        if d.pointee.exchangeDeadline <= now, d.pointee.hasBegun, let x = d.pointee.exchange {
            d.pointee.exchangeDeadline = .distantFuture
            ChainRun(x).timer(at: now)
            perform()
            settle()
        }
        guard d.pointee.state != .closed else { return }
        if d.pointee.idleDeadline <= now {
            d.pointee.idleDeadline = .distantFuture
            idled()
        }
        if d.pointee.state != .closed { armTimer() }
    }

    private func idled() {
        switch d.pointee.state {
        case .sniffing, .handshaking:
            worker.w.pointee.stats.timeouts.increment()
            close()
        case .closing, .lingering: close()
        case .closed: break
        case .open where d.pointee.isStalled:
            worker.w.pointee.stats.timeouts.increment()
            gone()
        case .open where d.pointee.hasBegun && !wantsInput:
            // It is the service that does not take the body: the stages' deadlines are for that.
            awaitUntil(HostLimits.bodyProgressTime)
        case .open:
            switch d.pointee.machine.awaits {
            case .request: close()
            case .nothing: break
            case .restOfHead, .body:
                worker.w.pointee.stats.timeouts.increment()
                answerAndFinish(408, Bytes("request incomplete in time"), ProxyError(.downstreamTimedOut))
                settle()
            }
        }
    }
}

extension Upstream {
    func sendTrailer(_ trailer: BodyStep.Trailer, in bytes: Bytes) {
        guard !u.pointee.writeFailed, u.pointee.sendsChunks else { return }
        if !u.pointee.wroteTrailers { u.pointee.output.append(Bytes("0\r\n"), &u.pointee.worker.w.pointee.buffers) }
        u.pointee.wroteTrailers = true
        BodyEncoding.trailer(trailer, in: bytes, to: &u.pointee.output, &u.pointee.worker.w.pointee.buffers)
    }
}
