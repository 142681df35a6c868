internal import Pipeline

/// Which value is in force and who said it: the rows of `weft explain`.
struct Explanation {
    struct Row: Equatable {
        var direction: String
        var stage: String
        var key: String
        /// JSON; `null` beside an empty key: a stage without settings.
        var value: String
        /// `default`, or the resource whose value won.
        var source: String
        var file: String
        var line: Int?
    }

    private let resources: ResourceSet
    private let filters: [String: FilterSchema]
    private let compiler: SnapshotCompiler

    init(_ resources: ResourceSet, filters: [String: FilterSchema]) {
        self.resources = resources
        self.filters = filters
        compiler = SnapshotCompiler(resources, endpoints: [])
    }

    private var mesh: MeshResource? {
        for case .mesh(let mesh) in resources.sorted { return mesh }
        return nil
    }

    /// - Parameters:
    ///   - caller: whose outbound chain; nil for one that no Chain resource names.
    ///   - rule: a rule of the service's Route, by name or number; nil leaves routes out.
    func rows(for service: ServiceResource, caller: ServiceResource?, rule: String?) -> [Row] {
        var chosen: (route: RouteResource, index: Int)?
        for case .route(let route) in resources.sorted where route.serviceKey == service.key {
            if let rule, let index = route.rules.indices.first(where: { route.rules[$0].name == rule || "\($0 + 1)" == rule }) {
                chosen = (route, index)
            }
        }
        let outbound = rows(.outbound, caller, isStream: !service.speaksHTTP) { stage, chain in
            StageSettings.outbound(stage, chain: chain, mesh: mesh, service: service, rule: chosen)
        }
        let inbound = rows(.inbound, service, isStream: !service.speaksHTTP) { stage, chain in
            StageSettings.inbound(stage, chain: chain, mesh: mesh, service: service)
        }
        return outbound + inbound
    }

    private func rows(
        _ direction: ChainDirection, _ own: ServiceResource?, isStream: Bool, _ layers: (StageEntry, String) -> [ConfigLayer]
    ) -> [Row] {
        let chain = compiler.chainResource(direction, own)
        let stages = chain?.stages ?? ChainRules.defaultStages(direction)
        let label = chain.map { "Chain \($0.key.qualifiedName)" } ?? "default chain"
        var rows: [Row] = []
        // Of a service that serves nothing else: its connections pass these stages by, whatever is set for them.
        let skipped = Set(isStream ? StreamRules.skipped(stages) : [])
        for stage in stages {
            if skipped.contains(stage.id) {
                rows.append(Row(direction: direction.rawValue, stage: stage.id, key: "", value: "null", source: "skipped on tcp", file: ""))
                continue
            }
            guard let schema = filters[stage.filter] else { continue }
            let origins = ConfigOrigin.rows(schema.fields, layers(stage, label))
            if origins.isEmpty {
                // Nothing to set: the row says where the stage stands.
                let place = chain == nil ? nil : stage.node
                rows.append(
                    Row(
                        direction: direction.rawValue, stage: stage.id, key: "", value: "null", source: label, file: place?.file ?? "",
                        line: place?.line))
            }
            rows += origins.map {
                Row(
                    direction: direction.rawValue, stage: stage.id, key: $0.key, value: $0.value, source: $0.label, file: $0.file ?? "",
                    line: $0.line)
            }
        }
        return rows
    }
}
