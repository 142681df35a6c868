internal import Pipeline

/// Where callers come in: one listener of one loop.
struct Listening: Sendable {
    enum Kind: Sendable, Equatable { case inbound, proxy, service }

    let kind: Kind
    /// Among the sidecar's listeners.
    let index: Int32
    /// An inbound port that takes plaintext as it comes: no identity, no TLS (local files without certificates).
    let isPlain: Bool
    /// Whose word about earlier hops counts although they prove no identity.
    var trustedProxies: [AddressRange] = []
    /// An inbound port of raw streams, for this port of the service and the application behind it.
    var isStream = false
    var servicePort: UInt16 = 0
    var application = EndpointDirectory.application
    /// Trusted proxies begin with a PROXY header.
    var takesProxyHeader = false
    /// The application is sent one.
    var sendsProxyHeader = false
}

/// One event loop of the data path: its chains, connections and pools. The pointer with the verbs; lives on its loop's
/// thread alone.
struct Worker: BitwiseCopyable {
    let w: UnsafeMutablePointer<WorkerStorage>

    // MARK: Pools

    /// The connections to an endpoint; nil if its address cannot be reached by this process.
    func pool(of label: Int32) -> UnsafeMutablePointer<UpstreamPool>? {
        let index = Int(label)
        guard index >= 0 else { return nil }
        if index < w.pointee.pools.count, let pool = w.pointee.pools[index] { return pool }
        guard let record = w.pointee.context.endpoints.record(of: label), let address = SocketAddress(record.address) else { return nil }
        var expected: ExpectedPeer?
        if let identity = record.identity {
            guard let id = try? SPIFFEID(identity) else { return nil }
            expected = ExpectedPeer([id], endpoint: record.address)
        }
        return add(label, UpstreamPool(address: address, expected: expected, spoken: record.spoken))
    }

    /// The application that the inbound port stands in front of.
    func setApplication(_ address: SocketAddress, spoken: EndpointDirectory.HTTPVersion) {
        _ = add(EndpointDirectory.application, UpstreamPool(address: address, expected: nil, spoken: spoken))
    }

    private func add(_ label: Int32, _ pool: consuming UpstreamPool) -> UnsafeMutablePointer<UpstreamPool> {
        let index = Int(label)
        while w.pointee.pools.count <= index { w.pointee.pools.append(nil) }
        let memory = UnsafeMutablePointer<UpstreamPool>.allocate(capacity: 1)
        memory.initialize(to: pool)
        w.pointee.pools[index] = memory
        return memory
    }

    // MARK: Snapshots

    /// What a loop swaps in at once.
    struct Update: @unchecked Sendable {
        let inbound: UnsafeMutablePointer<Chain>
        let outbound: UnsafeMutablePointer<Chain>
        let serviceIndex: [Int32]
        /// As `serviceIndex`: what is spoken there.
        let listenerProtocols: [PortProtocol]
        let applicationProtocol: PortProtocol
        let acceptsPlaintext: Bool
        let own: OwnLabels
    }

    /// Makes new chains current. Exchanges in flight end on theirs; every connection repeats the connection phase at its
    /// next request.
    func swap(_ update: Update) {
        retire(w.pointee.inbound)
        retire(w.pointee.outbound)
        w.pointee.inbound = update.inbound
        w.pointee.outbound = update.outbound
        w.pointee.serviceIndex = update.serviceIndex
        w.pointee.listenerProtocols = update.listenerProtocols
        w.pointee.applicationProtocol = update.applicationProtocol
        rename(update.own)
        pool(of: EndpointDirectory.application)?.pointee.spoken = .init(update.applicationProtocol)
        let goesStrict = w.pointee.acceptsPlaintext && !update.acceptsPlaintext
        w.pointee.acceptsPlaintext = update.acceptsPlaintext
        if goesStrict, (w.pointee.serverTLS ?? w.pointee.streamServerTLS) != nil {
            cutTunnels(ProxyError(.accessRevoked), because: "the mesh takes no plaintext any more") {
                $0.d.pointee.isInbound && !$0.d.pointee.filters.isTLS
            }
            closeConnections { $0.pointee.isInbound && $0.pointee.state.isSecureOrPlain && !$0.pointee.filters.isTLS }
        }
        reviewTunnels()
        releaseRetiredChains()
        closeOldest()
    }

    /// New keys or roots: what was agreed under the old ones serves no further request of ours, and a caller's only if it
    /// would still be let in, which its next request asks (`Downstream.begin`).
    ///
    /// So nobody is cut off who is still trusted: closing an idle connection from the called side would race with a request
    /// that is on its way, and a POST lost in that race is lost for good. The calling side closes its own without a race.
    func setTLS(
        server: TLSContext?, client: TLSContext?, sharedClient: TLSContext?, streamServer: TLSContext?, streamClient: TLSContext?, trustChanged: Bool
    ) {
        w.pointee.serverTLS = server
        w.pointee.clientTLS = client
        w.pointee.sharedClientTLS = sharedClient
        w.pointee.streamServerTLS = streamServer
        w.pointee.streamClientTLS = streamClient
        guard trustChanged else { return }
        w.pointee.trustEpoch &+= 1
        for pool in w.pointee.pools {
            guard let pool, pool.pointee.expected != nil else { continue }
            while let idle = pool.pointee.idle { Upstream(idle).close() }
            Upstream.closeIdleShared(of: pool)
        }
        // Tunnels make no next request: they are asked at once.
        cutTunnels(ProxyError(.accessRevoked), because: "the trust it was opened under is gone") { tunnel in
            let isStream = tunnel.d.pointee.isStream
            return !isTrusted(tunnel.d.pointee.transport, by: isStream ? streamServer : server)
                || !isTrusted(tunnel.u.pointee.transport, by: isStream ? streamClient : client)
        }
    }

    private func isTrusted(_ transport: Transport, by context: TLSContext?) -> Bool {
        !transport.isTLS || context?.trusts(peerOf: transport) == true
    }

    private func retire(_ chain: UnsafeMutablePointer<Chain>) {
        if chain.pointee.users == 0 {
            ChainBuilder.release(chain)
        } else {
            w.pointee.retired.append(chain)
        }
    }

    func releaseRetiredChains() {
        w.pointee.retired.removeAll { chain in
            guard chain.pointee.users == 0 else { return false }
            ChainBuilder.release(chain)
            return true
        }
    }

    /// A loop keeps so many old chains and no more: what still runs on the oldest is cut.
    private func closeOldest() {
        while w.pointee.retired.count > HostLimits.retiredChainsMax, let oldest = w.pointee.retired.first {
            cutTunnels(ProxyError(.shuttingDown), because: "too many config changes since it was opened") {
                $0.x.pointee.chain == oldest
            }
            closeConnections { Downstream($0).uses(oldest) }
            releaseRetiredChains()
            if w.pointee.retired.first == oldest { break }
        }
    }

    private func closeConnections(_ matches: (UnsafeMutablePointer<DownstreamStorage>) -> Bool) {
        var next = w.pointee.connections
        while let d = next {
            next = d.pointee.next
            if matches(d) { Downstream(d).close() }
        }
    }

    // MARK: Tunnels

    /// Tunnels outlive the policies they were opened under: the new ones decide anew.
    private func reviewTunnels() {
        forEachTunnel { tunnel in
            let downstream = Downstream(tunnel.d)
            // Services have other places in the new snapshot.
            tunnel.x.pointee.wayIn = downstream.wayIn
            if !ChainRun(tunnel.x).review(under: downstream.chain, at: w.pointee.loop.now) { Caller(tunnel.x).perform(tunnel.x) }
        }
    }

    func cutTunnels(_ error: ProxyError, because reason: Reason, _ matches: (Tunnel) -> Bool) {
        forEachTunnel { if matches($0) { $0.cut(error, because: reason) } }
    }

    /// Also those whose caller's end is a stream: to be asked and cut, not to be relayed.
    private func forEachTunnel(_ body: (Tunnel) -> Void) {
        guard w.pointee.tunnelCount > 0 else { return }
        var next = w.pointee.connections
        while let d = next {
            next = d.pointee.next
            if let tunnel = Tunnel(d) { body(tunnel) }
            // From the end: what is cut leaves the table, and another may take its place.
            var index = Downstream(d).http2?.pointee.live ?? 0
            while index > 0 {
                index -= 1
                guard let h = Downstream(d).http2, index < h.pointee.live else { continue }
                let stream = ServerStream(h.pointee.streams + h.pointee.machine.streams.place(at: index))
                if let tunnel = StreamTunnel(stream) { body(Tunnel(d, tunnel.u, tunnel.x)) }
            }
        }
    }

    // MARK: Shedding

    /// Out of descriptors: closes idle connections, those to endpoints first, then the callers' that have been there longest.
    @discardableResult
    func shedIdle() -> Int {
        var left = HostLimits.shedPerExhaustion
        for pool in w.pointee.pools {
            guard let pool else { continue }
            while left > 0, let idle = pool.pointee.idle {
                Upstream(idle).close()
                left -= 1
            }
            left -= Upstream.closeIdleShared(of: pool)
        }
        var looks = HostLimits.shedPerExhaustion * 8
        var next = w.pointee.oldestConnection
        while left > 0, looks > 0, let d = next {
            next = d.pointee.previous
            looks -= 1
            guard d.pointee.state == .open, Downstream(d).inFlight == 0, d.pointee.input.isEmpty, d.pointee.output.isEmpty else { continue }
            Downstream(d).close()
            left -= 1
        }
        w.pointee.stats.idleShed.add(UInt64(HostLimits.shedPerExhaustion - left))
        return HostLimits.shedPerExhaustion - left
    }

    // MARK: Resuming

    /// A decision for an exchange that a filter suspended.
    func resume(_ token: ResumeToken, _ verdict: RequestVerdict) {
        let slot = Int(token.slot)
        guard slot < w.pointee.exchangeSlots.count, w.pointee.exchangeSlots[slot].isLive,
            let block = w.pointee.exchangeSlots[slot].block
        else { return w.pointee.stats.staleResumes.increment() }
        let x = ExchangeMemory(block: block).storage
        if !Caller(x).resume(x, generation: token.generation, verdict) { w.pointee.stats.staleResumes.increment() }
    }

    // MARK: Drain

    /// Inbound callers are asked to leave with their next answer; idle ones are closed.
    func drainInbound() {
        w.pointee.isDraining = true
        closeConnections {
            $0.pointee.isInbound && $0.pointee.state == .open && !$0.pointee.hasBegun && !$0.pointee.speaksHTTP2 && $0.pointee.input.isEmpty
        }
        // Answers under way say goodbye too, so that no caller sends a next request into a port that is about to go.
        var next = w.pointee.connections
        while let d = next {
            next = d.pointee.next
            guard d.pointee.isInbound else { continue }
            d.pointee.machine.closeSoon()
            Downstream(d).announceEnd()
        }
    }

    /// Exchanges under way, of callers or of the application.
    func inFlight(inbound: Bool) -> Int {
        var count = 0
        var next = w.pointee.connections
        while let d = next {
            if d.pointee.isInbound == inbound { count += Downstream(d).inFlight }
            next = d.pointee.next
        }
        return count
    }

    func closeAll() {
        closeConnections { _ in true }
        for pool in w.pointee.pools {
            guard let pool else { continue }
            while let idle = pool.pointee.idle { Upstream(idle).close() }
            while let shared = pool.pointee.shared { Upstream(shared).fail(ProxyError(.shuttingDown)) }
        }
    }
}
