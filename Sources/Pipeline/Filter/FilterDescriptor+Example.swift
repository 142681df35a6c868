/// A stage's config written out in full: every field, its meaning as a comment, its default. What `filters.d` ships.
extension FilterDescriptor {
    /// The value of `"config"`, indented by four spaces after the first line. Required fields are left to whoever writes it.
    package var configExample: String {
        var lines = ["{"]
        Self.append(fields, depth: 2, to: &lines)
        lines.append("  }")
        return fields.isEmpty ? "{}" : lines.joined(separator: "\n")
    }

    private static func append(_ fields: [ConfigField], depth: Int, to lines: inout [String]) {
        let indent = String(repeating: "  ", count: depth)
        for field in fields {
            let bounds = field.rules.map { $0.text(for: field.shape) }
            lines.append("\(indent)// \(field.meaning)\(bounds.isEmpty ? "" : " (\(bounds.joined(separator: "; ")))")")
            let key = JSONWriter.quoted(field.key)
            switch field.presence {
            case .default(let text): lines.append("\(indent)\(key): \(text),")
            case .optional where field.shape.fields != nil:
                lines.append("\(indent)\(key): {")
                append(field.shape.fields ?? [], depth: depth + 1, to: &lines)
                lines.append("\(indent)},")
            case .required, .optional, .refused: lines.append("\(indent)// \(key): \(field.shape.example),")
            }
        }
    }
}
