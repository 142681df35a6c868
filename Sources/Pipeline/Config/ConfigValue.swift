/// A type that a config field can have.
///
/// Most authors use the types that conform already: `Bool`, `Int`, `String`, `Nanoseconds`, `ByteCount`, `Rate`,
/// `Percentage`, `HeaderName`, `WordSet`, `StatusSet`; lists, optionals and maps of them; enums with string values
/// (`enum Covers: String, CaseIterable, ConfigValue`); and ``ConfigRecord`` for nested objects.
public protocol ConfigValue: Sendable {
    static var configShape: ConfigShape { get }
    /// Any value; stands in while fields are only being described.
    static var placeholder: Self { get }
    /// The value of a field that is absent and has no default; nil makes such a field required.
    static var whenAbsent: Self? { get }
    /// Nil if the node does not hold such a value. It has passed the check of shape and rules before.
    init?(config node: ConfigNode)
    /// As JSON, for docs and `weft explain`.
    var configText: String { get }
}

extension ConfigValue {
    public static var whenAbsent: Self? { nil }
}

extension Bool: ConfigValue {
    public static var configShape: ConfigShape { .bool }
    public static var placeholder: Bool { false }
    public init?(config node: ConfigNode) {
        guard let flag = node.bool else { return nil }
        self = flag
    }
    public var configText: String { "\(self)" }
}

extension Int: ConfigValue {
    public static var configShape: ConfigShape { .integer }
    public static var placeholder: Int { 0 }
    public init?(config node: ConfigNode) {
        guard let number = node.integer else { return nil }
        self.init(exactly: number)
    }
    public var configText: String { "\(self)" }
}

extension String: ConfigValue {
    public static var configShape: ConfigShape { .string }
    public static var placeholder: String { "" }
    public init?(config node: ConfigNode) {
        guard let text = node.string else { return nil }
        self = text
    }
    public var configText: String { JSONWriter.quoted(self) }
}

extension Nanoseconds: ConfigValue {
    public static var configShape: ConfigShape { .duration }
    public static var placeholder: Nanoseconds { .zero }
    public init?(config node: ConfigNode) {
        guard let text = node.string, let count = Quantity.parse(text, Quantity.durations) else { return nil }
        self.init(count)
    }
    public var configText: String { JSONWriter.quoted(Quantity.format(count, Quantity.durations)) }
}

extension ByteCount: ConfigValue {
    public static var configShape: ConfigShape { .size }
    public static var placeholder: ByteCount { ByteCount(0) }
    public init?(config node: ConfigNode) {
        guard let text = node.string, let count = Quantity.parse(text, Quantity.sizes) else { return nil }
        self.init(count)
    }
    public var configText: String { JSONWriter.quoted(description) }
}

extension Rate: ConfigValue {
    public static var configShape: ConfigShape { .rate }
    public static var placeholder: Rate { Rate(0) }
    public init?(config node: ConfigNode) {
        guard let text = node.string else { return nil }
        self.init(text)
    }
    public var configText: String { JSONWriter.quoted(description) }
}

extension Percentage: ConfigValue {
    public static var configShape: ConfigShape { .percentage }
    public static var placeholder: Percentage { .zero }
    public init?(config node: ConfigNode) {
        guard let text = node.string, let count = Quantity.parse(text, Quantity.percentages) else { return nil }
        self.init(millionths: count)
    }
    public var configText: String { JSONWriter.quoted(description) }
}

extension HeaderName: ConfigValue {
    public static var configShape: ConfigShape { .headerName }
    public static var placeholder: HeaderName { "x" }
    public init?(config node: ConfigNode) {
        guard let text = node.string else { return nil }
        self.init(text)
    }
    public var configText: String { JSONWriter.quoted(string) }
}

extension WordSet: ConfigValue {
    public static var configShape: ConfigShape { .list(.string) }
    public static var placeholder: WordSet { WordSet([]) }
    public init?(config node: ConfigNode) {
        guard let words = [String](config: node) else { return nil }
        self.init(words)
    }
    public var configText: String { words.configText }
}

extension StatusSet: ConfigValue {
    public static var configShape: ConfigShape { .statuses }
    public static var placeholder: StatusSet { StatusSet() }
    public init?(config node: ConfigNode) {
        guard let elements = node.elements else { return nil }
        var all: [Int] = []
        for element in elements {
            guard let range = Self.range(of: element) else { return nil }
            all.append(contentsOf: range)
        }
        self.init(all)
    }

    /// The statuses that one element means; nil if none.
    package static func range(of node: ConfigNode) -> ClosedRange<Int>? {
        if let number = node.integer, 100...599 ~= number { return Int(number)...Int(number) }
        guard let text = node.string, text.utf8.count == 3, text.hasSuffix("xx"), let digit = text.first?.wholeNumberValue, 1...5 ~= digit
        else { return nil }
        return digit * 100...digit * 100 + 99
    }

    public var configText: String {
        var parts: [String] = []
        var rest = statuses[...]
        while let status = rest.first {
            if status % 100 == 0, rest.count >= 100, rest[rest.startIndex + 99] == status + 99 {
                parts.append("\"\(status / 100)xx\"")
                rest = rest.dropFirst(100)
            } else {
                parts.append("\(status)")
                rest = rest.dropFirst()
            }
        }
        return "[\(parts.joined(separator: ", "))]"
    }
}

extension Array: ConfigValue where Element: ConfigValue {
    public static var configShape: ConfigShape { .list(Element.configShape) }
    public static var placeholder: [Element] { [] }
    public init?(config node: ConfigNode) {
        guard let elements = node.elements else { return nil }
        self = []
        for element in elements {
            guard let value = Element(config: element) else { return nil }
            append(value)
        }
    }
    public var configText: String { "[\(map(\.configText).joined(separator: ", "))]" }
}

extension Optional: ConfigValue where Wrapped: ConfigValue {
    public static var configShape: ConfigShape { .optional(Wrapped.configShape) }
    public static var placeholder: Wrapped? { nil }
    public static var whenAbsent: Wrapped?? { .some(nil) }
    public init?(config node: ConfigNode) {
        if node.isNull {
            self = nil
        } else {
            guard let value = Wrapped(config: node) else { return nil }
            self = value
        }
    }
    public var configText: String { map(\.configText) ?? "null" }
}

extension Dictionary: ConfigValue where Key == String, Value: ConfigValue {
    public static var configShape: ConfigShape { .map(Value.configShape) }
    public static var placeholder: [String: Value] { [:] }
    public init?(config node: ConfigNode) {
        guard let members = node.members else { return nil }
        self = [:]
        for member in members {
            guard let value = Value(config: member.value) else { return nil }
            self[member.key] = value
        }
    }
    public var configText: String {
        "{\(sorted { $0.key < $1.key }.map { "\(JSONWriter.quoted($0.key)): \($0.value.configText)" }.joined(separator: ", "))}"
    }
}

/// Enums with string values: the choices are the cases, all named in messages and docs.
extension ConfigValue where Self: RawRepresentable & CaseIterable, RawValue == String {
    public static var configShape: ConfigShape { .choice(allCases.map(\.rawValue)) }
    public static var placeholder: Self {
        guard let first = allCases.first else { preconditionFailure("a choice needs at least one case") }
        return first
    }
    public init?(config node: ConfigNode) {
        guard let text = node.string else { return nil }
        self.init(rawValue: text)
    }
    public var configText: String { JSONWriter.quoted(rawValue) }
}
