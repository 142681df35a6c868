package enum WorkloadHealth: String, CaseIterable, Sendable, ConfigValue { case healthy, unhealthy, draining }

package struct WorkloadPort: ConfigRecord {
    package let port: Int
    package let targetPort: Int?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        port = fields.read("port", "The service's port.", .in(1...65535))
        targetPort = fields.read("targetPort", "Where this workload serves it; the same number, if left out.", .in(1...65535))
        node = fields.node
    }

    package var reachedAt: Int { targetPort ?? port }
}

/// One running instance of a service version. Sidecars register themselves; by hand only what has no sidecar.
package struct WorkloadResource: ResourceBody {
    package static let kind = ResourceKind.workload
    package let identity: ResourceIdentity
    package let service: ServiceReference
    package let version: String?
    /// An IPv4 or IPv6 address.
    package let address: String
    /// Empty: the service's ports as they are.
    package let ports: [WorkloadPort]
    package let health: WorkloadHealth
    package let sidecar: Bool

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        service = fields.read("service", "The service it is an instance of.")
        version = fields.read("version", "The version it runs.", .label)
        address = fields.read("address", "Where it is reached: an IPv4 or IPv6 address.", .address)
        ports = fields.read("ports", default: [], "Ports, where they differ from the service's.", .count(0...64))
        health = fields.read("health", default: .healthy, "Whether it should get calls.")
        sidecar = fields.read("sidecar", default: true, "Whether a sidecar stands beside it. By hand only false.")
    }

    package var serviceKey: ResourceKey { service.key(in: namespace) }
}
