/// Limits a rate with a burst: GCRA (ITU-T I.371), kept in tokens instead of time.
///
/// GCRA remembers the theoretical arrival time of the next request; its lead over `now`, times the rate, is the number of tokens
/// that are missing from a full bucket. We store that number. It is the same algorithm, and two things become plain: a rate of
/// zero (a bucket that never refills) needs no case of its own, and a state written under one policy means the same under another,
/// so chains that run the old and the new config share one bucket.
///
/// All bits zero is a full bucket. A refusal takes nothing and writes nothing.
@frozen
public struct TokenBucket: BitwiseCopyable, Sendable, Equatable {
    /// How fast and how deep. Which bucket it is applied to is the caller's matter.
    @frozen
    public struct Policy: BitwiseCopyable, Sendable, Equatable {
        /// Tokens that come back per `period`; 0: none ever does.
        public let tokens: Int64
        public let period: Nanoseconds
        /// Tokens of a full bucket; 0 refuses everything.
        public let burst: Int64

        /// `tokens` and `burst` are held within 0…``TokenBucket/tokensMax``, `period` at 1 ns at least.
        public init(tokens: Int64, per period: Nanoseconds = .seconds(1), burst: Int64) {
            self.tokens = min(max(tokens, 0), TokenBucket.tokensMax)
            self.period = max(period, .nanoseconds(1))
            self.burst = min(max(burst, 0), TokenBucket.tokensMax)
        }
    }

    /// What became of a request.
    @frozen
    public enum Answer: BitwiseCopyable, Sendable, Equatable {
        case taken
        /// Not enough tokens; the same request would pass after `retryAfter`, if nobody else comes first.
        case refused(retryAfter: Nanoseconds)
        /// No wait helps: the bucket does not refill, or is smaller than the request.
        case refusedForGood
    }

    /// So that a bucket in billionths of a token fits a signed word.
    public static var tokensMax: Int64 { 1_000_000_000 }
    private static var unitsPerToken: Int64 { 1_000_000_000 }

    /// Billionths of a token missing from a full bucket at `asOf`. With a rate per second a nanosecond refills a whole number of them.
    private var missing: Int64 = 0
    private var asOf: Int64 = 0

    public init() {}

    /// Takes `count` tokens, or none.
    public mutating func take(_ policy: Policy, count: Int64 = 1, at now: Instant) -> Answer {
        let capacity = policy.burst * Self.unitsPerToken
        guard count <= policy.burst else { return .refusedForGood }
        let cost = max(count, 0) * Self.unitsPerToken
        let owed = missing(policy, at: now)
        let excess = owed - (capacity - cost)
        if excess <= 0 {
            missing = owed + cost
            asOf = max(asOf, now.nanoseconds)
            return .taken
        }
        guard policy.tokens > 0 else { return .refusedForGood }
        // excess ÷ (tokens per period), rounded up: after that wait the request does pass.
        let perPeriod = UInt64(policy.tokens) * UInt64(Self.unitsPerToken)
        let scaled = UInt64(excess).multipliedFullWidth(by: UInt64(policy.period.count))
        guard scaled.high < perPeriod else { return .refused(retryAfter: Nanoseconds(.max)) }
        let (wait, rest) = perPeriod.dividingFullWidth((scaled.high, scaled.low))
        let whole = rest == 0 ? wait : wait &+ 1
        return .refused(retryAfter: Nanoseconds(Int64(clamping: whole)))
    }

    /// Tokens a caller could take now, rounded down.
    public func available(_ policy: Policy, at now: Instant) -> Int64 {
        max(0, policy.burst * Self.unitsPerToken - missing(policy, at: now)) / Self.unitsPerToken
    }

    /// Goes over to a new policy: what was earned until now was earned under the `old` one, and no more is missing than the new bucket holds.
    public mutating func adopt(_ new: Policy, from old: Policy, at now: Instant) {
        missing = min(missing(old, at: now), new.burst * Self.unitsPerToken)
        asOf = max(asOf, now.nanoseconds)
    }

    /// Another loop's clock may be a little ahead of ours: then no time has passed, and none is counted twice.
    private func missing(_ policy: Policy, at now: Instant) -> Int64 {
        let full = policy.burst * Self.unitsPerToken
        let owed = min(missing, full)
        guard owed > 0, now.nanoseconds > asOf, policy.tokens > 0 else { return owed }
        let elapsed = UInt64(bitPattern: now.nanoseconds &- asOf)
        // units per period × elapsed ÷ period; saturates where the bucket is long full.
        let scaled = elapsed.multipliedFullWidth(by: UInt64(policy.tokens) * UInt64(Self.unitsPerToken))
        let period = UInt64(policy.period.count)
        guard scaled.high < period else { return 0 }
        let refilled = period.dividingFullWidth((scaled.high, scaled.low)).quotient
        return refilled >= UInt64(owed) ? 0 : owed - Int64(refilled)
    }
}

extension Shared where State == TokenBucket {
    /// Takes `count` tokens of the process's bucket, or none.
    public func take(_ policy: TokenBucket.Policy, count: Int64 = 1, at now: Instant) -> TokenBucket.Answer {
        update { $0.take(policy, count: count, at: now) }
    }
}
