/// An object in a config, declared field by field in its initialiser.
///
///     struct Backoff: ConfigRecord {
///         let base: Nanoseconds
///         let max: Nanoseconds
///         init(_ fields: inout ConfigFields) {
///             base = fields.read("base", default: .milliseconds(25), "Upper bound of the first wait.", .positive)
///             max = fields.read("max", default: .milliseconds(250), "No wait is longer.", .positive)
///         }
///     }
///
/// The initialiser has no branches and cannot fail: run over nothing it describes the fields, run over a checked object it
/// reads them. A record whose fields all have defaults may be left out where it is a field itself.
public protocol ConfigRecord: ConfigValue {
    init(_ fields: inout ConfigFields)
}

/// The config of a filter.
public protocol FilterConfig: ConfigRecord {}

extension ConfigRecord {
    /// The declared fields, in order.
    public static var configFields: [ConfigField] {
        var fields = ConfigFields(describing: ())
        _ = Self(&fields)
        return fields.declared
    }

    public static var configShape: ConfigShape { .record(configFields) }
    public static var placeholder: Self {
        var fields = ConfigFields(describing: ())
        return Self(&fields)
    }
    public static var whenAbsent: Self? {
        var fields = ConfigFields(reading: .empty)
        let value = Self(&fields)
        return fields.missing.isEmpty ? value : nil
    }
    public init?(config node: ConfigNode) {
        var fields = ConfigFields(reading: node)
        self.init(&fields)
        guard fields.missing.isEmpty, fields.rejected.isEmpty else { return nil }
    }
    public var configText: String { "{}" }
}

/// What a ``ConfigRecord`` declares its fields to and reads their values from.
public struct ConfigFields {
    /// The object being read, for records that keep it for its positions.
    public let node: ConfigNode
    private let isDescribing: Bool
    private(set) var declared: [ConfigField] = []
    private(set) var missing: [String] = []
    /// Values that passed the check and yet are none of the field's type.
    private(set) var rejected: [(key: String, node: ConfigNode)] = []

    init(describing: Void) {
        node = .empty
        isDescribing = true
    }

    init(reading node: ConfigNode) {
        self.node = node
        isDescribing = false
    }

    /// A field with a default.
    public mutating func read<Value: ConfigValue>(
        _ key: String, default value: @autoclosure () -> Value, _ meaning: String, _ rules: ConfigRule...
    ) -> Value {
        if isDescribing {
            let value = value()
            declare(key, Value.configShape, .default(value.configText), meaning, rules)
            return value
        }
        return stored(key) ?? value()
    }

    /// A field without a default: required, unless its type knows what absence means (optionals, records of defaults).
    public mutating func read<Value: ConfigValue>(_ key: String, _ meaning: String, _ rules: ConfigRule...) -> Value {
        if isDescribing {
            declare(key, Value.configShape, Value.whenAbsent == nil ? .required : .optional, meaning, rules)
            return Value.whenAbsent ?? Value.placeholder
        }
        if let value: Value = stored(key) ?? Value.whenAbsent { return value }
        missing.append(key)
        return Value.placeholder
    }

    /// A key that is known and refused, so that nobody wonders whether it was misspelt.
    public mutating func refuse(_ key: String, _ meaning: String, because reason: String = "not yet supported") {
        if isDescribing { declare(key, .object, .refused(reason), meaning, []) }
    }

    private mutating func stored<Value: ConfigValue>(_ key: String) -> Value? {
        guard let found = node[key] else { return nil }
        if let value = Value(config: found) { return value }
        rejected.append((key, found))
        return nil
    }

    private mutating func declare(
        _ key: String, _ shape: ConfigShape, _ presence: ConfigField.Presence, _ meaning: String, _ rules: [ConfigRule]
    ) {
        precondition(!declared.contains { $0.key == key }, "a record declares a key once")
        declared.append(ConfigField(key: key, shape: shape, presence: presence, meaning: meaning, rules: rules))
    }
}
