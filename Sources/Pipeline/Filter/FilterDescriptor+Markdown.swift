/// The two tables of a filter's README, from its own declarations; `weft filters describe` prints the same.
extension FilterDescriptor {
    /// Key | Type | Default | Meaning.
    package var configurationMarkdown: String {
        fields.isEmpty ? "It has no configuration.\n" : schema.markdown
    }

    /// Name | Kind | Meaning; all labelled by `direction` and `stage`.
    package var statisticsMarkdown: String {
        let declared = statistics()
        guard !declared.isEmpty else { return "It counts nothing.\n" }
        var lines = ["| Name | Kind | Meaning |", "|---|---|---|"]
        lines += declared.map { "| `\($0.name)` | \($0.kind.rawValue) | \($0.meaning) |" }
        return lines.joined(separator: "\n") + "\n"
    }
}
