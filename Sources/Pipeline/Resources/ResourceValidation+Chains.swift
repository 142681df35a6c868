extension ResourceValidation {
    // MARK: Chains

    mutating func chain(_ chain: ChainResource) {
        target(chain.target, in: chain.namespace)
        let list = chain.node["stages"] ?? chain.node
        problems += ChainRules.check(chain.stages, direction: chain.direction, at: list, filters: filters, needs: needs(of: chain))
        guard let filters else { return }
        for (index, stage) in chain.stages.enumerated() {
            guard let schema = filters[stage.filter] else { continue }
            let shared = chain.direction == .outbound ? mesh?.settings : mesh?.inboundSettings
            problems += Self.check(stage, schema, mesh: shared, path: "stages[\(index)].config")
        }
    }

    /// A stage's own config, and what is required of it that neither it nor the mesh gives. What a service or a route adds, not
    /// every call has.
    package static func check(_ stage: StageEntry, _ schema: FilterSchema, mesh: Settings?, path: String) -> [ConfigProblem] {
        var problems = stage.config.map { schema.check($0, path: path) } ?? []
        let merged = schema.merge([mesh?[stage.id], stage.config].compactMap { $0 }.map { ConfigLayer(label: "", node: $0) })
        var check = ConfigCheck(subject: "stage \(JSONWriter.quoted(stage.id))", path: path)
        check.requirePresence(merged, schema.fields, path: path, at: stage.config ?? stage.node)
        problems += check.problems
        return problems
    }

    private func needs(of chain: ChainResource) -> ChainRules.Needs {
        let own = services.values.filter { chain.target.covers($0, from: chain.namespace) }.sorted { $0.key < $1.key }
        return Self.needs(chain.direction, serving: own, isForAll: chain.target == nil, among: resources)
    }

    /// What the rest of the config wants of a chain: strict mTLS of any service it serves or calls, a policy for any it serves.
    ///
    /// - Parameter isForAll: It serves workloads without a Service too: what protects the whole mesh protects them.
    package static func needs(
        _ direction: ChainDirection, serving own: [ServiceResource], isForAll: Bool, among resources: [Resource]
    ) -> ChainRules.Needs {
        var needs = ChainRules.Needs()
        let mesh = resources.lazy.compactMap { if case .mesh(let mesh) = $0 { mesh } else { nil } }.first
        let all = resources.compactMap { if case .service(let service) = $0 { service } else { nil } }.sorted { $0.key < $1.key }
        let concerned = direction == .inbound ? own : all
        if let strict = concerned.first(where: { ($0.mtls ?? mesh?.mtls ?? .strict) == .strict }) {
            needs.tls = strict.mtls == .strict ? "mtls of \(strict.key) is strict" : "the mesh's mtls is strict"
        } else if direction == .inbound, own.isEmpty, isForAll, (mesh?.mtls ?? .strict) == .strict {
            needs.tls = "the mesh's mtls is strict"
        }
        guard direction == .inbound else { return needs }
        for case .accessPolicy(let policy) in resources where !policy.shadow {
            if let service = own.first(where: { policy.target.covers($0, from: policy.namespace) }) {
                needs.authz = "\(policy.key) protects \(service.key)"
                return needs
            }
            if isForAll, policy.target == nil { needs.authz = "\(policy.key) protects the mesh" }
        }
        if needs.authz == nil, mesh?.defaultAccess == .deny { needs.authz = "the mesh denies by default" }
        return needs
    }

    // MARK: Settings

    /// Settings of one direction, against the filters that stand under those ids in any chain of it.
    mutating func settings(_ settings: Settings, _ direction: ChainDirection, _ path: String) {
        guard let filters else { return }
        let written = chains.filter { $0.direction == direction }
        let everything = written.flatMap(\.stages) + (ownStages[direction] ?? []) + ChainRules.defaultStages(direction)
        let ids = Set(everything.map(\.id)).sorted()
        for member in settings.node.members ?? [] {
            let place = "\(path).\(member.key)"
            var known: [String] = []
            for stage in everything where stage.id == member.key && !known.contains(stage.filter) { known.append(stage.filter) }
            if known.isEmpty {
                stageless(member, settings.node, direction, ids, place)
                continue
            }
            for filter in known { if let schema = filters[filter] { problems += schema.check(member.value, path: place) } }
            for chain in written where !chain.stages.contains(where: { $0.id == member.key }) {
                problems.append(
                    ConfigProblem(
                        "\(chain.key) has no stage \(JSONWriter.quoted(member.key)): its sidecars ignore these settings", severity: .warning,
                        source: settings.node.source, range: member.keyRange, path: place))
            }
        }
    }

    /// A near miss is a typo, and an error; anything else may be meant for a chain that is still to come.
    private mutating func stageless(
        _ member: ConfigNode.Member, _ node: ConfigNode, _ direction: ChainDirection, _ ids: [String], _ place: String
    ) {
        let suggestion = Spelling.suggestion(for: member.key, among: ids, taken: Set(node.keys))
        problems.append(
            ConfigProblem(
                suggestion == nil
                    ? "no \(direction.rawValue) chain has a stage \(JSONWriter.quoted(member.key)): nobody reads these settings"
                    : "unknown stage \(JSONWriter.quoted(member.key)) in \(direction.rawValue) settings",
                severity: suggestion == nil ? .warning : .error, source: node.source, range: member.keyRange, path: place,
                suggestion: suggestion, notes: ["stages: \(ids.joined(separator: ", "))"]))
    }
}
