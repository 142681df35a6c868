import Pipeline

extension RouteTable {
    /// The table of a snapshot's traffic part, and the endpoint sets that it points into.
    static func compile(
        _ traffic: TrafficPart, trustDomain: String, scopes: ScopeTable, policy: EndpointSet.Policy, context: BuildContext,
        in memory: PinnedMemory
    ) -> (table: RouteTable, sets: [EndpointSet]) {
        var compiler = Compiler(traffic, trustDomain: trustDomain, policy: policy, context: context, memory: memory)
        var services: [ServiceRow] = []
        var rules: [RuleRow] = []
        var patterns: [RequestPattern] = []
        var owners: [Int32] = []
        var backends: [Int32] = []
        var ends: [UInt64] = []
        for (index, service) in traffic.services.enumerated() {
            let firstRule = rules.count, firstPattern = patterns.count
            for (number, rule) in (service.route ?? []).enumerated() {
                let firstBackend = backends.count
                var end: UInt64 = 0
                for backend in rule.backends.prefix(WeightedSplit.backendsMax) {
                    end += UInt64(UInt32(clamping: backend.weight))
                    ends.append(end)
                    backends.append(compiler.upstream(of: backend, in: service))
                }
                patterns += rule.matches.isEmpty ? [.any] : rule.matches.map { RequestPattern($0, in: memory) }
                owners += Array(repeating: Int32(rules.count), count: patterns.count - owners.count)
                rules.append(
                    RuleRow(
                        backends: TableRange(start: firstBackend, count: backends.count - firstBackend),
                        scope: scopes.ofRule.count > index ? scopes.ofRule[index][number] : 0, label: context.labels.id(rule.name)))
            }
            services.append(
                ServiceRow(
                    rules: TableRange(start: firstRule, count: rules.count - firstRule), hasRoute: service.route != nil,
                    index: PatternIndex(Array(patterns[firstPattern...]), numberedFrom: firstPattern, in: memory),
                    streamRule: streamRule(of: service).map { Int32(firstRule + $0) } ?? -1,
                    fallback: service.route == nil ? compiler.upstream(index, version: service.defaultVersion) : -1,
                    scope: scopes.ofService.count > index ? scopes.ofService[index] : 0,
                    label: context.labels.service(service.name, namespace: service.namespace),
                    noRoute: memory.reason("no rule of Route \(service.namespace)/\(service.routeName) matches"),
                    noStreamRoute: memory.reason(
                        service.isStream
                            ? "no rule of Route \(service.namespace)/\(service.routeName) takes connections"
                            : "Route \(service.namespace)/\(service.routeName) asks for what only HTTP has, which this is not: declare the port's protocol")))
        }
        let table = RouteTable(
            names: NameTable(names(of: traffic), in: memory), services: memory.table(services), rules: memory.table(rules),
            patterns: memory.table(patterns), owners: memory.table(owners), backends: memory.table(backends), ends: memory.table(ends),
            upstreams: memory.table(compiler.rows))
        return (table, compiler.sets)
    }

    /// A raw stream has nothing that paths, methods or headers could match: on a port of tcp, rules that ask for them are not for it. On
    /// one that may carry HTTP they are for whatever comes, and nothing that cannot be asked goes past them.
    private static func streamRule(of service: TrafficPart.ServiceEntry) -> Int? {
        let rules = service.route ?? []
        guard let first = rules.firstIndex(where: { $0.matches.isEmpty || $0.matches.contains(where: \.takesStreams) }) else { return nil }
        return service.isStream || first == 0 ? first : nil
    }

    /// `service[.namespace].weft[:port]`; the short form within the own namespace. Without a port, the first of the service.
    private static func names(of traffic: TrafficPart) -> [(name: String, value: Int)] {
        traffic.services.enumerated().filter { !$0.element.isStream }.flatMap { index, service in
            let short = service.namespace == traffic.workload.namespace ? ["\(service.name).weft"] : []
            return (short + ["\(service.name).\(service.namespace).weft"]).flatMap {
                [(name: $0, value: index), (name: "\($0):\(service.port)", value: index)]
            }
        }
    }

    private struct Compiler {
        private struct Key: Hashable {
            let service: Int
            /// Nil: all versions together.
            let version: String?
        }

        let traffic: TrafficPart
        let trustDomain: String
        let policy: EndpointSet.Policy
        let context: BuildContext
        let memory: PinnedMemory
        /// Services by namespace and name; several if it has several ports.
        private let byName: [String: [Int]]
        private var known: [Key: Int32] = [:]
        private(set) var rows: [UpstreamRow] = []
        private(set) var sets: [EndpointSet] = []

        init(_ traffic: TrafficPart, trustDomain: String, policy: EndpointSet.Policy, context: BuildContext, memory: PinnedMemory) {
            self.traffic = traffic
            self.trustDomain = trustDomain
            self.policy = policy
            self.context = context
            self.memory = memory
            byName = Dictionary(grouping: traffic.services.indices) { "\(traffic.services[$0].namespace)/\(traffic.services[$0].name)" }
        }

        /// -1 if the backend names a service that this sidecar does not know.
        mutating func upstream(of backend: TrafficPart.BackendEntry, in service: TrafficPart.ServiceEntry) -> Int32 {
            let name = backend.service ?? service.name, namespace = backend.namespace ?? service.namespace
            let candidates = byName["\(namespace)/\(name)", default: []].filter { traffic.services[$0].isStream == service.isStream }
            // Of a service with several ports the one that was called, else its first.
            guard let index = candidates.first(where: { traffic.services[$0].port == service.port }) ?? candidates.first else { return -1 }
            return upstream(index, version: backend.version ?? traffic.services[index].defaultVersion)
        }

        mutating func upstream(_ index: Int, version: String?) -> Int32 {
            let key = Key(service: index, version: version)
            if let row = known[key] { return row }
            let service = traffic.services[index]
            let versions = service.versions.filter { version == nil || $0.name == version }
            let identity = "spiffe://\(trustDomain)/ns/\(service.namespace)/sa/\(service.name)"
            let endpoints = versions.flatMap { entry in entry.endpoints.compactMap { endpoint($0, of: entry, identity, service.protocol) } }
            let name = "\(service.namespace)/\(service.name):\(service.port)/\(version ?? "*")"
            let set = EndpointSet(upstream: name, endpoints: endpoints, policy: policy, states: context.endpointStates)
            sets.append(set)
            rows.append(
                UpstreamRow(
                    balancer: set.balancer, index: Int32(index), service: context.labels.service(service.name, namespace: service.namespace),
                    version: version.map(label) ?? .none, key: context.upstreams.id(name),
                    noEndpoint: memory.reason("no usable endpoint of \(service.name)\(version.map { " \($0)" } ?? "")")))
            known[key] = Int32(rows.count - 1)
            return Int32(rows.count - 1)
        }

        /// Nil once the process has seen a million endpoints.
        private func endpoint(
            _ entry: TrafficPart.EndpointEntry, of version: TrafficPart.VersionEntry, _ identity: String, _ spoken: PortProtocol
        ) -> Endpoint? {
            let record = EndpointDirectory.Record(
                address: entry.address, identity: entry.hasSidecar ? identity : nil, spoken: entry.hasSidecar ? .http1 : .init(spoken))
            guard let directory = context.endpoints.label(of: record) else { return nil }
            return Endpoint(
                id: UInt64(directory) | (entry.hasSidecar ? RouteTable.peerBit : 0),
                // The host looks the address up by label; the balancer never does.
                address: .unix(path: UInt32(directory)), version: label(version.name), weight: UInt32(clamping: entry.weight),
                isHealthy: entry.isHealthy, isDraining: entry.isDraining)
        }

        private func label(_ version: String) -> LabelID { version.isEmpty ? .none : context.labels.id(version) }
    }
}
