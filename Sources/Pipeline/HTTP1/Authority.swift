/// The value of Host, and the authority of an absolute-form target (RFC 9110 §7.2, RFC 3986 §3.2.2).
package enum Authority {
    /// Whether `text` is a host name, an IPv4 address or an IPv6 literal, with an optional port.
    ///
    /// Stricter than the grammar of RFC 3986, which lets a "registered name" hold commas, quotes and escapes: no host has
    /// these, and every one of them has been used to make two servers see two different hosts.
    package static func isValid(_ text: Bytes) -> Bool {
        guard text.count > 0 else { return false }
        var position = 0
        if text[0] == UInt8(ascii: "[") {
            position = 1
            while position < text.count, isAddressByte(text[position]) { position &+= 1 }
            guard position >= 3, position < text.count, text[position] == UInt8(ascii: "]") else { return false }
            position &+= 1
        } else {
            position = text.firstUncommon(from: 0, to: text.count)
            while position < text.count, isNameByte(text[position]) {
                position = text.firstUncommon(from: position &+ 1, to: text.count)
            }
            guard position > 0 else { return false }
        }
        if position == text.count { return true }
        guard text[position] == UInt8(ascii: ":") else { return false }
        return isPort(text.slice(position &+ 1, text.count))
    }

    /// Whether both name the same host and port; an absent port is 80.
    package static func areSame(_ a: Bytes, _ b: Bytes) -> Bool {
        withoutDefaultPort(a).equalsFolded(withoutDefaultPort(b))
    }

    private static func withoutDefaultPort(_ text: Bytes) -> Bytes {
        guard text.count > 3, text.slice(text.count &- 3, text.count).equals(":80") else { return text }
        return text.slice(0, text.count &- 3)
    }

    private static func isPort(_ text: Bytes) -> Bool {
        guard text.count >= 1, text.count <= 5 else { return false }
        var number: UInt32 = 0
        var index = 0
        while index < text.count {
            guard ASCII.isDigit(text[index]) else { return false }
            number = number &* 10 &+ UInt32(text[index] & 0x0F)
            index &+= 1
        }
        return number <= 65_535
    }

    /// The unreserved characters.
    @inline(__always)
    private static func isNameByte(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- 0x61 < 26 || ASCII.isDigit(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        ASCII.hexValue(byte) != nil || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }
}
