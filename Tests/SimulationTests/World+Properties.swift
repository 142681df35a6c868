import ControlPlane
import Pipeline
import WeftTesting

/// What must hold, after every step and in the end.
extension World {
    /// After every turn of the control plane: what was counted is what the batches said, each once.
    func checkStore(_ plane: Plane) {
        guard plane.store.durable == plane.store.revision else { return violate("a turn ended with changes not committed") }
        guard plane.store.revision != checkedRevision else { return }
        checkedRevision = plane.store.revision
        var expected: UInt64 = 0
        for (incarnation, entry) in plane.store.entries("batch") {
            var reader = ByteReader(entry.value)
            guard let last = reader.read(UInt64.self), let cut = cuts[incarnation], last >= 1, last <= cut.count else {
                return violate("batches of \(incarnation) were counted that it never cut")
            }
            expected += cut[Int(last) - 1]
            if last < acknowledgedBatches[incarnation] ?? 0 { violate("an acknowledged batch of \(incarnation) is not counted") }
        }
        let total = plane.totals.all.reduce(0) { $0 + $1.latency.count }
        if total != expected { violate("\(total) calls are counted, the batches say \(expected)") }
    }

    /// After a restart of the control plane: all that was acknowledged is there, whole.
    func checkRecovery(_ plane: Plane) {
        let found = World.texts(plane.resources)
        if found != acknowledged && found != possible { violate("resources that were acknowledged are lost") }
        (acknowledged, possible) = (found, found)
        if plane.root != acknowledgedRoot && plane.root != possibleRoot { violate("a root that was acknowledged is lost") }
        (acknowledgedRoot, possibleRoot) = (plane.root, plane.root)
        for (sidecar, service) in registered.sorted(by: { $0.key < $1.key }) where plane.leases[sidecar]?.service != service {
            violate("the restart shrank \(service) by \(sidecar)")
        }
        for (sidecar, registration) in plane.leases.all { registered[sidecar] = registration.service }
    }

    /// After every look at the leases: a service never loses half at once, and nothing before a whole lease of uptime.
    func checkLapse(before: [String: Int], lapsed: [String], uptime: Instant) {
        lapses += lapsed.count
        if !lapsed.isEmpty, uptime < .zero + Plane.lease { violate("\(lapsed) lapsed \(uptime.nanoseconds) ns after a restart") }
        var lost: [String: Int] = [:]
        for sidecar in lapsed { for node in nodes where node.key == sidecar { lost[node.service, default: 0] += 1 } }
        for (service, count) in lost.sorted(by: { $0.key < $1.key }) {
            if count == before[service] { violate("\(service) lost its last endpoint to silence") }
            if count > 1 && count * 2 >= before[service] ?? 0 { violate("\(service) lost \(count) of \(before[service] ?? 0) at once") }
        }
    }

    /// After every step, of every sidecar.
    func checkNow() {
        for node in nodes {
            guard let sidecar = node.sidecar else { continue }
            for part in SnapshotPart.allCases where sidecar.have(part) != node.disk[part]?.text.version {
                violate("\(node.name) runs another \(part) than it would start from")
            }
            // Reading all counters is not free; every five seconds is often enough, for they never go back.
            if (tick + node.index).isMultiple(of: 25) { checkChain(node, sidecar) }
        }
    }

    private func checkChain(_ node: Node, _ sidecar: Sidecar) {
        for harness in [sidecar.outbound, sidecar.inbound] {
            if harness.stat("weft_witness_violations_total") > 0 { violate("\(node.name): a pass ended twice, or two probes were out") }
            guard harness.inFlight == 0 else { continue }
            let left = harness.gaugesNotZero.filter { $0 != "weft_breaker_state" }
            let held = harness.permitsHeld
            if held > 0 { violate("\(node.name) is idle, and \(held) permits of its breakers did not come back") }
            if !left.isEmpty { violate("\(node.name) is idle, and \(left) did not come back") }
            if harness.retiredChains > 0 { violate("\(node.name) is idle and keeps \(harness.retiredChains) old chains") }
        }
    }

    // === in the end ===

    /// Nil once every sidecar runs the newest that it can run; else what is missing.
    var unsettled: String? {
        guard let plane, isFinalChangeMade else { return "the control plane is down" }
        for node in nodes {
            guard let sidecar = node.sidecar, node.isRunning else { return "\(node.name) does not run" }
            guard sidecar.hasCertificate, let certificate = node.certificate, certificate.notAfter > planeWall.seconds else {
                return "\(node.name) has no certificate"
            }
            guard sidecar.isConnected, let publisher = plane.publishers[node.key] else { return "\(node.name) is not connected" }
            for part in SnapshotPart.allCases {
                let (status, wanted) = (publisher.status(part), plane.wanted[node.key]?[part])
                if part == .chain, node.lacksExotic, wanted?.text.contains("exotic") == true {
                    if status != .rejected { return "\(node.name): chain is \(status)" }
                } else if status != .synced || sidecar.have(part) != wanted?.version {
                    return "\(node.name): \(part) is \(status)"
                }
            }
            // The last one may be on its way.
            let cut = UInt64(cuts[sidecar.incarnation]?.count ?? 0), counted = acknowledgedBatches[sidecar.incarnation] ?? 0
            if cut > counted + 1 { return "\(node.name) has \(cut - counted) batches that are not acknowledged" }
        }
        if plane.leases.count != nodes.count { return "\(plane.leases.count) of \(nodes.count) are registered" }
        return nil
    }

    /// Pairs that policy allows, whose callee is there, and between which nothing flowed.
    var stalled: [String] {
        nodes.flatMap { caller in
            Traffic.targets.compactMap { service in
                let callees = nodes.filter { $0.service == service }
                // One that never had a chain it could run stays shut: it fails closed.
                let isServed = callees.contains { callee in
                    callee.sidecar.map { $0.isComplete && !$0.denied.contains(caller.service) } == true && weight(of: callee, for: caller) > 0
                }
                let pair = "\(caller.name) \(service)"
                return isServed && !flowed.contains(pair) ? pair : nil
            }
        }
    }

    private func weight(of callee: Node, for caller: Node) -> Int {
        guard let service = caller.sidecar?.snapshot.traffic.services.first(where: { $0.name == callee.service }) else { return 0 }
        guard let backends = service.route?.first?.backends else { return 1 }
        return backends.first { $0.version == nil || $0.version == callee.version }?.weight ?? 0
    }
}

extension ChainHarness {
    /// Permits that breakers count as out, whatever the gauges say.
    fileprivate var permitsHeld: Int {
        let lease = context.shared.makeLease()
        let key = SharedKey(direction: "outbound", stage: "breaker", filter: "breaker", subject: "upstream")
        let breakers = lease.table(key, initial: CircuitBreaker())
        return (0..<upstreamsMax).reduce(0) { $0 + (breakers.state(for: $1)?.read().active ?? 0) }
    }

    /// More than the services' versions here.
    private var upstreamsMax: UInt64 { 12 }
}
