/// Reads resources from a text: one object, or a list of them. Says everything that is wrong in each; what concerns several
/// resources is `ResourceValidation`'s business.
package enum ResourceReader {
    package struct Result: Sendable {
        /// Those without errors.
        package let resources: [Resource]
        package let problems: [ConfigProblem]
        package let broken: BrokenResources
    }

    /// Who wrote them: sidecars register workloads of their own, people only those without a sidecar.
    package enum Author: Sendable { case `operator`, sidecar }

    package static func read(_ text: String, name: String, by author: Author = .operator) -> Result {
        read(ConfigSource(name: name, bytes: Array(text.utf8)), by: author)
    }

    package static func read(bytes: [UInt8], name: String, by author: Author = .operator) -> Result {
        read(ConfigSource(name: name, bytes: bytes), by: author)
    }

    package static func read(_ source: ConfigSource, by author: Author = .operator) -> Result {
        let text = ConfigReader.read(source)
        guard let root = text.root else { return Result(resources: [], problems: text.problems, broken: BrokenResources(hasUnnamed: true)) }
        let read = read(root.elements ?? [root], by: author)
        var broken = read.broken
        if text.problems.hasErrors { broken.hasUnnamed = true }
        return Result(resources: read.resources, problems: (text.problems + read.problems).inTextOrder, broken: broken)
    }

    /// From nodes that have been read already, such as `resources` of a sidecar's config.
    package static func read(_ nodes: [ConfigNode], by author: Author = .operator) -> Result {
        var resources: [Resource] = []
        var problems: [ConfigProblem] = []
        var broken = BrokenResources()
        for node in nodes {
            let (resource, found) = one(node)
            problems += found
            guard let resource else {
                broken.insert(node)
                continue
            }
            let wrong = WellFormedness.check(resource, by: author)
            problems += wrong
            if wrong.hasErrors { broken.insert(node) } else { resources.append(resource) }
        }
        return Result(resources: resources, problems: problems, broken: broken)
    }

    private static func one(_ node: ConfigNode) -> (Resource?, [ConfigProblem]) {
        let kinds = ResourceKind.allCases.map(\.rawValue)
        let note = "kinds: \(kinds.joined(separator: ", "))"
        guard let members = node.members else {
            return (nil, [ConfigProblem("a resource is an object, not \(node.described)", at: node, notes: [note])])
        }
        guard let kindNode = node["kind"] else {
            if let typo = members.first(where: { Spelling.suggestion(for: $0.key, among: ["kind"]) != nil && $0.value.string != nil }) {
                let problem = ConfigProblem(
                    "unknown key \(JSONWriter.quoted(typo.key)) in a resource without a kind", source: node.source,
                    range: typo.keyRange, path: typo.key, suggestion: "kind", notes: [note])
                return (nil, [problem])
            }
            let brace = node.range.lowerBound..<min(node.range.upperBound, node.range.lowerBound + 1)
            return (nil, [ConfigProblem("a resource lacks \"kind\"", source: node.source, range: brace, path: "kind", label: "add \"kind\": \"Service\"", notes: [note])])
        }
        guard let kind = kindNode.string.flatMap(ResourceKind.init(rawValue:)) else {
            let suggestion = kindNode.string.flatMap { Spelling.suggestion(for: $0, among: kinds) }
            return (nil, [ConfigProblem("there is no kind \(kindNode.json.prefix(60))", at: kindNode, path: "kind", suggestion: suggestion, notes: [note])])
        }
        switch kind {
        case .mesh: return decode(node, kind, Resource.mesh)
        case .service: return decode(node, kind, Resource.service)
        case .workload: return decode(node, kind, Resource.workload)
        case .route: return decode(node, kind, Resource.route)
        case .accessPolicy: return decode(node, kind, Resource.accessPolicy)
        case .rateLimit: return decode(node, kind, Resource.rateLimit)
        case .chain: return decode(node, kind, Resource.chain)
        }
    }

    private static func decode<Body: ResourceBody>(
        _ node: ConfigNode, _ kind: ResourceKind, _ make: (Body) -> Resource
    ) -> (Resource?, [ConfigProblem]) {
        let name = node["name"]?.string.map { " \(JSONWriter.quoted($0))" } ?? ""
        let layer = ConfigLayer(label: kind.rawValue + name, node: node)
        let result = Body.decode([layer], fields: Resource.fields(of: kind), subject: layer.label, path: "")
        return (result.value.map(make), result.problems)
    }
}

/// Which resources could not be read.
package struct BrokenResources: Sendable {
    package private(set) var keys: Set<ResourceKey> = []
    /// Some whose kind or name is unknown: they may be anything.
    package var hasUnnamed = false

    package init(hasUnnamed: Bool = false) { self.hasUnnamed = hasUnnamed }

    package var isEmpty: Bool { keys.isEmpty && !hasUnnamed }

    fileprivate mutating func insert(_ node: ConfigNode) {
        if let kind = node["kind"]?.string.flatMap(ResourceKind.init(rawValue:)), let name = node["name"]?.string {
            keys.insert(ResourceKey(kind, name, namespace: node["namespace"]?.string ?? ResourceKey.defaultNamespace))
        } else {
            hasUnnamed = true
        }
    }

    package mutating func formUnion(_ other: BrokenResources) {
        keys.formUnion(other.keys)
        hasUnnamed = hasUnnamed || other.hasUnnamed
    }
}
