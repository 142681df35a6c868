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
            while position < text.count, text[position] != UInt8(ascii: "]") { position &+= 1 }
            guard position < text.count, isIPv6(text.slice(1, position)) else { return false }
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

    /// Whether both name the same host and port; an absent port is the scheme's.
    package static func areSame(_ a: Bytes, _ b: Bytes, defaultPort: StaticString) -> Bool {
        without(defaultPort, a).equalsFolded(without(defaultPort, b))
    }

    private static func without(_ port: StaticString, _ text: Bytes) -> Bytes {
        let start = text.count &- port.utf8CodeUnitCount
        guard start > 0, text.slice(start, text.count).equals(port) else { return text }
        return text.slice(0, start)
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

    /// `IPv6address` of RFC 3986 §3.2.2: eight groups of up to four digits; `::` once, for one or more groups of zeros; the last
    /// two may be an IPv4 address. No zone: it means nothing to another host.
    private static func isIPv6(_ text: Bytes) -> Bool {
        var groups = 0
        var hasGap = false
        var position = 0
        if text.count >= 2, text[0] == UInt8(ascii: ":") {
            guard text[1] == UInt8(ascii: ":") else { return false }
            hasGap = true
            position = 2
        }
        while position < text.count {
            let start = position
            while position < text.count, position &- start < 5, ASCII.hexValue(text[position]) != nil { position &+= 1 }
            if position < text.count, text[position] == UInt8(ascii: ".") {
                guard isIPv4(text.slice(start, text.count)) else { return false }
                groups &+= 2
                position = text.count
                break
            }
            guard position > start, position &- start <= 4 else { return false }
            groups &+= 1
            if position == text.count { break }
            guard text[position] == UInt8(ascii: ":"), position &+ 1 < text.count else { return false }
            position &+= 1
            if text[position] == UInt8(ascii: ":") {
                if hasGap { return false }
                hasGap = true
                position &+= 1
            }
        }
        return hasGap ? groups <= 7 : groups == 8
    }

    /// Four numbers of at most 255 without leading zeros.
    private static func isIPv4(_ text: Bytes) -> Bool {
        var position = 0
        var numbers = 0
        while numbers < 4 {
            if numbers > 0 {
                guard position < text.count, text[position] == UInt8(ascii: ".") else { return false }
                position &+= 1
            }
            let start = position
            var number = 0
            while position < text.count, position &- start < 3, ASCII.isDigit(text[position]) {
                number = number &* 10 &+ Int(text[position] & 0x0F)
                position &+= 1
            }
            guard position > start, number <= 255, position &- start == 1 || text[start] != UInt8(ascii: "0") else { return false }
            numbers &+= 1
        }
        return position == text.count
    }
}
