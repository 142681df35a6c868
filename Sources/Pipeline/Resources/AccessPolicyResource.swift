/// Who calls: exactly one of the four.
package struct AccessSource: ConfigRecord {
    package let service: ServiceReference?
    package let prefix: String?
    package let namespace: String?
    package let external: Bool?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        service = fields.read("service", "A service of the mesh.")
        prefix = fields.read("prefix", "How the caller's identity begins: spiffe://….")
        namespace = fields.read("namespace", "Every service of a namespace.", .label)
        external = fields.read("external", "Callers without an identity we trust. Only true.")
        node = fields.node
    }
}

/// What is called: all that is given must hold.
package struct AccessOperation: ConfigRecord {
    package let ports: [Int]
    package let methods: [String]
    package let paths: [PathMatch]
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        ports = fields.read("ports", default: [], "Ports; all, if left out.", .in(1...65535), .count(0...64))
        methods = fields.read("methods", default: [], "Methods; all, if left out.", .count(0...64))
        paths = fields.read("paths", default: [], "Paths; all, if left out.", .count(0...256))
        node = fields.node
    }
}

package struct AccessRule: ConfigRecord {
    package let from: [AccessSource]
    package let to: [AccessOperation]
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        from = fields.read("from", default: [], "Callers: any of these; everybody, if left out.", .count(0...256))
        to = fields.read("to", default: [], "Calls: any of these; all, if left out.", .count(0...256))
        node = fields.node
    }
}

/// Who may call whom. A matching deny wins, then a matching allow; see ARCHITECTURE §9.
package struct AccessPolicyResource: ResourceBody {
    package static let kind = ResourceKind.accessPolicy
    package let identity: ResourceIdentity
    /// Nil: the mesh.
    package let target: Target?
    package let action: AccessAction
    package let shadow: Bool
    package let rules: [AccessRule]

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        target = fields.read("target", "Services it protects; all, if left out.")
        action = fields.read("action", "What happens to calls that match.")
        shadow = fields.read("shadow", default: false, "Count and log what it would decide, without deciding.")
        rules = fields.read("rules", "Calls that match any of these.", .count(0...1000))
    }
}
