import Filters
public import Pipeline

/// Runs a chain without sockets, clock or chance: requests go in, a fake upstream answers by script, time is virtual.
///
///     let harness = try ChainHarness(#"[{"filter": "ratelimit", "config": {"rules": [{"key": "total", "rate": "1/s"}]}}]"#)
///     #expect(harness.send(.get("/")).status == 200)
///     #expect(harness.send(.get("/")).status == 429)
///     harness.advance(by: .seconds(1))
///     #expect(harness.send(.get("/")).status == 200)
///
/// A chain that names no router gets one at its end. The harness performs the runner's orders as a host would, and stops
/// the test at an order that contradicts an earlier one.
public final class ChainHarness {
    /// Why no chain could be made.
    public struct Refused: Error, CustomStringConvertible {
        public let problems: [String]
        public var description: String { problems.joined(separator: "\n") }
    }

    /// What an attempt meets; called once per attempt with its number over the harness's life, from 0.
    public var upstream: (ForwardedRequest, Int) -> UpstreamBehaviour = { _, _ in .ok }
    public private(set) var now = Instant.zero + .seconds(1)
    /// Attempts of all exchanges so far.
    public private(set) var attempts = 0

    package var world: HarnessWorld
    package let context = BuildContext(loops: 1)
    private let direction: ChainBuilder.Direction
    private let registry: FilterRegistry
    private let memory = HarnessMemory()
    private var random: Random
    private var chain: UnsafeMutablePointer<Chain>
    private var retired: [UnsafeMutablePointer<Chain>] = []
    private var generation: UInt64 = 1
    private var events: [Event] = []
    private var eventNumber = 0
    private var started: UInt32 = 0
    private var peers: [String: UnsafeMutablePointer<PeerRecord>] = [:]
    private var exchanges: [ObjectIdentifier: HarnessExchange] = [:]

    private struct Event {
        enum What {
            case head(Int, [String: String])
            case body(String, isLast: Bool)
            case failure(ProxyError)
            case switched([String: String])
            case connected
            case timer(Int)
        }
        var at: Instant
        var number: Int
        var exchange: HarnessExchange
        /// 0: not bound to an attempt.
        var attempt: Int
        var what: What
    }

    /// - Parameters:
    ///   - stages: A JSON list of stages as a Chain resource has them: names, or `{"filter", "name", "config"}`.
    ///   - inbound: Whether the chain stands in front of the application.
    ///   - filters: Filters beside the standard ones.
    public convenience init(_ stages: String, inbound: Bool = false, adding filters: [any Filter.Type] = [], seed: UInt64 = 1) throws {
        try self.init(stages, inbound: inbound, adding: filters, world: HarnessWorld(own: inbound ? "payment" : "order"), seed: seed)
    }

    package convenience init(
        _ stages: String, inbound: Bool = false, adding filters: [any Filter.Type] = [], world: HarnessWorld, seed: UInt64 = 1
    ) throws {
        let snapshot = try Self.snapshot(stages, inbound ? .inbound : .outbound, world)
        try self.init(snapshot, inbound: inbound, adding: filters, world: world, seed: seed)
    }

    /// - Parameter world: For a later `swap` to other stages alone.
    package init(
        _ snapshot: Snapshot, inbound: Bool = false, adding filters: [any Filter.Type] = [], world: HarnessWorld = HarnessWorld(),
        seed: UInt64 = 1
    ) throws {
        self.world = world
        direction = inbound ? .inbound : .outbound
        let standard: [any Filter.Type] = [
            TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
        ]
        registry = FilterRegistry(standard + filters)
        random = Random(seed: seed)
        chain = try Self.build(snapshot, direction, registry, context, generation: 1)
    }

    deinit {
        exchanges.removeAll()
        events.removeAll()
        for chain in retired + [chain] { ChainBuilder.release(chain) }
        for peer in peers.values {
            peer.pointee.spiffeID.base?.deallocate()
            peer.deallocate()
        }
    }

    // MARK: Traffic

    /// Sends a request and lets time pass until its exchange has ended, or until nothing more would ever happen.
    public func send(_ request: HarnessRequest) -> HarnessAnswer {
        let exchange = start(request)
        while !exchange.answer.isFinished, step(until: .distantFuture) {}
        return exchange.answer
    }

    /// Sends a request and performs what happens at once.
    public func start(_ request: HarnessRequest) -> HarnessExchange {
        started += 1
        let exchange = HarnessExchange(
            request, chain: chain, shared: memory, peer: request.source.map(peer),
            wayIn: request.wayIn ?? (direction == .inbound ? .inbound : .servicePort(0)), servicePort: direction == .inbound ? 8080 : 0,
            slot: started, draw: random.next(), seed: random.next(), now: now)
        exchanges[ObjectIdentifier(exchange)] = exchange
        exchange.run.requestHead(at: now, ended: request.body.isEmpty)
        perform(exchange)
        return exchange
    }

    /// A raw stream comes in: the connection phase, then what happens at once. A refused one is finished, with the reason.
    public func connect(source: String? = nil, port: Int = 5432) -> HarnessExchange {
        started += 1
        let exchange = HarnessExchange(
            .get("/"), chain: chain, shared: memory, peer: source.map(peer), wayIn: direction == .inbound ? .inbound : .servicePort(0),
            servicePort: direction == .inbound ? port : 0, slot: started, draw: random.next(), seed: random.next(), now: now)
        exchange.becomeStream()
        if case .refuse(let reason) = chain.pointee.admit(Connection(exchange.storage.pointee.connection, now: now)) {
            exchange.refuse(reason)
            return exchange
        }
        exchange.storage.pointee.connection.pointee.admittedBy = chain.pointee.generation
        exchanges[ObjectIdentifier(exchange)] = exchange
        exchange.run.stream(at: now)
        perform(exchange)
        return exchange
    }

    /// The caller hangs up.
    public func abort(_ exchange: HarnessExchange) {
        exchange.run.downstreamFailed(ProxyError(.downstreamGone), at: now)
        perform(exchange)
    }

    /// A suspended filter's decision arrives; false: it came too late.
    public func resume(_ exchange: HarnessExchange, _ token: ResumeToken, _ verdict: RequestVerdict) -> Bool {
        let wasTaken = exchange.run.resume(generation: token.generation, verdict, at: now)
        perform(exchange)
        return wasTaken
    }

    /// Lets time pass, with all that happens meanwhile.
    public func advance(by time: Nanoseconds) {
        let end = now + time
        while step(until: end) {}
        now = end
    }

    /// Exchanges that have not ended.
    public var inFlight: Int { exchanges.count }

    // MARK: Chains

    /// Makes another chain current, as a config change does: exchanges in flight finish on theirs, tunnels are reviewed, shared state
    /// is kept.
    public func swap(_ stages: String) throws { try swap(to: Self.snapshot(stages, direction, world)) }

    package func swap(_ stages: String, access: AccessPart) throws {
        world.access = access
        try swap(stages)
    }

    package func swap(to snapshot: Snapshot) throws {
        generation += 1
        let fresh = try Self.build(snapshot, direction, registry, context, generation: generation)
        retired.append(chain)
        chain = fresh
        for exchange in exchanges.values {
            if !exchange.run.review(under: chain, at: now) { perform(exchange) }
        }
        releaseUnused()
    }

    /// Chains that are kept for exchanges in flight.
    public var retiredChains: Int { retired.count }

    private func releaseUnused() {
        retired.removeAll { old in
            guard old.pointee.users == 0 else { return false }
            ChainBuilder.release(old)
            return true
        }
    }

    /// Why a snapshot could not be swapped to, without doing it; empty if it could.
    package func check(_ snapshot: Snapshot) -> [String] {
        do {
            ChainBuilder.release(try Self.build(snapshot, direction, registry, context, generation: 0))
            return []
        } catch {
            return (error as? Refused)?.problems ?? ["\(error)"]
        }
    }

    private static func snapshot(_ stages: String, _ direction: ChainBuilder.Direction, _ world: HarnessWorld) throws -> Snapshot {
        let read = ConfigReader.read(stages, name: "stages")
        guard let elements = read.root?.elements, read.problems.isEmpty else { throw Refused(problems: read.problems.map(\.message)) }
        var list = elements.map { node in
            let filter = node.string ?? node["filter"]?.string ?? ""
            return ChainPart.Stage(
                id: node["name"]?.string ?? filter, filter: filter, config: node["config"]?.json ?? "{}", origin: Origin(resource: "harness"))
        }
        if !list.contains(where: { $0.filter == "router" }) {
            list.append(ChainPart.Stage(id: "router", filter: "router", origin: Origin(resource: "harness")))
        }
        let settings = [SettingsLayer(origin: Origin(resource: "Mesh"), stages: world.settings)]
        let isInbound = direction == .inbound
        return Snapshot(
            chain: ChainPart(
                inbound: isInbound ? list : [], outbound: isInbound ? [] : list, inboundSettings: isInbound ? settings : [],
                outboundSettings: isInbound ? [] : settings),
            traffic: world.traffic, access: world.access, trust: world.trust)
    }

    private static func build(
        _ snapshot: Snapshot, _ direction: ChainBuilder.Direction, _ registry: FilterRegistry, _ context: BuildContext, generation: UInt64
    ) throws -> UnsafeMutablePointer<Chain> {
        do {
            return try ChainBuilder(registry: registry, context: context).build(direction, from: snapshot, generation: generation, loop: 0)
        } catch {
            throw Refused(problems: error.problems)
        }
    }

    private func peer(_ identity: String) -> UnsafePointer<PeerRecord> {
        if let known = peers[identity] { return UnsafePointer(known) }
        let text = Array(identity.utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
        memory.initialize(from: text, count: text.count)
        let whole = Bytes(UnsafePointer(memory), count: text.count)
        // spiffe://<trust domain>/ns/<namespace>/sa/<service>
        var borders = text.indices.filter { text[$0] == UInt8(ascii: "/") }
        precondition(borders.count == 6, "a SPIFFE id has the form spiffe://…/ns/…/sa/…")
        borders.append(text.count)
        let record = UnsafeMutablePointer<PeerRecord>.allocate(capacity: 1)
        let namespace = whole.slice(borders[3] + 1, borders[4]), service = whole.slice(borders[5] + 1, borders[6])
        record.initialize(
            to: PeerRecord(
                id: UInt32(peers.count + 1), serviceLabel: context.labels.service(service.string, namespace: namespace.string),
                spiffeID: whole, trustDomain: whole.slice(borders[1] + 1, borders[2]), namespace: namespace, service: service))
        peers[identity] = record
        return UnsafePointer(record)
    }

    // MARK: Events and orders

    /// Performs the next event that is due by `end`; false if there is none.
    private func step(until end: Instant) -> Bool {
        guard let next = events.indices.min(by: { (events[$0].at, events[$0].number) < (events[$1].at, events[$1].number) }),
            events[next].at <= end
        else { return false }
        let event = events.remove(at: next)
        now = max(now, event.at)
        deliver(event)
        return true
    }

    private func deliver(_ event: Event) {
        let exchange = event.exchange
        if event.attempt != 0, event.attempt != exchange.attemptOut { return }
        switch event.what {
        case .timer(let number):
            guard number == exchange.timerNumber else { return }
            exchange.run.timer(at: now)
        case .head(let status, let headers):
            exchange.fillResponse(status, headers)
            exchange.run.responseHead(at: now)
        case .body(let text, let isLast):
            guard exchange.run.acceptsResponseBody else {
                // A suspended request lane: the host stops reading the response meanwhile.
                return schedule(event.what, after: .milliseconds(1), exchange, attempt: event.attempt)
            }
            if isLast { exchange.attemptIsOver() }
            exchange.run.responseBody(exchange.pinned(text), isLast: isLast, at: now)
        case .switched(let headers):
            exchange.fillResponse(101, headers)
            exchange.run.switched(at: now)
        case .connected: exchange.run.streamConnected(at: now)
        case .failure(let error):
            exchange.attemptIsOver()
            exchange.run.attemptFailed(error, at: now)
        }
        perform(exchange)
    }

    private func schedule(_ what: Event.What, after delay: Nanoseconds, _ exchange: HarnessExchange, attempt: Int) {
        eventNumber += 1
        events.append(Event(at: now + delay, number: eventNumber, exchange: exchange, attempt: attempt, what: what))
    }

    func perform(_ exchange: HarnessExchange) {
        repeat {
            while let action = memory.actions.pointee.pop() { perform(action, exchange) }
        } while deliverBody(exchange)
        if exchange.answer.isFinished, exchanges.removeValue(forKey: ObjectIdentifier(exchange)) != nil { releaseUnused() }
    }

    private func deliverBody(_ exchange: HarnessExchange) -> Bool {
        guard exchange.run.acceptsRequestBody, let (piece, isLast) = exchange.nextPiece() else { return false }
        exchange.run.requestBody(piece, isLast: isLast, at: now)
        return true
    }

    private func perform(_ action: Action, _ exchange: HarnessExchange) {
        switch action {
        case .startAttempt:
            let destination = exchange.storage.pointee.destination
            let endpoint = context.endpoints.record(of: exchange.storage.pointee.endpoint)?.address ?? "application"
            let attempt = exchange.beginAttempt(
                endpoint: endpoint, service: context.labels.text(destination.serviceLabel), version: context.labels.text(destination.versionLabel))
            let behaviour = upstream(exchange.answer.forwarded[exchange.answer.forwarded.count - 1], attempts)
            attempts += 1
            schedule(behaviour, exchange, attempt)
        case .cancelAttempt: exchange.cancelAttempt()
        case .forwardRequestBody(let piece, _): exchange.forwardRequestBody(piece)
        case .sendResponseHead: exchange.sendResponseHead()
        case .forwardResponseBody(let piece, _): exchange.forwardResponseBody(piece)
        case .sendReply: exchange.sendReply()
        case .openTunnel: exchange.openTunnel()
        case .cutDownstream: exchange.cutDownstream()
        case .setTimer(let time):
            let number = exchange.setTimer()
            if time < .distantFuture { schedule(.timer(number), after: time - now, exchange, attempt: 0) }
        case .finished: exchange.finish()
        }
    }

    private func schedule(_ behaviour: UpstreamBehaviour, _ exchange: HarnessExchange, _ attempt: Int) {
        func later(_ what: Event.What, _ delay: Nanoseconds = .zero) { schedule(what, after: delay, exchange, attempt: attempt) }
        switch behaviour {
        case .answer where exchange.storage.pointee.isStream: later(.connected)
        case .answer(let status, let headers, let body, let delay):
            later(.head(status, headers), delay)
            later(.body(body, isLast: true), delay)
        case .slowBody(let status, let delay):
            later(.head(status, [:]))
            later(.body("slow", isLast: true), delay)
        case .refuse: later(.failure(ProxyError(.connectFailed, isProvablyUnsent: true)))
        case .closeUnsent: later(.failure(ProxyError(.upstreamReset, isProvablyUnsent: true)))
        case .resetBeforeHead: later(.failure(ProxyError(.upstreamReset)))
        case .resetAfterHead(let status):
            later(.head(status, [:]))
            later(.failure(ProxyError(.responseCut)))
        case .resetWithinBody(let status):
            later(.head(status, [:]))
            later(.body("ha", isLast: false))
            later(.failure(ProxyError(.responseCut)))
        case .switchProtocol(let name): later(.switched(["connection": "upgrade", "upgrade": name]))
        case .garbage: later(.failure(ProxyError(.upstreamProtocol)))
        case .hang: break
        }
    }
}
