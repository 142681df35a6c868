/// What a filter's config may hold, as data: a sidecar reports it, a control plane checks settings against it, and docs are
/// written from it.
public struct FilterSchema: Sendable, Equatable {
    /// The filter's name.
    public let name: String
    /// One sentence.
    public let summary: String
    public let fields: [ConfigField]

    public init(name: String, summary: String = "", fields: [ConfigField]) {
        self.name = name
        self.summary = summary
        self.fields = fields
    }

    public init<Config: ConfigRecord>(name: String, summary: String = "", of config: Config.Type) {
        self.init(name: name, summary: summary, fields: Config.configFields)
    }

    /// Problems of one layer of values on its own: nothing is required of it, other layers may have it.
    public func check(_ node: ConfigNode, path: String) -> [ConfigProblem] {
        fields.check([ConfigLayer(label: "", node: node)], subject: "filter \(JSONWriter.quoted(name))", path: path, isComplete: false).problems
    }

    /// Problems of the layers together, the weakest first; every required field must be there.
    public func check(_ layers: [ConfigLayer], path: String) -> [ConfigProblem] {
        fields.check(layers, subject: "filter \(JSONWriter.quoted(name))", path: path, isComplete: true).problems
    }

    /// The layers as one object, each value still knowing where it stood.
    public func merge(_ layers: [ConfigLayer]) -> ConfigNode { fields.merge(layers.map(\.node).filter(\.isObject)) }

    /// Rows of `weft explain`.
    public func origins(_ layers: [ConfigLayer]) -> [ConfigOrigin] { ConfigOrigin.rows(fields, layers) }

    // MARK: Docs

    /// Key | Type | Default | Meaning, for a README and for `weft filters describe`.
    public var markdown: String {
        var lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
        for row in Self.rows(fields, prefix: "") {
            let cells = [row.key, row.type, row.fallback, row.meaning].map { $0.replacing("|", with: "\\|") }
            lines.append("| `\(cells[0])` | \(cells[1]) | \(cells[2]) | \(cells[3]) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// One declared key, nested ones dotted (`backoff.base`), those inside a list with brackets (`rules[].rate`).
    public struct Row: Sendable, Equatable {
        public let key: String
        public let type: String
        /// As Markdown: the default as code, `required`, `none` or `refused: …`.
        public let fallback: String
        /// With its bounds.
        public let meaning: String
    }

    public var rows: [Row] { Self.rows(fields, prefix: "") }

    private static func rows(_ fields: [ConfigField], prefix: String) -> [Row] {
        fields.flatMap { field -> [Row] in
            let key = prefix + field.key
            let fallback =
                switch field.presence {
                case .required: "required"
                case .optional: "none"
                case .default(let text): "`\(text)`"
                case .refused(let reason): reason
                }
            let bounds = field.rules.map { $0.text(for: field.shape) }
            let meaning = bounds.isEmpty ? field.meaning : "\(field.meaning) (\(bounds.joined(separator: "; ")))"
            let row = Row(key: key, type: field.shape.name, fallback: fallback, meaning: meaning)
            switch field.shape.unwrapped {
            case .record(let nested): return [row] + rows(nested, prefix: key + ".")
            case .list(let element):
                let nested = element.fields ?? []
                return [row] + rows(nested, prefix: key + "[].")
            default: return [row]
            }
        }
    }
}
