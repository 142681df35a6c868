/// A value of a config text, together with where it stands. Immutable.
public struct ConfigNode: Sendable {
    package indirect enum Value: Sendable {
        case object([Member])
        case array([ConfigNode])
        case string(String)
        case integer(Int64)
        /// A number with a fraction or an exponent, as it was written.
        case decimal(String)
        case bool(Bool)
        case null
    }

    package struct Member: Sendable {
        package let key: String
        /// The key with its quotes.
        package let keyRange: Range<Int>
        package let value: ConfigNode

        package init(key: String, keyRange: Range<Int>, value: ConfigNode) {
            self.key = key
            self.keyRange = keyRange
            self.value = value
        }
    }

    package let value: Value
    /// The bytes of the value in its source.
    package let range: Range<Int>
    package let source: ConfigSource

    package init(_ value: Value, range: Range<Int> = 0..<0, source: ConfigSource = .none) {
        self.value = value
        self.range = range
        self.source = source
    }

    /// An object that nobody wrote.
    package static let empty = ConfigNode(.object([]))

    public var position: ConfigPosition { source.position(at: range.lowerBound) }
    public var line: Int { source.line(at: range.lowerBound) }
    public var file: String { source.name }
    /// Whether it stands in a text, rather than being made by the program.
    package var isWritten: Bool { source !== ConfigSource.none }

    // MARK: What it is

    public var string: String? { if case .string(let text) = value { text } else { nil } }
    public var integer: Int64? { if case .integer(let number) = value { number } else { nil } }
    public var bool: Bool? { if case .bool(let flag) = value { flag } else { nil } }
    public var isNull: Bool { if case .null = value { true } else { false } }
    public var elements: [ConfigNode]? { if case .array(let nodes) = value { nodes } else { nil } }
    package var members: [Member]? { if case .object(let members) = value { members } else { nil } }
    public var isObject: Bool { members != nil }
    public var keys: [String] { members?.map(\.key) ?? [] }

    /// The value of a key; nil if this is no object or has no such key.
    public subscript(key: String) -> ConfigNode? { members?.first { $0.key == key }?.value }

    /// As JSON on one line, comments and spacing dropped.
    public var json: String {
        var writer = JSONWriter()
        writer.node(self)
        return writer.text
    }

    /// What to call it in a message: `the string "3"`.
    package var described: String {
        switch value {
        case .object: "an object"
        case .array: "a list"
        case .string(let text): "the string \(JSONWriter.quoted(text.count > 40 ? text.prefix(37) + "..." : text))"
        case .integer(let number): "the number \(number)"
        case .decimal(let text): "the number \(text.prefix(40))"
        case .bool(let flag): "\(flag)"
        case .null: "null"
        }
    }
}

extension ConfigNode: Equatable {
    /// Same value, wherever it stands; the order of keys does not matter.
    public static func == (a: ConfigNode, b: ConfigNode) -> Bool {
        switch (a.value, b.value) {
        case (.object(let left), .object(let right)):
            guard left.count == right.count else { return false }
            let values = Dictionary(right.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
            return left.allSatisfy { values[$0.key] == $0.value }
        case (.array(let left), .array(let right)): return left == right
        case (.string(let left), .string(let right)): return left == right
        case (.integer(let left), .integer(let right)): return left == right
        case (.decimal(let left), .decimal(let right)): return left == right
        case (.bool(let left), .bool(let right)): return left == right
        case (.null, .null): return true
        default: return false
        }
    }
}
