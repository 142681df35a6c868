internal import Pipeline

/// An instance of a service as its sidecar registered it, or as an operator did by hand.
package struct RegisteredEndpoint: Sendable, Hashable {
    /// Of the workload: stable over address changes.
    package var name: String
    package var service: String
    package var namespace: String
    /// Empty for a service without versions.
    package var version: String
    /// `host:port` or `unix:/path`.
    package var address: String
    package var isHealthy: Bool
    package var isDraining: Bool
    package var hasSidecar: Bool
    package var weight: Int

    package init(
        name: String, service: String, namespace: String, version: String, address: String, isHealthy: Bool = true,
        isDraining: Bool = false, hasSidecar: Bool = true, weight: Int = 1
    ) {
        self.name = name
        self.service = service
        self.namespace = namespace
        self.version = version
        self.address = address
        self.isHealthy = isHealthy
        self.isDraining = isDraining
        self.hasSidecar = hasSidecar
        self.weight = weight
    }

    /// Of a sidecar's registration, by `SidecarRecord.key`; nil if nobody can call it.
    init?(_ key: String, _ registration: LeaseTable.Registration) {
        guard let endpoint = registration.endpoints.first else { return nil }
        self.init(
            name: RegistrationTable.sidecarName(key), service: registration.service, namespace: registration.namespace,
            version: registration.version, address: endpoint.address, isHealthy: registration.isHealthy, isDraining: registration.isDraining)
    }

    /// Of a Workload resource; nil if it does not serve the port that `service` is called at.
    init?(_ workload: WorkloadResource, of service: ServiceResource) {
        guard let port = service.servedPort else { return nil }
        var reached = port
        if !workload.ports.isEmpty {
            guard let own = workload.ports.first(where: { $0.port == port }) else { return nil }
            reached = own.reachedAt
        }
        let host = workload.address.contains(":") ? "[\(workload.address)]" : workload.address
        self.init(
            name: workload.key.name, service: service.key.name, namespace: service.namespace, version: workload.version ?? "",
            address: "\(host):\(reached)", isHealthy: workload.health != .unhealthy, isDraining: workload.health == .draining,
            hasSidecar: workload.sidecar)
    }

    var serviceKey: ResourceKey { ResourceKey(.service, service, namespace: namespace) }
}
