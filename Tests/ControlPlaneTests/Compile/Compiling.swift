import ControlPlane
import Filters
import FoundationEssentials
import Pipeline
import Testing

/// `path`, counted from the repository's root.
func repositoryFile(_ path: String, here: String = #filePath) -> String {
    var root = URL(filePath: here)
    for _ in 0..<4 { root.deleteLastPathComponent() }
    return root.appending(path: path).path()
}

func repositoryText(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: repositoryFile(path))), as: UTF8.self)
}

enum StandardStages {
    static let registry = FilterRegistry([
        TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
    ])
    static let schemas = Dictionary(uniqueKeysWithValues: registry.filters.map { ($0.name, FilterSchema(name: $0.name, fields: $0.fields)) })
}

/// A mesh as resources and registered endpoints, and what its workloads run on.
struct Compiling {
    var resources: ResourceSet
    var endpoints: [RegisteredEndpoint]

    /// Resources are applied as `weft apply` does; what it would refuse is a mistake of the test.
    init(_ files: [(name: String, text: String)], endpoints: [RegisteredEndpoint] = []) {
        resources = ResourceSet()
        self.endpoints = endpoints
        for file in files { apply(file.text, name: file.name) }
    }

    init(_ text: String, endpoints: [RegisteredEndpoint] = []) { self.init([("mesh.json", text)], endpoints: endpoints) }

    mutating func apply(_ text: String, name: String = "mesh.json") {
        let change = resources.applying([ConfigSource(name: name, text: text)], filters: StandardStages.schemas)
        for problem in change.problems where problem.severity == .error { Issue.record("\(problem.line): \(problem.message)") }
        resources = change.result
    }

    mutating func remove(_ keys: ResourceKey...) {
        let change = resources.removing(keys, filters: StandardStages.schemas)
        #expect(!change.isRefused, "\(change.problems.map(\.message))")
        resources = change.result
    }

    func snapshot(_ service: String, namespace: String = "default", version: String = "") -> Snapshot {
        SnapshotCompiler(resources, endpoints: endpoints).compile(
            for: TrafficPart.WorkloadRef(service: service, namespace: namespace, version: version),
            trust: TrustPart(trustDomain: "shop.internal", roots: ""))
    }

    /// The versions a control plane would push, by part.
    func versions(_ service: String, namespace: String = "default") -> [Snapshot.Part: String] {
        let snapshot = snapshot(service, namespace: namespace)
        return Dictionary(
            uniqueKeysWithValues: Snapshot.Part.allCases.map { ($0, SnapshotCodec.version(of: SnapshotCodec.encode($0, of: snapshot))) })
    }
}

extension Snapshot {
    func service(_ name: String, namespace: String = "default") -> TrafficPart.ServiceEntry? {
        traffic.services.first { $0.name == name && $0.namespace == namespace }
    }
}

extension RegisteredEndpoint {
    /// `payment-v1-0` at an address of its own.
    static func of(_ service: String, _ version: String = "", _ number: Int = 0, namespace: String = "default") -> RegisteredEndpoint {
        RegisteredEndpoint(
            name: "\(service)-\(version)-\(number)", service: service, namespace: namespace, version: version,
            address: "10.0.0.\(number + 1):15006")
    }
}
