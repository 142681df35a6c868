package struct RouteBackend: ConfigRecord {
    package let service: ServiceReference?
    package let version: String?
    package let weight: Int
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        service = fields.read("service", "Another service than the route's.")
        version = fields.read("version", "One version; all, if left out.", .label)
        weight = fields.read("weight", default: 1, "Its share of the calls, relative to the other backends.", .in(0...1_000_000))
        node = fields.node
    }
}

package struct RouteRule: ConfigRecord {
    package let name: String?
    /// Empty: every request.
    package let matches: [RequestMatch]
    package let backends: [RouteBackend]
    package let settings: Settings
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        name = fields.read("name", "What metrics and logs call the rule.", .label)
        matches = fields.read("matches", default: [], "Requests it takes: those that match any entry; all, if left out.", .count(0...64))
        backends = fields.read("backends", "Who gets them.", .count(1...64))
        settings = fields.read("settings", "Values for stages of the callers' outbound chains, by stage id.")
        fields.refuse("fault", "Delays and errors made on purpose.")
        fields.refuse("mirror", "A copy of the calls for another service.")
        node = fields.node
    }
}

/// Where the calls of one service go. The first rule that matches decides; if none does, the caller gets a 404.
package struct RouteResource: ResourceBody {
    package static let kind = ResourceKind.route
    package let identity: ResourceIdentity
    package let service: ServiceReference
    package let rules: [RouteRule]

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        service = fields.read("service", "The service whose calls it routes.")
        rules = fields.read("rules", "Tried in order.", .count(1...10_000))
    }

    package var serviceKey: ResourceKey { service.key(in: namespace) }
}
