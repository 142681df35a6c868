package import Pipeline

/// The parts of a snapshot beside the chain. What is not said is small and plain: `order` calls `payment`, which has one
/// endpoint of one version, `v1`, with a sidecar.
package struct HarnessWorld: Sendable {
    package var traffic: TrafficPart
    package var access: AccessPart
    package var trust: TrustPart
    /// Mesh settings, stage id → JSON.
    package var settings: [String: String] = [:]

    package init(
        own: String = "order", namespace: String = "default", services: [TrafficPart.ServiceEntry]? = nil, access: AccessPart = AccessPart()
    ) {
        traffic = TrafficPart(
            workload: .init(service: own, namespace: namespace, version: "v1"),
            services: services ?? [.simple("payment", versions: ["v1": 1])])
        self.access = access
        trust = TrustPart(trustDomain: "shop.internal", roots: "")
    }

    /// The SPIFFE id of a service of this world.
    package static func identity(_ service: String, namespace: String = "default") -> String {
        "spiffe://shop.internal/ns/\(namespace)/sa/\(service)"
    }
}

extension TrafficPart.ServiceEntry {
    /// A service on port 8080 with so many healthy endpoints per version, named `<service>-<version>-<n>`.
    package static func simple(
        _ name: String, versions: [String: Int], route: [TrafficPart.RuleEntry]? = nil, defaultVersion: String? = nil,
        namespace: String = "default", port: Int = 8080, hasSidecar: Bool = true
    ) -> TrafficPart.ServiceEntry {
        TrafficPart.ServiceEntry(
            name: name, namespace: namespace, port: port, route: route, routeName: name, defaultVersion: defaultVersion,
            versions: versions.sorted { $0.key < $1.key }.map { version, count in
                TrafficPart.VersionEntry(
                    name: version,
                    endpoints: (0..<count).map {
                        .init(id: "\(name)-\(version)-\($0)", address: "\(name)-\(version)-\($0):\(port)", hasSidecar: hasSidecar)
                    })
            })
    }
}
