package import CPlatform
internal import Glibc
package import Pipeline

/// Where to listen or connect: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`. Names are not resolved here.
///
/// Plain data in the kernel's own form, so that connecting costs no conversion.
package struct SocketAddress: BitwiseCopyable, Hashable, @unchecked Sendable, CustomStringConvertible {
    package var raw: weft_address

    package enum Family: Sendable { case ipv4, ipv6, unix, other }

    package init(raw: weft_address) { self.raw = raw }

    /// Nil unless `text` is a numeric host and a port, or `unix:` and a path of at most 107 bytes.
    package init?(_ text: String) {
        if text.hasPrefix("unix:") {
            self.init(unix: String(text.dropFirst(5)))
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = Self.port(text[text.index(after: colon)...]) else { return nil }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            self.init(host: String(host.dropFirst().dropLast()), port: port, family: .ipv6)
        } else {
            self.init(host: String(host), port: port, family: .ipv4)
        }
    }

    /// A numeric IPv4 or IPv6 host, without brackets.
    package init?(host: String, port: UInt16) {
        self.init(host: host, port: port, family: host.contains(":") ? .ipv6 : .ipv4)
    }

    package init?(unix path: String) {
        guard !path.utf8.contains(0) else { return nil }
        raw = weft_address()
        guard weft_address_local(&raw, path) == 0 else { return nil }
    }

    private init?(host: String, port: UInt16, family: Family) {
        guard !host.utf8.contains(0) else { return nil }
        raw = weft_address()
        guard (family == .ipv6 ? weft_address_ipv6(&raw, host, port) : weft_address_ipv4(&raw, host, port)) == 0 else { return nil }
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
        return UInt16(text)
    }

    package var family: Family {
        switch rawFamily {
        case AF_INET: .ipv4
        case AF_INET6: .ipv6
        case AF_UNIX: .unix
        default: .other
        }
    }

    var rawFamily: Int32 { withUnsafePointer(to: raw) { weft_address_family($0) } }

    /// 0 for a unix socket.
    package var port: UInt16 {
        get { withUnsafePointer(to: raw) { weft_address_port($0) } }
        set { weft_address_set_port(&raw, newValue) }
    }

    /// The numeric host, or the path of a unix socket (empty for an unnamed one, as accepted peers are).
    package var host: String {
        if family == .unix {
            return withBytes { bytes in String(decoding: bytes.dropFirst(2).prefix { $0 != 0 }, as: UTF8.self) }
        }
        var text = [CChar](repeating: 0, count: 48)
        let failure = withUnsafePointer(to: raw) { weft_address_host($0, &text, 48) }
        return failure == 0 ? String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) : "?"
    }

    /// The host alone, as the data path keeps it.
    package var caller: CallerAddress {
        switch family {
        case .ipv4: CallerAddress(ipv4: UInt32(truncatingIfNeeded: raw.words.0 &>> 32).byteSwapped)
        case .ipv6: CallerAddress(ipv6: raw.words.1.byteSwapped, raw.words.2.byteSwapped)
        case .unix, .other: CallerAddress()
        }
    }

    package var isLoopback: Bool {
        switch family {
        case .ipv4: withBytes { $0[4] == 127 }
        case .ipv6: host == "::1"
        case .unix: true
        case .other: false
        }
    }

    package var description: String {
        switch family {
        case .ipv4: "\(host):\(port)"
        case .ipv6: "[\(host)]:\(port)"
        case .unix: "unix:\(host)"
        case .other: "?"
        }
    }

    package static func == (a: SocketAddress, b: SocketAddress) -> Bool {
        a.withBytes { left in b.withBytes { right in left.elementsEqual(right) } }
    }

    package func hash(into hasher: inout Hasher) { withBytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) } }

    private func withBytes<Result>(_ body: (Slice<UnsafeRawBufferPointer>) -> Result) -> Result {
        withUnsafePointer(to: raw) { pointer in
            body(UnsafeRawBufferPointer(start: pointer, count: Int(min(raw.length, 112)))[...])
        }
    }
}

private extension UnsafeRawBufferPointer {
    init(_ slice: Slice<UnsafeRawBufferPointer>) { self.init(rebasing: slice) }
}
