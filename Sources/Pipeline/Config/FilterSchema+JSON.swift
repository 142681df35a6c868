/// How a sidecar tells a control plane what its filters take.
///
///     {"name":"retry","summary":"…","fields":[
///       {"key":"maxRetries","shape":{"type":"integer"},"default":"2","meaning":"…","rules":[{"amount":[0,10]}]}]}
extension FilterSchema {
    package func write(to writer: inout JSONWriter) {
        writer.object {
            $0.member("name", name)
            $0.member("summary", summary)
            $0.key("fields")
            $0.write(fields: fields)
        }
    }

    package var json: String {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.text
    }

    /// Nil if it is no schema of ours, such as one of a newer version with shapes we do not know.
    package init?(json node: ConfigNode) {
        guard let name = node["name"]?.string, let fields = node["fields"].flatMap(ConfigField.fields) else { return nil }
        self.init(name: name, summary: node["summary"]?.string ?? "", fields: fields)
    }
}

extension JSONWriter {
    fileprivate mutating func write(fields: [ConfigField]) {
        array { for field in fields { $0.write(field) } }
    }

    private mutating func write(_ field: ConfigField) {
        object { writer in
            writer.member("key", field.key)
            writer.key("shape")
            writer.write(field.shape)
            switch field.presence {
            case .required: writer.member("required", true)
            case .optional: break
            case .default(let text): writer.member("default", text)
            case .refused(let reason): writer.member("refused", reason)
            }
            writer.member("meaning", field.meaning)
            guard !field.rules.isEmpty else { return }
            writer.key("rules")
            writer.array { for rule in field.rules { $0.write(rule) } }
        }
    }

    private mutating func write(_ shape: ConfigShape) {
        object { writer in
            writer.member("type", shape.tag)
            switch shape {
            case .choice(let choices): writer.member("of", choices)
            case .list(let inner), .map(let inner), .optional(let inner):
                writer.key("of")
                writer.write(inner)
            case .record(let fields):
                writer.key("fields")
                writer.write(fields: fields)
            case .either(let shapes):
                writer.key("of")
                writer.array { for shape in shapes { $0.write(shape) } }
            case .bool, .integer, .string, .duration, .size, .rate, .percentage, .headerName, .statuses, .object: break
            }
        }
    }

    private mutating func write(_ rule: ConfigRule) {
        object { writer in
            switch rule.kind {
            case .amount(let least, let most):
                writer.key("amount")
                writer.array { $0.integer(least); $0.integer(most) }
            case .count(let least, let most):
                writer.key("count")
                writer.array { $0.integer(least); $0.integer(most) }
            case .label: writer.member("form", "label")
            case .domain: writer.member("form", "domain")
            case .address: writer.member("form", "address")
            case .path: writer.member("form", "path")
            case .unsupported(let value): writer.member("unsupported", value)
            }
        }
    }
}

extension ConfigShape {
    fileprivate var tag: String {
        switch self {
        case .bool: "bool"
        case .integer: "integer"
        case .string: "string"
        case .duration: "duration"
        case .size: "size"
        case .rate: "rate"
        case .percentage: "percentage"
        case .headerName: "header"
        case .statuses: "statuses"
        case .choice: "choice"
        case .list: "list"
        case .map: "map"
        case .record: "record"
        case .optional: "optional"
        case .object: "object"
        case .either: "either"
        }
    }

    /// Recursion ends because the reader bounds the depth of a text.
    fileprivate init?(json node: ConfigNode) {
        guard let tag = node["type"]?.string else { return nil }
        switch tag {
        case "choice":
            guard let choices = node["of"].flatMap([String].init(config:)) else { return nil }
            self = .choice(choices)
        case "list", "map", "optional":
            guard let inner = node["of"].flatMap(ConfigShape.init(json:)) else { return nil }
            self = tag == "list" ? .list(inner) : tag == "map" ? .map(inner) : .optional(inner)
        case "record":
            guard let fields = node["fields"].flatMap(ConfigField.fields) else { return nil }
            self = .record(fields)
        case "either":
            guard let nodes = node["of"]?.elements else { return nil }
            let shapes = nodes.compactMap(ConfigShape.init(json:))
            guard shapes.count == nodes.count else { return nil }
            self = .either(shapes)
        default:
            let plain: [ConfigShape] = [.bool, .integer, .string, .duration, .size, .rate, .percentage, .headerName, .statuses, .object]
            guard let shape = plain.first(where: { $0.tag == tag }) else { return nil }
            self = shape
        }
    }
}

extension ConfigField {
    fileprivate static func fields(_ node: ConfigNode) -> [ConfigField]? {
        guard let nodes = node.elements else { return nil }
        let fields = nodes.compactMap(ConfigField.init(json:))
        return fields.count == nodes.count ? fields : nil
    }

    private init?(json node: ConfigNode) {
        guard let key = node["key"]?.string, let shape = node["shape"].flatMap(ConfigShape.init(json:)) else { return nil }
        let presence: Presence =
            if let text = node["default"]?.string {
                .default(text)
            } else if let reason = node["refused"]?.string {
                .refused(reason)
            } else {
                node["required"]?.bool == true ? .required : .optional
            }
        var rules: [ConfigRule] = []
        for rule in node["rules"]?.elements ?? [] {
            guard let rule = ConfigRule(json: rule) else { return nil }
            rules.append(rule)
        }
        self.init(key: key, shape: shape, presence: presence, meaning: node["meaning"]?.string ?? "", rules: rules)
    }
}

extension ConfigRule {
    fileprivate init?(json node: ConfigNode) {
        if let bounds = node["amount"]?.elements?.compactMap(\.integer), bounds.count == 2 {
            self.init(kind: .amount(least: bounds[0], most: bounds[1]))
        } else if let bounds = node["count"]?.elements?.compactMap(\.integer), bounds.count == 2 {
            self.init(kind: .count(least: Int(bounds[0]), most: Int(bounds[1])))
        } else if let value = node["unsupported"]?.string {
            self.init(kind: .unsupported(value))
        } else {
            switch node["form"]?.string {
            case "label": self = .label
            case "domain": self = .domain
            case "address": self = .address
            case "path": self = .path
            default: return nil
            }
        }
    }
}
