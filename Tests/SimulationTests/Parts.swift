import Pipeline

/// A part's text on its way to a sidecar, and what a sidecar makes of it.
///
/// Stands where `ControlPlane/Compile` and the snapshot's codec stand in the product; small, but whole: all that a sidecar
/// knows it read from these texts.
struct PartText: Equatable {
    let part: SnapshotPart
    let text: String
    let version: String

    init(_ part: SnapshotPart, _ write: (inout JSONWriter) -> Void) {
        var writer = JSONWriter()
        writer.object(write)
        self.init(part, text: writer.text)
    }

    init(_ part: SnapshotPart, text: String) {
        self.part = part
        self.text = text
        version = Trace.digest(text)
    }
}

// === control plane: resources → texts ===

enum PartCompiler {
    static func trust(root: String) -> PartText {
        PartText(.trust) { $0.member("root", root) }
    }

    static func chain(_ resources: ResourceSet) -> PartText {
        var stages: [StageEntry] = []
        for case .chain(let chain) in resources.sorted where chain.direction == .outbound { stages = chain.stages }
        return PartText(.chain) { writer in
            writer.key("stages")
            writer.array { writer in
                for stage in stages {
                    writer.object { writer in
                        writer.member("filter", stage.filter)
                        writer.member("name", stage.id)
                        writer.key("config")
                        writer.raw(stage.config?.json ?? "{}")
                    }
                }
            }
        }
    }

    static func access(_ resources: ResourceSet, for service: String) -> PartText {
        PartText(.access) { writer in
            writer.key("policies")
            writer.array { writer in
                for case .accessPolicy(let policy) in resources.sorted where policy.target?.service?.text == service {
                    for rule in policy.rules {
                        writer.object { writer in
                            writer.member("name", policy.key.name)
                            writer.member("from", rule.from.compactMap { $0.service?.text })
                            writer.member("paths", rule.to.flatMap(\.paths).compactMap(\.exact))
                        }
                    }
                }
            }
        }
    }

    static func traffic(_ resources: ResourceSet, _ leases: LeaseTable) -> PartText {
        var routes: [String: RouteResource] = [:]
        for case .route(let route) in resources.sorted { routes[route.service.text] = route }
        return PartText(.traffic) { writer in
            writer.key("services")
            writer.array { writer in
                for case .service(let service) in resources.sorted {
                    writer.object { writer in
                        writer.member("name", service.key.name)
                        writer.key("settings")
                        writer.raw(service.settings.isEmpty ? "{}" : service.settings.node.json)
                        if let rule = routes[service.key.name]?.rules.first {
                            writer.member("rule", rule.name ?? "")
                            writer.key("weights")
                            writer.object { writer in for backend in rule.backends { writer.member(backend.version ?? "", backend.weight) } }
                        }
                        writer.key("endpoints")
                        writer.array { writer in
                            for (sidecar, entry) in leases.registrations(namespace: "default", service: service.key.name) {
                                writer.object { writer in
                                    writer.member("id", sidecar)
                                    writer.member("version", entry.version)
                                    writer.member("address", entry.endpoints.first?.address ?? "")
                                    writer.member("healthy", entry.isHealthy)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

// === sidecar: texts → snapshot ===

/// What one sidecar would run on.
struct PartReader {
    private(set) var snapshot: Snapshot
    /// Services that the access part denies.
    private(set) var denied: Set<String> = []
    /// What the chain marks requests with.
    private(set) var stamp: String?

    /// Before it knows, it lets nobody in and reaches nobody.
    init(service: String, version: String, texts: some Sequence<PartText>) {
        snapshot = Snapshot(
            chain: Self.chain(nil), traffic: TrafficPart(workload: .init(service: service, namespace: "default", version: version), services: []),
            access: AccessPart(allowsByDefault: false), trust: TrustPart(trustDomain: "shop.internal", roots: ""))
        for text in texts { take(text) }
    }

    mutating func take(_ text: PartText) {
        let root = ConfigReader.read(text.text, name: text.part.rawValue).root ?? .empty
        switch text.part {
        case .trust: snapshot.trust.roots = root["root"]?.string ?? ""
        case .chain:
            snapshot.chain = Self.chain(root)
            stamp = root["stages"]?.elements?.lazy.compactMap { $0["config"]?["stamp"]?.string }.first { !$0.isEmpty }
        case .access:
            let policies = root["policies"]?.elements ?? []
            snapshot.access = AccessPart(policies: policies.map(Self.policy))
            denied = Set(policies.filter { $0["paths"]?.elements?.isEmpty ?? true }.flatMap { $0["from"]?.elements?.compactMap(\.string) ?? [] })
        case .traffic: snapshot.traffic.services = (root["services"]?.elements ?? []).map(Self.service)
        }
    }

    private static func chain(_ root: ConfigNode?) -> ChainPart {
        let origin = Origin(resource: "Chain outbound")
        let outbound = root?["stages"]?.elements?.map { node in
            ChainPart.Stage(
                id: node["name"]?.string ?? "", filter: node["filter"]?.string ?? "", config: node["config"]?.json ?? "{}", origin: origin)
        }
        let inbound = [
            ("tls", "tls"), ("witness", "top"), ("stats", "stats"), ("authz", "authz"), ("ratelimit", "ratelimit"),
            ("timeout", "request-timeout"), ("router", "router"),
        ].map { filter, id in ChainPart.Stage(id: id, filter: filter, origin: origin) }
        return ChainPart(inbound: inbound, outbound: outbound ?? [ChainPart.Stage(id: "router", filter: "router", origin: origin)])
    }

    private static func policy(_ node: ConfigNode) -> AccessPart.Policy {
        AccessPart.Policy(
            name: "default/\(node["name"]?.string ?? "")", action: .deny,
            rules: [
                AccessPart.Rule(
                    from: (node["from"]?.elements ?? []).compactMap(\.string).map { .service(namespace: "default", name: $0) },
                    to: (node["paths"]?.elements ?? []).compactMap(\.string).map { AccessPart.Operation(paths: [$0]) })
            ], origin: Origin(resource: "AccessPolicy"))
    }

    private static func service(_ node: ConfigNode) -> TrafficPart.ServiceEntry {
        let name = node["name"]?.string ?? ""
        var versions: [String: [TrafficPart.EndpointEntry]] = [:]
        for endpoint in node["endpoints"]?.elements ?? [] {
            versions[endpoint["version"]?.string ?? "", default: []].append(
                TrafficPart.EndpointEntry(
                    id: endpoint["id"]?.string ?? "", address: endpoint["address"]?.string ?? "", isHealthy: endpoint["healthy"]?.bool ?? true))
        }
        let backends = node["weights"]?.members?.map {
            TrafficPart.BackendEntry(version: $0.key.isEmpty ? nil : $0.key, weight: Int($0.value.integer ?? 0))
        }
        let settings = node["settings"]?.members?.map { ($0.key, $0.value.json) } ?? []
        return TrafficPart.ServiceEntry(
            name: name, namespace: "default", port: 8080,
            settings: settings.isEmpty
                ? [] : [SettingsLayer(origin: Origin(resource: "Service \(name)"), stages: Dictionary(uniqueKeysWithValues: settings))],
            route: backends.map { [TrafficPart.RuleEntry(name: node["rule"]?.string ?? "", matches: [], backends: $0)] },
            routeName: name, versions: versions.sorted { $0.key < $1.key }.map { TrafficPart.VersionEntry(name: $0.key, endpoints: $0.value) })
    }
}
