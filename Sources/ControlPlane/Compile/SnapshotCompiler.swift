package import Pipeline

/// Resources and endpoints in, what one workload runs on out. Pure.
///
/// A snapshot holds what its workload can reach and nothing else, in an order of its own, so that a change that does not
/// concern a workload leaves its parts as they are, text and version. Policies never narrow what is reachable: who is denied
/// gets a 403 with a reason, not a mystery.
package struct SnapshotCompiler: Sendable {
    private let mesh: MeshResource?
    private let services: [ResourceKey: ServiceResource]
    private let routes: [ResourceKey: RouteResource]
    private let policies: [AccessPolicyResource]
    /// Denies who is revoked, everywhere; nil if nobody is.
    private let revocation: AccessPart.Policy?
    private let limits: [RateLimitResource]
    private let chains: [ChainResource]
    /// What callers are told of each port of a service, in the order of keys, http first: the same for all of them.
    private let entries: [(key: ResourceKey, entry: TrafficPart.ServiceEntry)]

    /// Prepared once per change, used for every workload.
    ///
    /// - Parameter revoked: identities whose certificates may still be valid and that nobody lets in.
    package init(_ resources: ResourceSet, endpoints: [RegisteredEndpoint], revoked: [(namespace: String, service: String)] = []) {
        revocation = revoked.isEmpty ? nil : AccessPart.Policy(
            name: "weft-system/revoked", action: .deny,
            rules: [AccessPart.Rule(from: revoked.map { .service(namespace: $0.namespace, name: $0.service) })],
            origin: Origin(resource: "weft identity revoke"), targetsService: false)
        var mesh: MeshResource?
        var services: [ResourceKey: ServiceResource] = [:]
        var routes: [ResourceKey: RouteResource] = [:]
        var policies: [AccessPolicyResource] = []
        var limits: [RateLimitResource] = []
        var chains: [ChainResource] = []
        var all = endpoints
        let sorted = resources.sorted
        for resource in sorted {
            switch resource {
            case .mesh(let found): mesh = found
            case .service(let service): services[service.key] = service
            case .route(let route): routes[route.serviceKey] = route
            case .workload(let workload):
                guard case .service(let service)? = resources[workload.serviceKey], let endpoint = RegisteredEndpoint(workload, of: service)
                else { continue }
                all.append(endpoint)
            case .accessPolicy(let policy): policies.append(policy)
            case .rateLimit(let limit): limits.append(limit)
            case .chain(let chain): chains.append(chain)
            }
        }
        self.mesh = mesh
        self.services = services
        self.routes = routes
        self.policies = policies
        self.limits = limits
        self.chains = chains
        let byService = Dictionary(grouping: all, by: \.serviceKey)
        entries = sorted.flatMap { resource -> [(ResourceKey, TrafficPart.ServiceEntry)] in
            guard case .service(let service) = resource else { return [] }
            // Plaintext is spoken to nobody under strict mTLS, so nobody is told where it could be.
            let isStrict = Self.mtls(of: service, mesh) == .strict
            let usable = (byService[service.key] ?? []).filter { $0.hasSidecar || !isStrict }
            let ports = (service.httpPort.map { [($0, service.httpProtocol)] } ?? []) + service.tcpPorts.map { ($0, .tcp) }
            return ports.map { port, spoken in (service.key, Self.entry(service, port, spoken, routes[service.key], usable)) }
        }
    }

    package var trustDomain: String { mesh?.trustDomain ?? "weft.internal" }

    package func compile(for workload: TrafficPart.WorkloadRef, trust: TrustPart) -> Snapshot {
        let key = ResourceKey(.service, workload.service, namespace: workload.namespace)
        let own = services[key]
        var snapshot = Snapshot(chain: chain(own), traffic: traffic(workload, own), access: access(own), trust: trust)
        snapshot.access.callees = callees(of: snapshot)
        return snapshot
    }

    /// The policies of all that the snapshot's workload can call; nil if its outbound chain does not ask.
    package func callees(of snapshot: Snapshot) -> [AccessPart.CalleePolicy]? {
        guard snapshot.chain.outbound.contains(where: { $0.filter == "authz" }) else { return nil }
        let called = snapshot.traffic.services.compactMap { services[ResourceKey(.service, $0.name, namespace: $0.namespace)] }
        let written = policies.compactMap { policy -> AccessPart.CalleePolicy? in
            guard let target = policy.target else { return AccessPart.CalleePolicy(policy: Self.policy(policy)) }
            let covered = called.filter { target.covers($0, from: policy.namespace) }
            if covered.isEmpty { return nil }
            return AccessPart.CalleePolicy(
                policy: Self.policy(policy), services: covered.map { AccessPart.ServiceName(name: $0.key.name, namespace: $0.namespace) })
        }
        return (revocation.map { [AccessPart.CalleePolicy(policy: $0)] } ?? []) + written
    }

    /// A workload whose Service nobody wrote, or somebody deleted, still belongs to the mesh: what has no target covers it.
    private static func covers(_ target: Target?, _ own: ServiceResource?, from namespace: String) -> Bool {
        guard let own else { return target == nil }
        return target.covers(own, from: namespace)
    }

    // MARK: Chain

    private func chain(_ own: ServiceResource?) -> ChainPart {
        ChainPart(
            inbound: stages(.inbound, own), outbound: stages(.outbound, own),
            inboundSettings: Self.layers(mesh?.inboundSettings, mesh?.identity), outboundSettings: Self.layers(mesh?.settings, mesh?.identity))
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
                origin: Self.origin(chain.identity, at: entry.node))
        }
    }

    /// The chain that fits this service most closely: one that names it, then one by labels, then one for all; by name among
    /// equals.
    package func chainResource(_ direction: ChainDirection, _ own: ServiceResource?) -> ChainResource? {
        var best: (rank: Int, chain: ChainResource)?
        for chain in chains where chain.direction == direction && Self.covers(chain.target, own, from: chain.namespace) {
            let rank = chain.target.map { $0.service != nil ? 3 : 2 } ?? 1
            if rank > best?.rank ?? 0 { best = (rank, chain) }
        }
        return best?.chain
    }

    // MARK: Traffic

    private func traffic(_ workload: TrafficPart.WorkloadRef, _ own: ServiceResource?) -> TrafficPart {
        TrafficPart(
            workload: workload, inboundSettings: Self.layers(own?.inboundSettings, own?.identity),
            services: reachable(own), deniesEgress: (mesh?.egress ?? .deny) == .deny,
            applicationProtocol: own?.httpProtocol ?? .http)
    }

    /// What the workload may know of, and what routes of it lead to.
    private func reachable(_ own: ServiceResource?) -> [TrafficPart.ServiceEntry] {
        guard let own, let list = own.reachableServices else { return entries.map(\.entry) }
        let listed = Set(list.map { $0.key(in: own.namespace) })
        var keys = listed
        for route in listed.compactMap({ routes[$0] }) {
            for backend in route.rules.flatMap(\.backends) { if let service = backend.service { keys.insert(service.key(in: route.namespace)) } }
        }
        return entries.filter { keys.contains($0.key) }.map(\.entry)
    }

    private static func entry(
        _ service: ServiceResource, _ port: Int, _ spoken: PortProtocol, _ route: RouteResource?, _ endpoints: [RegisteredEndpoint]
    ) -> TrafficPart.ServiceEntry {
        TrafficPart.ServiceEntry(
            name: service.key.name, namespace: service.namespace, port: port, protocol: spoken, settings: layers(service.settings, service.identity),
            route: route.map { route in route.rules.enumerated().map { rule($0.element, number: $0.offset, of: route) } },
            routeName: route?.key.name ?? "", defaultVersion: service.defaultVersion,
            versions: versions(of: service, route, endpoints.filter { $0.address(of: port, isStream: spoken == .tcp) != nil }, port, isStream: spoken == .tcp))
    }

    private static func rule(_ rule: RouteRule, number: Int, of route: RouteResource) -> TrafficPart.RuleEntry {
        TrafficPart.RuleEntry(
            name: rule.name ?? "\(number + 1)", matches: rule.matches.map(match),
            backends: rule.backends.map { backend in
                let service = backend.service?.key(in: route.namespace)
                return TrafficPart.BackendEntry(
                    service: service?.name, namespace: service?.namespace, version: backend.version, weight: backend.weight)
            },
            settings: layers(rule.settings, route.identity, rule: rule.name ?? "\(number + 1)"))
    }

    /// Every version that has endpoints, and those that its default or its route names: a version nobody runs yet shows as one.
    private static func versions(
        of service: ServiceResource, _ route: RouteResource?, _ endpoints: [RegisteredEndpoint], _ port: Int, isStream: Bool
    ) -> [TrafficPart.VersionEntry] {
        var versions: [String: [RegisteredEndpoint]] = Dictionary(grouping: endpoints, by: \.version)
        if let version = service.defaultVersion { versions[version, default: []] += [] }
        if let route {
            for backend in route.rules.flatMap(\.backends) where (backend.service?.key(in: route.namespace) ?? service.key) == service.key {
                if let version = backend.version { versions[version, default: []] += [] }
            }
        }
        return versions.sorted { $0.key < $1.key }.map { name, endpoints in
            TrafficPart.VersionEntry(
                name: name,
                endpoints: endpoints.map {
                    TrafficPart.EndpointEntry(
                        id: $0.name, address: $0.address(of: port, isStream: isStream) ?? "", weight: $0.weight, isHealthy: $0.isHealthy,
                        isDraining: $0.isDraining, hasSidecar: $0.hasSidecar)
                }.sorted { ($0.id, $0.address) < ($1.id, $1.address) })
        }
    }

    // MARK: Access

    private func access(_ own: ServiceResource?) -> AccessPart {
        AccessPart(
            mtls: Self.mtls(of: own, mesh), allowsByDefault: (mesh?.defaultAccess ?? .allow) == .allow,
            policies: (revocation.map { [$0] } ?? []) + policies.filter { Self.covers($0.target, own, from: $0.namespace) }.map(Self.policy),
            rateLimits: limits.filter { Self.covers($0.target, own, from: $0.namespace) }.map(Self.limit))
    }

    private static func mtls(of service: ServiceResource?, _ mesh: MeshResource?) -> AccessPart.MTLS {
        switch service?.mtls ?? mesh?.mtls ?? .strict {
        case .strict: .strict
        case .permissive: .permissive
        }
    }

    private static func limit(_ limit: RateLimitResource) -> AccessPart.RateLimit {
        AccessPart.RateLimit(
            name: limit.key.qualifiedName,
            rules: limit.rules.map { rule in
                AccessPart.RateRule(
                    matches: rule.matches.map(match), key: key(rule.key), rate: rule.rate.description, burst: rule.capacity)
            }, origin: origin(limit.identity))
    }

    private static func key(_ key: RateLimitKey) -> AccessPart.Key {
        switch key {
        case .source: .source
        case .route: .route
        case .total: .total
        }
    }

    private static func policy(_ policy: AccessPolicyResource) -> AccessPart.Policy {
        AccessPart.Policy(
            name: policy.key.qualifiedName, action: policy.action == .allow ? .allow : .deny, isShadow: policy.shadow,
            rules: policy.rules.map { rule in
                AccessPart.Rule(from: rule.from.compactMap { source($0, in: policy.namespace) }, to: rule.to.map(operation))
            }, origin: origin(policy.identity), targetsService: policy.target != nil)
    }

    private static func source(_ source: AccessSource, in namespace: String) -> AccessPart.Source? {
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

    private static func layers(_ settings: Settings?, _ identity: ResourceIdentity?, rule: String? = nil) -> [SettingsLayer] {
        guard let settings, !settings.isEmpty, let identity else { return [] }
        var origin = self.origin(identity, at: settings.node)
        if let rule { origin.resource += " rule \(rule)" }
        return [SettingsLayer(origin: origin, stages: Dictionary(settings.entries.map { ($0.stage, $0.values.json) }) { _, last in last })]
    }

    private static func origin(_ identity: ResourceIdentity, at node: ConfigNode? = nil) -> Origin {
        let place = node.flatMap { $0.isWritten ? $0 : nil } ?? identity.node
        return Origin(
            resource: "\(identity.key.kind.rawValue) \(identity.key.qualifiedName)", file: place.isWritten ? place.file : "",
            line: place.isWritten ? place.line : 0)
    }
}
