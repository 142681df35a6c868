/// A decimal number and a unit, read exactly: `"1.5s"` is 1,500,000,000 ns, with no floating point on the way.
package enum Quantity {
    package struct Unit: Sendable {
        package let name: String
        /// How many base units (ns, bytes, millionths) one of it is.
        package let scale: Int64
    }

    package static let durations: [Unit] = [
        Unit(name: "ns", scale: 1), Unit(name: "us", scale: 1_000), Unit(name: "ms", scale: 1_000_000),
        Unit(name: "s", scale: 1_000_000_000), Unit(name: "m", scale: 60_000_000_000), Unit(name: "h", scale: 3_600_000_000_000),
    ]
    package static let sizes: [Unit] = [
        Unit(name: "B", scale: 1), Unit(name: "KiB", scale: 1 << 10), Unit(name: "MiB", scale: 1 << 20), Unit(name: "GiB", scale: 1 << 30),
    ]
    /// Base unit: a millionth, so that `"0.01%"` is exact.
    package static let percentages: [Unit] = [Unit(name: "%", scale: 10_000)]
    package static let ratePeriods: [Unit] = [
        Unit(name: "s", scale: 1_000_000_000), Unit(name: "m", scale: 60_000_000_000), Unit(name: "h", scale: 3_600_000_000_000),
    ]

    /// In base units; nil if it is malformed, has an unknown unit, is no whole number of base units or does not fit.
    package static func parse(_ text: String, _ units: [Unit]) -> Int64? {
        let bytes = Array(text.utf8)
        let numberCount = bytes.prefix { ASCII.isDigit($0) || $0 == UInt8(ascii: ".") }.count
        let name = String(decoding: bytes[numberCount...], as: UTF8.self)
        guard let unit = units.first(where: { $0.name == name }) else { return nil }
        let parts = bytes[..<numberCount].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, parts.count <= 2 else { return nil }
        guard let count = Int64(String(decoding: whole, as: UTF8.self)) else { return nil }
        let (scaled, overflow) = count.multipliedReportingOverflow(by: unit.scale)
        if overflow { return nil }
        guard parts.count == 2 else { return scaled }
        var remainder = unit.scale
        var fraction: Int64 = 0
        guard !parts[1].isEmpty else { return nil }
        for digit in parts[1] {
            guard remainder % 10 == 0 else {
                if digit == UInt8(ascii: "0") { continue }
                return nil
            }
            remainder /= 10
            fraction += Int64(digit - 0x30) * remainder
        }
        let (sum, overflows) = scaled.addingReportingOverflow(fraction)
        return overflows ? nil : sum
    }

    /// The shortest exact way to write it: the largest unit that divides it.
    package static func format(_ count: Int64, _ units: [Unit]) -> String {
        guard let smallest = units.first else { return "\(count)" }
        let unit = count == 0 ? units.last { $0.name == "s" } ?? smallest : units.last { count % $0.scale == 0 } ?? smallest
        return "\(count / unit.scale)\(unit.name)"
    }
}

/// A size in bytes, written `"64KiB"`.
public struct ByteCount: Hashable, Comparable, Sendable, BitwiseCopyable, CustomStringConvertible {
    public let count: Int64

    public init(_ count: Int64) { self.count = count }
    public static func kibibytes(_ count: Int64) -> ByteCount { ByteCount(count << 10) }
    public static func mebibytes(_ count: Int64) -> ByteCount { ByteCount(count << 20) }

    public static func < (a: ByteCount, b: ByteCount) -> Bool { a.count < b.count }
    public var description: String { Quantity.format(count, Quantity.sizes) }
}

/// So many events in a period, written `"100/s"`, `"10/m"`, `"5000/h"`. `"0/s"` never refills.
public struct Rate: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    public let count: Int64
    public let period: Nanoseconds

    public init(_ count: Int64, per period: Nanoseconds = .seconds(1)) {
        self.count = count
        self.period = period
    }

    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, parts[0].utf8.allSatisfy(ASCII.isDigit), let count = Int64(parts[0]),
            let unit = Quantity.ratePeriods.first(where: { $0.name == parts[1] })
        else { return nil }
        // More than one an nanosecond is no rate, and products of it would overflow.
        guard count <= 1_000_000_000 else { return nil }
        self.init(count, per: Nanoseconds(unit.scale))
    }

    /// Time between two events at this rate; nil for a rate of zero.
    public var interval: Nanoseconds? { count > 0 ? Nanoseconds(period.count / count) : nil }

    public var description: String {
        let unit = Quantity.ratePeriods.first { $0.scale == period.count }
        return "\(count)/\(unit?.name ?? Quantity.format(period.count, Quantity.durations))"
    }
}

/// A share of a whole, from nothing to all of it, written `"20%"` or `"0.5%"`.
public struct Percentage: Hashable, Comparable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// 1,000,000 is the whole.
    public let millionths: Int64

    /// Nil outside 0…1,000,000.
    public init?(millionths: Int64) {
        guard 0...1_000_000 ~= millionths else { return nil }
        self.millionths = millionths
    }

    /// Whole percent, clamped to 0…100.
    public static func percent(_ count: Int64) -> Percentage {
        Percentage(millionths: min(max(count, 0), 100) * 10_000) ?? .zero
    }

    public static let zero = Percentage(trusted: 0)
    private init(trusted millionths: Int64) { self.millionths = millionths }

    public var fraction: Double { Double(millionths) / 1e6 }
    public static func < (a: Percentage, b: Percentage) -> Bool { a.millionths < b.millionths }

    public var description: String {
        let whole = millionths / 10_000
        let rest = millionths % 10_000
        if rest == 0 { return "\(whole)%" }
        var digits = String(10_000 + rest).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)%"
    }
}
