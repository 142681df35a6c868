/// A set of HTTP status codes from 100 to 599, as plain old data: one bit each.
@frozen
public struct StatusSet: BitwiseCopyable, Sendable, Equatable, ExpressibleByArrayLiteral {
    private var bits: SIMD8<UInt64> = .zero

    public init() {}
    public init(arrayLiteral codes: UInt16...) {
        for code in codes { insert(code) }
    }

    /// False, and nothing changes, unless `code` is within 100…599.
    @discardableResult
    public mutating func insert(_ code: UInt16) -> Bool {
        guard code >= 100, code < 600 else { return false }
        let index = Int(code) - 100
        bits[index >> 6] |= 1 << UInt64(index & 63)
        return true
    }

    public func contains(_ code: UInt16) -> Bool {
        guard code >= 100, code < 600 else { return false }
        let index = Int(code) - 100
        return bits[index >> 6] >> UInt64(index & 63) & 1 == 1
    }

    /// What a gateway says when something behind it failed.
    public static var gatewayErrors: StatusSet { [502, 503, 504] }
}
