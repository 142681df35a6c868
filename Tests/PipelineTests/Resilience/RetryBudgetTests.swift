import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

struct RetryBudgetTests {
    @Test("A quiet upstream may retry minPerSecond times at once, then as the floor refills")
    func floor() {
        var budget = RetryBudget()
        let policy = RetryBudget.Policy()
        #expect((0..<20).filter { _ in budget.withdraw(policy, at: start) }.count == 10)
        #expect((0..<20).filter { _ in budget.withdraw(policy, at: start + .milliseconds(500)) }.count == 5)
    }

    @Test("Traffic earns its ratio", arguments: [(20.0, 200), (30.0, 300), (70.0, 700), (0.0, 0), (100.0, 1_000)])
    func ratio(percent: Double, retries: Int) {
        var budget = RetryBudget()
        let policy = RetryBudget.Policy(ratioPercent: percent, minPerSecond: 0)
        for _ in 0..<1_000 { budget.deposit(policy, at: start) }
        #expect((0..<5_000).filter { _ in budget.withdraw(policy, at: start) }.count == retries)
    }

    @Test("What was earned fades: about a third is left after ten seconds of quiet steps, nothing after a long silence")
    func fades() {
        let policy = RetryBudget.Policy(ratioPercent: 100, minPerSecond: 0)
        var budget = RetryBudget()
        for _ in 0..<1_000 { budget.deposit(policy, at: start) }
        #expect((360...372).contains(budget.available(policy, at: start + .milliseconds(9_950))))
        #expect(budget.available(policy, at: start + .seconds(11)) == 0)
    }

    @Test("Fading is not swallowed by frequent calls")
    func busy() {
        let policy = RetryBudget.Policy(ratioPercent: 20, minPerSecond: 0)
        var budget = RetryBudget()
        for index in 0..<300_000 { budget.deposit(policy, at: start + .microseconds(Int64(index) * 100)) }
        // 10,000 requests a second for thirty seconds settle at about 0.2 × 10,000 × 10 s.
        #expect((18_000...20_500).contains(budget.available(policy, at: start + .seconds(30))))
    }

    @Test("Under any seeded traffic retries stay within ratio × requests + floor")
    func bound() {
        for seed in UInt64(0)..<100 {
            var random = Random(seed: seed)
            let policy = RetryBudget.Policy(
                ratioPercent: Double.random(in: 0...200, using: &random), minPerSecond: UInt32.random(in: 0...20, using: &random))
            var budget = RetryBudget(), now = start, requests = 0, retries = 0
            for _ in 0..<2_000 {
                now = now + .milliseconds(Int64.random(in: 0...30, using: &random))
                budget.deposit(policy, at: now)
                requests += 1
                while Int.random(in: 0..<3, using: &random) > 0 {
                    guard budget.withdraw(policy, at: now) else { break }
                    retries += 1
                }
            }
            let seconds = (now - start).seconds + 0.1
            let limit = Double(requests * Int(policy.perThousand)) / 1_000 + Double(policy.minPerSecond) * (1 + seconds)
            #expect(Double(retries) <= limit)
        }
    }

    @Test("Threads together never withdraw more than is there")
    func shared() async {
        let budget = SharedCell.allocate(RetryBudget())
        let made = SharedCell.allocate(UInt64(0))
        let policy = RetryBudget.Policy(ratioPercent: 20, minPerSecond: 10)
        await concurrently { _ in
            for _ in 0..<1_000 {
                budget.deposit(policy, at: start)
                if budget.withdraw(policy, at: start) { made.update { $0 += 1 } }
            }
        }
        #expect(made.read() == 810)
        SharedCell.deallocate(budget)
        SharedCell.deallocate(made)
    }

    @Test("Extremes neither trap nor let everything through")
    func extremes() {
        let policy = RetryBudget.Policy(ratioPercent: .nan, minPerSecond: .max)
        #expect(policy.perThousand == 0)
        var budget = RetryBudget()
        for now in [Instant.zero, Instant(nanoseconds: .min), .distantFuture, start] {
            budget.deposit(policy, at: now)
            _ = budget.withdraw(policy, at: now)
        }
        let rich = RetryBudget.Policy(ratioPercent: .infinity)
        for _ in 0..<500_000 { budget.deposit(rich, at: .distantFuture) }
        #expect(budget.available(rich, at: .distantFuture) > 1_000_000)
    }
}

struct BackoffTests {
    @Test("The ceiling doubles from base to maximum")
    func ceilings() {
        let backoff = Backoff()
        #expect((1...6).map { backoff.ceiling(beforeRetry: $0).count / 1_000_000 } == [25, 50, 100, 200, 250, 250])
        #expect(backoff.ceiling(beforeRetry: .max) == .milliseconds(250))
    }

    @Test("The wait is spread over all of [0, ceiling)")
    func jitter() {
        var random = Random(seed: 11)
        let waits = (0..<4_000).map { _ in Backoff().delay(beforeRetry: 2, using: &random).count }
        #expect(waits.allSatisfy { (0..<50_000_000).contains($0) })
        let mean = waits.reduce(0, +) / 4_000
        #expect((24_000_000...26_000_000).contains(mean))
        #expect(waits.min()! < 500_000 && waits.max()! > 49_500_000)
    }

    @Test("No base is no wait")
    func none() {
        var random = Random(seed: 1)
        #expect(Backoff(base: .zero, max: .zero).delay(beforeRetry: 3, using: &random) == .zero)
    }
}
