package import Pipeline

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
}

/// Resources and endpoints in, what one workload runs on out. Pure.
///
/// A snapshot holds what its workload can reach and nothing else, in an order of its own, so that a change that does not
/// concern a workload leaves its parts as they are, text and version. Policies never narrow what is reachable: who is denied
/// gets a 403 with a reason, not a mystery.
package struct SnapshotCompiler: Sendable {
    private let resources: ResourceSet
    private let mesh: MeshResource?
    private let services: [ServiceResource]
    private let routes: [ResourceKey: RouteResource]
    private let endpoints: [RegisteredEndpoint]

    /// Prepared once per change, used for every workload.
    package init(_ resources: ResourceSet, endpoints: [RegisteredEndpoint]) {
        self.resources = resources
        var mesh: MeshResource?
        var services: [ServiceResource] = []
        var routes: [ResourceKey: RouteResource] = [:]
        var byHand: [RegisteredEndpoint] = []
        for resource in resources.sorted {
            switch resource {
            case .mesh(let found): mesh = found
            case .service(let service): services.append(service)
            case .route(let route): routes[route.serviceKey] = route
            case .workload(let workload):
                guard case .service(let service)? = resources[workload.serviceKey] else { continue }
                byHand.append(Self.endpoint(workload, of: service))
            case .accessPolicy, .rateLimit, .chain: break
            }
        }
        self.mesh = mesh
        self.services = services
        self.routes = routes
        self.endpoints = (endpoints + byHand).sorted { ($0.namespace, $0.service, $0.version, $0.name) < ($1.namespace, $1.service, $1.version, $1.name) }
    }

    package var trustDomain: String { mesh?.trustDomain ?? "weft.internal" }

    package func compile(for workload: TrafficPart.WorkloadRef, trust: TrustPart) -> Snapshot {
        let own = services.first { $0.key == ResourceKey(.service, workload.service, namespace: workload.namespace) }
        return Snapshot(chain: chain(own), traffic: traffic(workload, own), access: access(own), trust: trust)
    }

    /// Services that have no HTTP port: accepted, stored, and not served by this release.
    package var notServed: [ServiceResource] { services.filter { !$0.speaksHTTP } }

    // MARK: Chain

    private func chain(_ own: ServiceResource?) -> ChainPart {
        ChainPart(
            inbound: stages(.inbound, own), outbound: stages(.outbound, own),
            inboundSettings: layers(mesh?.inboundSettings, mesh?.identity), outboundSettings: layers(mesh?.settings, mesh?.identity))
    }

    private func stages(_ direction: ChainDirection, _ own: ServiceResource?) -> [ChainPart.Stage] {
        guard let chain = chainResource(direction, own) else {
            return ChainRules.defaultStages(direction).map {
                ChainPart.Stage(id: $0.id, filter: $0.filter, origin: Origin(resource: "default \(direction.rawValue) chain"))
            }
        }
        return chain.stages.map { entry in
            ChainPart.Stage(
                id: entry.id, filter: entry.filter, config: entry.config?.json ?? "{}",
                origin: origin(chain.identity, at: entry.node))
        }
    }

    /// The chain that fits this service most closely: one that names it, then one by labels, then one for all; by name among
    /// equals.
    package func chainResource(_ direction: ChainDirection, _ own: ServiceResource?) -> ChainResource? {
        var best: (rank: Int, chain: ChainResource)?
        for case .chain(let chain) in resources.sorted where chain.direction == direction {
            let rank: Int
            if let target = chain.target {
                guard let own, target.covers(own, from: chain.namespace) else { continue }
                rank = target.service != nil ? 3 : 2
            } else {
                rank = 1
            }
            if rank > best?.rank ?? 0 { best = (rank, chain) }
        }
        return best?.chain
    }

    // MARK: Traffic

    private func traffic(_ workload: TrafficPart.WorkloadRef, _ own: ServiceResource?) -> TrafficPart {
        TrafficPart(
            workload: workload, inboundSettings: layers(own?.inboundSettings, own?.identity),
            services: reachable(own).map(entry), deniesEgress: (mesh?.egress ?? .deny) == .deny)
    }

    /// What the workload may know of, and what routes of it lead to.
    private func reachable(_ own: ServiceResource?) -> [ServiceResource] {
        let served = services.filter(\.speaksHTTP)
        guard let own, let list = own.reachableServices else { return served }
        var keys = Set(list.map { $0.key(in: own.namespace) })
        for key in keys {
            for rule in routes[key]?.rules ?? [] {
                for backend in rule.backends { if let service = backend.service { keys.insert(service.key(in: key.namespace)) } }
            }
        }
        return served.filter { keys.contains($0.key) }
    }

    private func entry(_ service: ServiceResource) -> TrafficPart.ServiceEntry {
        let route = routes[service.key]
        return TrafficPart.ServiceEntry(
            name: service.key.name, namespace: service.namespace,
            port: service.ports.first { $0.protocol == .http }?.port ?? 0, settings: layers(service.settings, service.identity),
            route: route.map { route in route.rules.enumerated().map { rule($0.element, number: $0.offset, of: route) } },
            routeName: route?.key.name ?? "", defaultVersion: service.defaultVersion, versions: versions(of: service, route))
    }

    private func rule(_ rule: RouteRule, number: Int, of route: RouteResource) -> TrafficPart.RuleEntry {
        TrafficPart.RuleEntry(
            name: rule.name ?? "\(number + 1)", matches: rule.matches.map(Self.match),
            backends: rule.backends.map { backend in
                let service = backend.service?.key(in: route.namespace)
                return TrafficPart.BackendEntry(
                    service: service?.name, namespace: service?.namespace, version: backend.version, weight: backend.weight)
            },
            settings: layers(rule.settings, route.identity, rule: rule.name ?? "\(number + 1)"))
    }

    /// Every version that has endpoints or that a route names: a route to a version nobody runs yet is a 503, not a riddle.
    private func versions(of service: ServiceResource, _ route: RouteResource?) -> [TrafficPart.VersionEntry] {
        let own = endpoints.filter { $0.service == service.key.name && $0.namespace == service.namespace }
        var names = Set(own.map(\.version))
        if let version = service.defaultVersion { names.insert(version) }
        for other in routes.values {
            for backend in other.rules.flatMap(\.backends) {
                let target = backend.service?.key(in: other.namespace) ?? other.serviceKey
                if target == service.key, let version = backend.version { names.insert(version) }
            }
        }
        return names.sorted().map { name in
            TrafficPart.VersionEntry(
                name: name,
                endpoints: own.filter { $0.version == name }.map {
                    TrafficPart.EndpointEntry(
                        id: $0.name, address: $0.address, weight: $0.weight, isHealthy: $0.isHealthy, isDraining: $0.isDraining,
                        hasSidecar: $0.hasSidecar)
                })
        }
    }

    private static func endpoint(_ workload: WorkloadResource, of service: ServiceResource) -> RegisteredEndpoint {
        let port = service.ports.first { $0.protocol == .http }?.port ?? service.ports.first?.port ?? 0
        let reached = workload.ports.first { $0.port == port }?.reachedAt ?? port
        let host = workload.address.contains(":") ? "[\(workload.address)]" : workload.address
        return RegisteredEndpoint(
            name: workload.key.name, service: service.key.name, namespace: service.namespace, version: workload.version ?? "",
            address: "\(host):\(reached)", isHealthy: workload.health != .unhealthy, isDraining: workload.health == .draining,
            hasSidecar: workload.sidecar)
    }

    // MARK: Access

    private func access(_ own: ServiceResource?) -> AccessPart {
        var part = AccessPart(
            mtls: AccessPart.MTLS(rawValue: (own?.mtls ?? mesh?.mtls ?? .strict).rawValue) ?? .strict,
            allowsByDefault: (mesh?.defaultAccess ?? .allow) == .allow)
        guard let own else { return part }
        for resource in resources.sorted {
            switch resource {
            case .accessPolicy(let policy) where policy.target.covers(own, from: policy.namespace):
                part.policies.append(self.policy(policy))
            case .rateLimit(let limit) where limit.target.covers(own, from: limit.namespace):
                part.rateLimits.append(
                    AccessPart.RateLimit(
                        name: limit.key.qualifiedName,
                        rules: limit.rules.map { rule in
                            AccessPart.RateRule(
                                matches: rule.matches.map(Self.match), key: AccessPart.Key(rawValue: rule.key.rawValue) ?? .total,
                                rate: rule.rate.description, burst: rule.capacity)
                        }, origin: origin(limit.identity)))
            case .mesh, .service, .workload, .route, .accessPolicy, .rateLimit, .chain: break
            }
        }
        return part
    }

    private func policy(_ policy: AccessPolicyResource) -> AccessPart.Policy {
        AccessPart.Policy(
            name: policy.key.qualifiedName, action: policy.action == .allow ? .allow : .deny, isShadow: policy.shadow,
            rules: policy.rules.map { rule in
                AccessPart.Rule(from: rule.from.compactMap { source($0, in: policy.namespace) }, to: rule.to.map(Self.operation))
            }, origin: origin(policy.identity), targetsService: policy.target != nil)
    }

    private func source(_ source: AccessSource, in namespace: String) -> AccessPart.Source? {
        if let service = source.service {
            let key = service.key(in: namespace)
            return .service(namespace: key.namespace, name: key.name)
        }
        if let prefix = source.prefix { return .prefix(prefix) }
        if let namespace = source.namespace { return .namespace(namespace) }
        return source.external == true ? .external : nil
    }

    private static func operation(_ operation: AccessOperation) -> AccessPart.Operation {
        AccessPart.Operation(
            ports: operation.ports, methods: operation.methods,
            paths: operation.paths.compactMap { path in
                path.exact ?? path.prefix.map { $0.hasSuffix("/") ? "\($0)*" : "\($0)/*" }
            })
    }

    private static func match(_ match: RequestMatch) -> TrafficPart.MatchEntry {
        var path = TrafficPart.MatchEntry.Path.any
        if let exact = match.path?.exact { path = .exact(exact) }
        if let prefix = match.path?.prefix { path = .prefix(prefix) }
        return TrafficPart.MatchEntry(
            path: path, method: match.method,
            headers: match.headers.map { header in
                let value: TrafficPart.HeaderEntry.Value =
                    if let exact = header.exact {
                        .exact(exact)
                    } else if let prefix = header.prefix {
                        .prefix(prefix)
                    } else {
                        .present(header.present ?? true)
                    }
                return TrafficPart.HeaderEntry(name: header.name.string, value: value)
            })
    }

    // MARK: Origins

    private func layers(_ settings: Settings?, _ identity: ResourceIdentity?, rule: String? = nil) -> [SettingsLayer] {
        guard let settings, !settings.isEmpty, let identity else { return [] }
        var origin = self.origin(identity, at: settings.node)
        if let rule { origin.resource += " rule \(rule)" }
        return [SettingsLayer(origin: origin, stages: Dictionary(settings.entries.map { ($0.stage, $0.values.json) }) { _, last in last })]
    }

    private func origin(_ identity: ResourceIdentity, at node: ConfigNode? = nil) -> Origin {
        let place = node.flatMap { $0.isWritten ? $0 : nil } ?? identity.node
        return Origin(
            resource: "\(identity.key.kind.rawValue) \(identity.key.qualifiedName)", file: place.isWritten ? place.file : "",
            line: place.isWritten ? place.line : 0)
    }
}
