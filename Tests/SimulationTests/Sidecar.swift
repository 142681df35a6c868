import Pipeline
import WeftTesting

/// A sidecar's machines, composed as its process composes them: push stream, certificate, export of metrics, two chains.
final class Sidecar {
    private static let exportInterval = Nanoseconds.seconds(1)

    private unowned let node: Node
    private unowned let world: World
    private var subscriber: SubscriberMachine
    private var renewal: RenewalMachine
    private var export: ExportMachine
    private var tracker: DeltaTracker
    private(set) var parts: PartReader
    let outbound: ChainHarness
    let inbound: ChainHarness
    let incarnation: String
    private(set) var stream: Stream?
    /// Of earlier streams; may turn up at any time.
    private var strays: [(message: PushMessage, session: UInt64)] = []
    private var checks: [(pushed: PushedPart, tick: Int)] = []
    /// The batch that is under way.
    private var batch: (sequence: UInt64, bytes: [UInt8])?
    /// Versions that this process refused.
    private(set) var refused: Set<String> = []
    /// Of chains: what their requests are marked with.
    private(set) var acceptedStamps: Set<String> = []
    private(set) var refusedStamps: Set<String> = []
    private(set) var denied: Set<String> = []
    /// Where in the order of publishing what runs stands.
    private(set) var installed: [SnapshotPart: Int] = [:]
    private var askedAt: [Instant] = []
    private var isHealthy = true
    var budget: BudgetModel
    /// Exchanges whose first attempt was seen.
    var attempted: Set<String> = []
    var requests: [Traffic.Request] = []

    init(_ node: Node, _ world: World) {
        self.node = node
        self.world = world
        incarnation = "\(node.name)-\(node.boot)"
        var policy = SubscriberMachine.Policy()
        policy.waitMax = .seconds(4)
        policy.heartbeat = Plane.heartbeat
        policy.connectTimeout = .seconds(2)
        subscriber = SubscriberMachine(
            have: node.disk.mapValues(\.text.version), policy: policy, sessionsBefore: UInt64(node.boot) << 32, at: node.now)
        var renewalPolicy = RenewalMachine.Policy()
        renewalPolicy.waitMax = .seconds(8)
        renewalPolicy.answerWithin = .seconds(4)
        renewalPolicy.pauseMin = .seconds(3)
        renewal = RenewalMachine(renewalPolicy, at: node.now)
        if let (life, notAfter) = node.certificate {
            renewal.installed(life: .seconds(life), left: .seconds(notAfter - node.wall), at: node.now, using: &world.random)
        }
        export = ExportMachine(
            ExportMachine.Policy(
                interval: Self.exportInterval, answerWithin: .seconds(2), backoff: Backoff(base: .milliseconds(200), max: .seconds(4))),
            at: node.now)
        parts = PartReader(service: node.service, version: node.version, texts: SnapshotPart.allCases.compactMap { node.disk[$0]?.text })
        installed = node.disk.mapValues(\.index)
        denied = parts.denied
        if let stamp = parts.stamp { acceptedStamps = [stamp] }
        let filters: [any Filter.Type] = node.lacksExotic ? [Witness.self] : [Witness.self, Exotic.self]
        do {
            let seed = UInt64(node.index * 1000 + node.boot)
            outbound = try ChainHarness(parts.snapshot, adding: filters, seed: seed)
            inbound = try ChainHarness(parts.snapshot, inbound: true, adding: filters, seed: seed)
        } catch { preconditionFailure("the last good snapshot does not build: \(error)") }
        tracker = DeltaTracker(labels: outbound.context.labels, startedAt: 0)
        budget = BudgetModel(at: outbound.now)
    }

    func die() { dropStream() }

    // === a moment ===

    func run(_ time: Nanoseconds) {
        outbound.advance(by: time)
        perform(subscriber.wake(at: node.now))
        receive()
        finishChecks()
        if renewal.wake(at: node.now) { askForCertificate() }
        poll()
        let healthy = node.failingUntil <= world.tick
        if healthy != isHealthy, let stream, subscriber.isConnected {
            isHealthy = healthy
            stream.sendToPlane(.health(isHealthy: healthy, reason: "probe"), session: subscriber.session, tick: world.tick + world.delay())
        }
    }

    func have(_ part: SnapshotPart) -> String? { subscriber.have[part] }
    var isConnected: Bool { subscriber.isConnected }
    var hasCertificate: Bool { node.now < renewal.expires }
    var isExportIdle: Bool { !export.isUnderWay }

    // === the push stream ===

    private func receive() {
        guard let stream, world.canTalk(node.index) else { return }
        if world.chance(60), !strays.isEmpty {
            let (message, session) = strays.remove(at: Int.random(in: strays.indices, using: &world.random))
            perform(subscriber.received(message, session: session, at: node.now))
        }
        do {
            for (message, session) in try stream.receiveAtNode(tick: world.tick, tearAt: world.tear()) {
                world.trace.note("\(node.name) < \(message.word) \(session)")
                perform(subscriber.received(message, session: session, at: node.now))
            }
        } catch { world.violate("a frame from the control plane: \(error)") }
    }

    private func perform(_ actions: [SubscriberMachine.Action]) {
        for action in actions {
            switch action {
            case .connect:
                guard hasCertificate, let opened = world.connect(node) else {
                    subscriber.closed(at: node.now, using: &world.random)
                    continue
                }
                stream = opened
                perform(subscriber.opened(at: node.now))
            case .sendHello(let session):
                isHealthy = true
                let hello = PushMessage.Hello(
                    sidecar: node.name, incarnation: incarnation, namespace: "default", service: node.service, version: node.version,
                    endpoints: [PushMessage.Endpoint(port: 8080, address: node.address)], have: subscriber.have)
                send(.hello(hello), session)
            case .send(let message, let session): send(message, session)
            case .check(let pushed): checks.append((pushed, world.tick + Int.random(in: 0...3, using: &world.random)))
            case .install(let pushed): install(pushed)
            case .renewCertificate(let within): renewal.hurry(within: within, at: node.now, using: &world.random)
            case .close, .refused: drop()
            }
        }
    }

    private func send(_ message: PushMessage, _ session: UInt64) {
        stream?.sendToPlane(message, session: session, tick: world.tick + world.delay())
    }

    /// The stream is gone; the machine learns it.
    func drop() {
        dropStream()
        subscriber.closed(at: node.now, using: &world.random)
    }

    private func dropStream() {
        guard let stream else { return }
        strays += stream.cut(keepingUp: Int.random(in: 0...4, using: &world.random), planeFeelsItAt: world.tick + Int.random(in: 0...20, using: &world.random))
        self.stream = nil
    }

    // === parts ===

    private func candidate(_ pushed: PushedPart) -> (text: PartText, parts: PartReader) {
        let text = PartText(pushed.part, text: String(decoding: pushed.body, as: UTF8.self))
        var candidate = parts
        candidate.take(text)
        return (text, candidate)
    }

    private func finishChecks() {
        let due = checks.filter { $0.tick <= world.tick }.map(\.pushed)
        checks.removeAll { $0.tick <= world.tick }
        for pushed in due {
            let (text, candidate) = candidate(pushed)
            if text.version != pushed.version { world.violate("\(node.name): \(pushed.part) \(pushed.version) has another body") }
            // Each part concerns one of the two chains alone.
            let problems = (isInboundOnly(pushed.part) ? inbound : outbound).check(candidate.snapshot)
            if !problems.isEmpty { refused.insert(pushed.version) }
            if pushed.part == .chain, let stamp = candidate.stamp {
                if problems.isEmpty { acceptedStamps.insert(stamp) } else { refusedStamps.insert(stamp) }
            }
            let verdict = problems.first.map(SubscriberMachine.Verdict.rejected) ?? .accepted
            world.trace.note("\(node.name) checked \(pushed.part) \(pushed.version): \(verdict)")
            perform(subscriber.checked(pushed.part, generation: pushed.generation, verdict))
        }
    }

    private func isInboundOnly(_ part: SnapshotPart) -> Bool { part == .access || part == .trust }

    private func install(_ pushed: PushedPart) {
        let (text, candidate) = candidate(pushed)
        let index = world.publishedIndex(text, to: node.name)
        if index < installed[pushed.part] ?? 0 { world.violate("\(node.name) went back to an older \(pushed.part)") }
        if refused.contains(pushed.version) { world.violate("\(node.name) installs a \(pushed.part) that it refused") }
        do {
            try (isInboundOnly(pushed.part) ? inbound : outbound).swap(to: candidate.snapshot)
        } catch { return world.violate("\(node.name) accepted a \(pushed.part) that does not build: \(error)") }
        parts = candidate
        installed[pushed.part] = index
        node.keep(text, index: index)
        if pushed.part == .access { denied = parts.denied }
        world.installs += 1
    }

    // === certificate ===

    private func askForCertificate() {
        world.trace.note("\(node.name) asks for a certificate")
        askedAt.append(node.now)
        if askedAt.count > 8 {
            let first = askedAt.removeFirst()
            if node.now < first + .seconds(2) { world.violate("\(node.name) asks for certificates without pause") }
        }
        if let (_, notAfter) = node.certificate, node.wall < notAfter {
            world.call(.renew(expires: notAfter), from: node)
        } else if let token = node.token {
            world.call(.join(token), from: node)
        } else {
            world.wantsToken(node)
            renewal.failed(at: node.now, using: &world.random)
        }
    }

    func callFailed(_ body: Call.Body) {
        switch body {
        // Half of the time nobody says so.
        case .join, .renew: if Bool.random(using: &world.random) { renewal.failed(at: node.now, using: &world.random) }
        case .batch: if let batch { export.failed(sequence: batch.sequence, at: node.now, using: &world.random) }
        }
    }

    func receive(_ reply: Reply.Body) {
        world.trace.note("\(node.name) < \(reply)")
        switch reply {
        case .certificate(let life, let notAfter):
            node.keep(life: life, notAfter: notAfter)
            renewal.installed(life: .seconds(life), left: .seconds(notAfter - node.wall), at: node.now, using: &world.random)
        case .refused:
            // Used up, or the certificate has ended: an operator has to help.
            node.token = nil
            renewal.failed(at: node.now, using: &world.random)
        case .counted(let sequence):
            world.acknowledgedBatch(incarnation, sequence)
            if export.acknowledged(sequence: sequence, at: node.now) { batch = nil }
        }
    }

    // === metrics ===

    private func poll() {
        switch export.poll(at: node.now, using: &world.random) {
        case .wait: break
        case .cut(let sequence):
            let rows = outbound.context.calls[0].read()
            let metrics = tracker.cut(series: [], calls: rows, at: UInt64(node.now.nanoseconds))
            guard !metrics.isEmpty else { return export.nothingToSend(at: node.now) }
            let resource = OTLP.Resource(service: node.service, id: BatchID(incarnation: incarnation, sequence: sequence), metrics: metrics)
            batch = (sequence, OTLP.encode([resource]))
            world.cutBatch(incarnation, sequence, calls: rows.reduce(0) { $0 + $1.calls })
            sendBatch()
        case .resend: sendBatch()
        }
    }

    private func sendBatch() { if let batch { world.call(.batch(batch.bytes), from: node) } }
}

extension PushMessage {
    /// For the trace.
    var word: String {
        switch self {
        case .part(let pushed): "\(pushed.part) \(pushed.version) \(pushed.generation)"
        case .hello: "hello"
        default: "\(self)"
        }
    }
}
