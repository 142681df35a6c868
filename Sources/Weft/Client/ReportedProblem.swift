package import Pipeline

/// A problem as the control plane reports it, put back onto the text that we sent.
package enum ReportedProblem {
    /// - Parameter sources: The texts by name; a problem in none of them is shown without an excerpt.
    package static func read(_ node: ConfigNode, _ sources: [ConfigSource]) -> ConfigProblem {
        let file = node.text("file")
        let severity = ConfigProblem.Severity(rawValue: node.text("severity")) ?? .error
        let notes = node.items("notes").compactMap(\.string)
        let related = node["related"].flatMap { related -> ConfigProblem.Related? in
            guard let source = sources.first(where: { $0.name == related.text("file") }) else { return nil }
            let start = offset(related, "column", in: source)
            return ConfigProblem.Related(source: source, range: start..<max(start, offset(related, "endColumn", in: source)), label: related.text("message"))
        }
        let suggestion = node["suggestion"]?.string
        let label = node["label"]?.string
        guard let source = sources.first(where: { $0.name == file }) else {
            let line = node["line"]?.integer.map { ":\($0)" } ?? ""
            return ConfigProblem(
                node.text("message"), severity: severity, source: .none, range: 0..<0, path: node.text("path"), suggestion: suggestion,
                notes: (file.isEmpty ? [] : ["in \(file)\(line)"]) + (suggestion.map { ["did you mean \(JSONWriter.quoted($0))?"] } ?? []) + notes)
        }
        let start = offset(node, "column", in: source)
        let end = max(start, offset(node, "endColumn", in: source))
        return ConfigProblem(
            node.text("message"), severity: severity, source: source, range: start..<end, path: node.text("path"),
            suggestion: suggestion, label: label, notes: notes, related: related)
    }

    /// The byte of a line and a column; the nearest there is if the text has no such place.
    private static func offset(_ node: ConfigNode, _ column: String, in source: ConfigSource) -> Int {
        let line = node["line"]?.integer.flatMap { Int(exactly: $0) } ?? 1
        let column = node[column]?.integer.flatMap { Int(exactly: $0) } ?? 1
        let range = source.lineRange(line)
        let before = String(decoding: source.bytes[range], as: UTF8.self).prefix(max(0, column - 1))
        return min(range.lowerBound + before.utf8.count, range.upperBound)
    }
}
