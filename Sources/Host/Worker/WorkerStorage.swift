internal import Pipeline

/// Everything one event loop of the data path owns. Touched by its thread alone.
struct WorkerStorage: ~Copyable {
    let loop: EventLoop
    let index: Int
    let context: BuildContext
    let ring: UnsafeMutablePointer<ActionRing>
    let blocks: UnsafeMutablePointer<BlockPool>
    /// Where a head parser writes a canonical target before it is known whether it is needed.
    let scratch: UnsafeMutableBufferPointer<UInt8>
    /// Where the text of field blocks is decoded to.
    let fieldScratch = HTTP2Machine.Scratch()
    let stats: WorkerStats
    /// How this process calls itself in `via`, by direction.
    let inboundHop: HopName
    let outboundHop: HopName

    let bounds: Bounds
    var buffers: BufferPool
    var exchangeSlots: [ExchangeSlot] = []
    /// Last used first, so that warm memory is used again.
    var freeSlots: [UInt32] = []

    var inbound: UnsafeMutablePointer<Chain>
    var outbound: UnsafeMutablePointer<Chain>
    /// Chains that are no longer current and still have users.
    var retired: [UnsafeMutablePointer<Chain>] = []

    /// By endpoint label.
    var pools: [UnsafeMutablePointer<UpstreamPool>?] = []
    /// By listener: the index of its service in the current snapshot; -1 if the snapshot lacks it.
    var serviceIndex: [Int32] = []
    /// By listener: what that service is called with.
    var listenerProtocols: [PortProtocol] = []
    /// What the application behind the inbound port speaks.
    var applicationProtocol = PortProtocol.http

    var listeners: [(Listening.Kind, Listener)] = []
    var serverTLS: TLSContext?
    var clientTLS: TLSContext?
    /// For calls that share a connection: offers HTTP/2 before HTTP/1.
    var sharedClientTLS: TLSContext?
    /// The same for raw streams, which other sidecars must not take for HTTP.
    var streamServerTLS: TLSContext?
    var streamClientTLS: TLSContext?
    /// Grows when trust or identity changes: connections made before close at their next request.
    var trustEpoch: UInt32 = 0
    var acceptsPlaintext = false
    var own = OwnLabels()
    /// Inbound requests are answered with `Connection: close`, so that callers leave.
    var isDraining = false

    /// This loop's cells of the gauges of open connections; as many as pairs that were ever connected.
    var connectionGauges: [ConnectionPair: Gauge] = [:]
    var streamCounters: [ConnectionPair: UnsafeMutablePointer<StreamCounters>] = [:]

    /// Where refused streams are told of; nil: nowhere.
    let log: SidecarLog?
    var streamLines = 0
    var streamLinesDropped = 0
    var streamLinesUntil = Instant.zero

    /// Every downstream connection, newest first.
    var connections: UnsafeMutablePointer<DownstreamStorage>?
    /// The other end of that list.
    var oldestConnection: UnsafeMutablePointer<DownstreamStorage>?
    var connectionCount = 0
    /// Of these, how many are one end of a tunnel.
    var tunnelCount = 0
    /// Connections whose handshake begins in a later turn.
    var handshakes = HandshakeQueue()
    /// Connections with something to send once this turn's events have been looked at, first come first.
    var firstToSettle: UnsafeMutablePointer<DownstreamStorage>?
    var lastToSettle: UnsafeMutablePointer<DownstreamStorage>?

    init(
        loop: EventLoop, index: Int, context: BuildContext, hops: (inbound: HopName, outbound: HopName), bounds: Bounds,
        inbound: UnsafeMutablePointer<Chain>, outbound: UnsafeMutablePointer<Chain>, log: SidecarLog? = nil
    ) {
        self.log = log
        self.loop = loop
        self.index = index
        self.context = context
        inboundHop = hops.inbound
        outboundHop = hops.outbound
        self.bounds = bounds
        buffers = BufferPool(budget: bounds.memoryMax)
        self.inbound = inbound
        self.outbound = outbound
        ring = .allocate(capacity: 1)
        ring.initialize(to: ActionRing())
        blocks = .allocate(capacity: 1)
        blocks.initialize(to: BlockPool())
        scratch = .allocate(capacity: HTTP1Limits.targetBytesMax)
        stats = WorkerStats(context.stats, loop: index)
    }

    deinit {
        ring.deinitialize(count: 1)
        ring.deallocate()
        blocks.deinitialize(count: 1)
        blocks.deallocate()
        scratch.deallocate()
        fieldScratch.free()
        handshakes.free()
        for slot in exchangeSlots { slot.block?.deallocate() }
    }

    func clientTLS(for spoken: Upstream.Spoken) -> TLSContext? {
        switch spoken {
        case .http1: clientTLS
        case .http2: sharedClientTLS
        case .rawStream: streamClientTLS
        }
    }

    /// What is spoken on the port through which a caller comes in.
    func spoken(on listening: Listening) -> PortProtocol {
        switch listening.kind {
        case .inbound: listening.isStream ? .tcp : applicationProtocol
        case .proxy: .http
        case .service: Int(listening.index) < listenerProtocols.count ? listenerProtocols[Int(listening.index)] : .http
        }
    }

    // MARK: Exchange memory

    /// Exchanges kept for reuse; about 6 KiB each.
    private static let freeExchangesMax = 512

    /// Memory for an exchange and the slot it is found under by a `ResumeToken`.
    mutating func takeExchange() -> (memory: ExchangeMemory, slot: UInt32) {
        if let slot = freeSlots.popLast() {
            let block = exchangeSlots[Int(slot)].block ?? .allocate(byteCount: ExchangeMemory.byteCount, alignment: 16)
            exchangeSlots[Int(slot)].block = block
            exchangeSlots[Int(slot)].isLive = true
            return (ExchangeMemory(block: block), slot)
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: ExchangeMemory.byteCount, alignment: 16)
        exchangeSlots.append(ExchangeSlot(block: block, isLive: true))
        return (ExchangeMemory(block: block), UInt32(exchangeSlots.count - 1))
    }

    mutating func giveExchange(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let slot = Int(x.pointee.slot)
        // Tokens of this exchange must not fit the next one.
        exchangeSlots[slot].generation = x.pointee.suspendGeneration &+ 1
        exchangeSlots[slot].isLive = false
        if freeSlots.count >= Self.freeExchangesMax {
            exchangeSlots[slot].block?.deallocate()
            exchangeSlots[slot].block = nil
        }
        freeSlots.append(UInt32(slot))
    }
}

/// One exchange's memory, and the generation its next user goes on counting from.
struct ExchangeSlot {
    var block: UnsafeMutableRawPointer?
    var generation: UInt32 = 0
    var isLive = false
}

/// What the data path counts below the chain: bytes that never became a request, connections, handshakes.
struct WorkerStats {
    let downstreamOpened: Counter
    let downstreamActive: Gauge
    let downstreamRefused: Counter
    let protocolErrors: Counter
    let handshakeFailures: Counter
    let handshakesDelayed: Counter
    let plaintextAccepted: Counter
    let plaintextRefused: Counter
    let upstreamOpened: Counter
    let upstreamActive: Gauge
    let upstreamConnectFailed: Counter
    let upstreamStale: Counter
    let timeouts: Counter
    let staleResumes: Counter
    /// For want of descriptors: newcomers closed at once, and idle connections closed for them.
    let acceptShed: Counter
    let idleShed: Counter
    let memoryShed: Counter
    let tunnelActive: Gauge
    let tunnelBytesReceived: Counter
    let tunnelBytesSent: Counter
    private let tunnelsCompleted: Counter
    private let tunnelsLeft: Counter
    private let tunnelsFailed: Counter
    private let tunnelsIdle: Counter
    private let tunnelsRevoked: Counter
    private let tunnelsShutDown: Counter
    let detectedHTTP1: Counter
    let detectedHTTP2: Counter
    /// Other people's, on its way to the application as it is.
    let detectedTLS: Counter
    let detectedOther: Counter
    let detectedSilence: Counter

    init(_ stats: StatsRegistry, loop: Int) {
        downstreamOpened = stats.counter("weft_downstream_connections_total", "Connections accepted from callers.", loop: loop)
        downstreamActive = stats.gauge("weft_downstream_connections", "Connections of callers that are open.", loop: loop)
        downstreamRefused = stats.counter(
            "weft_downstream_refused_total", "Connections closed at once: over a limit, or refused by a filter.", loop: loop)
        protocolErrors = stats.counter(
            "weft_downstream_protocol_errors_total", "Requests that were no valid HTTP and were refused.", loop: loop)
        handshakeFailures = stats.counter("weft_tls_handshake_failures_total", "TLS handshakes of callers that failed.", loop: loop)
        handshakesDelayed = stats.counter(
            "weft_tls_handshakes_delayed_total", "TLS handshakes of callers that began in a later turn of the loop, because others were first.", loop: loop)
        plaintextAccepted = stats.counter("weft_plaintext_accepted_total", "Plaintext connections let in (permissive).", loop: loop)
        plaintextRefused = stats.counter("weft_plaintext_refused_total", "Plaintext connections refused (strict).", loop: loop)
        upstreamOpened = stats.counter("weft_upstream_connections_total", "Connections opened to endpoints.", loop: loop)
        upstreamActive = stats.gauge("weft_upstream_connections", "Connections to endpoints that are open.", loop: loop)
        upstreamConnectFailed = stats.counter(
            "weft_upstream_connect_failures_total", "Connections to endpoints that failed or took too long.", loop: loop)
        upstreamStale = stats.counter(
            "weft_upstream_stale_total", "Requests moved to a new connection because a pooled one had gone stale.", loop: loop)
        staleResumes = stats.counter(
            "weft_stale_resumes_total", "Decisions of filters that came after their exchange had ended.", loop: loop)
        acceptShed = stats.counter(
            "weft_downstream_shed_total", "Connections closed at once for want of file descriptors.", loop: loop)
        idleShed = stats.counter("weft_idle_shed_total", "Idle connections closed for want of file descriptors.", loop: loop)
        memoryShed = stats.counter(
            "weft_memory_shed_total", "Requests refused because the buffers of their loop are used up.", loop: loop)
        tunnelActive = stats.gauge("weft_tunnels", "Tunnels (WebSocket and other upgrades) and TCP connections that are open.", loop: loop)
        tunnelBytesReceived = stats.counter("weft_tunnel_received_bytes_total", "Bytes of tunnels from callers to services.", loop: loop)
        tunnelBytesSent = stats.counter("weft_tunnel_sent_bytes_total", "Bytes of tunnels from services to callers.", loop: loop)
        let ended = { (why: String) in
            stats.counter(
                "weft_tunnels_ended_total", "Tunnels that are over: both ends finished, one broke off, or why the sidecar cut them.",
                labels: [StatsRegistry.Label("why", why)], loop: loop)
        }
        tunnelsCompleted = ended("finished")
        tunnelsLeft = ended("caller")
        tunnelsFailed = ended("service")
        tunnelsIdle = ended("idle")
        tunnelsRevoked = ended("policy")
        tunnelsShutDown = ended("shutdown")
        let detected = { (what: String) in
            stats.counter(
                "weft_downstream_detected_total", "Connections to ports that declare no protocol, by what their first bytes were.",
                labels: [StatsRegistry.Label("protocol", what)], loop: loop)
        }
        detectedHTTP1 = detected("http1")
        detectedHTTP2 = detected("http2")
        detectedTLS = detected("tls")
        detectedOther = detected("tcp")
        detectedSilence = detected("silence")
        timeouts = stats.counter("weft_downstream_timeouts_total", "Connections closed because the caller was too slow.", loop: loop)
    }

    func tunnelEnded(_ error: ProxyError?) {
        switch error?.kind {
        case nil: tunnelsCompleted.increment()
        case .downstreamGone: tunnelsLeft.increment()
        case .tunnelIdle: tunnelsIdle.increment()
        case .accessRevoked: tunnelsRevoked.increment()
        case .shuttingDown: tunnelsShutDown.increment()
        default: tunnelsFailed.increment()
        }
    }
}
