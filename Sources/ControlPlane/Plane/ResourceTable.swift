internal import Pipeline

/// Resources in the store: the text as the operator wrote it, and where it stood, so that explanations and errors still name
/// file and line after a restart.
enum ResourceTable {
    static let name = "resource"

    static func key(_ key: ResourceKey) -> String { "\(key.kind.rawValue)/\(key.namespace)/\(key.name)" }

    static func change(_ resource: Resource) -> Change {
        let node = resource.node
        var writer = JSONWriter()
        writer.object {
            $0.member("file", node.isWritten ? node.file : "")
            $0.member("line", node.isWritten ? node.line : 1)
            $0.member("text", node.isWritten ? String(decoding: node.source.bytes[node.range], as: UTF8.self) : resource.json(pretty: false))
        }
        return .set(name, key(resource.key), writer.utf8)
    }

    static func load(_ store: Store, _ place: String) throws -> ResourceSet {
        var resources: [Resource] = []
        for (key, entry) in store.entries(name) {
            guard let root = ConfigReader.read(bytes: entry.value, name: key).root, let text = root["text"]?.string,
                let file = root["file"]?.string, let line = root["line"]?.integer
            else { throw PlaneError("\(place): the record of \(key) is of another version of weft") }
            // Line breaks before it put every position where it was.
            let source = ConfigSource(
                name: file, bytes: Array(repeating: 0x0A, count: max(0, min(Int(line), 1_000_000) - 1)) + Array(text.utf8))
            let read = ResourceReader.read(source)
            guard let resource = read.resources.first else {
                throw PlaneError("\(place): \(key) cannot be read any more: \(read.problems.first?.message ?? "empty")")
            }
            resources.append(resource)
        }
        return ResourceSet(resources)
    }
}

/// Endpoints in the store: a restart of the control plane never shrinks a set.
enum RegistrationTable {
    static let name = "registration"

    static func save(_ sidecar: String, _ registration: LeaseTable.Registration, to store: Store) throws {
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
                    }
                }
            }
        }
        _ = try store.append([.set(name, sidecar, writer.utf8)])
    }

    static func remove(_ sidecar: String, from store: Store) throws { _ = try store.append([.delete(name, sidecar)]) }

    static func load(_ store: Store) -> [(String, LeaseTable.Registration)] {
        store.entries(name).compactMap { sidecar, entry in
            guard let root = ConfigReader.read(bytes: entry.value, name: sidecar).root, let namespace = root["namespace"]?.string,
                let service = root["service"]?.string, let version = root["version"]?.string
            else { return nil }
            let endpoints = (root["endpoints"]?.elements ?? []).compactMap { node -> PushMessage.Endpoint? in
                guard let port = node["port"]?.integer, let address = node["address"]?.string else { return nil }
                return PushMessage.Endpoint(port: Int(port), address: address)
            }
            return (
                sidecar,
                LeaseTable.Registration(
                    namespace: namespace, service: service, version: version, endpoints: endpoints,
                    isHealthy: root["healthy"]?.bool ?? true, isDraining: root["draining"]?.bool ?? false)
            )
        }
    }
}
