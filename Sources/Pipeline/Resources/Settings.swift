/// Values for stages, keyed by stage id, as they were written. What they may hold only the stage's filter knows, so they
/// are checked against its schema, and merged by field when a snapshot is compiled.
package struct Settings: Sendable, ConfigValue {
    package struct Entry: Sendable {
        package let stage: String
        package let values: ConfigNode
    }

    /// In the order they were written.
    package let entries: [Entry]
    package let node: ConfigNode

    package var isEmpty: Bool { entries.isEmpty }
    package subscript(stage: String) -> ConfigNode? { entries.first { $0.stage == stage }?.values }

    package static let configShape = ConfigShape.map(.object)
    package static let placeholder = Settings(node: .empty)
    package static let whenAbsent: Settings? = Settings(node: .empty)
    package init?(config node: ConfigNode) {
        guard node.isObject else { return nil }
        self.init(node: node)
    }
    private init(node: ConfigNode) {
        self.node = node
        entries = node.members?.map { Entry(stage: $0.key, values: $0.value) } ?? []
    }
    package var configText: String { node.json }
}
