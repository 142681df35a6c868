/// Guards one upstream: at most so many requests at once, and none for a while after so many failures in a row.
///
/// The second half is ``FailureAccrual``. The first is a count of permits. Every admission hands out one ``Permit``; every permit comes back
/// through ``finish(_:_:_:at:chance:)`` exactly once, whatever became of the request: the permit is kept in the pass's slot,
/// where zeroed memory means "holds none", and giving it back clears it.
@frozen
public struct CircuitBreaker: BitwiseCopyable, Sendable, Equatable {
    @frozen
    public struct Policy: BitwiseCopyable, Sendable, Equatable {
        /// Requests at once over all loops of this process; 0 refuses everything.
        public let maxRequests: UInt32
        public let accrual: FailureAccrual.Policy

        public init(maxRequests: UInt32 = 1_024, accrual: FailureAccrual.Policy = .init()) {
            self.maxRequests = maxRequests
            self.accrual = accrual
        }
    }

    /// The right to be out, and the duty to come back. All bits zero: none.
    @frozen
    public struct Permit: BitwiseCopyable, Sendable, Equatable {
        @frozen
        public enum Kind: UInt8, BitwiseCopyable, Sendable { case none, ordinary, probe }
        public let kind: Kind
        fileprivate let generation: UInt16

        /// Holds nothing.
        public init() {
            kind = .none
            generation = 0
        }

        fileprivate init(_ kind: Kind, generation: UInt16) {
            self.kind = kind
            self.generation = generation
        }
    }

    @frozen
    public enum Refusal: BitwiseCopyable, Sendable, Equatable {
        /// `maxRequests` are out.
        case tooManyRequests
        /// Too many failures in a row; nothing goes before `until`.
        case tripped(until: Instant)
        /// One probe is out; the rest waits for its report, at longest until then.
        case probing(until: Instant)
    }

    @frozen
    public enum Admission: BitwiseCopyable, Sendable, Equatable {
        /// Send it, keep the permit, give it back.
        case admit(Permit)
        case refuse(Refusal)
    }

    private var accrual = FailureAccrual()
    private var out: UInt32 = 0
    private var unused: UInt32 = 0

    public init() {}

    public mutating func admit(_ policy: Policy, at now: Instant) -> Admission {
        // The limit first: a probe that could not be sent must not be begun.
        guard out < policy.maxRequests else { return .refuse(.tooManyRequests) }
        switch accrual.admit(policy.accrual, at: now) {
        case .admit(let generation):
            out += 1
            return .admit(Permit(.ordinary, generation: generation))
        case .admitProbe(let generation):
            out += 1
            return .admit(Permit(.probe, generation: generation))
        case .refuse(let until):
            return .refuse(accrual.phase == .probing ? .probing(until: until) : .tripped(until: until))
        }
    }

    /// A permit comes back with what its request showed. Nothing happens if it holds none.
    public mutating func finish(
        _ permit: Permit, _ report: FailureAccrual.Report, _ policy: Policy, at now: Instant, chance: UInt64
    ) -> FailureAccrual.Effect {
        guard permit.kind != .none else { return .none }
        precondition(out > 0, "a permit came back twice")
        out -= 1
        return accrual.record(report, generation: permit.generation, policy.accrual, at: now, chance: chance)
    }

    /// Requests that are out now.
    public var active: Int { Int(out) }
    public var phase: FailureAccrual.Phase { accrual.phase }
    /// While tripped, the end of the back-off; while probing, the probe's deadline.
    public var until: Instant { accrual.until }
}

extension Shared where State == CircuitBreaker {
    public func admit(_ policy: CircuitBreaker.Policy, at now: Instant) -> CircuitBreaker.Admission {
        update { $0.admit(policy, at: now) }
    }

    /// Gives a permit back and clears it, so that it cannot come back twice.
    public func finish(
        _ permit: inout CircuitBreaker.Permit, _ report: FailureAccrual.Report, _ policy: CircuitBreaker.Policy,
        at now: Instant, using random: inout Random
    ) -> FailureAccrual.Effect {
        guard permit.kind != .none else { return .none }
        let returned = permit
        permit = CircuitBreaker.Permit()
        let chance = random.next()
        return update { $0.finish(returned, report, policy, at: now, chance: chance) }
    }
}
