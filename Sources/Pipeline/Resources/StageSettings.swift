/// Whose values a stage runs on, the weakest first: filter default < Mesh < the chain's stage < Service < Route rule.
package enum StageSettings {
    /// For a stage of an outbound chain and a call of `service`, by `rule` of its route. Layers that say nothing are left out.
    package static func outbound(
        _ stage: StageEntry, chain: String, mesh: MeshResource?, service: ServiceResource?, rule: (route: RouteResource, index: Int)? = nil
    ) -> [ConfigLayer] {
        var layers = common(stage, chain, mesh.flatMap { layer($0.key, $0.settings, stage) })
        if let service { layers += [layer(service.key, service.settings, stage)].compactMap { $0 } }
        if let (route, index) = rule, route.rules.indices.contains(index), let values = route.rules[index].settings[stage.id] {
            let name = route.rules[index].name ?? "\(index + 1)"
            layers.append(ConfigLayer(label: "Route \(route.key.qualifiedName) rule \(name)", node: values))
        }
        return layers
    }

    /// For a stage of the inbound chain of `service`.
    package static func inbound(_ stage: StageEntry, chain: String, mesh: MeshResource?, service: ServiceResource?) -> [ConfigLayer] {
        var layers = common(stage, chain, mesh.flatMap { layer($0.key, $0.inboundSettings, stage) })
        if let service { layers += [layer(service.key, service.inboundSettings, stage)].compactMap { $0 } }
        return layers
    }

    private static func common(_ stage: StageEntry, _ chain: String, _ mesh: ConfigLayer?) -> [ConfigLayer] {
        [mesh, stage.config.map { ConfigLayer(label: "\(chain) stage \(stage.id)", node: $0) }].compactMap { $0 }
    }

    private static func layer(_ key: ResourceKey, _ settings: Settings, _ stage: StageEntry) -> ConfigLayer? {
        settings[stage.id].map { ConfigLayer(label: "\(key.kind.rawValue) \(key.qualifiedName)", node: $0) }
    }
}
