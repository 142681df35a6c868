internal import Pipeline

/// One connection of a caller. Plain data, confined to its loop; `Downstream` is the pointer with the verbs.
struct DownstreamStorage {
    enum State: UInt8 {
        /// Waiting for the PROXY header with which a trusted proxy begins.
        case introducing
        /// Waiting for the first byte to tell TLS from plaintext.
        case sniffing
        /// It is TLS, and others are first (`HandshakeQueue`).
        case waiting
        case handshaking
        case open
        /// The last answer is on its way out; then the connection closes.
        case closing
        /// Everything is out and our direction is finished: what the caller still sends is read and dropped, so that no reset
        /// destroys the answer.
        case lingering
        case closed

        /// Whether it is known if TLS is spoken, and with whom.
        var isSecureOrPlain: Bool { rawValue >= Self.open.rawValue }
    }

    // In the order that leaves no gaps: tens of thousands of these may idle.
    let worker: Worker
    var transport: Transport
    let wayIn: Listening.Kind
    /// It carries a raw stream, not HTTP.
    var isStream: Bool
    /// The application behind is told where the caller is, in a PROXY header.
    let sendsProxyHeader: Bool
    var state = State.open
    var canRead = false
    /// The caller finished sending: its last bytes and the end came, or will come, without another edge.
    var endIsNear = false
    /// Its address is one of those that may say where requests came from.
    var isTrustedProxy = false
    /// Whoever connects is taken as it comes: no TLS, no identity.
    var isPlain = false
    /// The caller does not take what is written.
    var isStalled = false
    /// It finished sending without a word: see `leave`.
    var isLeaving = false
    /// The exchange has begun: its head is complete.
    var hasBegun = false
    var responseEnded = false
    /// An exchange ended: the next request may be here already, and no event will tell of it.
    var resumesInput = false
    /// The caller asked for this to be the last answer and has sent all of its request: nothing can be unread.
    var isOverByWish = false
    /// The body goes to the caller in chunks of our own; or not at all (HEAD).
    var sendsChunks = false
    var omitsBody = false
    var wroteTrailers = false
    /// Waits for the end of the turn to send; `nextToSettle` waits behind it.
    var settlesLater = false
    var speaksHTTP2 = false
    var tunnel = TunnelSide()
    let listener: Int32
    var trustEpoch: UInt32
    var registration = EventLoop.Registration.none
    var timer = Timer.none
    var timerAt = Instant.distantFuture
    /// What the runner asked for, and what the connection itself waits for.
    var exchangeDeadline = Instant.distantFuture
    var idleDeadline = Instant.distantFuture
    var counted = CountedConnection()
    var machine = ServerMachine()
    /// The caller's, beside `filters.caller`.
    var callerPort: UInt16 = 0
    var input = IOBuffer()
    var output = IOBuffer()
    var filters = ConnectionStorage()
    /// Under way; of a connection that speaks HTTP/2, the memory that its next stream will take.
    var exchange: UnsafeMutablePointer<ExchangeStorage>?
    /// Where the heads of a tunnel's exchange stand; of a raw stream, what is counted of its pair (`StreamCounters`); of a connection that
    /// speaks HTTP/2, all of that (`http2`).
    var tunnelMemory: UnsafeMutableRawPointer?
    var nextToSettle: UnsafeMutablePointer<DownstreamStorage>?
    /// Neighbours in the worker's list.
    var next: UnsafeMutablePointer<DownstreamStorage>?
    var previous: UnsafeMutablePointer<DownstreamStorage>?

    @inline(__always)
    var isInbound: Bool { wayIn == .inbound }
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
    var now: Instant { worker.w.pointee.loop.now }

    // MARK: Opening

    static func accept(_ descriptor: Int32, from peer: SocketAddress, on listening: Listening, _ worker: Worker) {
        guard worker.w.pointee.connectionCount < worker.w.pointee.bounds.downstreamMax, !worker.w.pointee.buffers.isExhausted else {
            worker.w.pointee.stats.downstreamRefused.increment()
            return Descriptor.close(descriptor)
        }
        let d = UnsafeMutablePointer<DownstreamStorage>.allocate(capacity: 1)
        let spoken = worker.w.pointee.spoken(on: listening)
        d.initialize(
            to: DownstreamStorage(
                worker: worker, transport: Transport(plain: descriptor), wayIn: listening.kind, isStream: spoken == .tcp,
                sendsProxyHeader: listening.sendsProxyHeader, listener: listening.index, trustEpoch: worker.w.pointee.trustEpoch))
        do {
            d.pointee.registration = try worker.w.pointee.loop.register(descriptor, onEvent, UnsafeMutableRawPointer(d))
        } catch {
            worker.w.pointee.stats.downstreamRefused.increment()
            Descriptor.close(descriptor)
            d.deallocate()
            return
        }
        d.pointee.filters.openedAt = worker.w.pointee.loop.now
        d.pointee.filters.isStream = d.pointee.isStream
        d.pointee.filters.isDetecting = spoken == .auto
        d.pointee.filters.servicePort = listening.servicePort
        d.pointee.filters.application = listening.application
        let caller = peer.caller
        // The application's own address says nothing to anyone on another host.
        if listening.kind == .inbound || !caller.isLoopback { d.pointee.filters.caller = caller }
        for range in listening.trustedProxies where range.contains(caller) { d.pointee.isTrustedProxy = true }
        d.pointee.callerPort = peer.port
        d.pointee.isPlain = listening.isPlain || listening.kind != .inbound
        d.pointee.state = listening.takesProxyHeader && d.pointee.isTrustedProxy ? .introducing : d.pointee.isPlain ? .open : .sniffing
        d.pointee.next = worker.w.pointee.connections
        worker.w.pointee.connections?.pointee.previous = d
        if worker.w.pointee.oldestConnection == nil { worker.w.pointee.oldestConnection = d }
        worker.w.pointee.connections = d
        worker.w.pointee.connectionCount += 1
        worker.w.pointee.stats.downstreamOpened.increment()
        worker.w.pointee.stats.downstreamActive.increment()
        let connection = Downstream(d)
        if d.pointee.isStream {
            // Nothing is waited for where nothing has to be found out: the service may be the one that speaks first.
            if d.pointee.state == .open { return connection.opened() }
            return connection.awaitUntil(connection.firstByteTime)
        }
        connection.awaitUntil(d.pointee.state == .open ? connection.firstRequestTime : worker.w.pointee.bounds.handshakeTime)
    }

    static let onEvent: LoopCallback = { context, word in
        Downstream(context.assumingMemoryBound(to: DownstreamStorage.self)).handle(Readiness(rawValue: word))
    }

    static let onTimer: LoopCallback = { context, _ in
        Downstream(context.assumingMemoryBound(to: DownstreamStorage.self)).timeOut()
    }

    /// For a caller's first byte.
    private var firstByteTime: Nanoseconds {
        let mayBeSilent = d.pointee.isStream && d.pointee.state == .sniffing && worker.w.pointee.acceptsPlaintext
        return mayBeSilent ? worker.w.pointee.bounds.detectTime : worker.w.pointee.bounds.handshakeTime
    }

    /// For the first bytes of an open connection.
    private var firstRequestTime: Nanoseconds {
        d.pointee.filters.isDetecting ? worker.w.pointee.bounds.detectTime : worker.w.pointee.bounds.downstreamIdleTime
    }

    // MARK: Events

    func handle(_ readiness: Readiness) {
        if readiness.intersection([.peerFinished, .hungUp, .failed]) != [] { d.pointee.endIsNear = true }
        switch d.pointee.state {
        case .introducing: takeProxyHeader()
        case .sniffing where d.pointee.isStream: sniffStream()
        case .sniffing: sniff()
        // Until its turn nothing is of interest but that nobody is left.
        case .waiting where readiness.intersection([.hungUp, .failed]) != []: close()
        case .waiting: if worker.w.pointee.loop.isEndingTurn { secure() }
        case .handshaking: shakeHands()
        case .open where d.pointee.tunnel.isOpen: Tunnel(d)?.handle(readiness, of: .caller)
        case .open where d.pointee.isStream: streamIsReady(readiness)
        case .open where d.pointee.speaksHTTP2: handleHTTP2(readiness)
        case .open, .closing:
            let directions = d.pointee.transport.directions(for: readiness)
            if directions.read { d.pointee.canRead = true }
            if directions.write { flush() }
            // A reset, or both directions over: nobody is left to answer, whatever the request said about its connection.
            if readiness.intersection([.hungUp, .failed]) != [], d.pointee.state == .open, d.pointee.hasBegun { return gone() }
            if d.pointee.endIsNear, hasLeft() { leave() }
            // The room that was made lets the service's answer go on.
            if directions.write, acceptsBody, let x = d.pointee.exchange { Service(x)?.receive() }
            pump()
            // Its request and its end may have come at once.
            if d.pointee.endIsNear, hasLeft() { leave() }
        case .lingering: linger()
        case .closed: break
        }
    }

    /// Whether the caller of a request that is complete has finished sending, though it had not said so.
    ///
    /// A caller that keeps its connection alive has no reason to half-close it. One that said `Connection: close` may have
    /// finished sending for good and wait for its answer.
    func hasLeft() -> Bool {
        guard d.pointee.state == .open, d.pointee.hasBegun, !d.pointee.isLeaving, let x = d.pointee.exchange, x.pointee.requestEnded,
            x.pointee.request.keepsAlive, d.pointee.input.isEmpty, d.pointee.input.makeRoom(&worker.w.pointee.buffers)
        else { return false }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: d.pointee.input.room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            return false
        case .wouldBlock: return false
        case .closed: return true
        case .failed:
            gone()
            return false
        }
    }

    /// The caller finished sending: if no answer begins soon, it is taken for gone.
    func leave() {
        guard case .finishResponse = d.pointee.machine.receivedEnd() else { return gone() }
        d.pointee.isLeaving = true
        awaitUntil(min(worker.w.pointee.bounds.leaveTime, worker.w.pointee.bounds.bodyProgressTime))
    }

    /// A proxy that the operator named says where the connection came from; nothing of it is believed but addresses. Without the
    /// header, or with one that cannot be read, it is closed: what follows would be taken for the application's bytes.
    private func takeProxyHeader() {
        guard let scratch = worker.w.pointee.scratch.baseAddress else { return close() }
        switch Socket.peek(d.pointee.transport.descriptor, into: scratch, count: min(worker.w.pointee.scratch.count, ProxyHeader.bytesMax)) {
        case .wouldBlock: return
        case .closed, .failed: return close()
        case .bytes(let seen):
            switch ProxyHeader.read(Bytes(scratch, count: seen)) {
            case .needMore: if d.pointee.endIsNear { close() }
            case .malformed:
                worker.w.pointee.stats.protocolErrors.increment()
                worker.logStream("a connection from \(d.pointee.callerText), a trusted proxy, does not begin with a PROXY header of version 2")
                close()
            case .header(let header, let count):
                guard case .bytes(count) = Socket.read(d.pointee.transport.descriptor, into: scratch, count: count) else { return close() }
                if !header.source.isNone {
                    d.pointee.filters.caller = header.source
                    d.pointee.callerPort = header.sourcePort
                }
                introduced()
            }
        }
    }

    /// The connection's own bytes begin.
    private func introduced() {
        d.pointee.state = d.pointee.isPlain ? .open : .sniffing
        if d.pointee.isPlain { return opened() }
        awaitUntil(firstByteTime)
        if d.pointee.isStream { sniffStream() } else { sniff() }
    }

    func sniff() {
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
        case .tls: secure()
        }
    }

    /// TLS begins, or waits for its turn.
    func secure() {
        guard worker.w.pointee.handshakes.takes(d.pointee.registration, on: worker.w.pointee.loop, UnsafeMutableRawPointer(worker.w)) else {
            worker.w.pointee.stats.handshakesDelayed.increment()
            d.pointee.state = .waiting
            return
        }
        let tls = d.pointee.isStream ? worker.w.pointee.streamServerTLS : worker.w.pointee.serverTLS
        guard let secured = tls?.accept(d.pointee.transport.descriptor) else {
            worker.w.pointee.stats.handshakeFailures.increment()
            return close()
        }
        d.pointee.transport = secured
        d.pointee.state = .handshaking
        shakeHands()
    }

    func shakeHands() {
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
            if d.pointee.isStream, !d.pointee.transport.speaks(Self.streamProtocol) {
                worker.w.pointee.stats.handshakeFailures.increment()
                return refuseStream("TLS without ALPN weft-tcp")
            }
            if let identity = d.pointee.transport.peerIdentity { d.pointee.filters.peer = Peers.record(of: identity.id, worker.w.pointee.context.labels) }
            countForPair()
            opened()
        }
    }

    /// A connection counts for a pair once its caller has proved who it is.
    func countForPair() {
        guard d.pointee.isInbound, d.pointee.state != .closed, let peer = d.pointee.filters.peer else { return }
        let own = worker.w.pointee.own
        let pair = ConnectionPair(
            reporter: .destination, source: peer.pointee.serviceLabel, destination: own.service, version: own.version)
        d.pointee.counted.count(under: pair, worker)
    }

    /// The peer is known: the connection phase runs, then requests may come.
    func opened() {
        d.pointee.state = .open
        if d.pointee.transport.isTLS, !d.pointee.isStream {
            if d.pointee.transport.speaks(Self.streamProtocol) { return takeAsStream() }
            // What two sidecars agreed on needs no look.
            d.pointee.filters.isDetecting = false
        }
        // The connection phase asks what it is.
        guard d.pointee.filters.isDetecting || admitted() else { return }
        if d.pointee.isStream { return beginStream() }
        if d.pointee.transport.speaks(Self.http2Protocol) { return beginHTTP2() }
        awaitUntil(firstRequestTime)
        d.pointee.canRead = true
        pump()
    }

    var chain: UnsafeMutablePointer<Chain> {
        d.pointee.isInbound ? worker.w.pointee.inbound : worker.w.pointee.outbound
    }

    /// Runs the connection phase of the chain that is current, once per chain; false if the connection was refused.
    func admitted() -> Bool {
        let generation = chain.pointee.generation
        guard d.pointee.filters.admittedBy != generation else { return true }
        let connection = Connection(withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }, now: now)
        if case .refuse(let reason) = chain.pointee.admit(connection) {
            if d.pointee.isStream {
                refuseStream(reason)
                return false
            }
            worker.w.pointee.stats.downstreamRefused.increment()
            close()
            return false
        }
        d.pointee.filters.admittedBy = generation
        return true
    }
}
