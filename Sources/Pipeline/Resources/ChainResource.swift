package enum ChainDirection: String, CaseIterable, Sendable, ConfigValue { case inbound, outbound }

/// One place in a chain, as an operator wrote it: `"retry"`, or `{"filter": "timeout", "name": "request-timeout", "config": {…}}`.
package struct StageEntry: Sendable, ConfigValue {
    package let filter: String
    /// Its id, unique in the chain.
    package let id: String
    package let config: ConfigNode?
    /// Where it stands, for messages.
    package let node: ConfigNode

    package init(filter: String, id: String? = nil, config: ConfigNode? = nil, node: ConfigNode = .empty) {
        self.filter = filter
        self.id = id ?? filter
        self.config = config
        self.node = node
    }

    package static let configShape = ConfigShape.either([.string, .record(Long.configFields)])
    package static let placeholder = StageEntry(filter: "")
    package init?(config node: ConfigNode) {
        if let name = node.string {
            self.init(filter: name, node: node)
        } else {
            guard let long = Long(config: node) else { return nil }
            self.init(filter: long.filter, id: long.name, config: long.config, node: node)
        }
    }
    package var configText: String { JSONWriter.quoted(id) }

    private struct Long: ConfigRecord {
        let filter: String
        let name: String?
        let config: ConfigNode?

        init(_ fields: inout ConfigFields) {
            filter = fields.read("filter", "The filter.", .nonEmpty)
            name = fields.read("name", "The stage's id; the filter's name, if left out.", .label)
            config = fields.read("config", "Values for the filter.")
        }
    }
}

extension ConfigNode: ConfigValue {
    public static var configShape: ConfigShape { .object }
    public static var placeholder: ConfigNode { .empty }
    public init?(config node: ConfigNode) {
        guard node.isObject else { return nil }
        self = node
    }
    public var configText: String { json }
}

/// The order of filters in the sidecars of some services.
package struct ChainResource: ResourceBody {
    package static let kind = ResourceKind.chain
    package let identity: ResourceIdentity
    package let direction: ChainDirection
    package let target: Target?
    package let stages: [StageEntry]

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        direction = fields.read("direction", "Calls that come in, or calls that go out.")
        target = fields.read("target", "Services whose sidecars run it; all, if left out.")
        stages = fields.read("stages", "Top first: each wraps all below it.", .count(1...64))
    }
}
