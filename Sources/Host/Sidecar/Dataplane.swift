package import Pipeline
internal import Synchronization

/// The event loops of a sidecar and what they run on: started once, then fed with snapshots and identities.
///
/// Called from one thread (the sidecar's control loop). Everything that goes to the loops is built here first, so a loop only
/// ever swaps pointers.
package final class Dataplane {
    /// Where callers come in.
    package struct Entrances: Sendable {
        package struct Outbound: Sendable {
            package var service: String
            package var namespace: String
            /// Of the service; nil: its port for http, or its first if it has none.
            package var port: Int?
            package var address: SocketAddress

            package init(service: String, namespace: String, port: Int? = nil, address: SocketAddress) {
                self.service = service
                self.namespace = namespace
                self.port = port
                self.address = address
            }

            /// Where it leads in `services`.
            func index(in services: [TrafficPart.ServiceEntry]) -> Int? {
                let own = services.indices.filter { services[$0].name == service && services[$0].namespace == namespace }
                if let port { return own.first { services[$0].port == port } }
                return own.first { !services[$0].isStream } ?? own.first
            }
        }

        /// A port of the service for raw streams, in front of its application.
        package struct Stream: Sendable {
            package var port: Int
            package var address: SocketAddress
            package var application: SocketAddress
            /// Proxies in front of it that prove no identity.
            package var trustedProxies: [AddressRange] = []
            /// Those begin each connection with a PROXY header of version 2; one that does not is closed.
            package var takesProxyHeader = false
            /// The application is sent one with each connection.
            package var sendsProxyHeader = false

            package init(port: Int, address: SocketAddress, application: SocketAddress) {
                self.port = port
                self.address = address
                self.application = application
            }
        }

        package var inbound: SocketAddress?
        /// The inbound port takes plaintext and knows no identities.
        package var inboundIsPlain = false
        /// Proxies in front of the inbound port that are no peers of the mesh, such as an ingress: what they say about where a
        /// request came from (`x-forwarded-for` and its kin, never identities) is believed and passed on.
        package var trustedProxies: [AddressRange] = []
        /// Those begin each connection with a PROXY header of version 2; one that does not is closed.
        package var inboundTakesProxyHeader = false
        package var proxy: SocketAddress?
        package var outbound: [Outbound] = []
        package var streams: [Stream] = []

        package init() {}
    }

    /// What the entrances became: with the ports the kernel chose.
    package struct Addresses: Sendable {
        package var inbound: SocketAddress?
        package var proxy: SocketAddress?
        /// As in `Entrances.outbound`.
        package var outbound: [SocketAddress] = []
        /// As in `Entrances.streams`.
        package var streams: [SocketAddress] = []
    }

    private struct Loop: Sendable {
        let thread: LoopThread
        let worker: Handle
    }

    /// A worker, touched on its own thread alone.
    private struct Handle: @unchecked Sendable {
        let worker: Worker
    }

    package let context: BuildContext
    package private(set) var addresses = Addresses()
    private let builder: ChainBuilder
    private let entrances: Entrances
    private let hops: (inbound: HopName, outbound: HopName)
    private let bounds: Bounds
    private let log: SidecarLog?
    private var loops: [Loop] = []
    private var generation: UInt64 = 1
    private var snapshot: Snapshot
    /// Draws the seed of each loop's generator; nil: the operating system does.
    private var seeds: Random?

    /// Starts the loops and opens the entrances. Throws what the chain builder or the operating system says; nothing runs then.
    package init(
        workers: Int, entrances: Entrances, application: SocketAddress?, registry: FilterRegistry, snapshot: Snapshot,
        bounds: Bounds = Bounds(), seed: UInt64? = nil, log: SidecarLog? = nil
    ) throws {
        self.log = log
        precondition(workers >= 1 && workers <= StatsRegistry.loopsMax)
        context = BuildContext(loops: workers)
        builder = ChainBuilder(registry: registry, context: context)
        self.entrances = entrances
        self.snapshot = snapshot
        self.bounds = bounds
        seeds = seed.map { Random(seed: $0) }
        let token = String(UInt64.random(in: 0..<(1 << 48)) | 1 << 48, radix: 16).dropFirst()
        hops = (HopName("weft-\(token)-in"), HopName("weft-\(token)-out"))
        do {
            try begin(workers, application)
        } catch {
            stop()
            throw error
        }
    }

    private func begin(_ workers: Int, _ application: SocketAddress?) throws {
        for index in 0..<workers { loops.append(try start(index, application)) }
        let targets = loops
        context.resumer.connect { token, verdict in
            guard Int(token.loop) < targets.count else { return }
            let target = targets[Int(token.loop)]
            target.thread.mailbox.post { _ in target.worker.worker.resume(token, verdict) }
        }
        try open()
    }

    private func start(_ index: Int, _ application: SocketAddress?) throws -> Loop {
        let update = try self.update(for: index)
        let context = self.context, hops = self.hops, bounds = self.bounds, log = self.log
        let started = Rendezvous<Handle>()
        let seed = seeds?.next()
        let thread = try LoopThread(
            name: "weft-\(index)",
            prepare: { loop in
                if let seed { loop.random.pointee = Random(seed: seed) }
                let w = UnsafeMutablePointer<WorkerStorage>.allocate(capacity: 1)
                w.initialize(
                    to: WorkerStorage(
                        loop: loop, index: index, context: context, hops: hops, bounds: bounds, inbound: update.inbound,
                        outbound: update.outbound, log: log))
                w.pointee.listenerProtocols = update.listenerProtocols
                w.pointee.applicationProtocol = update.applicationProtocol
                w.pointee.serviceIndex = update.serviceIndex
                w.pointee.acceptsPlaintext = update.acceptsPlaintext
                w.pointee.own = update.own
                let worker = Worker(w: w)
                if let application { worker.setApplication(application, spoken: .init(update.applicationProtocol)) }
                started.fulfil(Handle(worker: worker))
            })
        return Loop(thread: thread, worker: started.wait())
    }

    private func open() throws {
        var index: Int32 = 0
        addresses.outbound = try entrances.outbound.map { entrance in
            defer { index += 1 }
            return try listen(Listening(kind: .service, index: index, isPlain: true), at: entrance.address)
        }
        if let proxy = entrances.proxy {
            addresses.proxy = try listen(Listening(kind: .proxy, index: index, isPlain: true), at: proxy)
            index += 1
        }
        if let inbound = entrances.inbound {
            addresses.inbound = try listen(
                Listening(kind: .inbound, index: index, isPlain: entrances.inboundIsPlain, trustedProxies: entrances.trustedProxies,
                    takesProxyHeader: entrances.inboundTakesProxyHeader),
                at: inbound)
        }
        addresses.streams = try entrances.streams.map { stream in
            let record = EndpointDirectory.Record(address: stream.application.description, identity: nil)
            guard let application = context.endpoints.label(of: record) else { throw SystemError(0, "too many endpoints") }
            return try listen(
                Listening(
                    kind: .inbound, index: -1, isPlain: entrances.inboundIsPlain, trustedProxies: stream.trustedProxies, isStream: true,
                    servicePort: UInt16(clamping: stream.port), application: application, takesProxyHeader: stream.takesProxyHeader,
                    sendsProxyHeader: stream.sendsProxyHeader), at: stream.address)
        }
    }

    /// One listener per loop on one port; a unix socket has one, on the first loop.
    private func listen(_ listening: Listening, at wanted: SocketAddress) throws -> SocketAddress {
        var address = wanted
        for (number, loop) in loops.enumerated() {
            if number > 0, wanted.family == .unix { break }
            var options = Listener.Options()
            options.sharesPort = loops.count > 1 && wanted.family != .unix
            options.connection.sendBufferBytes = bounds.sendBufferBytes
            options.connection.deadPeerTime = bounds.deadPeerTime
            let result = Rendezvous<Result<SocketAddress, SystemError>>()
            let at = address, handle = loop.worker, chosen = options
            loop.thread.mailbox.post { eventLoop in
                do throws(SystemError) {
                    let worker = handle.worker
                    let listener = try Listener(on: eventLoop, at: at, chosen) { descriptor, peer in
                        Downstream.accept(descriptor, from: peer, on: listening, worker)
                    }
                    listener.onExhausted = {
                        worker.w.pointee.stats.acceptShed.increment()
                        worker.shedIdle()
                    }
                    worker.w.pointee.listeners.append((listening.kind, listener))
                    result.fulfil(.success(listener.address))
                } catch {
                    result.fulfil(.failure(error))
                }
            }
            address = try result.wait().get()
        }
        return address
    }

    // MARK: Changes

    /// Whether this process could run on `snapshot`; the reasons if not.
    package func check(_ snapshot: Snapshot) -> [String] { builder.check(snapshot) }

    /// Makes every loop run on `snapshot`. Throws, and changes nothing, if its chains cannot be built.
    package func apply(_ snapshot: Snapshot) throws(ChainBuilder.Refusal) {
        let previous = self.snapshot
        self.snapshot = snapshot
        generation += 1
        var updates: [Worker.Update] = []
        do throws(ChainBuilder.Refusal) {
            for index in loops.indices { updates.append(try update(for: index)) }
        } catch {
            for update in updates {
                ChainBuilder.release(update.inbound)
                ChainBuilder.release(update.outbound)
            }
            self.snapshot = previous
            throw error
        }
        for (loop, update) in zip(loops, updates) {
            loop.thread.mailbox.post { _ in loop.worker.worker.swap(update) }
        }
    }

    private func update(for index: Int) throws(ChainBuilder.Refusal) -> Worker.Update {
        let inbound = try builder.build(.inbound, from: snapshot, generation: generation, loop: index)
        let outbound: UnsafeMutablePointer<Chain>
        do throws(ChainBuilder.Refusal) {
            outbound = try builder.build(.outbound, from: snapshot, generation: generation, loop: index)
        } catch {
            ChainBuilder.release(inbound)
            throw error
        }
        let services = entrances.outbound.map { $0.index(in: snapshot.traffic.services) }
        return Worker.Update(
            inbound: inbound, outbound: outbound, serviceIndex: services.map { $0.map(Int32.init) ?? -1 },
            listenerProtocols: services.map { index in index.map { snapshot.traffic.services[$0].protocol } ?? .http },
            applicationProtocol: snapshot.traffic.applicationProtocol, acceptsPlaintext: snapshot.access.mtls == .permissive, own: ownLabels())
    }

    private func ownLabels() -> OwnLabels {
        let own = snapshot.traffic.workload
        return OwnLabels(
            service: context.labels.service(own.service, namespace: own.namespace),
            version: own.version.isEmpty ? .none : context.labels.id(own.version))
    }

    /// New keys or roots. `trustChanged`: what was agreed under the old ones serves no further request.
    ///
    /// - Parameters:
    ///   - sharedClient: for calls by HTTP/2; without one they fail.
    ///   - streamServer: for raw streams; without one nobody's are taken.
    ///   - streamClient: for raw streams; without one none reaches another sidecar.
    package func setTLS(
        server: TLSContext?, client: TLSContext?, sharedClient: TLSContext? = nil, streamServer: TLSContext? = nil, streamClient: TLSContext? = nil, trustChanged: Bool
    ) {
        for loop in loops {
            loop.thread.mailbox.post { _ in
                loop.worker.worker.setTLS(
                    server: server, client: client, sharedClient: sharedClient, streamServer: streamServer, streamClient: streamClient, trustChanged: trustChanged)
            }
        }
    }

    // MARK: The end

    /// Stops accepting inbound connections; those that are open are asked to leave. Outbound stays for the application.
    package func drainInbound() {
        for loop in loops {
            loop.thread.mailbox.post { _ in
                let worker = loop.worker.worker
                for (kind, listener) in worker.w.pointee.listeners where kind == .inbound { listener.close() }
                worker.drainInbound()
            }
        }
    }

    /// Tunnels do not end by themselves: those that are open yet have had their time.
    package func cutTunnels(inbound: Bool) {
        for loop in loops {
            loop.thread.mailbox.post { _ in
                loop.worker.worker.cutTunnels(ProxyError(.shuttingDown), because: "the sidecar shuts down") {
                    $0.d.pointee.isInbound == inbound
                }
            }
        }
    }

    /// Inbound requests still being served.
    package func inboundInFlight() -> Int { inFlight(inbound: true) }

    /// Requests of the application still under way.
    package func outboundInFlight() -> Int { inFlight(inbound: false) }

    private func inFlight(inbound: Bool) -> Int {
        loops.map { loop in
            let count = Rendezvous<Int>()
            guard loop.thread.mailbox.post({ _ in count.fulfil(loop.worker.worker.inFlight(inbound: inbound)) }) else { return 0 }
            return count.wait()
        }.reduce(0, +)
    }

    /// Closes everything and ends the threads.
    package func stop() {
        for loop in loops {
            loop.thread.mailbox.post { eventLoop in
                let worker = loop.worker.worker
                for (_, listener) in worker.w.pointee.listeners { listener.close() }
                worker.closeAll()
                eventLoop.stop()
            }
        }
        for loop in loops { loop.thread.join() }
        loops = []
    }
}
