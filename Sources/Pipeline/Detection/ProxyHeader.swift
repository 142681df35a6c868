/// The PROXY protocol, version 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.2): what a proxy says, before a connection's first
/// byte, about where it came from. Version 1, which is text, is not taken: it has no length to trust.
@safe
package struct ProxyHeader: BitwiseCopyable, Equatable {
    package enum Reading: BitwiseCopyable, Equatable {
        /// May become a header.
        case needMore
        /// Its first bytes are another protocol's, or it is longer than ``bytesMax`` or says what cannot be.
        case malformed
        /// So many bytes of it; the connection's own begin behind them.
        case header(ProxyHeader, count: Int)
    }

    /// All of it. The standard's own figure for addresses and common TLVs is 536.
    package static let bytesMax = 2_048
    /// The longest that ``write(to:)`` makes: two IPv6 addresses.
    package static let writtenMax = 52

    /// Who connected to the proxy; none if it does not say (its own health check, a unix socket).
    package var source = CallerAddress()
    package var sourcePort: UInt16 = 0
    package var destination = CallerAddress()
    package var destinationPort: UInt16 = 0

    package init() {}

    private static let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"

    // MARK: Reading

    package static func read(_ bytes: Bytes) -> Reading {
        let signature = Bytes(Self.signature)
        for index in 0..<min(bytes.count, signature.count) where bytes[index] != signature[index] { return .malformed }
        guard bytes.count >= 16 else { return .needMore }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard bytes[12] == 0x20 || bytes[12] == 0x21, 16 + length <= bytesMax else { return .malformed }
        guard bytes.count >= 16 + length else { return .needMore }
        var header = ProxyHeader()
        // LOCAL: the proxy speaks for itself, whatever addresses it adds.
        guard bytes[12] == 0x21 else { return .header(header, count: 16 + length) }
        switch bytes[13] {
        case 0x00, 0x31: break
        case 0x11:
            guard length >= 12 else { return .malformed }
            header.source = CallerAddress(ipv4: UInt32(truncatingIfNeeded: number(bytes, 16, 4)))
            header.destination = CallerAddress(ipv4: UInt32(truncatingIfNeeded: number(bytes, 20, 4)))
            header.sourcePort = UInt16(truncatingIfNeeded: number(bytes, 24, 2))
            header.destinationPort = UInt16(truncatingIfNeeded: number(bytes, 26, 2))
        case 0x21:
            guard length >= 36 else { return .malformed }
            header.source = CallerAddress(ipv6: number(bytes, 16, 8), number(bytes, 24, 8))
            header.destination = CallerAddress(ipv6: number(bytes, 32, 8), number(bytes, 40, 8))
            header.sourcePort = UInt16(truncatingIfNeeded: number(bytes, 48, 2))
            header.destinationPort = UInt16(truncatingIfNeeded: number(bytes, 50, 2))
        // Datagrams, which no stream can be.
        default: return .malformed
        }
        return .header(header, count: 16 + length)
    }

    private static func number(_ bytes: Bytes, _ start: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in start..<start + width { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    // MARK: Writing

    /// The header, in up to ``writtenMax`` bytes of `space`; how many. Addresses of two families are both written as IPv6; without a
    /// source it says that the sidecar speaks for itself.
    package func write(to space: UnsafeMutablePointer<UInt8>) -> Int {
        var count = 0
        func put(_ value: UInt64, _ width: Int) {
            for index in 0..<width { unsafe space[count + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (width - 1 - index))) }
            count += width
        }
        let signature = Bytes(Self.signature)
        for index in 0..<signature.count { put(UInt64(signature[index]), 1) }
        guard !source.isNone, !destination.isNone else {
            put(0x2000_0000, 4)
            return count
        }
        let isIPv6 = source.isIPv6 || destination.isIPv6
        put(0x21, 1)
        put(isIPv6 ? 0x21 : 0x11, 1)
        put(isIPv6 ? 36 : 12, 2)
        for address in [source, destination] {
            if isIPv6 {
                put(address.isIPv6 ? address.high : 0, 8)
                put(address.isIPv6 ? address.low : 0xFFFF_0000_0000 | address.low, 8)
            } else {
                put(address.low, 4)
            }
        }
        put(UInt64(sourcePort), 2)
        put(UInt64(destinationPort), 2)
        return count
    }
}
