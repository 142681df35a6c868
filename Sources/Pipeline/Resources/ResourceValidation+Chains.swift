extension ResourceValidation {
    // MARK: Chains

    mutating func chain(_ chain: ChainResource) {
        target(chain.target, in: chain.namespace)
        let list = chain.node["stages"] ?? chain.node
        problems += ChainRules.check(chain.stages, direction: chain.direction, at: list, filters: filters, needs: needs(of: chain))
        guard let filters else { return }
        for (index, stage) in chain.stages.enumerated() {
            guard let schema = filters[stage.filter] else { continue }
            let path = "stages[\(index)].config"
            if let config = stage.config { problems += schema.check(config, path: path) }
            // What the stage lacks the mesh may give; what a service or a route adds, not every call has.
            let shared = chain.direction == .outbound ? mesh?.settings : mesh?.inboundSettings
            let merged = schema.merge([shared?[stage.id], stage.config].compactMap { $0 }.map { ConfigLayer(label: "", node: $0) })
            var check = ConfigCheck(subject: "stage \(JSONWriter.quoted(stage.id))", path: path)
            check.requirePresence(merged, schema.fields, path: path, at: stage.config ?? stage.node)
            problems += check.problems
        }
    }

    /// What the rest of the config wants of a chain: strict mTLS of any service it serves or calls, a policy for any it serves.
    private func needs(of chain: ChainResource) -> ChainRules.Needs {
        var needs = ChainRules.Needs()
        let own = services.values.filter { chain.target.covers($0, from: chain.namespace) }.sorted { $0.key < $1.key }
        let concerned = chain.direction == .inbound ? own : services.values.sorted { $0.key < $1.key }
        if let strict = concerned.first(where: { ($0.mtls ?? mesh?.mtls ?? .strict) == .strict }) {
            needs.tls = strict.mtls == .strict ? "mtls of \(strict.key) is strict" : "the mesh's mtls is strict"
        }
        guard chain.direction == .inbound else { return needs }
        for case .accessPolicy(let policy) in resources where !policy.shadow {
            guard let service = own.first(where: { policy.target.covers($0, from: policy.namespace) }) else { continue }
            needs.authz = "\(policy.key) protects \(service.key)"
            return needs
        }
        if mesh?.defaultAccess == .deny { needs.authz = "the mesh denies by default" }
        return needs
    }

    // MARK: Settings

    /// Settings of one direction, against the filters that stand under those ids in any chain of it.
    mutating func settings(_ settings: Settings, _ direction: ChainDirection, _ path: String) {
        guard let filters else { return }
        let written = chains.filter { $0.direction == direction }
        let everything = written.flatMap(\.stages) + ChainRules.defaultStages(direction)
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
