/// A bound on a field, beyond its type. Amounts are in the field's base unit: ns, bytes, millionths, or plain counts.
///
/// On a list, a bound on an amount holds for each element, and a bound on a count for the list.
public struct ConfigRule: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case amount(least: Int64, most: Int64)
        case count(least: Int, most: Int)
        /// A DNS label (RFC 1035 §2.3.1): what names of resources are.
        case label
        /// Labels with dots between them.
        case domain
        /// An IPv4 or IPv6 address.
        case address
        /// Begins with `/`.
        case path
        /// That value is known and refused for now.
        case unsupported(String)
    }

    package let kind: Kind

    /// A string, list or map that holds something.
    public static let nonEmpty = ConfigRule(kind: .count(least: 1, most: .max))
    /// More than zero.
    public static let positive = ConfigRule(kind: .amount(least: 1, most: .max))
    /// Zero or more.
    public static let notNegative = ConfigRule(kind: .amount(least: 0, most: .max))

    public static func `in`(_ range: ClosedRange<Int>) -> ConfigRule { amount(Int64(range.lowerBound), Int64(range.upperBound)) }
    public static func `in`(_ range: ClosedRange<Nanoseconds>) -> ConfigRule { amount(range.lowerBound.count, range.upperBound.count) }
    public static func `in`(_ range: ClosedRange<ByteCount>) -> ConfigRule { amount(range.lowerBound.count, range.upperBound.count) }
    public static func atLeast(_ least: Int) -> ConfigRule { amount(Int64(least), .max) }
    public static func atLeast(_ least: Nanoseconds) -> ConfigRule { amount(least.count, .max) }
    public static func atLeast(_ least: ByteCount) -> ConfigRule { amount(least.count, .max) }
    public static func atMost(_ most: Int) -> ConfigRule { amount(.min, Int64(most)) }
    public static func atMost(_ most: Nanoseconds) -> ConfigRule { amount(.min, most.count) }
    public static func atMost(_ most: ByteCount) -> ConfigRule { amount(.min, most.count) }
    public static func atMost(_ most: Percentage) -> ConfigRule { amount(0, most.millionths) }
    /// So many elements, or bytes of a string.
    public static func count(_ range: ClosedRange<Int>) -> ConfigRule { ConfigRule(kind: .count(least: range.lowerBound, most: range.upperBound)) }
    /// Lower-case letters, digits and hyphens, at most 63, as in DNS.
    public static let label = ConfigRule(kind: .label)
    /// Labels with dots between them, at most 253 bytes.
    public static let domain = ConfigRule(kind: .domain)
    /// An IPv4 or IPv6 address, written out.
    public static let address = ConfigRule(kind: .address)
    /// A path: begins with `/`.
    public static let path = ConfigRule(kind: .path)
    /// A value that is planned and refused for now.
    public static func notYet(_ value: String) -> ConfigRule { ConfigRule(kind: .unsupported(value)) }

    private static func amount(_ least: Int64, _ most: Int64) -> ConfigRule { ConfigRule(kind: .amount(least: least, most: most)) }

    /// In the words of a table: `1 to 100`, `at most 30s`, `not empty`.
    package func text(for shape: ConfigShape) -> String {
        switch kind {
        case .amount(.min, let most): "at most \(shape.formatted(most))"
        case .amount(1, .max): "more than 0"
        case .amount(let least, .max): "at least \(shape.formatted(least))"
        case .amount(let least, let most): "\(shape.formatted(least)) to \(shape.formatted(most))"
        case .count(1, .max): "not empty"
        case .count(let least, .max): "at least \(least) long"
        case .count(0, let most): "at most \(most) long"
        case .count(let least, let most): "\(least) to \(most) long"
        case .label: "lower-case letters, digits and inner hyphens, at most 63"
        case .domain: "labels with dots between them"
        case .address: "an IPv4 or IPv6 address"
        case .path: "begins with /"
        case .unsupported(let value): "\(JSONWriter.quoted(value)) is not yet supported"
        }
    }

    package static func isLabel(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard 1...63 ~= bytes.count, bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-") else { return false }
        return bytes.allSatisfy { ASCII.isDigit($0) || $0 &- 0x61 < 26 || $0 == UInt8(ascii: "-") }
    }

    package static func isDomain(_ text: String) -> Bool {
        text.utf8.count <= 253 && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isLabel(String($0)) }
    }

    /// Dotted decimal without leading zeros, or RFC 4291 §2.2 (with `::`, and an IPv4 tail).
    package static func isAddress(_ text: String) -> Bool { isIPv4(text) || isIPv6(text) }

    private static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                1...3 ~= part.utf8.count && part.utf8.allSatisfy(ASCII.isDigit) && (part == "0" || part.first != "0")
                    && UInt8(part) != nil
            }
    }

    private static func isIPv6(_ text: String) -> Bool {
        guard text.utf8.count <= 45 else { return false }
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return false }
        var count = 0
        for (half, piece) in halves.enumerated() {
            if piece.isEmpty {
                if halves.count == 1 { return false }
                continue
            }
            let groups = piece.split(separator: ":", omittingEmptySubsequences: false)
            for (index, group) in groups.enumerated() {
                let isLast = half == halves.count - 1 && index == groups.count - 1
                if isLast, isIPv4(String(group)) {
                    count += 2
                } else {
                    guard 1...4 ~= group.utf8.count, group.utf8.allSatisfy({ ASCII.hexValue($0) != nil }) else { return false }
                    count += 1
                }
            }
        }
        return halves.count == 2 ? count <= 7 : count == 8
    }
}
