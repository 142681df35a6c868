/// Something wrong, or odd, in a config text: what, where, and what to write instead.
public struct ConfigProblem: Sendable {
    public enum Severity: String, Sendable { case error, warning }

    /// A second place that the problem is about, such as the first of two duplicate keys.
    public struct Related: Sendable {
        public let source: ConfigSource
        package let range: Range<Int>
        public let label: String

        package init(source: ConfigSource, range: Range<Int>, label: String) {
            self.source = source
            self.range = range
            self.label = label
        }

        public var position: ConfigPosition { source.position(at: range.lowerBound) }
    }

    public var severity: Severity
    public var source: ConfigSource
    /// The bytes it is about.
    package var range: Range<Int>
    /// Where in the value tree: `retry.backoff.base`, `rules[0].backends[1].weight`.
    public var path: String
    /// One line, no full stop.
    public var message: String
    /// The word that should stand in place of the one at `range`.
    public var suggestion: String?
    /// What the caret says. By default the suggestion, as a question.
    public var label: String
    /// What to know or do, one line each.
    public var notes: [String]
    public var related: Related?

    package init(
        _ message: String, severity: Severity = .error, source: ConfigSource, range: Range<Int>, path: String = "",
        suggestion: String? = nil, label: String? = nil, notes: [String] = [], related: Related? = nil
    ) {
        self.severity = severity
        self.message = message
        self.source = source
        self.range = range
        self.path = path
        self.suggestion = suggestion
        self.label = label ?? suggestion.map { "did you mean \(JSONWriter.quoted($0))?" } ?? ""
        self.notes = notes
        self.related = related
    }

    package init(
        _ message: String, severity: Severity = .error, at node: ConfigNode, path: String = "",
        suggestion: String? = nil, label: String? = nil, notes: [String] = [], related: Related? = nil
    ) {
        self.init(
            message, severity: severity, source: node.source, range: node.range, path: path, suggestion: suggestion, label: label,
            notes: notes, related: related)
    }

    public var file: String { source.name }
    public var line: Int { source.line(at: range.lowerBound) }
    public var column: Int { source.position(at: range.lowerBound).column }
    /// One past the last character, on the first line of the range.
    public var endColumn: Int {
        let first = source.position(at: range.lowerBound)
        let lineEnd = source.lineRange(first.line).upperBound
        return max(first.column + 1, source.position(at: max(range.lowerBound, min(range.upperBound, lineEnd))).column)
    }
}

extension Sequence where Element == ConfigProblem {
    public var hasErrors: Bool { contains { $0.severity == .error } }
}
