internal import Pipeline

/// An instance of a service as its sidecar registered it, or as an operator did by hand.
package struct RegisteredEndpoint: Sendable, Hashable {
    /// Of the workload: stable over address changes.
    package var name: String
    package var service: String
    package var namespace: String
    /// Empty for a service without versions.
    package var version: String
    /// `host:port` or `unix:/path`, for http; nil if it serves none.
    package var address: String?
    /// The same for raw streams, by the service's port.
    package var streams: [Int: String]
    package var isHealthy: Bool
    package var isDraining: Bool
    package var hasSidecar: Bool
    package var weight: Int

    package init(
        name: String, service: String, namespace: String, version: String, address: String?, streams: [Int: String] = [:], isHealthy: Bool = true,
        isDraining: Bool = false, hasSidecar: Bool = true, weight: Int = 1
    ) {
        self.name = name
        self.service = service
        self.namespace = namespace
        self.version = version
        self.address = address
        self.streams = streams
        self.isHealthy = isHealthy
        self.isDraining = isDraining
        self.hasSidecar = hasSidecar
        self.weight = weight
    }

    /// Of a sidecar's registration, by `SidecarRecord.key`; nil if nobody can call it.
    init?(_ key: String, _ registration: LeaseTable.Registration) {
        guard !registration.endpoints.isEmpty else { return nil }
        let streams = registration.endpoints.filter(\.isStream).map { ($0.port, $0.address) }
        self.init(
            name: RegistrationTable.sidecarName(key), service: registration.service, namespace: registration.namespace,
            version: registration.version, address: registration.endpoints.first { !$0.isStream }?.address,
            streams: Dictionary(streams) { first, _ in first }, isHealthy: registration.isHealthy, isDraining: registration.isDraining)
    }

    /// Of a Workload resource; nil if it serves none of the ports that `service` is called at.
    init?(_ workload: WorkloadResource, of service: ServiceResource) {
        let host = workload.address.contains(":") ? "[\(workload.address)]" : workload.address
        func address(_ port: Int) -> String? {
            if workload.ports.isEmpty { return "\(host):\(port)" }
            return workload.ports.first { $0.port == port }.map { "\(host):\($0.reachedAt)" }
        }
        let http = service.httpPort.flatMap(address)
        let streams = service.tcpPorts.compactMap { port in address(port).map { (port, $0) } }
        guard http != nil || !streams.isEmpty else { return nil }
        self.init(
            name: workload.key.name, service: service.key.name, namespace: service.namespace, version: workload.version ?? "",
            address: http, streams: Dictionary(streams) { first, _ in first }, isHealthy: workload.health != .unhealthy, isDraining: workload.health == .draining,
            hasSidecar: workload.sidecar)
    }

    /// Where it serves `port` of its service; nil: not at all.
    func address(of port: Int, isStream: Bool) -> String? { isStream ? streams[port] : address }

    var serviceKey: ResourceKey { ResourceKey(.service, service, namespace: namespace) }
}
