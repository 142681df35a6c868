/// A resource of any kind.
package enum Resource: Sendable {
    case mesh(MeshResource)
    case service(ServiceResource)
    case workload(WorkloadResource)
    case route(RouteResource)
    case accessPolicy(AccessPolicyResource)
    case rateLimit(RateLimitResource)
    case chain(ChainResource)

    package var body: any ResourceBody {
        switch self {
        case .mesh(let body): body
        case .service(let body): body
        case .workload(let body): body
        case .route(let body): body
        case .accessPolicy(let body): body
        case .rateLimit(let body): body
        case .chain(let body): body
        }
    }

    package var key: ResourceKey { body.identity.key }
    /// The object it was read from.
    package var node: ConfigNode { body.identity.node }
    package var namespace: String { key.namespace }

    /// The declared fields of a kind, for docs, schemas and canonical JSON.
    package static func fields(of kind: ResourceKind) -> [ConfigField] { declared[kind] ?? [] }

    private static let declared: [ResourceKind: [ConfigField]] = [
        .mesh: MeshResource.configFields, .service: ServiceResource.configFields, .workload: WorkloadResource.configFields,
        .route: RouteResource.configFields, .accessPolicy: AccessPolicyResource.configFields, .rateLimit: RateLimitResource.configFields,
        .chain: ChainResource.configFields,
    ]
}

/// What every kind has: a key, and the object it came from.
package protocol ResourceBody: ConfigRecord {
    static var kind: ResourceKind { get }
    var identity: ResourceIdentity { get }
}

extension ResourceBody {
    package var key: ResourceKey { identity.key }
    package var node: ConfigNode { identity.node }
    package var namespace: String { identity.key.namespace }
}

/// `kind`, `name` and `namespace`, and where they stand.
package struct ResourceIdentity: Sendable {
    package let key: ResourceKey
    package let node: ConfigNode

    package init(_ kind: ResourceKind, _ fields: inout ConfigFields) {
        _ = fields.read("kind", "What it is.") as ResourceKind
        let name: String = fields.read("name", "Its name, unique among its kind in a namespace.", .label)
        let namespace = fields.read("namespace", default: ResourceKey.defaultNamespace, "Where its name is unique.", .label)
        key = ResourceKey(kind, name, namespace: namespace)
        node = fields.node
    }
}
