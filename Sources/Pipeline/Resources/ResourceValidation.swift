/// What must hold between resources: references, uniqueness, policies against protocols, settings and chains against the
/// filters that exist. Pure: the same set gives the same problems.
///
/// Each resource is taken as well-formed in itself (`ResourceReader`).
package struct ResourceValidation {
    /// - Parameters:
    ///   - filters: What sidecars report, by filter name; nil if nobody has reported: names and settings are then not judged.
    ///   - broken: Resources that could not be read, so that references to them are not reported as dangling.
    ///   - ownStages: Of chains that are no resources, a sidecar's own: settings may name them.
    package static func validate(
        _ resources: [Resource], filters: [String: FilterSchema]?, broken: BrokenResources = BrokenResources(),
        ownStages: [ChainDirection: [StageEntry]] = [:]
    ) -> [ConfigProblem] {
        var validation = ResourceValidation(resources, filters, broken, ownStages)
        for resource in resources { validation.check(resource) }
        validation.uniqueness()
        validation.versions()
        return validation.problems.inTextOrder
    }

    let resources: [Resource]
    let filters: [String: FilterSchema]?
    let broken: BrokenResources
    let ownStages: [ChainDirection: [StageEntry]]
    let services: [ResourceKey: ServiceResource]
    let mesh: MeshResource?
    let chains: [ChainResource]
    var problems: [ConfigProblem] = []

    private init(
        _ resources: [Resource], _ filters: [String: FilterSchema]?, _ broken: BrokenResources, _ ownStages: [ChainDirection: [StageEntry]]
    ) {
        self.ownStages = ownStages
        self.resources = resources
        self.filters = filters
        self.broken = broken
        var services: [ResourceKey: ServiceResource] = [:]
        for case .service(let service) in resources where services[service.key] == nil { services[service.key] = service }
        self.services = services
        mesh = resources.lazy.compactMap { if case .mesh(let mesh) = $0 { mesh } else { nil } }.first
        chains = resources.compactMap { if case .chain(let chain) = $0 { chain } else { nil } }
    }

    private mutating func check(_ resource: Resource) {
        switch resource {
        case .mesh(let mesh):
            settings(mesh.settings, .outbound, "settings")
            settings(mesh.inboundSettings, .inbound, "inboundSettings")
        case .service(let service):
            for (index, reference) in (service.reachableServices ?? []).enumerated() {
                self.service(reference, in: service.namespace, "reachableServices[\(index)]")
            }
            settings(service.settings, .outbound, "settings")
            settings(service.inboundSettings, .inbound, "inboundSettings")
            streamSettings(of: service)
        case .workload(let workload): self.workload(workload)
        case .route(let route):
            self.route(route)
            streamRules(of: route)
        case .accessPolicy(let policy): self.policy(policy)
        case .rateLimit(let limit):
            target(limit.target, in: limit.namespace)
            streamLimits(limit)
        case .chain(let chain): self.chain(chain)
        }
    }

    // MARK: References

    /// The service, or nil after saying that there is none.
    @discardableResult
    mutating func service(_ reference: ServiceReference, in namespace: String, _ path: String) -> ServiceResource? {
        let key = reference.key(in: namespace)
        if let service = services[key] { return service }
        if broken.hasUnnamed || broken.keys.contains(key) { return nil }
        let spoken = reference.text.contains(".") ? services.keys.map { "\($0.name).\($0.namespace)" } : services.keys.filter { $0.namespace == namespace }.map(\.name)
        var note = spoken.isEmpty ? "there are no services in namespace \(namespace)" : "services: \(spoken.sorted().prefix(12).joined(separator: ", "))"
        if let elsewhere = services.keys.filter({ $0.name == key.name }).min() {
            note = "there is \(elsewhere.name).\(elsewhere.namespace) in another namespace"
        }
        problems.append(
            ConfigProblem(
                "there is no service \(JSONWriter.quoted(reference.text))", at: reference.node, path: path,
                suggestion: Spelling.suggestion(for: reference.text, among: spoken.sorted()), notes: [note]))
        return nil
    }

    mutating func target(_ target: Target?, in namespace: String) {
        guard let target else { return }
        if let reference = target.service { service(reference, in: namespace, "target.service") }
        guard broken.isEmpty, let labels = target.labels, !services.values.contains(where: { target.covers($0, from: namespace) }) else { return }
        let text = labels.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
        problems.append(
            ConfigProblem(
                "no service carries the labels \(text)", severity: .warning, at: target.node["labels"] ?? target.node, path: "target.labels"))
    }

    private mutating func workload(_ workload: WorkloadResource) {
        guard let service = service(workload.service, in: workload.namespace, "service") else { return }
        if !workload.sidecar, (service.mtls ?? mesh?.mtls ?? .strict) == .strict {
            problems.append(
                ConfigProblem(
                    "nobody may call \(workload.key): it has no sidecar, and mtls of \(service.key) is strict", severity: .warning,
                    at: workload.node["sidecar"] ?? workload.node, path: "sidecar",
                    notes: ["plaintext is never spoken under strict; say \"mtls\": \"permissive\" on the Service"]))
        }
        for (index, port) in workload.ports.enumerated() where !service.ports.contains(where: { $0.port == port.port }) {
            problems.append(
                ConfigProblem(
                    "\(service.key) has no port \(port.port)", at: port.node["port"] ?? port.node, path: "ports[\(index)].port",
                    notes: ["its ports: \(service.ports.map { "\($0.port)" }.joined(separator: ", "))"]))
        }
    }

    private mutating func route(_ route: RouteResource) {
        service(route.service, in: route.namespace, "service")
        for (index, rule) in route.rules.enumerated() {
            for (number, backend) in rule.backends.enumerated() {
                guard let reference = backend.service else { continue }
                service(reference, in: route.namespace, "rules[\(index)].backends[\(number)].service")
            }
            settings(rule.settings, .outbound, "rules[\(index)].settings")
        }
    }

    /// A version that nobody runs is legal (it may come), and worth a word if some other version of the service is there.
    private mutating func versions() {
        var running: [ResourceKey: Set<String>] = [:]
        for case .workload(let workload) in resources {
            guard let version = workload.version else { continue }
            running[workload.serviceKey, default: []].insert(version)
        }
        func judge(_ version: String, of service: ResourceKey, _ node: ConfigNode, _ path: String) -> ConfigProblem? {
            guard let known = running[service], !known.contains(version) else { return nil }
            return ConfigProblem(
                "nobody runs version \(JSONWriter.quoted(version)) of \(service)", severity: .warning, at: node, path: path,
                suggestion: Spelling.suggestion(for: version, among: known.sorted()),
                notes: ["versions now: \(known.sorted().joined(separator: ", "))"])
        }
        for case .route(let route) in resources {
            for (index, rule) in route.rules.enumerated() {
                for (number, backend) in rule.backends.enumerated() where backend.weight > 0 {
                    guard let version = backend.version else { continue }
                    let service = backend.service?.key(in: route.namespace) ?? route.serviceKey
                    let path = "rules[\(index)].backends[\(number)].version"
                    if let problem = judge(version, of: service, backend.node["version"] ?? backend.node, path) { problems.append(problem) }
                }
            }
        }
        for case .service(let service) in resources {
            guard let version = service.defaultVersion, let node = service.node["defaultVersion"] else { continue }
            if let problem = judge(version, of: service.key, node, "defaultVersion") { problems.append(problem) }
        }
    }

    // MARK: Uniqueness

    private mutating func uniqueness() {
        var keys: [ResourceKey: ConfigNode] = [:]
        var routes: [ResourceKey: RouteResource] = [:]
        var chainTargets: [String: ChainResource] = [:]
        var firstMesh: MeshResource?
        for resource in resources {
            if let first = keys[resource.key] {
                twice("\(resource.key) is written twice", resource.node["name"] ?? resource.node, first["name"] ?? first, "name")
                continue
            }
            keys[resource.key] = resource.node
            switch resource {
            case .mesh(let mesh):
                if let first = firstMesh { twice("there is one Mesh", mesh.node["kind"] ?? mesh.node, first.node["kind"] ?? first.node, "kind") }
                firstMesh = firstMesh ?? mesh
            case .route(let route):
                if let first = routes[route.serviceKey] {
                    twice("\(route.serviceKey) has a Route already", route.service.node, first.service.node, "service", "one Route per service: put all rules into it")
                }
                routes[route.serviceKey] = routes[route.serviceKey] ?? route
            case .chain(let chain):
                let whose = chain.direction.rawValue + " " + chain.namespace + " " + targetText(chain.target)
                if let first = chainTargets[whose] {
                    twice("\(first.key) is the \(chain.direction.rawValue) chain of the same sidecars", chain.node["name"] ?? chain.node, first.node["name"] ?? first.node, "target")
                }
                chainTargets[whose] = chainTargets[whose] ?? chain
            case .service, .workload, .accessPolicy, .rateLimit: break
            }
        }
    }

    private func targetText(_ target: Target?) -> String {
        guard let target else { return "all" }
        if let service = target.service { return "service \(service.text)" }
        return "labels " + (target.labels ?? [:]).configText
    }

    private mutating func twice(_ message: String, _ node: ConfigNode, _ first: ConfigNode, _ path: String, _ note: String? = nil) {
        problems.append(
            ConfigProblem(
                message, at: node, path: path, label: "again", notes: note.map { [$0] } ?? [],
                related: .init(source: first.source, range: first.range, label: "first")))
    }

    // MARK: Policies

    /// A TCP connection has no method and no path, so a rule about them would never match: refuse it rather than let it
    /// look like protection.
    private mutating func policy(_ policy: AccessPolicyResource) {
        target(policy.target, in: policy.namespace)
        let covered = services.values.filter { policy.target.covers($0, from: policy.namespace) }
        for (index, rule) in policy.rules.enumerated() {
            for (number, source) in rule.from.enumerated() {
                guard let reference = source.service else { continue }
                service(reference, in: policy.namespace, "rules[\(index)].from[\(number)].service")
            }
            for (number, operation) in rule.to.enumerated() where !operation.methods.isEmpty || !operation.paths.isEmpty {
                let ports = covered.flatMap(\.ports).filter { operation.ports.isEmpty || operation.ports.contains($0.port) }
                guard !ports.isEmpty, policy.target != nil, ports.allSatisfy({ $0.protocol == .tcp }) else { continue }
                let key = operation.methods.isEmpty ? "paths" : "methods"
                problems.append(
                    ConfigProblem(
                        "a tcp connection has no \(key)", at: operation.node[key] ?? operation.node,
                        path: "rules[\(index)].to[\(number)].\(key)",
                        notes: ["\(covered.map(\.key).sorted().map(\.description).joined(separator: ", ")) speaks tcp: rules for it name callers and ports"]))
            }
        }
    }
}
