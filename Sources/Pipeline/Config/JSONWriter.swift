/// Writes JSON, compact or indented. Every `-o json`, API body and canonical resource goes through it.
///
///     var writer = JSONWriter(pretty: true)
///     writer.object {
///         $0.member("name", "payment")
///         $0.key("ports"); $0.array { $0.integer(8080) }
///     }
///
/// It puts commas, quotes and indentation; the caller opens a `key` before each value in an object.
package struct JSONWriter {
    private var bytes: [UInt8] = []
    private let isPretty: Bool
    private var depth = 0
    /// Whether something stands before the next value at this depth.
    private var needsComma = false
    private var followsKey = false

    package init(pretty: Bool = false) { isPretty = pretty }

    package var text: String { String(decoding: bytes, as: UTF8.self) }
    package var utf8: [UInt8] { bytes }

    // MARK: Values

    package mutating func object(_ body: (inout JSONWriter) throws -> Void) rethrows {
        try nested(open: UInt8(ascii: "{"), close: UInt8(ascii: "}"), body)
    }

    package mutating func array(_ body: (inout JSONWriter) throws -> Void) rethrows {
        try nested(open: UInt8(ascii: "["), close: UInt8(ascii: "]"), body)
    }

    package mutating func key(_ key: String) {
        separate()
        quote(key)
        bytes.append(UInt8(ascii: ":"))
        if isPretty { bytes.append(UInt8(ascii: " ")) }
        followsKey = true
    }

    package mutating func string(_ value: String) {
        separate()
        quote(value)
    }

    package mutating func integer(_ value: some BinaryInteger) { raw(String(value)) }

    /// JSON has no infinity and no NaN: they become null.
    package mutating func number(_ value: Double) { raw(value.isFinite ? "\(value)" : "null") }

    package mutating func bool(_ value: Bool) { raw(value ? "true" : "false") }
    package mutating func null() { raw("null") }

    /// Text that already is JSON.
    package mutating func raw(_ json: String) {
        separate()
        bytes.append(contentsOf: json.utf8)
    }

    package mutating func node(_ node: ConfigNode) {
        switch node.value {
        case .object(let members):
            object { for member in members { $0.key(member.key); $0.node(member.value) } }
        case .array(let nodes): array { for node in nodes { $0.node(node) } }
        case .string(let text): string(text)
        case .integer(let number): integer(number)
        case .decimal(let text): raw(text)
        case .bool(let flag): bool(flag)
        case .null: null()
        }
    }

    // MARK: Members

    package mutating func member(_ name: String, _ value: String) { key(name); string(value) }
    package mutating func member(_ name: String, _ value: some BinaryInteger) { key(name); integer(value) }
    package mutating func member(_ name: String, _ value: Double) { key(name); number(value) }
    package mutating func member(_ name: String, _ value: Bool) { key(name); bool(value) }
    package mutating func member(_ name: String, _ value: ConfigNode) { key(name); node(value) }
    package mutating func member(_ name: String, _ values: [String]) {
        key(name)
        array { for value in values { $0.string(value) } }
    }

    package static func quoted(_ text: some StringProtocol) -> String {
        var writer = JSONWriter()
        writer.quote(String(text))
        return writer.text
    }

    // MARK: Bytes

    private mutating func nested(open: UInt8, close: UInt8, _ body: (inout JSONWriter) throws -> Void) rethrows {
        separate()
        bytes.append(open)
        depth += 1
        needsComma = false
        try body(&self)
        depth -= 1
        if needsComma { newLine() }
        bytes.append(close)
        needsComma = true
        followsKey = false
    }

    private mutating func separate() {
        if followsKey {
            followsKey = false
            needsComma = true
            return
        }
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        if depth > 0 { newLine() }
        needsComma = true
    }

    private mutating func newLine() {
        guard isPretty else { return }
        bytes.append(0x0A)
        bytes.append(contentsOf: repeatElement(0x20, count: depth * 2))
    }

    /// RFC 8259 §7. U+2028 and U+2029 too, which JavaScript takes for line breaks.
    private mutating func quote(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": bytes.append(contentsOf: "\\\"".utf8)
            case "\\": bytes.append(contentsOf: "\\\\".utf8)
            case "\n": bytes.append(contentsOf: "\\n".utf8)
            case "\r": bytes.append(contentsOf: "\\r".utf8)
            case "\t": bytes.append(contentsOf: "\\t".utf8)
            case "\u{0}"..<"\u{20}", "\u{7F}", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                bytes.append(contentsOf: "\\u".utf8)
                bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count))
                bytes.append(contentsOf: digits.utf8)
            default: bytes.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
