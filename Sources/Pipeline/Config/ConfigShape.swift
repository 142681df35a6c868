/// What a field may hold, as data: from it come checking, JSON Schema and docs, here and on a control plane that does not
/// have the filter's code.
public indirect enum ConfigShape: Sendable, Equatable {
    case bool, integer, string
    case duration, size, rate, percentage
    case headerName
    /// HTTP statuses and classes of them.
    case statuses
    case choice([String])
    case list(ConfigShape)
    /// An object whose keys are names of the operator's.
    case map(ConfigShape)
    case record([ConfigField])
    case optional(ConfigShape)
    /// An object whose keys somebody else checks.
    case object
    /// One of several, such as a name or an object; the first that has the value's JSON type is meant.
    case either([ConfigShape])

    /// The word in a table of fields.
    public var name: String {
        switch self {
        case .bool: "true or false"
        case .integer: "integer"
        case .string: "string"
        case .duration: "duration"
        case .size: "size"
        case .rate: "rate"
        case .percentage: "percentage"
        case .headerName: "header name"
        case .statuses: "list of statuses"
        case .choice(let choices): choices.map(JSONWriter.quoted).joined(separator: " or ")
        case .list(let element): "list of \(element.name)"
        case .map(let value): "name → \(value.name)"
        case .record, .object: "object"
        case .optional(let shape): shape.name
        case .either(let shapes): shapes.map(\.name).joined(separator: " or ")
        }
    }

    /// What is accepted, for a message: `a duration such as "250ms"`.
    package var expectation: String {
        switch self {
        case .bool: "true or false"
        case .integer: "an integer"
        case .string: "a string"
        case .duration: "a duration such as \"250ms\""
        case .size: "a size such as \"64KiB\""
        case .rate: "a rate such as \"100/s\""
        case .percentage: "a percentage such as \"20%\""
        case .headerName: "the name of a header such as \"x-tenant\""
        case .statuses: "a list of statuses such as [502, 503] or [\"5xx\"]"
        case .choice(let choices): "one of \(choices.map(JSONWriter.quoted).joined(separator: ", "))"
        case .list(let element): "a list of \(element.name), such as [\(element.example)]"
        case .map, .record, .object: "an object: { … }"
        case .optional(let shape): shape.expectation
        case .either(let shapes): shapes.map(\.expectation).joined(separator: ", or ")
        }
    }

    /// Units and other rules of writing, for the note under a message.
    package var spelling: String? {
        switch self {
        case .duration: "units: ns, us, ms, s, m, h"
        case .size: "units: B, KiB, MiB, GiB"
        case .rate: "a whole number, then /s, /m or /h; \"0/s\" never refills"
        case .percentage: "from \"0%\" to \"100%\""
        case .headerName: "letters, digits and !#$%&'*+-.^_`|~"
        case .optional(let shape): shape.spelling
        default: nil
        }
    }

    /// A value of that shape, as JSON.
    package var example: String {
        switch self {
        case .bool: "true"
        case .integer: "5"
        case .string: "\"…\""
        case .duration: "\"250ms\""
        case .size: "\"64KiB\""
        case .rate: "\"100/s\""
        case .percentage: "\"20%\""
        case .headerName: "\"x-tenant\""
        case .statuses: "[502, 503]"
        case .choice(let choices): JSONWriter.quoted(choices.first ?? "")
        case .list(let element): "[\(element.example)]"
        case .map, .record, .object: "{…}"
        case .optional(let shape): shape.example
        case .either(let shapes): shapes.first?.example ?? "…"
        }
    }

    /// How an amount in base units is written in a field of that shape.
    package func formatted(_ amount: Int64) -> String {
        switch self {
        case .duration: Quantity.format(amount, Quantity.durations)
        case .size: Quantity.format(amount, Quantity.sizes)
        case .percentage: Percentage(millionths: amount)?.description ?? "\(amount)"
        case .optional(let shape), .list(let shape): shape.formatted(amount)
        default: "\(amount)"
        }
    }

    package var unwrapped: ConfigShape { if case .optional(let shape) = self { shape.unwrapped } else { self } }
    package var fields: [ConfigField]? { if case .record(let fields) = unwrapped { fields } else { nil } }
}

/// One declared field: everything anybody needs to know about it.
public struct ConfigField: Sendable, Equatable {
    public enum Presence: Sendable, Equatable {
        case required
        /// Absent means absent.
        case optional
        /// The value when absent, as JSON.
        case `default`(String)
        /// Known, refused, and why: `not yet supported`.
        case refused(String)
    }

    public let key: String
    public let shape: ConfigShape
    public let presence: Presence
    /// One sentence for the operator.
    public let meaning: String
    public let rules: [ConfigRule]

    package init(key: String, shape: ConfigShape, presence: Presence, meaning: String, rules: [ConfigRule] = []) {
        self.key = key
        self.shape = shape
        self.presence = presence
        self.meaning = meaning
        self.rules = rules
    }
}
