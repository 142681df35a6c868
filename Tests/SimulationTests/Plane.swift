import ControlPlane
import ControlPlaneTesting
import Pipeline

/// The control plane's pieces around one store, as its loop composes them: a turn takes what came, appends, commits once, and
/// only then lets its answers go. A commit that fails ends it.
final class Plane {
    static let heartbeat = Nanoseconds.seconds(2)
    static let lease = Nanoseconds.seconds(8)
    /// Seconds that a certificate lasts.
    static let certificateLife: Int64 = 40

    let store: Store
    private(set) var resources = ResourceSet()
    private(set) var root = "root-0"
    private(set) var tokens: JoinTokenLedger
    private(set) var totals: MetricTotals
    private(set) var leases: LeaseTable
    private(set) var publishers: [String: PublisherMachine] = [:]
    private(set) var uptime = Instant.zero
    /// Wanted now, by sidecar.
    private(set) var wanted: [String: [SnapshotPart: PartText]] = [:]
    /// Streams, the oldest first; the newest of a sidecar that said hello is its current one.
    var streams: [Stream] = []
    private var current: [String: Stream] = [:]
    private var isDirty = true
    /// What the turn promises, released by its commit.
    private var outbox: [() -> Void] = []
    private let policy: IssuePolicy
    private let schemas: [String: FilterSchema]
    private unowned let world: World

    /// - Throws: what the store says to the files it finds.
    init(_ files: FaultyFiles, schemas: [String: FilterSchema], world: World) throws(StoreError) {
        self.world = world
        self.schemas = schemas
        var limits = Store.Limits()
        limits.logBytesBeforeSnapshot = 6 << 10
        store = try Store(files, limits: limits)
        var policy = IssuePolicy(trustDomain: "shop.internal", lifeMax: Plane.certificateLife)
        policy.lifeMin = 1
        self.policy = policy
        guard let tokens = JoinTokenLedger(store.entries(JoinTokenLedger.table)),
            let totals = MetricTotals(restoring: store, at: .zero)
        else { preconditionFailure("the store gave back what nobody wrote") }
        self.tokens = tokens
        self.totals = totals
        var leasePolicy = LeaseTable.Policy()
        leasePolicy.lease = Plane.lease
        leases = LeaseTable(leasePolicy)
        let texts = store.entries("resource").map {
            ConfigSource(name: $0.key, text: String(decoding: $0.entry.value, as: UTF8.self))
        }
        if !texts.isEmpty {
            let change = resources.applying(texts, filters: nil)
            if change.isRefused { world.violate("what was stored is refused at a restart: \(change.problems.first?.message ?? "")") }
            resources = change.result
        }
        root = store.value("trust", "root").map { String(decoding: $0, as: UTF8.self) } ?? root
        for (sidecar, entry) in store.entries("registration") {
            let words = String(decoding: entry.value, as: UTF8.self).split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            let registration = LeaseTable.Registration(
                namespace: "default", service: words[0], version: words[1],
                endpoints: [PushMessage.Endpoint(port: 8080, address: words[2])], isHealthy: words[3] == "true")
            leases.restore(sidecar, registration, at: uptime)
        }
    }

    private static func encode(_ registration: LeaseTable.Registration) -> [UInt8] {
        Array("\(registration.service)|\(registration.version)|\(registration.endpoints[0].address)|\(registration.isHealthy)".utf8)
    }

    // === a turn ===

    func turn(_ calls: [Call], advanceBy time: Nanoseconds) throws(StoreError) {
        uptime = uptime + time
        for stream in streams { try serve(stream) }
        streams.removeAll { !$0.isOpenAtPlane }
        for call in calls { try answer(call) }
        let before = sizes()
        let lapsed = leases.expire(at: uptime)
        world.checkLapse(before: before, lapsed: lapsed, uptime: uptime)
        for sidecar in lapsed {
            try store.append([.delete("registration", sidecar)])
            // Not a promise but a loss: it may be durable although the turn's commit never returned.
            world.registered[sidecar] = nil
            isDirty = true
        }
        if isDirty { publishAll() }
        let changes = totals.drain()
        if !changes.isEmpty { try store.append(changes) }
        try store.commit()
        let released = outbox
        outbox = []
        for release in released { release() }
    }

    private func sizes() -> [String: Int] {
        leases.all.reduce(into: [:]) { $0[$1.registration.service, default: 0] += 1 }
    }

    // === operators ===

    /// What an operator's change leads to; the acknowledgement comes with the turn's commit.
    func apply(_ text: String, acknowledged: @escaping (ResourceSet) -> Void) throws(StoreError) -> ResourceSet? {
        let change = resources.applying([ConfigSource(name: "operator.json", text: text)], filters: schemas)
        guard !change.isRefused else { return nil }
        return try accept(change, acknowledged)
    }

    func delete(_ keys: [ResourceKey], acknowledged: @escaping (ResourceSet) -> Void) throws(StoreError) -> ResourceSet? {
        let change = resources.removing(keys, filters: schemas)
        guard !change.isRefused else { return nil }
        return try accept(change, acknowledged)
    }

    private func accept(_ change: ResourceSet.Change, _ acknowledged: @escaping (ResourceSet) -> Void) throws(StoreError) -> ResourceSet {
        var changes: [Change] = change.written.map { .set("resource", $0.key.description, Array($0.json().utf8)) }
        for key in resources.resources.keys.sorted() where change.result[key] == nil { changes.append(.delete("resource", key.description)) }
        try store.append(changes)
        resources = change.result
        isDirty = true
        let result = change.result
        outbox.append { acknowledged(result) }
        return result
    }

    func rotate(to root: String, acknowledged: @escaping () -> Void) throws(StoreError) {
        try store.append([.set("trust", "root", Array(root.utf8))])
        self.root = root
        isDirty = true
        outbox.append(acknowledged)
    }

    func mint(for service: String, _ random: inout Random, wall: Int64, handOver: @escaping (JoinToken) -> Void) throws(StoreError) {
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
        let token = JoinToken(id: bytes(JoinToken.idSize), secret: bytes(JoinToken.secretSize), rootFingerprint: bytes(32))
        guard case .minted(let change) = tokens.mint(token, namespace: "default", service: service, at: UnixTime(wall)) else { return }
        try store.append([change])
        outbox.append { handOver(token) }
    }

    // === calls ===

    private func answer(_ call: Call) throws(StoreError) {
        let node = world.nodes[call.node]
        switch call.body {
        case .join(let text):
            guard let token = try? JoinToken(parsing: text) else { return world.violate("a token was damaged on its way") }
            switch tokens.redeem(token, at: world.planeWall) {
            case .refused(let reason): reply(call, .refused(reason))
            case .granted(let namespace, let service, let change):
                if let change { try store.append([change]) }
                issue(call, .token(namespace: namespace, service: service), service)
                outbox.append { [unowned world] in world.redeemed(token.name) }
            }
        case .renew(let expires):
            guard let own = WorkloadIdentity(trustDomain: "shop.internal", namespace: "default", service: node.service) else { return }
            issue(call, .certificate(own, expires: UnixTime(expires)), node.service)
        case .batch(let bytes):
            guard let resource = try? OTLP.decode(bytes).first, let (batch, malformed) = MetricTotals.Batch.read(resource), malformed == 0
            else { return world.violate("a batch cannot be read") }
            if case .invalid(let reason) = totals.count(batch, from: node.service, at: uptime) { return world.violate(reason) }
            reply(call, .counted(sequence: batch.sequence))
        }
    }

    private func issue(_ call: Call, _ caller: IssuePolicy.Caller, _ service: String) {
        switch policy.decide(caller, wants: "default", service, isRevoked: false, at: world.planeWall) {
        case .issue(let identity, let life):
            if identity.service != world.nodes[call.node].service { world.violate("\(identity) was issued to \(world.nodes[call.node].name)") }
            reply(call, .certificate(life: life, notAfter: world.planeWall.seconds + life))
        case .refuse(let reason): reply(call, .refused(reason))
        }
    }

    private func reply(_ call: Call, _ body: Reply.Body) {
        outbox.append { [unowned world] in world.send(body, to: call) }
    }

    // === streams ===

    private func serve(_ stream: Stream) throws(StoreError) {
        guard world.canTalk(stream.node) else { return closeIfSilent(stream) }
        let messages: [(message: PushMessage, session: UInt64)]
        do { messages = try stream.receiveAtPlane(tick: world.tick) } catch { return world.violate("a frame from a sidecar: \(error)") }
        for (message, session) in messages {
            stream.heard = uptime
            try receive(message, session, stream)
        }
        if let feels = stream.planeFeelsCutAt, feels <= world.tick { close(stream) } else { closeIfSilent(stream) }
    }

    private func closeIfSilent(_ stream: Stream) {
        if uptime >= stream.heard + Plane.heartbeat * 3 { close(stream) }
    }

    private func close(_ stream: Stream) {
        let name = world.nodes[stream.node].name
        stream.isOpenAtPlane = false
        if current[name] === stream {
            current[name] = nil
            publishers[name]?.disconnected()
        }
        outbox.append { [unowned world] in world.cutSeenFromPlane(stream) }
    }

    private func receive(_ message: PushMessage, _ session: UInt64, _ stream: Stream) throws(StoreError) {
        let name = world.nodes[stream.node].name
        switch message {
        case .hello(let hello):
            // Its hello may have been overtaken by that of a later stream.
            if let known = current[name], known.number > stream.number { return close(stream) }
            stream.session = session
            current[name] = stream
            let registration = LeaseTable.Registration(
                namespace: hello.namespace, service: hello.service, version: hello.version, endpoints: hello.endpoints)
            if leases.register(name, registration, at: uptime) {
                try store.append([.set("registration", name, Plane.encode(registration))])
                isDirty = true
            }
            outbox.append { [unowned world] in world.registered[name] = registration.service }
            send(.welcome(heartbeat: Plane.heartbeat), stream)
            push(publishers[name, default: PublisherMachine()].connected(session: session, incarnation: hello.incarnation, have: hello.have), name)
            if wanted[name] == nil { isDirty = true }
        case .heartbeat:
            guard leases.renew(name, at: uptime) else { return close(stream) }
            send(.heartbeat, stream)
        case .ack(let part, let version, let generation):
            push(publishers[name]?.acked(part, version: version, generation: generation, session: session) ?? [], name)
        case .nack(let part, let version, let generation, let reason):
            push(publishers[name]?.nacked(part, version: version, generation: generation, reason: reason, session: session) ?? [], name)
        case .health(let isHealthy, _):
            guard let changed = leases.setHealth(name, isHealthy: isHealthy, at: uptime) else { return }
            try store.append([.set("registration", name, Plane.encode(changed))])
            isDirty = true
        case .welcome, .part, .draining, .leaving, .renewCertificate, .refused, .unknown: world.violate("a sidecar said \(message)")
        }
    }

    // === pushes ===

    private func publishAll() {
        isDirty = false
        let (trust, chain) = (PartCompiler.trust(root: root), PartCompiler.chain(resources))
        let traffic = PartCompiler.traffic(resources, leases)
        for (sidecar, registration) in leases.all {
            let access = PartCompiler.access(resources, for: registration.service)
            for text in [trust, access, traffic, chain] where wanted[sidecar]?[text.part] != text {
                wanted[sidecar, default: [:]][text.part] = text
                outbox.append { [unowned world] in world.published(text, to: sidecar) }
                push(publishers[sidecar, default: PublisherMachine()].publish(text.part, version: text.version), sidecar)
            }
        }
    }

    private func push(_ pushes: [PublisherMachine.Push], _ name: String) {
        guard let stream = current[name] else { return }
        for push in pushes {
            guard let text = wanted[name]?[push.part], text.version == push.version else {
                return world.violate("\(name) is to be sent \(push.part) \(push.version), which nobody wants")
            }
            let body = Array(text.text.utf8)
            send(.part(PushedPart(part: push.part, version: push.version, generation: push.generation, body: body)), stream)
        }
    }

    private func send(_ message: PushMessage, _ stream: Stream) {
        guard let session = stream.session else { return }
        outbox.append { [unowned world] in stream.sendToNode(message, session: session, tick: world.tick + world.delay()) }
    }
}
