internal import Host
internal import Pipeline

/// The chains that a sidecar's own files say: a folder, or inline. Where they say none, the compiler's stay.
extension LocalReading {
    mutating func chains(serving own: ServiceResource?, among resources: [Resource]) -> [ChainDirection: [StageFolder.Stage]] {
        if file.filters != nil, let inline = file.node["chains"] {
            problems.append(
                ConfigProblem(
                    "\"filters\" and \"chains\" both say the chains", at: inline, path: "chains", notes: ["keep one of them"]))
            return [:]
        }
        var chains: [ChainDirection: [StageFolder.Stage]] = [:]
        for direction in ChainDirection.allCases {
            let needs = self.needs(direction, own, resources)
            let inline = direction == .inbound ? file.chains.inbound : file.chains.outbound
            if let folder = file.filters {
                chains[direction] = stages(of: "\(absolute(folder))/\(direction.rawValue)", direction, needs)
            } else if !inline.isEmpty {
                check(inline, direction, needs, resources)
                chains[direction] = inline.map { StageFolder.Stage(entry: $0, isRequired: false) }
            }
        }
        return chains
    }

    func put(
        _ stages: [StageFolder.Stage], _ direction: ChainDirection, into snapshot: inout Snapshot, _ settings: inout SidecarSettings
    ) {
        let place = file.filters == nil ? "chain" : "folder"
        let made = stages.map { stage in
            ChainPart.Stage(
                id: stage.entry.id, filter: stage.entry.filter, config: stage.entry.config?.json ?? "{}",
                origin: Origin(resource: "\(direction.rawValue) \(place)", file: stage.entry.node.file, line: stage.entry.node.line),
                required: stage.isRequired)
        }
        let required = stages.filter(\.isRequired).map(\.entry.id)
        switch direction {
        case .inbound:
            snapshot.chain.inbound = made
            settings.requiredStages[.inbound] = required
        case .outbound:
            snapshot.chain.outbound = made
            settings.requiredStages[.outbound] = required
        }
    }

    /// The same as of a Chain resource, of those directions that are in use. A port that says plaintext has no use for tls.
    private func needs(_ direction: ChainDirection, _ own: ServiceResource?, _ resources: [Resource]) -> ChainRules.Needs {
        guard direction == .inbound ? file.inbound != nil : hasOutbound else { return ChainRules.Needs() }
        var needs = ResourceValidation.needs(direction, serving: own.map { [$0] } ?? [], isForAll: true, among: resources)
        if direction == .inbound, file.inbound?.plaintext == true { needs.tls = nil }
        return needs
    }

    private mutating func check(_ stages: [StageEntry], _ direction: ChainDirection, _ needs: ChainRules.Needs, _ resources: [Resource]) {
        let path = "chains.\(direction.rawValue)"
        let list = file.node["chains"]?[direction.rawValue] ?? file.node
        problems += ChainRules.check(stages, direction: direction, at: list, path: path, filters: filters, needs: needs)
        let mesh = resources.lazy.compactMap { if case .mesh(let mesh) = $0 { mesh } else { nil } }.first
        let shared = direction == .outbound ? mesh?.settings : mesh?.inboundSettings
        for (index, stage) in stages.enumerated() {
            guard let schema = filters[stage.filter] else { continue }
            problems += ResourceValidation.check(stage, schema, mesh: shared, path: "\(path)[\(index)].config")
        }
    }

    /// Nil if the folder cannot be read. Only stage files are: of others the name is all that matters.
    private mutating func stages(of path: String, _ direction: ChainDirection, _ needs: ChainRules.Needs) -> [StageFolder.Stage]? {
        var sources: [ConfigSource] = []
        do throws(SystemError) {
            for name in try Files.names(in: path) {
                let file = "\(path)/\(name)"
                sources.append(ConfigSource(name: file, bytes: StageFolder.stageName(name) != nil ? try Files.read(file) : []))
            }
        } catch {
            problems.append(LocalConfig.unreadable(path, error))
            return nil
        }
        let result = StageFolder.read(folder: path, files: sources, direction: direction, filters: filters, needs: needs)
        problems += result.problems
        return result.stages
    }
}
