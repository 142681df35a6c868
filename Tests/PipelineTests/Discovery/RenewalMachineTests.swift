import Pipeline
import Testing

struct RenewalMachineTests {
    private let hour = Nanoseconds.seconds(3600)

    @Test("Renewal is due at a random moment between 60 and 80 % of the certificate's life")
    func spread() {
        var random = Random(seed: 1)
        var shares: [Double] = []
        for _ in 0..<500 {
            var machine = RenewalMachine(at: .zero)
            #expect(machine.wake(at: .zero) == true)
            // Backdated by five minutes: life counts from notBefore.
            machine.installed(life: hour, left: hour - .seconds(300), at: .zero, using: &random)
            shares.append(((machine.deadline - .zero).seconds + 300) / 3600)
            #expect(machine.wake(at: machine.deadline + Nanoseconds(-1)) == false)
        }
        #expect(shares.allSatisfy { (0.6...0.8).contains($0) })
        #expect(shares.min()! < 0.61 && shares.max()! > 0.79)
    }

    @Test("Failures are tried again after 1 s to 5 min, each give or take half, for ever")
    func retries() {
        var random = Random(seed: 2)
        var machine = RenewalMachine(at: .zero)
        var now = Instant.zero
        for attempt in 0..<30 {
            #expect(machine.wake(at: now) == true)
            #expect(machine.wake(at: now + .seconds(29)) == false, "one request at a time")
            machine.failed(at: now, using: &random)
            let wait = (machine.deadline - now).seconds
            let middle = min(Double(1 << min(attempt, 20)), 300)
            #expect(wait >= middle / 2 && wait <= middle * 1.5)
            now = machine.deadline
        }
    }

    // Found by the simulation: without the deadline a request whose answer was lost was the last one ever.
    @Test("A request that nobody answers is made again")
    func lostAnswer() {
        var machine = RenewalMachine(at: .zero)
        #expect(machine.wake(at: .zero) == true)
        #expect(machine.deadline == .zero + .seconds(30))
        #expect(machine.wake(at: machine.deadline) == true)
    }

    // Found by the simulation: each answer made the next request due at once.
    @Test("A clock that is an hour ahead does not make a storm of requests")
    func clockAhead() {
        var random = Random(seed: 4)
        var machine = RenewalMachine(at: .zero)
        #expect(machine.wake(at: .zero) == true)
        machine.installed(life: hour, left: .zero, at: .zero, using: &random)
        #expect(machine.deadline == .zero + .seconds(30))
    }

    // Found by the simulation: the certificate ran out while its sidecar believed that it had a day left.
    @Test("A clock that is a day behind does not put the renewal off")
    func clockBehind() {
        var random = Random(seed: 5)
        var machine = RenewalMachine(at: .zero)
        machine.installed(life: hour, left: hour * 25, at: .zero, using: &random)
        #expect(machine.deadline <= .zero + hour)
        #expect(machine.expires == Instant.zero + hour)
    }

    @Test("A certificate from disk that is old or over is renewed at once, and a rotation hurries within a minute")
    func old() {
        var random = Random(seed: 3)
        var machine = RenewalMachine(at: .zero)
        machine.installed(life: hour, left: .seconds(60), at: .zero, using: &random)
        #expect(machine.deadline == .zero)
        machine.installed(life: hour, left: .seconds(-60), at: .zero, using: &random)
        #expect(machine.wake(at: .zero) == true)
        machine.installed(life: hour, left: hour, at: .zero, using: &random)
        machine.hurry(within: .seconds(60), at: .zero, using: &random)
        #expect(machine.deadline <= .zero + .seconds(60))
        #expect(machine.expires == Instant.zero + hour)
    }
}
