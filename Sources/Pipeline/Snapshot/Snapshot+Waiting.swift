extension Snapshot {
    /// What a sidecar runs on before it was told anything: it reaches nobody, and nobody may come in.
    package static func waiting(for workload: TrafficPart.WorkloadRef) -> Snapshot {
        let router = ChainPart.Stage(id: "router", filter: "router", origin: Origin(resource: "before the first config"))
        return Snapshot(
            chain: ChainPart(inbound: [router], outbound: [router]),
            traffic: TrafficPart(workload: workload, services: []),
            access: AccessPart(mtls: .strict, allowsByDefault: false),
            trust: TrustPart(trustDomain: "", roots: ""))
    }
}
