import Synchronization

/// Picks endpoints: the less loaded of two drawn at random (Mitzenmacher, "The Power of Two Choices", 1996), by weight.
///
/// Ejected endpoints and those already tried are passed over. In order of preference: neither tried nor ejected; not
/// ejected; any (the
/// ejected are better than nobody). An endpoint whose ejection is over gets one request, the probe, before its peers.
/// Expected cost does not depend on the number of endpoints; nothing is allocated.
@safe
package struct Balancer: BitwiseCopyable, @unchecked Sendable {
    private let storage: UnsafeMutablePointer<BalancerStorage>

    private init(storage: UnsafeMutablePointer<BalancerStorage>) { unsafe self.storage = storage }

    /// A picked endpoint, and the duty to say how it went. All bits zero: none.
    @safe
    package struct Choice: BitwiseCopyable, @unchecked Sendable {
        fileprivate enum Kind: UInt8, BitwiseCopyable { case none, judged, probe, unjudged }
        fileprivate var balancer: UnsafeMutablePointer<BalancerStorage>?
        fileprivate var index: UInt32 = 0
        fileprivate var generation: UInt16 = 0
        fileprivate var kind = Kind.none

        package init() { unsafe balancer = nil }

        package var isNone: Bool { kind == .none }
        /// This request is the one that decides whether the endpoint comes back.
        package var isProbe: Bool { kind == .probe }
        /// It was ejected, and picked for want of others; its report changes nothing.
        package var isPanic: Bool { kind == .unjudged }
        /// The picked endpoint. Only for a choice that is not none.
        package var endpoint: Endpoint {
            guard let balancer = unsafe balancer else { preconditionFailure("nothing was picked") }
            return unsafe balancer.pointee.entries[Int(index)].endpoint
        }
    }

    package var isEmpty: Bool { unsafe storage.pointee.candidates == 0 }
    package var count: Int { unsafe storage.pointee.candidates }
    /// How often an ejection was not carried out because too many were ejected.
    package var ejectionsHeld: Int { unsafe storage.pointee.ejectionsHeld.load(ordering: .relaxed) }
    /// How often an ejected endpoint was picked for want of others.
    package var panics: Int { unsafe storage.pointee.panics.load(ordering: .relaxed) }

    /// Picks and counts the request in; nil only if there is no candidate at all. Every choice goes back through
    /// ``finish(_:_:at:using:)``.
    package func pick(avoiding tried: TriedSet, at now: Instant, using random: inout Random) -> Choice? {
        let count = unsafe storage.pointee.candidates
        guard count > 0 else { return nil }
        var round = 0
        while round < Self.roundsMax {
            let first = draw(&random)
            let second = count > 1 ? drawOther(than: first, &random) : first
            let a = standing(first, tried, now), b = standing(second, tried, now)
            let better = choose(first, a, second, b)
            if better >= 0, let choice = begin(better, now) { return choice }
            round &+= 1
        }
        return search(avoiding: tried, at: now, &random) ?? search(avoiding: TriedSet(), at: now, &random)
            ?? panic(avoiding: tried, &random)
    }

    /// Says how it went while it still goes on: a stream's endpoint is judged by the connection, not by how long it is used. What
    /// is left for ``finish(_:_:at:using:)`` is that it is over.
    package func judge(
        _ choice: inout Choice, _ report: FailureAccrual.Report, at now: Instant, using random: inout Random
    ) -> FailureAccrual.Effect {
        guard choice.kind != .none, choice.kind != .unjudged, let storage = unsafe choice.balancer else { return .none }
        let state = unsafe storage.pointee.entries[Int(choice.index)].state
        let policy = unsafe storage.pointee.policy.accrual
        let generation = choice.generation
        choice.kind = .unjudged
        let chance = random.next()
        return state.accrual.update { $0.record(report, generation: generation, policy, at: now, chance: chance) }
    }

    /// How the attempt went. Clears the choice, so that it cannot end twice.
    @discardableResult
    package func finish(
        _ choice: inout Choice, _ report: FailureAccrual.Report, at now: Instant, using random: inout Random
    ) -> FailureAccrual.Effect {
        guard choice.kind != .none, let storage = unsafe choice.balancer else { return .none }
        let done = choice
        choice = Choice()
        let state = unsafe storage.pointee.entries[Int(done.index)].state
        state.end()
        guard done.kind != .unjudged else { return .none }
        let policy = unsafe storage.pointee.policy.accrual
        if report == .failure, done.kind == .judged, policy.consecutiveFailures > 0 {
            let before = state.accrual.read()
            if before.phase == .flowing, before.count &+ 1 >= policy.consecutiveFailures, !(unsafe storage.pointee.mayEject()) {
                unsafe storage.pointee.ejectionsHeld.wrappingAdd(1, ordering: .relaxed)
                return .none
            }
        }
        let chance = random.next()
        return state.accrual.update { $0.record(report, generation: done.generation, policy, at: now, chance: chance) }
    }

    // MARK: Candidates

    /// Rounds of two draws before all are looked at; half of them ejected and none tried, that is once in 65,536 picks.
    private static let roundsMax = 8

    private enum Standing { case out, ready, dueForProbe }

    @inline(__always)
    private func standing(_ index: Int, _ tried: TriedSet, _ now: Instant) -> Standing {
        let entry = unsafe storage.pointee.entries[index]
        if !tried.isEmpty, tried.contains(entry.endpoint.id) { return .out }
        let accrual = entry.state.accrual.read()
        if accrual.phase == .flowing { return .ready }
        return now >= accrual.until ? .dueForProbe : .out
    }

    /// The index of the better of two, -1 if neither will do. A tie goes to the first drawn, which keeps weights exact when idle.
    @inline(__always)
    private func choose(_ first: Int, _ a: Standing, _ second: Int, _ b: Standing) -> Int {
        if a == .dueForProbe { return first }
        if b == .dueForProbe { return second }
        if b == .out { return a == .out ? -1 : first }
        if a == .out { return second }
        let x = unsafe storage.pointee.entries[first], y = unsafe storage.pointee.entries[second]
        // active ÷ weight, compared without dividing. Counts stay far below 2^31.
        let loadX = x.state.active &* Int(y.endpoint.weight)
        let loadY = y.state.active &* Int(x.endpoint.weight)
        return loadY < loadX ? second : first
    }

    private func begin(_ index: Int, _ now: Instant) -> Choice? {
        let state = unsafe storage.pointee.entries[index].state
        let policy = unsafe storage.pointee.policy.accrual
        var choice = Choice()
        switch state.accrual.update({ $0.admit(policy, at: now) }) {
        case .admit(let generation):
            choice.kind = .judged
            choice.generation = generation
        case .admitProbe(let generation):
            choice.kind = .probe
            choice.generation = generation
        case .refuse:
            // Another loop took the probe, or ejected it, since we looked.
            return nil
        }
        state.begin()
        unsafe choice.balancer = storage
        choice.index = UInt32(index)
        return choice
    }

    /// The first that will do, from a random place on.
    private func search(avoiding tried: TriedSet, at now: Instant, _ random: inout Random) -> Choice? {
        let count = unsafe storage.pointee.candidates
        var index = draw(&random)
        var step = 0
        while step < count {
            if standing(index, tried, now) != .out, let choice = begin(index, now) { return choice }
            index = index &+ 1 == count ? 0 : index &+ 1
            step &+= 1
        }
        return nil
    }

    /// All are ejected: one is taken all the same, an untried one if there is any.
    private func panic(avoiding tried: TriedSet, _ random: inout Random) -> Choice {
        let count = unsafe storage.pointee.candidates
        var index = draw(&random)
        var step = 0
        while step < count, unsafe tried.contains(storage.pointee.entries[index].endpoint.id) {
            index = index &+ 1 == count ? 0 : index &+ 1
            step &+= 1
        }
        unsafe storage.pointee.entries[index].state.begin()
        unsafe storage.pointee.panics.wrappingAdd(1, ordering: .relaxed)
        var choice = Choice()
        choice.kind = .unjudged
        choice.index = UInt32(index)
        unsafe choice.balancer = storage
        return choice
    }

    // MARK: Drawing

    /// By weight, through the alias table (Vose 1991): one draw, one comparison.
    @inline(__always)
    private func draw(_ random: inout Random) -> Int {
        let bits = random.next()
        let index = Int((bits >> 32 &* UInt64(unsafe storage.pointee.candidates)) >> 32)
        guard let aliases = unsafe storage.pointee.aliases else { return index }
        let alias = unsafe aliases[index]
        return UInt32(truncatingIfNeeded: bits) < alias.threshold ? index : Int(alias.other)
    }

    @inline(__always)
    private func drawOther(than first: Int, _ random: inout Random) -> Int {
        if unsafe storage.pointee.aliases != nil {
            let second = draw(&random)
            if second != first { return second }
        }
        let others = UInt64(unsafe storage.pointee.candidates - 1)
        let offset = Int((random.next() >> 32 &* others) >> 32)
        return offset >= first ? offset &+ 1 : offset
    }

    // MARK: Memory

    static func allocate(_ endpoints: [Endpoint], states: [EndpointState], candidates: Int, policy: EndpointSet.Policy) -> Balancer {
        let storage = UnsafeMutablePointer<BalancerStorage>.allocate(capacity: 1)
        unsafe storage.initialize(to: BalancerStorage(endpoints, states: states, candidates: candidates, policy: policy))
        return unsafe Balancer(storage: storage)
    }

    func deallocate() {
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    func status() -> [EndpointSet.Status] {
        (0..<(unsafe storage.pointee.count)).map { index in
            let entry = unsafe storage.pointee.entries[index]
            return unsafe EndpointSet.Status(
                endpoint: entry.endpoint, isCandidate: index < storage.pointee.candidates, active: entry.state.active,
                phase: entry.state.accrual.read().phase)
        }
    }
}
