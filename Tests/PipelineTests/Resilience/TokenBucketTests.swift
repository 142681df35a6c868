import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

struct TokenBucketTests {
    @Test("Starts full: the burst passes at once, the next is refused with the time until it would pass")
    func burst() {
        var bucket = TokenBucket()
        let policy = TokenBucket.Policy(tokens: 10, burst: 3)
        for _ in 0..<3 { #expect(bucket.take(policy, at: start) == .taken) }
        #expect(bucket.take(policy, at: start) == .refused(retryAfter: .milliseconds(100)))
        #expect(bucket.take(policy, at: start + .nanoseconds(99_999_999)) == .refused(retryAfter: .nanoseconds(1)))
        #expect(bucket.take(policy, at: start + .milliseconds(100)) == .taken)
    }

    @Test("A rate of 0 never refills: a burst of N passes N requests, ever")
    func neverRefills() {
        var bucket = TokenBucket()
        let policy = TokenBucket.Policy(tokens: 0, burst: 10)
        let taken = (0..<100).filter { bucket.take(policy, at: start + .seconds(Int64($0) * 86_400)) == .taken }
        #expect(taken == Array(0..<10))
        #expect(bucket.take(policy, at: .distantFuture) == .refusedForGood)
    }

    @Test("A burst of 0 refuses everything, and a request larger than the bucket can never pass")
    func impossible() {
        var bucket = TokenBucket()
        #expect(bucket.take(TokenBucket.Policy(tokens: 100, burst: 0), at: start) == .refusedForGood)
        #expect(bucket.take(TokenBucket.Policy(tokens: 100, burst: 4), count: 5, at: start) == .refusedForGood)
        #expect(bucket == TokenBucket())
    }

    @Test("A refusal takes nothing and writes nothing")
    func refusalIsFree() {
        var bucket = TokenBucket()
        let policy = TokenBucket.Policy(tokens: 1, burst: 1)
        _ = bucket.take(policy, at: start)
        let before = bucket
        for offset in 1..<1_000 { _ = bucket.take(policy, at: start + .microseconds(Int64(offset))) }
        #expect(bucket == before)
    }

    @Test("A clock that steps back gives no tokens and takes none")
    func backwards() {
        var bucket = TokenBucket()
        let policy = TokenBucket.Policy(tokens: 1_000, burst: 2)
        #expect(bucket.take(policy, at: start) == .taken)
        #expect(bucket.take(policy, at: start + .nanoseconds(-500_000_000)) == .taken)
        #expect(bucket.take(policy, at: start + .nanoseconds(-500_000_000)) == .refused(retryAfter: .milliseconds(1)))
        // The half second is not counted a second time.
        #expect(bucket.available(policy, at: start + .milliseconds(1)) == 1)
    }

    @Test("Over any run never more than burst + rate × time pass, and waiting as told always passes")
    func bound() {
        var random = Random(seed: 7)
        for _ in 0..<200 {
            let policy = TokenBucket.Policy(
                tokens: Int64.random(in: 1...5_000, using: &random),
                per: .milliseconds(Int64.random(in: 1...60_000, using: &random)),
                burst: Int64.random(in: 1...50, using: &random))
            var bucket = TokenBucket(), now = start, passed: Int64 = 0
            for _ in 0..<300 {
                now = now + .nanoseconds(Int64.random(in: 0...20_000_000, using: &random))
                switch bucket.take(policy, at: now) {
                case .taken: passed += 1
                case .refused(let wait):
                    var later = bucket
                    #expect(later.take(policy, at: now + wait) == .taken)
                    #expect(wait > .zero)
                case .refusedForGood: Issue.record("a bucket that refills is never refused for good")
                }
            }
            let elapsed = Double((now - start).count) / Double(policy.period.count)
            #expect(Double(passed) <= Double(policy.burst) + elapsed * Double(policy.tokens) + 1e-6)
        }
    }

    @Test("A steady caller at the limit loses nothing to rounding", arguments: [3, 7, 100, 999, 1_000_000] as [Int64])
    func rounding(rate: Int64) {
        var bucket = TokenBucket()
        let policy = TokenBucket.Policy(tokens: rate, burst: 1)
        // Asks at exactly the rate, rounded up to whole nanoseconds.
        let gap = (1_000_000_000 + rate - 1) / rate
        #expect((0..<5_000).allSatisfy { bucket.take(policy, at: start + .nanoseconds(Int64($0) * gap)) == .taken })
    }

    @Test("A smaller burst clamps what is missing; a larger one keeps it missing; what was earned stays earned")
    func adopt() {
        let small = TokenBucket.Policy(tokens: 1, burst: 2), large = TokenBucket.Policy(tokens: 1, burst: 100)
        var bucket = TokenBucket()
        #expect(bucket.take(large, count: 100, at: start) == .taken)
        bucket.adopt(small, from: large, at: start)
        #expect(bucket.available(small, at: start) == 0)
        #expect(bucket.available(small, at: start + .seconds(2)) == 2)
        bucket.adopt(large, from: small, at: start + .seconds(2))
        #expect(bucket.available(large, at: start + .seconds(2)) == 100)
    }

    @Test("The extremes of every argument answer without overflow")
    func extremes() {
        let policies = [
            TokenBucket.Policy(tokens: .max, per: Nanoseconds(.max), burst: .max),
            TokenBucket.Policy(tokens: .max, per: .zero, burst: 1), TokenBucket.Policy(tokens: 1, per: Nanoseconds(.max), burst: 1),
            TokenBucket.Policy(tokens: .min, per: Nanoseconds(.min), burst: .min),
        ]
        for policy in policies {
            var bucket = TokenBucket()
            for count in [Int64.min, 0, 1, .max] {
                for now in [Instant.zero, start, .distantFuture, Instant(nanoseconds: .min)] {
                    _ = bucket.take(policy, count: count, at: now)
                    #expect(bucket.available(policy, at: now) >= 0)
                }
            }
        }
    }

    @Test("Threads that share a bucket take exactly its burst")
    func shared() async {
        let bucket = SharedCell.allocate(TokenBucket())
        let taken = SharedCell.allocate(UInt64(0))
        await concurrently { _ in
            for _ in 0..<1_000 where bucket.take(TokenBucket.Policy(tokens: 0, burst: 777), at: start) == .taken {
                taken.update { $0 += 1 }
            }
        }
        #expect(taken.read() == 777)
        SharedCell.deallocate(bucket)
        SharedCell.deallocate(taken)
    }
}
