/// The addresses that share a prefix: `10.0.0.0/8`, `fd00::/8`, or a single one.
package struct AddressRange: BitwiseCopyable, Equatable, Sendable {
    private let first: CallerAddress
    private let highMask: UInt64
    private let lowMask: UInt64

    /// Nil unless the prefix fits the family and `address` has no bit behind it.
    ///
    /// - Parameter prefix: bits; at most 32 of IPv4, 128 of IPv6.
    package init?(_ address: CallerAddress, prefix: Int) {
        guard let width = address.width, (0...width).contains(prefix) else { return nil }
        let high = width == 32 ? 64 : min(prefix, 64), low = width == 32 ? 32 + prefix : prefix - high
        highMask = Self.mask(high)
        lowMask = Self.mask(low)
        guard address.high & ~highMask == 0, address.low & ~lowMask == 0 else { return nil }
        first = address
    }

    /// So many ones, then zeros.
    private static func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : ~0 << UInt64(64 - min(bits, 64)) }

    package func contains(_ address: CallerAddress) -> Bool {
        address.width == first.width && address.high & highMask == first.high && address.low & lowMask == first.low
    }

    /// Whether every address of its family is in it.
    package var isEverything: Bool { first.width == 32 ? lowMask == Self.mask(32) : highMask == 0 }
}
