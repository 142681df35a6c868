import Pipeline
import Testing

/// One sidecar and its stream, with a disk that outlives it.
private struct Sidecar {
    var disk: [SnapshotPart: String] = [:]
    var machine: SubscriberMachine
    var incarnation = 0
    /// What is under way in each direction; lost when the stream is.
    var down: [(PushMessage, UInt64)] = []
    var up: [(PushMessage, UInt64)] = []
    /// Being checked, and when that will be done.
    var checks: [(part: PushedPart, done: Instant)] = []
    /// Sent in an earlier session; may turn up at any time.
    var strays: [(PushMessage, UInt64)] = []
    var isStreamOpen = false
}

/// A control plane, its sidecars and everything that goes wrong between them, on virtual time.
private struct World {
    var random: Random
    var now = Instant(nanoseconds: 0)
    var wanted: [SnapshotPart: String] = [:]
    var publishers: [PublisherMachine]
    var sidecars: [Sidecar]
    var versions = 0
    var faults = true
    var installs = 0

    init(seed: UInt64, sidecars count: Int) {
        random = Random(seed: seed)
        publishers = Array(repeating: PublisherMachine(), count: count)
        sidecars = (0..<count).map { _ in Sidecar(machine: SubscriberMachine(have: [:], at: .zero)) }
        for part in SnapshotPart.allCases { wanted[part] = "0" }
        for part in SnapshotPart.allCases { publish(part, "0") }
    }

    static func isBad(_ version: String) -> Bool { version.hasPrefix("bad") }

    mutating func chance(_ perMille: Int) -> Bool { faults && Int.random(in: 0..<1000, using: &random) < perMille }

    mutating func publish(_ part: SnapshotPart, _ version: String) {
        wanted[part] = version
        for index in publishers.indices {
            let pushes = publishers[index].publish(part, version: version)
            send(pushes, to: index)
        }
    }

    mutating func send(_ pushes: [PublisherMachine.Push], to index: Int) {
        for push in pushes {
            #expect(push.version == wanted[push.part], "only the newest is ever sent")
            let outstanding = sidecars[index].down.contains { message, _ in
                if case .part(let pushed) = message { pushed.part == push.part } else { false }
            }
            #expect(!outstanding, "two pushes of one part are out")
            let pushed = PushedPart(part: push.part, version: push.version, generation: push.generation, body: [])
            sidecars[index].down.append((.part(pushed), sidecars[index].machine.session))
        }
    }

    mutating func cut(_ index: Int) {
        guard sidecars[index].isStreamOpen else { return }
        sidecars[index].strays += sidecars[index].down
        sidecars[index].down = []
        sidecars[index].up = []
        sidecars[index].isStreamOpen = false
        publishers[index].disconnected()
        sidecars[index].machine.closed(at: now, using: &random)
    }

    mutating func perform(_ actions: [SubscriberMachine.Action], _ index: Int) {
        for action in actions {
            switch action {
            case .connect:
                if chance(200) {
                    sidecars[index].machine.closed(at: now, using: &random)
                } else {
                    sidecars[index].isStreamOpen = true
                    perform(sidecars[index].machine.opened(at: now), index)
                }
            case .sendHello(let session):
                let hello = PushMessage.Hello(
                    sidecar: "\(index)", incarnation: "\(sidecars[index].incarnation)", namespace: "n", service: "s",
                    have: sidecars[index].machine.have)
                sidecars[index].up.append((.hello(hello), session))
            case .send(let message, let session):
                sidecars[index].up.append((message, session))
            case .check(let part):
                let done = now + .milliseconds(Int64.random(in: 0...1500, using: &random))
                sidecars[index].checks.append((part, done))
            case .install(let part):
                #expect(!World.isBad(part.version))
                installs += 1
                sidecars[index].disk[part.part] = part.version
            case .close, .refused: cut(index)
            case .renewCertificate: break
            }
        }
    }

    /// A tenth of a second.
    mutating func step() {
        now = now + .milliseconds(100)
        if chance(60) {
            versions += 1
            let part = SnapshotPart.allCases.randomElement(using: &random)!
            let version = Int.random(in: 0..<4, using: &random) == 0 ? "bad\(versions)" : "\(versions)"
            publish(part, version)
        }
        if chance(3) {
            // The control plane restarts; all it knows is what the store says.
            for index in sidecars.indices { cut(index) }
            publishers = Array(repeating: PublisherMachine(), count: sidecars.count)
            for part in SnapshotPart.allCases { publish(part, wanted[part]!) }
        }
        for index in sidecars.indices {
            if chance(15) { cut(index) }
            if chance(5) {
                // It restarts, from its disk.
                cut(index)
                sidecars[index].incarnation += 1
                sidecars[index].checks = []
                sidecars[index].machine = SubscriberMachine(
                    have: sidecars[index].disk, sessionsBefore: UInt64(sidecars[index].incarnation) << 32, at: now)
            }
            perform(sidecars[index].machine.wake(at: now), index)
            if chance(50), let (message, session) = sidecars[index].strays.randomElement(using: &random) {
                perform(sidecars[index].machine.received(message, session: session, at: now), index)
            }
            if !chance(300), !sidecars[index].down.isEmpty {
                let (message, session) = sidecars[index].down.removeFirst()
                perform(sidecars[index].machine.received(message, session: session, at: now), index)
            }
            if !chance(300), !sidecars[index].up.isEmpty {
                let (message, session) = sidecars[index].up.removeFirst()
                receive(message, session, from: index)
            }
            let done = sidecars[index].checks.filter { $0.done <= now }.map(\.part)
            sidecars[index].checks.removeAll { $0.done <= now }
            for part in done {
                let verdict: SubscriberMachine.Verdict = World.isBad(part.version) ? .rejected("bad") : .accepted
                perform(sidecars[index].machine.checked(part.part, generation: part.generation, verdict), index)
            }
        }
    }

    mutating func receive(_ message: PushMessage, _ session: UInt64, from index: Int) {
        switch message {
        case .hello(let hello):
            send(publishers[index].connected(session: session, incarnation: hello.incarnation, have: hello.have), to: index)
        case .ack(let part, let version, let generation):
            send(publishers[index].acked(part, version: version, generation: generation, session: session), to: index)
        case .nack(let part, let version, let generation, let reason):
            send(publishers[index].nacked(part, version: version, generation: generation, reason: reason, session: session), to: index)
        case .heartbeat: sidecars[index].down.append((.heartbeat, session))
        default: Issue.record("a sidecar does not say \(message)")
        }
    }
}

struct PushSimulationTests {
    @Test("Through cuts, restarts of either side, strays and bad versions, all come to run the newest valid one", arguments: 0..<60)
    func converges(seed: UInt64) {
        var world = World(seed: seed, sidecars: 4)
        for _ in 0..<1200 { world.step() }
        world.faults = false
        for _ in 0..<600 { world.step() }
        #expect(world.installs > 40)
        for index in world.sidecars.indices {
            let (publisher, sidecar) = (world.publishers[index], world.sidecars[index])
            for part in SnapshotPart.allCases {
                let (running, wanted) = (sidecar.machine.have[part], world.wanted[part]!)
                #expect(publisher.running(part) == running, "the control plane knows what runs: seed \(seed)")
                #expect(sidecar.disk[part] == running)
                if World.isBad(wanted) {
                    #expect(publisher.status(part) == .rejected, "seed \(seed)")
                } else {
                    #expect(running == wanted, "seed \(seed)")
                    #expect(publisher.status(part) == .synced, "seed \(seed)")
                }
            }
        }
    }
}
