/// The IP address of a caller as `x-forwarded-for` names it; none for a unix socket.
///
/// The bytes in network order, written out when needed: a connection that idles keeps 17 bytes and no text.
package struct CallerAddress: BitwiseCopyable, Equatable, Sendable {
    private enum Kind: UInt8 { case none, ipv4, ipv6 }

    private(set) var high: UInt64 = 0
    private(set) var low: UInt64 = 0
    private var kind = Kind.none

    package init() {}

    /// Four bytes, the first one in the highest.
    package init(ipv4 address: UInt32) {
        low = UInt64(address)
        kind = .ipv4
    }

    /// Sixteen bytes. An IPv4 address that a socket of both families shows as `::ffff:a.b.c.d` is an IPv4 address.
    package init(ipv6 high: UInt64, _ low: UInt64) {
        let isMapped = high == 0 && low &>> 32 == 0xFFFF
        self.high = high
        self.low = isMapped ? low & 0xFFFF_FFFF : low
        kind = isMapped ? .ipv4 : .ipv6
    }

    package var isNone: Bool { kind == .none }

    package var isIPv6: Bool { kind == .ipv6 }

    /// Its bits, the last of `low` and before that of `high`; nil for none.
    var width: Int? {
        switch kind {
        case .none: nil
        case .ipv4: 32
        case .ipv6: 128
        }
    }

    /// Whether it means this host, and nothing to any other.
    package var isLoopback: Bool {
        switch kind {
        case .none: true
        case .ipv4: low &>> 24 == 127
        case .ipv6: high == 0 && low == 1
        }
    }

    /// Dotted decimal, or the form of RFC 5952, without brackets.
    package func write(to writer: inout HeadWriter) {
        switch kind {
        case .none: break
        case .ipv4: writeNumbers(to: &writer)
        case .ipv6: writeGroups(to: &writer)
        }
    }

    /// The same for logs; empty for none.
    package var description: String {
        unsafe withUnsafeTemporaryAllocation(byteCount: 48, alignment: 1) { room in
            var writer = unsafe HeadWriter(into: room)
            write(to: &writer)
            return unsafe String(decoding: room.prefix(writer.needed), as: UTF8.self)
        }
    }

    /// Straight into the head: this is done for nearly every request.
    private func writeNumbers(to writer: inout HeadWriter) {
        var count = 3
        var shift: UInt64 = 0
        while shift < 32 {
            let number = low &>> shift & 0xFF
            count &+= number > 99 ? 3 : number > 9 ? 2 : 1
            shift &+= 8
        }
        guard let room = unsafe writer.reserve(count) else { return }
        var position = count
        shift = 0
        while shift < 32 {
            // From the last digit of the last number to the front.
            var number = UInt32(truncatingIfNeeded: low &>> shift & 0xFF)
            repeat {
                position &-= 1
                unsafe room.storeBytes(of: UInt8(truncatingIfNeeded: 0x30 &+ number % 10), toByteOffset: position, as: UInt8.self)
                number /= 10
            } while number > 0
            if position > 0 {
                position &-= 1
                unsafe room.storeBytes(of: UInt8(ascii: "."), toByteOffset: position, as: UInt8.self)
            }
            shift &+= 8
        }
    }

    private func group(_ index: Int) -> UInt64 {
        (index < 4 ? high &>> UInt64(48 &- 16 &* index) : low &>> UInt64(48 &- 16 &* (index &- 4))) & 0xFFFF
    }

    private func writeGroups(to writer: inout HeadWriter) {
        // The longest run of two or more zero groups, the first of equals, becomes `::`.
        var best = (start: 8, count: 1)
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, group(end) == 0 { end &+= 1 }
            if end &- index > best.count { best = (index, end &- index) }
            index = max(end, index &+ 1)
        }
        index = 0
        while index < 8 {
            if index == best.start {
                writer.append(Bytes("::"))
                index &+= best.count
                continue
            }
            if index > 0, index != best.start &+ best.count { writer.append(Bytes(":")) }
            let value = group(index)
            writer.appendHexadecimal(value, digits: value > 0xFFF ? 4 : value > 0xFF ? 3 : value > 0xF ? 2 : 1)
            index &+= 1
        }
    }
}
