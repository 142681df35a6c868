import Pipeline
import Testing

struct SubscriberMachineTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private func part(_ part: SnapshotPart, _ version: String, _ generation: UInt64) -> PushedPart {
        PushedPart(part: part, version: version, generation: generation, body: Array("{}".utf8))
    }

    private func open(_ have: [SnapshotPart: String] = [:]) -> SubscriberMachine {
        var machine = SubscriberMachine(have: have, at: start)
        #expect(machine.wake(at: start) == [.connect])
        #expect(machine.opened(at: start) == [.sendHello(session: 1)])
        return machine
    }

    @Test("A good part is checked, installed, then acknowledged")
    func good() {
        var machine = open()
        let pushed = part(.chain, "a", 1)
        #expect(machine.received(.part(pushed), session: 1, at: start) == [.check(pushed)])
        #expect(machine.have.isEmpty)
        #expect(
            machine.checked(.chain, generation: 1, .accepted)
                == [.install(pushed), .send(.ack(.chain, version: "a", generation: 1), session: 1)])
        #expect(machine.have == [.chain: "a"])
    }

    @Test("A bad chain is refused with the reason, keeps the last good one, and holds back nothing else")
    func bad() {
        var machine = open([.chain: "good"])
        let (chain, trust) = (part(.chain, "bad", 1), part(.trust, "t", 2))
        #expect(machine.received(.part(chain), session: 1, at: start) == [.check(chain)])
        #expect(machine.received(.part(trust), session: 1, at: start) == [.check(trust)])
        #expect(machine.checked(.trust, generation: 2, .accepted).first == .install(trust))
        #expect(
            machine.checked(.chain, generation: 1, .rejected("no such filter"))
                == [.send(.nack(.chain, version: "bad", generation: 1, reason: "no such filter"), session: 1)])
        #expect(machine.have == [.chain: "good", .trust: "t"])
    }

    @Test("What it already runs is acknowledged without work; duplicates, old generations and other sessions are ignored")
    func ignored() {
        var machine = open([.chain: "a"])
        let same = part(.chain, "a", 5)
        let ack = SubscriberMachine.Action.send(.ack(.chain, version: "a", generation: 5), session: 1)
        #expect(machine.received(.part(same), session: 1, at: start) == [ack])
        #expect(machine.received(.part(same), session: 1, at: start).isEmpty)
        #expect(machine.received(.part(part(.chain, "old", 4)), session: 1, at: start).isEmpty)
        #expect(machine.received(.part(part(.chain, "b", 9)), session: 0, at: start).isEmpty)
    }

    @Test("Newer parts that come during a check wait, and only the newest is checked next")
    func newest() {
        var machine = open()
        let (b, c) = (part(.chain, "b", 2), part(.chain, "c", 3))
        _ = machine.received(.part(part(.chain, "a", 1)), session: 1, at: start)
        #expect(machine.received(.part(b), session: 1, at: start).isEmpty)
        #expect(machine.received(.part(c), session: 1, at: start).isEmpty)
        #expect(machine.checked(.chain, generation: 1, .rejected("")).last == .check(c))
    }

    @Test("A check that outlives its session does not change what the new session was told")
    func abandoned() {
        var machine = open([.chain: "x"])
        var random = Random(seed: 1)
        _ = machine.received(.part(part(.chain, "y", 1)), session: 1, at: start)
        machine.closed(at: start, using: &random)
        let later = machine.deadline
        _ = machine.wake(at: later)
        #expect(machine.opened(at: later) == [.sendHello(session: 2)])
        #expect(machine.checked(.chain, generation: 1, .accepted).isEmpty)
        #expect(machine.have == [.chain: "x"])
        let again = part(.chain, "y", 1)
        #expect(machine.received(.part(again), session: 2, at: later) == [.check(again)], "generations begin anew")
    }

    @Test("Waits between tries are random below a bound that doubles from 0.5 s to 30 s")
    func backOff() {
        var random = Random(seed: 1)
        var longest: [Int64] = Array(repeating: 0, count: 10)
        var shortest: [Int64] = Array(repeating: .max, count: 10)
        for _ in 0..<300 {
            var machine = SubscriberMachine(have: [:], at: start)
            var now = start
            for attempt in 0..<10 {
                #expect(machine.wake(at: machine.deadline) == [.connect])
                now = max(now, machine.deadline)
                machine.closed(at: now, using: &random)
                let wait = (machine.deadline - now).count
                longest[attempt] = max(longest[attempt], wait)
                shortest[attempt] = min(shortest[attempt], wait)
            }
        }
        for (attempt, seconds) in [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30].enumerated() {
            let bound = Int64(seconds * 1e9)
            #expect(longest[attempt] <= bound && longest[attempt] > bound * 9 / 10)
            #expect(shortest[attempt] >= 50_000_000 && shortest[attempt] < bound / 5)
        }
    }

    @Test("A refusal counts whatever its session, is told with its reason, and the next try is 15 to 30 s away")
    func refused() {
        var random = Random(seed: 1)
        for session: UInt64 in [0, 1, 99] {
            var machine = open()
            #expect(machine.received(.refused(reason: "it is revoked"), session: session, at: start) == [.refused(reason: "it is revoked")])
            #expect(!machine.isConnected)
            machine.closed(at: start, using: &random)
            #expect(machine.deadline >= start + .seconds(15) && machine.deadline <= start + .seconds(30))
            #expect(machine.wake(at: machine.deadline) == [.connect])
        }
    }

    @Test("With a new certificate to show it connects again at once, as a new session")
    func reconnects() {
        var machine = open([.chain: "a"])
        machine.reconnect(at: start + .seconds(5))
        #expect(!machine.isConnected && machine.wake(at: start + .seconds(5)) == [.connect])
        #expect(machine.opened(at: start + .seconds(5)) == [.sendHello(session: 2)])
        #expect(machine.have == [.chain: "a"])
    }

    @Test("Heartbeats go out in time, and a stream on which nothing is heard is closed")
    func heartbeats() {
        var machine = open()
        _ = machine.received(.welcome(heartbeat: .seconds(2)), session: 1, at: start)
        var now = start
        for _ in 0..<2 {
            now = machine.deadline
            #expect(machine.wake(at: now) == [.send(.heartbeat, session: 1)])
        }
        #expect(now == start + .seconds(4))
        #expect(machine.wake(at: now).isEmpty)
        now = machine.deadline
        #expect(now == start + .seconds(6))
        #expect(machine.wake(at: now) == [.close(reason: "nothing heard from the control plane")])
        #expect(machine.wake(at: now + .seconds(100)).isEmpty)
    }
}
