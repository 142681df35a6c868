import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

private func policy(maxRequests: UInt32 = 100, failures: UInt16 = 2, jitter: UInt8 = 0) -> CircuitBreaker.Policy {
    .init(
        maxRequests: maxRequests,
        accrual: .init(
            consecutiveFailures: failures, backoffBase: .seconds(1), backoffMax: .seconds(8), jitterPercent: jitter,
            probeDeadline: .seconds(5)))
}

extension CircuitBreaker {
    fileprivate mutating func permit(_ policy: Policy, at now: Instant) -> Permit? {
        if case .admit(let permit) = admit(policy, at: now) { permit } else { nil }
    }

    fileprivate mutating func mustAdmit(_ policy: Policy, at now: Instant) throws -> Permit {
        let permit = permit(policy, at: now)
        return try #require(permit)
    }

    fileprivate mutating func run(_ report: FailureAccrual.Report, _ policy: Policy, at now: Instant) -> FailureAccrual.Effect? {
        permit(policy, at: now).map { finish($0, report, policy, at: now, chance: 0) }
    }
}

struct CircuitBreakerTests {
    @Test("Trips on the last allowed failure, probes once after the back-off, recovers on success")
    func fullCycle() throws {
        var breaker = CircuitBreaker()
        let policy = policy()
        #expect(breaker.run(.failure, policy, at: start) == FailureAccrual.Effect.none)
        #expect(breaker.run(.failure, policy, at: start) == .tripped(until: start + .seconds(1)))
        #expect(breaker.admit(policy, at: start + .milliseconds(999)) == .refuse(.tripped(until: start + .seconds(1))))

        let probe = try breaker.mustAdmit(policy, at: start + .seconds(1))
        #expect(probe.kind == .probe)
        #expect(breaker.admit(policy, at: start + .seconds(1)) == .refuse(.probing(until: start + .seconds(6))))
        #expect(breaker.finish(probe, .success, policy, at: start + .seconds(1), chance: 0) == .recovered)
        #expect(breaker.permit(policy, at: start + .seconds(1))?.kind == .ordinary)
    }

    @Test("A success in between starts the count again")
    func inARow() {
        var breaker = CircuitBreaker()
        let policy = policy()
        for _ in 0..<10 {
            #expect(breaker.run(.failure, policy, at: start) == FailureAccrual.Effect.none)
            #expect(breaker.run(.success, policy, at: start) == FailureAccrual.Effect.none)
        }
    }

    @Test("Each failed probe doubles the back-off up to its maximum")
    func backoffDoubles() {
        var breaker = CircuitBreaker()
        let policy = policy(failures: 1)
        var now = start
        var waits: [Int64] = []
        for _ in 0..<6 {
            guard case .tripped(let until) = breaker.run(.failure, policy, at: now) else {
                Issue.record("must trip")
                return
            }
            waits.append((until - now).count / 1_000_000_000)
            now = until
        }
        #expect(waits == [1, 2, 4, 8, 8, 8])
    }

    @Test("Jitter lengthens the back-off by at most its share and never past the maximum")
    func jitter() {
        let accrual = policy(jitter: 50).accrual
        var random = Random(seed: 3)
        let waits = (0..<2_000).map { _ in FailureAccrual.backoff(times: 1, accrual, chance: random.next()).count }
        #expect(waits.allSatisfy { (1_000_000_000...1_500_000_000).contains($0) })
        #expect(waits.min()! < 1_010_000_000 && waits.max()! > 1_490_000_000)
        #expect(FailureAccrual.backoff(times: 900, accrual, chance: .max) == .seconds(8))
    }

    @Test("A probe whose caller goes away makes room for the next at once")
    func probeCancelled() throws {
        var breaker = CircuitBreaker()
        let policy = policy(failures: 1)
        _ = breaker.run(.failure, policy, at: start)
        let probe = try breaker.mustAdmit(policy, at: start + .seconds(1))
        _ = breaker.finish(probe, .noWord, policy, at: start + .seconds(2), chance: 0)
        #expect(breaker.permit(policy, at: start + .seconds(2))?.kind == .probe)
    }

    @Test("A probe that vanishes without a word is replaced after its deadline, and its late report changes nothing")
    func probeVanishes() throws {
        var breaker = CircuitBreaker()
        let policy = policy(failures: 1)
        _ = breaker.run(.failure, policy, at: start)
        let lost = try breaker.mustAdmit(policy, at: start + .seconds(1))
        #expect(breaker.permit(policy, at: start + .milliseconds(5_999)) == nil)
        let second = try breaker.mustAdmit(policy, at: start + .seconds(6))
        #expect(second.kind == .probe)
        #expect(breaker.finish(lost, .success, policy, at: start + .seconds(6), chance: 0) == FailureAccrual.Effect.none)
        #expect(breaker.phase == .probing)
        #expect(breaker.finish(second, .success, policy, at: start + .seconds(6), chance: 0) == .recovered)
        #expect(breaker.active == 0)
    }

    @Test("A straggler from before the trip says nothing about health now")
    func straggler() throws {
        var breaker = CircuitBreaker()
        let policy = policy(failures: 1)
        let old = try breaker.mustAdmit(policy, at: start)
        let older = try breaker.mustAdmit(policy, at: start)
        _ = breaker.run(.failure, policy, at: start)
        #expect(breaker.finish(old, .success, policy, at: start, chance: 0) == FailureAccrual.Effect.none)
        #expect(breaker.phase == .tripped)
        _ = breaker.run(.success, policy, at: start + .seconds(1))
        #expect(breaker.finish(older, .failure, policy, at: start + .seconds(1), chance: 0) == FailureAccrual.Effect.none)
        #expect(breaker.phase == .flowing)
    }

    @Test("At most maxRequests are out; a permit that came back makes room")
    func limit() throws {
        var breaker = CircuitBreaker()
        let policy = policy(maxRequests: 2)
        let first = try breaker.mustAdmit(policy, at: start)
        _ = try breaker.mustAdmit(policy, at: start)
        #expect(breaker.admit(policy, at: start) == .refuse(.tooManyRequests))
        _ = breaker.finish(first, .success, policy, at: start, chance: 0)
        #expect(breaker.permit(policy, at: start) != nil)
    }

    @Test("A zero threshold never trips, and a zero limit refuses everything")
    func zeroes() {
        var breaker = CircuitBreaker()
        for _ in 0..<3_000 {
            #expect(breaker.run(.failure, policy(failures: 0), at: start) == FailureAccrual.Effect.none)
        }
        #expect(breaker.admit(policy(maxRequests: 0), at: start) == .refuse(.tooManyRequests))
    }

    @Test("A permit given back through the shared handle is cleared, so that a second time does nothing")
    func exactlyOnce() throws {
        let breaker = SharedCell.allocate(CircuitBreaker())
        defer { SharedCell.deallocate(breaker) }
        var random = Random(seed: 1)
        let policy = policy()
        guard case .admit(var permit) = breaker.admit(policy, at: start) else { throw Missing() }
        #expect(breaker.read().active == 1)
        for _ in 0..<3 { _ = breaker.finish(&permit, .noWord, policy, at: start, using: &random) }
        #expect(breaker.read().active == 0)
        #expect(permit == CircuitBreaker.Permit())
    }

    private struct Missing: Error {}

    @Test("Over seeded histories: one probe at most within its deadline, permits balance, and traffic flows again after faults stop")
    func histories() {
        for seed in UInt64(0)..<200 {
            var random = Random(seed: seed)
            var breaker = CircuitBreaker()
            let policy = policy(maxRequests: 20, failures: 3, jitter: 50)
            var out: [(permit: CircuitBreaker.Permit, at: Instant)] = []
            var now = start
            for _ in 0..<400 {
                now = now + .milliseconds(Int64.random(in: 0...400, using: &random))
                if Bool.random(using: &random), let permit = breaker.permit(policy, at: now) {
                    if permit.kind == .probe {
                        let rivals = out.filter { $0.permit.kind == .probe && now - $0.at < .seconds(5) }
                        // A rival within its deadline must belong to an earlier trip: then a report was heard in between.
                        #expect(rivals.allSatisfy { $0.permit != permit })
                    }
                    out.append((permit, now))
                } else if let index = out.indices.randomElement(using: &random), Int.random(in: 0..<4, using: &random) > 0 {
                    let report: FailureAccrual.Report = [.success, .failure, .failure, .noWord].randomElement(using: &random)!
                    _ = breaker.finish(out.remove(at: index).permit, report, policy, at: now, chance: random.next())
                }
                #expect(breaker.active == out.count)
                #expect(breaker.active <= 20)
            }
            for entry in out { _ = breaker.finish(entry.permit, .noWord, policy, at: now, chance: 0) }
            #expect(breaker.active == 0)
            // The faults stop: within the longest back-off everything is as new.
            now = now + .seconds(9)
            _ = breaker.run(.success, policy, at: now)
            #expect(breaker.phase == .flowing)
            #expect(breaker.permit(policy, at: now)?.kind == .ordinary)
        }
    }

    @Test("Threads that race for the probe get it once, and all permits come back")
    func race() async {
        for round in 0..<50 {
            let breaker = SharedCell.allocate(CircuitBreaker())
            let probes = SharedCell.allocate(UInt64(0))
            let policy = policy(failures: 1)
            breaker.update { state in _ = state.run(.failure, policy, at: start) }
            await concurrently { thread in
                var random = Random(seed: UInt64(round * 10 + thread))
                for _ in 0..<20 {
                    guard case .admit(var permit) = breaker.admit(policy, at: start + .seconds(1)) else { continue }
                    probes.update { $0 += 1 }
                    // The same instant: a failed probe trips again, so no second one may go.
                    _ = breaker.finish(&permit, .failure, policy, at: start + .seconds(1), using: &random)
                }
            }
            #expect(probes.read() == 1)
            #expect(breaker.read().active == 0)
            SharedCell.deallocate(breaker)
            SharedCell.deallocate(probes)
        }
    }
}
