/// Decides whether something that fails may be tried: an upstream, or one endpoint.
///
///     flowing --failures reach the limit--> tripped --back-off elapses--> probing
///        ^                                    ^  ^                          |  |
///        |                                    |  +--- probe gives no word --+  |
///        |                                    +-------- probe fails -----------+
///        +------------------------- probe succeeds ----------------------------+
///
/// Every admission carries the generation it was made in; each transition starts a new one. So a straggler from before the trip
/// changes nothing, and a probe that outlived its deadline cannot speak for the probe that took its place: a probe whose caller
/// vanished never jams the machine.
///
/// The words "open" and "closed" are avoided on purpose: they mean opposite things for a gate and a circuit.
/// All of it is one 64-bit word (layout at the bottom); all bits zero is flowing without a failure.
@frozen
public struct FailureAccrual: BitwiseCopyable, Sendable, Equatable {
    /// When to trip and for how long.
    @frozen
    public struct Policy: BitwiseCopyable, Sendable, Equatable {
        /// Failures in a row that trip; 0: never. At most 1,023.
        public let consecutiveFailures: UInt16
        /// The first back-off; it doubles with each failed probe.
        public let backoffBase: Nanoseconds
        /// The longest back-off, jitter included.
        public let backoffMax: Nanoseconds
        /// Added to a back-off: a random part of up to this share of it, in percent.
        public let jitterPercent: UInt8
        /// A probe that has not reported by then no longer counts, and another may go.
        public let probeDeadline: Nanoseconds

        public init(
            consecutiveFailures: UInt16 = 5, backoffBase: Nanoseconds = .seconds(1), backoffMax: Nanoseconds = .seconds(60),
            jitterPercent: UInt8 = 50, probeDeadline: Nanoseconds = .seconds(10)
        ) {
            self.consecutiveFailures = min(consecutiveFailures, FailureAccrual.countMax)
            self.backoffBase = max(backoffBase, .milliseconds(1))
            self.backoffMax = max(backoffMax, max(backoffBase, .milliseconds(1)))
            self.jitterPercent = min(jitterPercent, 100)
            self.probeDeadline = max(probeDeadline, .milliseconds(1))
        }
    }

    @frozen
    public enum Phase: UInt8, BitwiseCopyable, Sendable { case flowing, tripped, probing }

    /// May it be tried?
    @frozen
    public enum Admission: BitwiseCopyable, Sendable, Equatable {
        /// Try, and report with this generation.
        case admit(generation: UInt16)
        /// Try: this is the one probe. Report with this generation.
        case admitProbe(generation: UInt16)
        /// Do not try before `until`; until then nothing is admitted, unless a probe that is out reports well before.
        case refuse(until: Instant)
    }

    /// What a try showed.
    @frozen
    public enum Report: UInt8, BitwiseCopyable, Sendable {
        case success, failure
        /// Nothing: the caller went away, or the answer says nothing about the other side.
        case noWord
    }

    /// What a report changed, for logs and counters.
    @frozen
    public enum Effect: BitwiseCopyable, Sendable, Equatable {
        case none
        case tripped(until: Instant)
        case recovered
    }

    fileprivate static var countMax: UInt16 { 1_023 }

    private var word: UInt64 = 0

    public init() {}

    public mutating func admit(_ policy: Policy, at now: Instant) -> Admission {
        switch phase {
        case .flowing:
            return .admit(generation: generation)
        case .tripped, .probing:
            // Back-off over, or the probe's deadline passed: one probe goes.
            guard now >= until else { return .refuse(until: until) }
            begin(.probing, count: count, until: now + policy.probeDeadline)
            return .admitProbe(generation: generation)
        }
    }

    /// The report of an admission. `chance` is any 64 random bits; it jitters the back-off if this report trips.
    public mutating func record(_ report: Report, generation: UInt16, _ policy: Policy, at now: Instant, chance: UInt64) -> Effect {
        guard generation == self.generation else { return .none }
        switch (phase, report) {
        case (.flowing, .success):
            count = 0
            return .none
        case (.flowing, .failure):
            let failures = min(count &+ 1, Self.countMax)
            if policy.consecutiveFailures > 0, failures >= policy.consecutiveFailures {
                return trip(times: 1, policy, at: now, chance: chance)
            }
            count = failures
            return .none
        case (.probing, .success):
            begin(.flowing, count: 0, until: .zero)
            return .recovered
        case (.probing, .failure):
            return trip(times: min(count &+ 1, Self.countMax), policy, at: now, chance: chance)
        case (.probing, .noWord):
            // The next request is the probe; the back-off has been served already.
            begin(.tripped, count: count, until: now)
            return .none
        case (.flowing, .noWord), (.tripped, _):
            return .none
        }
    }

    /// The back-off after the `times`th trip in a row: base × 2^(times − 1), plus jitter, capped.
    package static func backoff(times: UInt16, _ policy: Policy, chance: UInt64) -> Nanoseconds {
        let doublings = Int64(1) << Int64(min(max(times, 1) &- 1, 40))
        let wait = min(policy.backoffBase * doublings, policy.backoffMax)
        let jitterMax = UInt64(wait.count / 100 * Int64(policy.jitterPercent))
        let jitter = Int64(chance.multipliedFullWidth(by: jitterMax &+ 1).high)
        return min(wait + Nanoseconds(jitter), policy.backoffMax)
    }

    private mutating func trip(times: UInt16, _ policy: Policy, at now: Instant, chance: UInt64) -> Effect {
        begin(.tripped, count: times, until: now + Self.backoff(times: times, policy, chance: chance))
        return .tripped(until: until)
    }

    private mutating func begin(_ phase: Phase, count: UInt16, until: Instant) {
        // Rounded up: nothing is admitted early.
        let milliseconds = max(0, until.nanoseconds / 1_000_000 + (until.nanoseconds % 1_000_000 > 0 ? 1 : 0))
        let next = UInt64(generation &+ 1) & 0xFFF
        word = UInt64(phase.rawValue) | UInt64(count) << 2 | next << 12 | min(UInt64(milliseconds), 0xFF_FFFF_FFFF) << 24
    }

    // Layout of the word, from bit 0: phase 2, count 10, generation 12, until 40 (milliseconds since the clock's origin: 34 years).

    public var phase: Phase { Phase(rawValue: UInt8(truncatingIfNeeded: word & 3)) ?? .flowing }

    /// While flowing, failures in a row; otherwise, trips in a row.
    package private(set) var count: UInt16 {
        get { UInt16(truncatingIfNeeded: word >> 2 & 0x3FF) }
        set { word = word & ~(0x3FF << 2) | UInt64(min(newValue, Self.countMax)) << 2 }
    }

    package var generation: UInt16 { UInt16(truncatingIfNeeded: word >> 12 & 0xFFF) }

    /// While tripped, the end of the back-off; while probing, the probe's deadline.
    public var until: Instant { Instant(nanoseconds: Int64(word >> 24) &* 1_000_000) }

    package init(word: UInt64) { self.word = word }
    package var bits: UInt64 { word }
}
