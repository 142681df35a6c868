extension FilterSchema {
    /// JSON Schema 2020-12, for editors and CI.
    public func jsonSchema(pretty: Bool = true) -> String {
        var writer = JSONWriter(pretty: pretty)
        writer.object {
            $0.member("$schema", "https://json-schema.org/draft/2020-12/schema")
            $0.member("title", name)
            if !summary.isEmpty { $0.member("description", summary) }
            $0.write(record: fields)
        }
        return writer.text
    }
}

extension JSONWriter {
    fileprivate mutating func write(record fields: [ConfigField]) {
        member("type", "object")
        key("properties")
        object {
            $0.key("$schema")
            $0.object { $0.member("type", "string") }
            for field in fields {
                $0.key(field.key)
                $0.object { $0.write(field) }
            }
        }
        let required = fields.filter { $0.presence == .required }.map(\.key)
        if !required.isEmpty { member("required", required) }
        member("additionalProperties", false)
    }

    private mutating func write(_ field: ConfigField) {
        member("description", field.meaning)
        if case .refused = field.presence {
            key("not")
            object { _ in }
            return
        }
        if case .default(let text) = field.presence {
            key("default")
            raw(text)
        }
        write(field.shape, field.rules)
    }

    private mutating func write(_ shape: ConfigShape, _ rules: [ConfigRule]) {
        switch shape {
        case .bool: member("type", "boolean")
        case .integer: member("type", "integer")
        case .string: member("type", "string")
        case .duration: quantity(#"^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$"#)
        case .size: quantity(#"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)$"#)
        case .rate: quantity("^[0-9]+/[smh]$")
        case .percentage: quantity(#"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%$"#)
        case .headerName: quantity("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}$")
        case .statuses:
            member("type", "array")
            key("items")
            object { writer in
                writer.key("oneOf")
                writer.array {
                    $0.object { $0.member("type", "integer"); $0.member("minimum", 100); $0.member("maximum", 599) }
                    $0.object { $0.quantity("^[1-5]xx$") }
                }
            }
        case .choice(let choices): member("enum", choices.filter { choice in !rules.contains { $0.kind == .unsupported(choice) } })
        case .list(let element):
            member("type", "array")
            key("items")
            object { $0.write(element, rules.filter { if case .count = $0.kind { false } else { true } }) }
        case .map(let value):
            member("type", "object")
            key("additionalProperties")
            object { $0.write(value, []) }
        case .record(let fields): write(record: fields)
        case .object: member("type", "object")
        case .optional(let inner):
            key("anyOf")
            array {
                $0.object { $0.write(inner, rules) }
                $0.object { $0.member("type", "null") }
            }
            return
        case .either(let shapes):
            key("anyOf")
            array { for shape in shapes { $0.object { $0.write(shape, rules) } } }
            return
        }
        for rule in rules { write(rule, shape) }
    }

    private mutating func quantity(_ pattern: String) {
        member("type", "string")
        member("pattern", pattern)
    }

    /// Bounds of amounts with units are ours to check; JSON Schema cannot compare `"250ms"` with `"1s"`.
    private mutating func write(_ rule: ConfigRule, _ shape: ConfigShape) {
        switch (rule.kind, shape) {
        case (.amount(let least, let most), .integer):
            if least != .min { member("minimum", least) }
            if most != .max { member("maximum", most) }
        case (.count(let least, let most), _):
            let noun: String? =
                switch shape {
                case .list, .statuses: "Items"
                case .map, .object: "Properties"
                case .string: "Length"
                default: nil
                }
            guard let noun else { return }
            member("min\(noun)", least)
            if most != .max { member("max\(noun)", most) }
        case (.label, .string): member("pattern", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
        case (.domain, .string): member("pattern", #"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"#)
        case (.path, .string): member("pattern", "^/")
        default: break
        }
    }
}
