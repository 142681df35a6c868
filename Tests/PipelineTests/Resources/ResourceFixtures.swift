import FoundationEssentials
import Pipeline

/// `Tests/Fixtures/<name>`.
func fixture(_ name: String, here: String = #filePath) throws -> String {
    let tests = URL(filePath: here).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return String(decoding: try Data(contentsOf: tests.appending(path: "Fixtures/\(name)")), as: UTF8.self)
}

/// Schemas like those of the standard filters, enough to check settings against.
enum SampleFilters {
    struct Retry: FilterConfig {
        let maxRetries: Int
        init(_ fields: inout ConfigFields) { maxRetries = fields.read("maxRetries", default: 2, "Tries after the first.", .in(0...10)) }
    }
    struct Timeout: FilterConfig {
        let after: Nanoseconds
        init(_ fields: inout ConfigFields) { after = fields.read("after", default: .seconds(15), "How long.", .positive) }
    }
    struct Breaker: FilterConfig {
        let maxRequests: Int
        let consecutiveFailures: Int
        init(_ fields: inout ConfigFields) {
            maxRequests = fields.read("maxRequests", default: 1024, "At once.", .positive)
            consecutiveFailures = fields.read("consecutiveFailures", default: 7, "Until it opens.", .positive)
        }
    }
    struct Gate: FilterConfig {
        let allow: WordSet
        init(_ fields: inout ConfigFields) { allow = fields.read("allow", "Tenants that may pass.", .nonEmpty) }
    }
    struct Nothing: FilterConfig {
        init(_ fields: inout ConfigFields) {}
    }

    static let schemas: [String: FilterSchema] = {
        var all: [String: FilterSchema] = [:]
        for schema in [
            FilterSchema(name: "retry", of: Retry.self), FilterSchema(name: "timeout", of: Timeout.self),
            FilterSchema(name: "breaker", of: Breaker.self), FilterSchema(name: "tenant-gate", of: Gate.self),
        ] { all[schema.name] = schema }
        for name in ["tls", "authz", "ratelimit", "router", "stats"] { all[name] = FilterSchema(name: name, of: Nothing.self) }
        return all
    }()
}

/// Every problem of a text, as `line severity: message`, with the suggestion.
func problems(_ text: String, over existing: ResourceSet = ResourceSet(), filters: [String: FilterSchema]? = SampleFilters.schemas) -> [String] {
    existing.applying([ConfigSource(name: "test.json", text: text)], filters: filters).problems.map { problem in
        "\(problem.line) \(problem.severity == .warning ? "warning: " : "")\(problem.message)" + (problem.suggestion.map { " → \($0)" } ?? "")
    }
}
