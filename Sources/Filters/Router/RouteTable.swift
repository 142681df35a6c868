import Pipeline

/// Everything a sidecar can reach, flat: service → rules → backends → upstreams. Plain old data over `PinnedMemory`.
struct RouteTable: BitwiseCopyable {
    struct ServiceRow: BitwiseCopyable {
        let rules: TableRange
        let hasRoute: Bool
        /// Which of the rules' patterns a request matches first.
        let index: PatternIndex
        /// The rule that raw streams go by; -1: none.
        let streamRule: Int32
        /// Where requests go without a Route.
        let fallback: Int32
        let scope: UInt16
        let label: LabelID
        let noRoute: Reason
        let noStreamRoute: Reason
    }

    struct RuleRow: BitwiseCopyable {
        let backends: TableRange
        let scope: UInt16
        let label: LabelID
    }

    struct UpstreamRow: BitwiseCopyable {
        let balancer: Balancer
        /// Whose it is, in `services`.
        let index: Int32
        let service: LabelID
        /// `none` if it is several versions; then the endpoint says which.
        let version: LabelID
        let key: LabelID
        let noEndpoint: Reason
    }

    let names: NameTable
    let services: PinnedTable<ServiceRow>
    let rules: PinnedTable<RuleRow>
    let patterns: PinnedTable<RequestPattern>
    /// The rule of each pattern.
    let owners: PinnedTable<Int32>
    /// Upstream of each backend; parallel to `ends`.
    let backends: PinnedTable<Int32>
    /// Ends of the backends' intervals, rising within a rule (see `WeightedSplit`).
    let ends: PinnedTable<UInt64>
    let upstreams: PinnedTable<UpstreamRow>

    /// The bit of an endpoint's id that says that a sidecar stands in front of it; the rest is its label.
    static let peerBit: UInt64 = 1 << 32

    // MARK: Looking up

    /// Where a request to `service` is bound; `draw` decides among weighted backends.
    func destination(_ service: Int, _ exchange: borrowing Exchange) -> Destination {
        let row = services[service]
        var found = Destination()
        found.service = Int32(service)
        found.callee = Int32(service)
        found.serviceLabel = row.label
        found.scope = row.scope
        guard row.hasRoute else {
            bind(&found, to: row.fallback)
            return found
        }
        var number = row.streamRule
        if !exchange.isStream {
            let pattern = row.index.firstMatch(in: patterns, exchange)
            number = pattern >= 0 ? owners[pattern] : -1
        }
        guard number >= 0 else { return found }
        let rule = rules[Int(number)]
        found.rule = number &- row.rules.start
        found.routeLabel = rule.label
        found.scope = rule.scope
        bind(&found, to: backend(of: rule, draw: exchange.storage.pointee.draw))
        return found
    }

    func bind(_ destination: inout Destination, to upstream: Int32) {
        destination.upstream = upstream
        guard upstream >= 0 else { return }
        let row = upstreams[Int(upstream)]
        destination.callee = row.index
        destination.serviceLabel = row.service
        destination.versionLabel = row.version
        destination.upstreamLabel = row.key
    }

    /// -1 if no backend has a weight.
    private func backend(of rule: RuleRow, draw: UInt64) -> Int32 {
        let count = Int(rule.backends.count)
        guard count > 0, let first = ends.base.map({ $0 + Int(rule.backends.start) }), first[count - 1] > 0 else { return -1 }
        let place = draw.multipliedFullWidth(by: first[count - 1]).high
        return backends[Int(rule.backends.start) + WeightedSplit.firstEnd(above: place, in: first, count: count)]
    }

    /// Another backend of the rule that has endpoints, by weight; -1 if there is none.
    func redraw(_ destination: Destination, using random: inout Random) -> Int32 {
        guard destination.service >= 0, destination.rule >= 0 else { return -1 }
        let rule = rules[Int(services[Int(destination.service)].rules.start &+ destination.rule)]
        var sum: UInt64 = 0
        var index = rule.backends.start
        while index < rule.backends.end {
            sum &+= usableWeight(index, rule)
            index &+= 1
        }
        guard sum > 0 else { return -1 }
        var place = random.next().multipliedFullWidth(by: sum).high
        index = rule.backends.start
        while index < rule.backends.end {
            let weight = usableWeight(index, rule)
            if place < weight { return backends[Int(index)] }
            place &-= weight
            index &+= 1
        }
        return -1
    }

    private func usableWeight(_ index: Int32, _ rule: RuleRow) -> UInt64 {
        let upstream = backends[Int(index)]
        guard upstream >= 0, !upstreams[Int(upstream)].balancer.isEmpty else { return 0 }
        return ends[Int(index)] &- (index > rule.backends.start ? ends[Int(index) - 1] : 0)
    }
}
