/// One source of values for an object. Later layers win, field by field; lists and maps are replaced whole.
public struct ConfigLayer: Sendable {
    /// Whose values these are, for `weft explain`: `Mesh shop`, `stage request-timeout`.
    public let label: String
    public let node: ConfigNode

    public init(label: String, node: ConfigNode) {
        self.label = label
        self.node = node
    }
}

/// Where a value in force comes from: a row of `weft explain`.
public struct ConfigOrigin: Hashable, Sendable {
    /// Dotted within the object: `backoff.base`.
    public let key: String
    /// As JSON.
    public let value: String
    /// The layer's label, or `default`.
    public let label: String
    /// Nil for defaults.
    public let file: String?
    public let line: Int?
    public let meaning: String
}

/// A config that was read, or what stood in the way.
public struct ConfigResult<Value: ConfigRecord>: Sendable {
    /// Nil if there are errors.
    public let value: Value?
    /// Errors and warnings, in the order of the text.
    public let problems: [ConfigProblem]
    /// One row per field.
    public let origins: [ConfigOrigin]
    /// All layers in one object, each value still knowing where it stood.
    public let merged: ConfigNode
}

extension ConfigRecord {
    /// Reads a value from layers, the weakest first.
    ///
    /// - Parameters:
    ///   - subject: What is being read, for messages: `filter "retry"`.
    ///   - path: Where the object stands, for messages: `settings.retry`.
    public static func decode(_ layers: [ConfigLayer], subject: String, path: String = "") -> ConfigResult<Self> {
        decode(layers, fields: configFields, subject: subject, path: path)
    }

    /// With fields that were described before, for kinds that are read by the thousand.
    package static func decode(_ layers: [ConfigLayer], fields: [ConfigField], subject: String, path: String) -> ConfigResult<Self> {
        let checked = fields.check(layers, subject: subject, path: path, isComplete: true)
        var problems = checked.problems
        let origins = ConfigOrigin.rows(fields, layers)
        guard !problems.hasErrors else { return ConfigResult(value: nil, problems: problems, origins: origins, merged: checked.merged) }
        var reading = ConfigFields(reading: checked.merged)
        let value = Self(&reading)
        for (key, node) in reading.rejected {
            problems.append(
                ConfigProblem("\(JSONWriter.quoted(key)) may not be \(node.described)", at: node, path: ConfigCheck.join(path, key)))
        }
        let isGood = !problems.hasErrors && reading.missing.isEmpty
        return ConfigResult(value: isGood ? value : nil, problems: problems, origins: origins, merged: checked.merged)
    }

    public static func decode(_ node: ConfigNode, subject: String, path: String = "") -> ConfigResult<Self> {
        decode([ConfigLayer(label: subject, node: node)], subject: subject, path: path)
    }
}

extension [ConfigField] {
    /// Checks layers that together make one object. `isComplete` also wants every required field.
    package func check(
        _ layers: [ConfigLayer], subject: String, path: String, isComplete: Bool
    ) -> (merged: ConfigNode, problems: [ConfigProblem]) {
        var check = ConfigCheck(subject: subject, path: path)
        for layer in layers { check.check(layer.node, self, path: path) }
        let merged = merge(layers.map(\.node).filter(\.isObject))
        if isComplete { check.requirePresence(merged, self, path: path, at: layers.last?.node ?? .empty) }
        return (merged, check.problems.inTextOrder)
    }

    /// Field by field, later over earlier; nested records likewise.
    package func merge(_ nodes: [ConfigNode]) -> ConfigNode {
        guard nodes.count > 1, let top = nodes.last else { return nodes.first ?? .empty }
        var members: [ConfigNode.Member] = []
        for node in nodes {
            for member in node.members ?? [] {
                guard let index = members.firstIndex(where: { $0.key == member.key }) else {
                    members.append(member)
                    continue
                }
                var value = member.value
                if let fields = first(where: { $0.key == member.key })?.shape.fields, value.isObject, members[index].value.isObject {
                    value = fields.merge([members[index].value, value])
                }
                members[index] = .init(key: member.key, keyRange: member.keyRange, value: value)
            }
        }
        return ConfigNode(.object(members), range: top.range, source: top.source)
    }
}

extension ConfigOrigin {
    /// A row per field, nested records opened up.
    package static func rows(_ fields: [ConfigField], _ layers: [ConfigLayer], prefix: String = "") -> [ConfigOrigin] {
        var rows: [ConfigOrigin] = []
        for field in fields {
            if case .refused = field.presence { continue }
            let key = ConfigCheck.join(prefix, field.key)
            let found = layers.compactMap { layer in layer.node[field.key].map { ConfigLayer(label: layer.label, node: $0) } }
            let isNested = field.shape.fields != nil && found.allSatisfy(\.node.isObject)
            if isNested, let nested = field.shape.fields, !(field.presence == .optional && found.isEmpty && field.shape != field.shape.unwrapped) {
                rows += Self.rows(nested, found, prefix: key)
            } else if let winner = found.last {
                rows.append(
                    ConfigOrigin(
                        key: key, value: winner.node.json, label: winner.label,
                        file: winner.node.isWritten ? winner.node.file : nil, line: winner.node.isWritten ? winner.node.line : nil,
                        meaning: field.meaning))
            } else if case .default(let text) = field.presence {
                rows.append(ConfigOrigin(key: key, value: text, label: "default", file: nil, line: nil, meaning: field.meaning))
            }
        }
        return rows
    }
}

extension [ConfigProblem] {
    /// By file as they came, then by place.
    package var inTextOrder: [ConfigProblem] {
        var order: [ObjectIdentifier: Int] = [:]
        for problem in self where order[ObjectIdentifier(problem.source)] == nil { order[ObjectIdentifier(problem.source)] = order.count }
        return enumerated().sorted { a, b in
            let left = (order[ObjectIdentifier(a.element.source)] ?? 0, a.element.range.lowerBound, a.offset)
            let right = (order[ObjectIdentifier(b.element.source)] ?? 0, b.element.range.lowerBound, b.offset)
            return left < right
        }.map(\.element)
    }
}
