/// The kinds of things operators write.
package enum ResourceKind: String, CaseIterable, Sendable, ConfigValue {
    case mesh = "Mesh"
    case service = "Service"
    case workload = "Workload"
    case route = "Route"
    case accessPolicy = "AccessPolicy"
    case rateLimit = "RateLimit"
    case chain = "Chain"
}

/// What one resource is known by.
package struct ResourceKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let kind: ResourceKind
    package let namespace: String
    package let name: String

    package static let defaultNamespace = "default"

    package init(_ kind: ResourceKind, _ name: String, namespace: String = ResourceKey.defaultNamespace) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    /// `Service "payment"`, or `Service "payment.shop"` outside the default namespace.
    package var description: String { "\(kind.rawValue) \(JSONWriter.quoted(qualifiedName))" }

    /// `payment`, or `payment.shop` outside the default namespace: how references are written.
    package var qualifiedName: String { namespace == Self.defaultNamespace ? name : "\(name).\(namespace)" }

    /// By kind in the order of the docs, then namespace, then name.
    package static func < (a: ResourceKey, b: ResourceKey) -> Bool {
        if a.kind != b.kind {
            let order = ResourceKind.allCases
            return (order.firstIndex(of: a.kind) ?? 0) < (order.firstIndex(of: b.kind) ?? 0)
        }
        return (a.namespace, a.name) < (b.namespace, b.name)
    }
}

/// A service named in another resource: `payment`, in that resource's namespace, or `payment.shop`.
package struct ServiceReference: Hashable, Sendable, ConfigValue {
    package let text: String
    /// Where it stands, for messages.
    package let node: ConfigNode

    package func key(in namespace: String) -> ResourceKey {
        let parts = text.split(separator: ".", maxSplits: 1)
        guard parts.count == 2 else { return ResourceKey(.service, text, namespace: namespace) }
        return ResourceKey(.service, String(parts[0]), namespace: String(parts[1]))
    }

    package static let configShape = ConfigShape.string
    package static let placeholder = ServiceReference(text: "", node: .empty)
    package init?(config node: ConfigNode) {
        guard let text = node.string else { return nil }
        self.init(text: text, node: node)
    }
    private init(text: String, node: ConfigNode) {
        self.text = text
        self.node = node
    }
    package var configText: String { JSONWriter.quoted(text) }

    package static func == (a: ServiceReference, b: ServiceReference) -> Bool { a.text == b.text }
    package func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
