/// Keeps retries a small share of the traffic, so that they cannot become the load that keeps an upstream down.
///
/// Two purses. Each request earns a part of a retry (20 %: a fifth); what is earned fades, halving about every seven seconds, so that
/// yesterday's traffic does not pay for a burst now. Beside it a floor refills at `minPerSecond`, so that quiet upstreams may retry
/// at all. Over any time span t: retries ≤ ratio × requests + what was in the purses + minPerSecond × t.
///
/// Amounts are thousandths of a retry. All bits zero: nothing earned, the floor full.
/// Modelled on Finagle's and tower's budgets without their integer 1/ratio (which makes 30 % a third and 70 % everything).
@frozen
public struct RetryBudget: BitwiseCopyable, Sendable, Equatable {
    @frozen
    public struct Policy: BitwiseCopyable, Sendable, Equatable {
        /// Retries earned by a thousand requests.
        public let perThousand: UInt32
        /// Retries allowed per second whatever the traffic; also the most the floor saves up.
        public let minPerSecond: UInt32

        /// `ratioPercent` within 0…1,000, `minPerSecond` within 0…1,000,000.
        public init(ratioPercent: Double = 20, minPerSecond: UInt32 = 10) {
            // NaN fails the comparison and counts as 0.
            perThousand = ratioPercent > 0 ? UInt32(min(ratioPercent, 1_000) * 10) : 0
            self.minPerSecond = min(minPerSecond, 1_000_000)
        }
    }

    /// Fading and refilling happen in steps of this length, so that rounding cannot swallow either under heavy traffic.
    private static var step: Int64 { 100_000_000 }
    /// Of what was earned, this part per step is lost: a time constant of ten seconds.
    private static var fadeDivisor: UInt64 { 100 }
    private static var unit: UInt32 { 1_000 }

    private var asOf: Int64 = 0
    /// Thousandths of a retry, earned and not yet spent or faded.
    private var earned: UInt32 = 0
    /// Thousandths of a retry missing from a full floor.
    private var floorSpent: UInt32 = 0

    public init() {}

    /// A request (not a retry) sets out.
    public mutating func deposit(_ policy: Policy, at now: Instant) {
        advance(policy, to: now)
        let (sum, overflow) = earned.addingReportingOverflow(policy.perThousand)
        earned = overflow ? .max : sum
    }

    /// Whether one retry may be made; it is paid for if so.
    public mutating func withdraw(_ policy: Policy, at now: Instant) -> Bool {
        advance(policy, to: now)
        if earned >= Self.unit {
            earned -= Self.unit
            return true
        }
        let floor = policy.minPerSecond * Self.unit
        if min(floorSpent, floor) + Self.unit <= floor {
            floorSpent = min(floorSpent, floor) + Self.unit
            return true
        }
        return false
    }

    /// Whole retries that could be paid for at once.
    public func available(_ policy: Policy, at now: Instant) -> Int {
        var copy = self
        copy.advance(policy, to: now)
        let floor = policy.minPerSecond * Self.unit
        return Int(copy.earned / Self.unit) + Int((floor - min(copy.floorSpent, floor)) / Self.unit)
    }

    private mutating func advance(_ policy: Policy, to now: Instant) {
        guard now.nanoseconds > asOf else { return }
        let steps = (now.nanoseconds &- asOf) / Self.step
        guard steps > 0 else { return }
        asOf += steps * Self.step
        if steps >= Int64(Self.fadeDivisor) {
            earned = 0
        } else {
            var step: Int64 = 0
            while step < steps {
                earned -= UInt32((UInt64(earned) + Self.fadeDivisor - 1) / Self.fadeDivisor)
                step += 1
            }
        }
        let refill = UInt64(policy.minPerSecond) * UInt64(Self.unit / 10) * UInt64(min(steps, 100))
        floorSpent = UInt64(floorSpent) > refill ? floorSpent - UInt32(refill) : 0
    }
}

extension Shared where State == RetryBudget {
    public func deposit(_ policy: RetryBudget.Policy, at now: Instant) { update { $0.deposit(policy, at: now) } }
    public func withdraw(_ policy: RetryBudget.Policy, at now: Instant) -> Bool { update { $0.withdraw(policy, at: now) } }
}
