internal import Pipeline

/// Endpoints in the store: a restart of the control plane never shrinks a set.
enum RegistrationTable {
    static let name = "registration"

    /// What its sidecar is called, of a `SidecarRecord.key`.
    static func sidecarName(_ key: String) -> String {
        String(key.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).last ?? "")
    }

    /// What a sidecar that has not been heard since the start was.
    static func hello(_ key: String, _ registration: LeaseTable.Registration) -> PushMessage.Hello {
        PushMessage.Hello(
            sidecar: sidecarName(key), incarnation: "", namespace: registration.namespace, service: registration.service,
            version: registration.version, endpoints: registration.endpoints)
    }

    static func save(_ key: String, _ registration: LeaseTable.Registration, to store: Store) throws(StoreError) {
        var writer = JSONWriter()
        writer.object {
            $0.member("namespace", registration.namespace)
            $0.member("service", registration.service)
            $0.member("version", registration.version)
            $0.member("healthy", registration.isHealthy)
            $0.member("draining", registration.isDraining)
            $0.key("endpoints")
            $0.array {
                for endpoint in registration.endpoints {
                    $0.object {
                        $0.member("port", endpoint.port)
                        $0.member("address", endpoint.address)
                        if endpoint.isStream { $0.member("protocol", "tcp") }
                    }
                }
            }
        }
        _ = try store.append([.set(name, key, writer.utf8)])
    }

    static func removal(_ key: String) -> Change { .delete(name, key) }
    static func remove(_ key: String, from store: Store) throws(StoreError) { _ = try store.append([.delete(name, key)]) }

    static func load(_ store: Store, _ place: String) throws -> [(key: String, registration: LeaseTable.Registration)] {
        try store.entries(name).map { key, entry in
            guard let root = ConfigReader.read(bytes: entry.value, name: key).root, let registration = registration(root),
                key.hasPrefix(SidecarRecord.key(registration.namespace, registration.service, ""))
            else { throw PlaneError("\(place): the registration of \(key) is of another version of weft") }
            return (key, registration)
        }
    }

    private static func registration(_ root: ConfigNode) -> LeaseTable.Registration? {
        guard let namespace = root["namespace"]?.string, let service = root["service"]?.string, let version = root["version"]?.string,
            let isHealthy = root["healthy"]?.bool, let isDraining = root["draining"]?.bool, let nodes = root["endpoints"]?.elements
        else { return nil }
        let endpoints = nodes.compactMap { node -> PushMessage.Endpoint? in
            guard let port = node["port"]?.integer, (1...65_535).contains(port), let address = node["address"]?.string else { return nil }
            return PushMessage.Endpoint(port: Int(port), address: address, isStream: node["protocol"]?.string == "tcp")
        }
        guard endpoints.count == nodes.count else { return nil }
        return LeaseTable.Registration(
            namespace: namespace, service: service, version: version, endpoints: endpoints, isHealthy: isHealthy, isDraining: isDraining)
    }
}
