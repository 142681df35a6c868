/// The endpoints of one upstream in one snapshot: who may be picked, with what weight.
///
/// Immutable. A new set is built off-loop for every update; what lasts (active counts, ejection) is in ``EndpointStates`` and is taken over by identity.
/// The snapshot holds the set until the last outcome of the last exchange that picked from it. Loops work through ``balancer``, a plain pointer.
package final class EndpointSet: Sendable {
    package struct Policy: Sendable, Equatable {
        /// When one endpoint is ejected, and for how long.
        package var accrual: FailureAccrual.Policy
        /// Of the candidates, at most this share is ejected at once (at least one may be, never the last).
        package var maxEjectionPercent: Int
        /// With a smaller share of healthy endpoints than this, health is ignored: rather all of them than too few.
        package var panicPercent: Int

        package init(accrual: FailureAccrual.Policy = .init(), maxEjectionPercent: Int = 50, panicPercent: Int = 50) {
            self.accrual = accrual
            self.maxEjectionPercent = min(max(maxEjectionPercent, 0), 100)
            self.panicPercent = min(max(panicPercent, 0), 100)
        }
    }

    /// Endpoints of one upstream. The control plane refuses more; here the rest is left out.
    package static let endpointsMax = 65_536

    /// For the loops; valid as long as this set.
    package let balancer: Balancer
    /// All endpoints, candidates first.
    package let endpoints: [Endpoint]
    /// Whether health is ignored because too few are healthy.
    package let isPanicking: Bool

    private let states: EndpointStates
    private let keys: [EndpointStates.Key]

    /// Of endpoints with the same id the first counts.
    package init(upstream: String, endpoints all: [Endpoint], policy: Policy = .init(), states: EndpointStates) {
        var seen: Set<UInt64> = []
        let known = all.filter { $0.weight > 0 && seen.insert($0.id).inserted }.prefix(Self.endpointsMax)
        let staying = known.filter { !$0.isDraining }
        let healthy = staying.filter(\.isHealthy)
        isPanicking = healthy.count * 100 < staying.count * policy.panicPercent
        // If everybody is about to go, they still serve better than nobody.
        let candidates = staying.isEmpty ? Array(known) : isPanicking || healthy.isEmpty && policy.panicPercent > 0 ? staying : healthy
        let chosen = Set(candidates.map(\.id))
        let rest = known.filter { !chosen.contains($0.id) }
        endpoints = candidates + rest
        keys = endpoints.map { .init(upstream: upstream, id: $0.id) }
        self.states = states
        balancer = Balancer.allocate(endpoints, states: states.acquire(keys), candidates: candidates.count, policy: policy)
    }

    deinit {
        balancer.deallocate()
        states.release(keys)
    }

    /// An endpoint with what is known about it, for admin pages and metrics.
    package struct Status: Sendable, Equatable {
        package var endpoint: Endpoint
        package var isCandidate: Bool
        package var active: Int
        package var phase: FailureAccrual.Phase
    }

    package func status() -> [Status] { balancer.status() }
}
