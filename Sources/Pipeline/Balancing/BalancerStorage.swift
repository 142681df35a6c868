import Synchronization

/// The memory behind a ``Balancer``: entries in one block, candidates first.
@safe
struct BalancerStorage: ~Copyable {
    struct Entry {
        let endpoint: Endpoint
        let state: EndpointState
    }

    /// Vose's alias table: an index drawn evenly stays with probability threshold ÷ 2^32, otherwise `other` takes its place.
    struct Alias {
        var threshold: UInt32
        var other: UInt32
    }

    let entries: UnsafeMutablePointer<Entry>
    let count: Int
    let candidates: Int
    /// Nil if all candidates weigh the same.
    let aliases: UnsafeMutablePointer<Alias>?
    let policy: EndpointSet.Policy
    let ejectionsHeld = Atomic<Int>(0)
    let panics = Atomic<Int>(0)

    init(_ endpoints: [Endpoint], states: [EndpointState], candidates: Int, policy: EndpointSet.Policy) {
        count = endpoints.count
        self.candidates = candidates
        self.policy = policy
        unsafe entries = .allocate(capacity: max(1, endpoints.count))
        for index in endpoints.indices {
            unsafe (entries + index).initialize(to: Entry(endpoint: endpoints[index], state: states[index]))
        }
        let weights = endpoints.prefix(candidates).map(\.weight)
        unsafe aliases = weights.allSatisfy { $0 == weights.first } ? nil : Self.makeAliases(weights)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe aliases?.deallocate()
    }

    /// Whether one more may be ejected: at least one, at most the share of the policy, never the last.
    ///
    /// Counts the ejected, and stops as soon as there are too many. Two loops that ask at once may both hear yes; the pick's last resort covers that.
    func mayEject() -> Bool {
        let limit = min(max(1, candidates * policy.maxEjectionPercent / 100), candidates - 1)
        guard policy.maxEjectionPercent > 0, limit > 0 else { return false }
        var ejected = 0
        for index in 0..<candidates where unsafe entries[index].state.accrual.read().phase != .flowing {
            ejected += 1
            if ejected >= limit { return false }
        }
        return true
    }

    private static func makeAliases(_ weights: [UInt32]) -> UnsafeMutablePointer<Alias> {
        let count = weights.count
        let sum = weights.reduce(0.0) { $0 + Double($1) }
        var shares = weights.map { Double($0) * Double(count) / sum }
        var small = shares.indices.filter { shares[$0] < 1 }
        var large = shares.indices.filter { shares[$0] >= 1 }
        let table = UnsafeMutablePointer<Alias>.allocate(capacity: count)
        for index in 0..<count { unsafe (table + index).initialize(to: Alias(threshold: .max, other: UInt32(index))) }
        while let poor = small.popLast() {
            guard let rich = large.last else { break }
            unsafe table[poor] = Alias(threshold: UInt32(min(shares[poor], 1) * Double(UInt32.max)), other: UInt32(rich))
            shares[rich] -= 1 - shares[poor]
            if shares[rich] < 1 {
                large.removeLast()
                small.append(rich)
            }
        }
        return unsafe table
    }
}
