import ControlPlane
import ControlPlaneTesting
import Filters
import Pipeline
import WeftTesting

/// A whole mesh on virtual time: one control plane with its disk, its sidecars with theirs, the network between them,
/// operators and traffic. Everything that happens follows from the seed.
///
/// Time goes in ticks; within one, sidecars act in turn, then the control plane has its turn. Faults come at random until
/// `faults` is switched off; then everything is repaired, and the mesh has to find itself again.
final class World {
    static let tickLength = Nanoseconds.milliseconds(200)
    private static let ticksPerSecond = 5

    let seed: UInt64
    var random: Random
    var trace = Trace()
    private(set) var tick = 0
    private(set) var nodes: [Node] = []
    private(set) var plane: Plane?
    private var files: FaultyFiles
    private var planeBackAt = 0
    private var planeWallOffset: Int64 = 0
    private let schemas: [String: FilterSchema]
    private var streamNumber = 0
    private var callNumber = 0
    private var calls: [Call] = []
    private var replies: [Reply] = []
    var faults = true

    // What is known to be true, kept apart from the machines.
    var acknowledged: [String: String] = [:]
    /// With the change that was under way when the control plane died.
    var possible: [String: String] = [:]
    var acknowledgedRoot = "root-0"
    var possibleRoot = "root-0"
    /// Services of the sidecars that were told welcome.
    var registered: [String: String] = [:]
    var wantingTokens: Set<Int> = []
    private var redemptions: [String: Int] = [:]
    private var history: [String: [String]] = [:]
    /// Calls counted so far when a batch was cut, by incarnation, then sequence.
    var cuts: [String: [UInt64]] = [:]
    var acknowledgedBatches: [String: UInt64] = [:]
    private(set) var violations: [String] = []
    /// Snapshots that hold what a part's text says, by its version.
    private var readings: [String: Snapshot] = [:]
    /// Of the store, when it was last checked.
    var checkedRevision: UInt64 = 0

    // How much happened.
    var requestNumber = 0
    var changeNumber = 0
    var isFinalChangeMade = false
    var changes = 0
    var installs = 0
    var attempts = 0
    var retries = 0
    var planeCrashes = 0
    var lapses = 0
    var answers: [Int: Int] = [:]
    /// Pairs between which a call was answered 200, since it was last emptied.
    var flowed: Set<String> = []

    /// How much happened, for whoever wonders whether anything did.
    var summary: String {
        """
        \(nodes.count) sidecars, \(tick) ticks, \(trace.events) events \(String(trace.hash, radix: 16)): \(changes) changes, \
        \(installs) installs, \(planeCrashes) crashes of the control plane, \(lapses) leases lapsed, \(requestNumber) requests, \
        \(attempts) attempts, \(retries) retries, answers \(answers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" })
        """
    }

    init(seed: UInt64) {
        self.seed = seed
        random = Random(seed: seed)
        files = FaultyFiles(seed: random.next())
        let standard: [any Filter.Type] = [
            TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self, Witness.self, Exotic.self,
        ]
        schemas = FilterRegistry(standard).filters.reduce(into: [:]) { $0[$1.name] = FilterSchema(name: $1.name, fields: $1.fields) }
        let roles = [("order", "v1"), ("payment", "v1"), ("payment", "v2"), ("inventory", "v1"), ("payment", "v1"), ("analytics", "v1"),
            ("payment", "v2"), ("order", "v1")]
        let count = Int.random(in: 3...8, using: &random)
        let odd = Int.random(in: 0..<count, using: &random)
        for index in 0..<count {
            nodes.append(
                Node(
                    index: index, service: roles[index].0, version: roles[index].1, lacksExotic: index == odd,
                    rate: Int64.random(in: 950...1050, using: &random), wallOffset: Int64.random(in: -2...2, using: &random), world: self))
        }
    }

    // === time and chance ===

    /// True seconds since 1970.
    var seconds: Int64 { 1_800_000_000 + Int64(tick / World.ticksPerSecond) }
    var planeWall: UnixTime { UnixTime(seconds + planeWallOffset) }

    /// Of a fault or a change, while there are any.
    func chance(_ perMille: Int) -> Bool { faults && Int.random(in: 0..<1000, using: &random) < perMille }

    /// Of a message on its way, in ticks.
    func delay() -> Int { chance(50) ? Int.random(in: 3...15, using: &random) : Int.random(in: 0...2, using: &random) }

    func tear() -> Int? { chance(100) ? Int.random(in: 0...40, using: &random) : nil }

    func violate(_ what: String) {
        trace.note("VIOLATION \(what)")
        violations.append("tick \(tick): \(what)")
    }

    // === a moment ===

    func step() {
        tick += 1
        for node in nodes { befall(node) }
        for node in nodes {
            let elapsed = node.elapse(World.tickLength)
            guard node.isRunning, let sidecar = node.sidecar else { continue }
            sidecar.run(elapsed)
            send(from: node, sidecar)
            settle(node, sidecar)
        }
        deliverReplies()
        runPlane()
        checkNow()
    }

    private func befall(_ node: Node) {
        if let until = node.downUntil, until <= tick { start(node) }
        if node.sidecar == nil && node.downUntil == nil { start(node) }
        if let until = node.stoppedUntil, until <= tick { node.stoppedUntil = nil }
        guard faults, Int.random(in: 0..<1000, using: &random) < 30 else { return }
        func span(_ range: ClosedRange<Int>) -> Int { tick + Int.random(in: range, using: &random) }
        switch Int.random(in: 0..<12, using: &random) {
        case 0, 1: node.sidecar?.drop()
        case 2: node.crash(until: span(1...30))
        case 3: if node.isRunning { node.stoppedUntil = span(2...40) }
        case 4, 5: node.partitionedUntil = span(5...90)
        case 6: node.isolatedUntil = span(5...40)
        case 7, 8: node.failingUntil = span(5...40)
        case 9, 10: node.hangingUntil = span(5...30)
        default: node.wallOffset = [-3, -1, 0, 2, -3600, 3600].randomElement(using: &random) ?? 0
        }
    }

    private func start(_ node: Node) {
        node.start()
        trace.note("\(node.name) starts")
        guard let sidecar = node.sidecar else { return }
        sidecar.outbound.upstream = { [unowned self, unowned node] forwarded, _ in meet(forwarded, from: node) }
        sidecar.inbound.upstream = { [unowned self, unowned node] _, _ in node.failingUntil > tick ? .answer(503) : .ok }
    }

    /// Everything is repaired; from now on only what was broken before can be wrong.
    func calm() {
        faults = false
        files.callsUntilCrash = nil
        files.failNext = nil
        planeBackAt = min(planeBackAt, tick)
        for node in nodes {
            node.wallOffset = min(max(node.wallOffset, -2), 2)
            (node.partitionedUntil, node.isolatedUntil, node.failingUntil, node.hangingUntil) = (0, 0, 0, 0)
            node.stoppedUntil = node.stoppedUntil.map { min($0, tick) }
            node.downUntil = node.downUntil.map { min($0, tick) }
        }
    }

    // === network ===

    func canTalk(_ node: Int) -> Bool { nodes[node].partitionedUntil <= tick }

    func connect(_ node: Node) -> Stream? {
        guard let plane, canTalk(node.index), !chance(150) else { return nil }
        streamNumber += 1
        let stream = Stream(node: node.index, number: streamNumber, heard: plane.uptime)
        plane.streams.append(stream)
        return stream
    }

    func cutSeenFromPlane(_ stream: Stream) {
        guard stream.isOpenAtNode, let sidecar = nodes[stream.node].sidecar, sidecar.stream === stream, canTalk(stream.node) else { return }
        sidecar.drop()
    }

    func call(_ body: Call.Body, from node: Node) {
        callNumber += 1
        calls.append(Call(number: callNumber, node: node.index, boot: node.boot, body: body, tick: tick + delay()))
    }

    func send(_ body: Reply.Body, to call: Call) {
        let reply = Reply(node: call.node, boot: call.boot, body: body, tick: tick + delay())
        if chance(100) || !canTalk(call.node) { return fail(call) }
        replies.append(reply)
    }

    private func fail(_ call: Call) {
        let node = nodes[call.node]
        if node.boot == call.boot { node.sidecar?.callFailed(call.body) }
    }

    private func deliverReplies() {
        let due = replies.filter { $0.tick <= tick }
        replies.removeAll { $0.tick <= tick }
        for reply in due where nodes[reply.node].boot == reply.boot { nodes[reply.node].sidecar?.receive(reply.body) }
    }

    // === control plane ===

    private func runPlane() {
        let due = calls.filter { $0.tick <= tick }
        calls.removeAll { $0.tick <= tick }
        do throws(StoreError) {
            if plane == nil, planeBackAt <= tick { try startPlane() }
            guard let plane else {
                for call in due { fail(call) }
                return
            }
            harm()
            let reached = due.filter { canTalk($0.node) && !chance(60) }
            try operate(plane)
            try plane.turn(reached, advanceBy: World.tickLength)
            for call in due where !reached.contains(where: { $0.number == call.number }) { fail(call) }
            checkStore(plane)
        } catch {
            planeDied(error)
            for call in due { fail(call) }
        }
    }

    private func harm() {
        if chance(6) { files.callsUntilCrash = Int.random(in: 0..<40, using: &random) }
        if chance(3) { files.failNext = (.sync, 5) }
        if chance(2) { files.failNext = (.write, 28) }
        if chance(100) { files.writesShort.toggle() }
        if chance(10) { planeWallOffset = Int64.random(in: -3...3, using: &random) }
    }

    private func startPlane() throws(StoreError) {
        let plane = try Plane(files, schemas: schemas, world: self)
        self.plane = plane
        checkedRevision = 0
        trace.note("control plane starts")
        checkRecovery(plane)
    }

    private func planeDied(_ error: StoreError) {
        guard case .file = error else { return violate("the control plane cannot go on: \(error)") }
        trace.note("control plane dies: \(error)")
        planeCrashes += 1
        files = files.crash()
        planeBackAt = tick + (faults ? Int.random(in: 1...60, using: &random) : 1)
        for stream in plane?.streams ?? [] {
            stream.isOpenAtPlane = false
            // Some learn of it at once, the others by silence.
            if Int.random(in: 0..<4, using: &random) > 0, let sidecar = nodes[stream.node].sidecar, sidecar.stream === stream { sidecar.drop() }
        }
        plane = nil
    }

    // === what is told to the model ===

    func wantsToken(_ node: Node) { wantingTokens.insert(node.index) }

    func redeemed(_ token: String) {
        redemptions[token, default: 0] += 1
        if redemptions[token] != 1 { violate("join token \(token) was used twice") }
    }

    /// Reads a part as a sidecar does, but each text once, however many sidecars it goes to.
    func read(_ text: PartText, into snapshot: inout Snapshot) {
        if readings[text.version] == nil {
            var reading = snapshot
            do {
                try SnapshotCodec.decode(text.part.inSnapshot, text.text, into: &reading)
                readings[text.version] = reading
            } catch { violate("\(text.part) \(text.version) cannot be read: \(error)") }
        }
        guard let reading = readings[text.version] else { return }
        switch text.part {
        case .trust: snapshot.trust = reading.trust
        case .access: snapshot.access = reading.access
        case .traffic: snapshot.traffic = reading.traffic
        case .chain: snapshot.chain = reading.chain
        }
    }

    func published(_ text: PartText, to sidecar: String) {
        let key = "\(sidecar) \(text.part)"
        if history[key]?.last != text.version { history[key, default: []].append(text.version) }
    }

    func publishedIndex(_ text: PartText, to sidecar: String) -> Int {
        guard let index = history["\(sidecar) \(text.part)"]?.lastIndex(of: text.version) else {
            violate("\(sidecar) runs a \(text.part) that was never published")
            return 0
        }
        return index
    }

    func cutBatch(_ incarnation: String, _ sequence: UInt64, calls: UInt64) {
        if sequence != UInt64(cuts[incarnation]?.count ?? 0) + 1 { violate("\(incarnation) cuts batch \(sequence) out of order") }
        cuts[incarnation, default: []].append(calls)
    }

    func acknowledgedBatch(_ incarnation: String, _ sequence: UInt64) {
        acknowledgedBatches[incarnation] = max(acknowledgedBatches[incarnation] ?? 0, sequence)
    }
}
