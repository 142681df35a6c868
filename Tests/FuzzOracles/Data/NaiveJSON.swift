/// A second reader of JSON, by RFC 8259 and nothing else: says whether a text is one value, and what a tolerant reader need
/// not take of it.
package struct NaiveJSON {
    /// Objects and lists inside one another.
    private(set) var depth = 0
    private(set) var hasRepeatedKey = false
    /// A whole number that 64 bits do not hold.
    private(set) var hasLargeNumber = false
    /// An escaped surrogate without its partner.
    private(set) var hasLoneSurrogate = false

    private let bytes: [UInt8]
    private var position = 0

    /// Nil if the text is not JSON.
    package init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        guard String(validating: bytes, as: UTF8.self) != nil else { return nil }
        space()
        guard value(1) else { return nil }
        space()
        guard position == bytes.count else { return nil }
    }

    private var current: UInt8 { position < bytes.count ? bytes[position] : 0 }

    private mutating func space() {
        while [0x20, 0x09, 0x0A, 0x0D].contains(current) { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func value(_ level: Int) -> Bool {
        guard level < 500 else { return false }
        switch current {
        case UInt8(ascii: "{"):
            depth = max(depth, level)
            position += 1
            var keys: Set<[UInt8]> = []
            space()
            if take(UInt8(ascii: "}")) { return true }
            while true {
                space()
                let start = position
                guard string() else { return false }
                // Escapes and accents may spell one key in two ways.
                let key = Array(bytes[start..<position])
                if !keys.insert(key).inserted || key.contains(92) || key.contains(where: { $0 >= 128 }) { hasRepeatedKey = true }
                space()
                guard take(UInt8(ascii: ":")) else { return false }
                space()
                guard value(level + 1) else { return false }
                space()
                if take(UInt8(ascii: "}")) { return true }
                guard take(UInt8(ascii: ",")) else { return false }
            }
        case UInt8(ascii: "["):
            depth = max(depth, level)
            position += 1
            space()
            if take(UInt8(ascii: "]")) { return true }
            while true {
                space()
                guard value(level + 1) else { return false }
                space()
                if take(UInt8(ascii: "]")) { return true }
                guard take(UInt8(ascii: ",")) else { return false }
            }
        case UInt8(ascii: "\""): return string()
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        case UInt8(ascii: "n"): return word("null")
        default: return number()
        }
    }

    private mutating func word(_ text: StaticString) -> Bool {
        for index in 0..<text.utf8CodeUnitCount where !take(text.utf8Start[index]) { return false }
        return true
    }

    private mutating func digits() -> Bool {
        let start = position
        while (48...57).contains(current) { position += 1 }
        return position > start
    }

    private mutating func number() -> Bool {
        let start = position
        _ = take(UInt8(ascii: "-"))
        if !take(48), !digits() { return false }
        var isWhole = true
        if take(UInt8(ascii: ".")) {
            isWhole = false
            guard digits() else { return false }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isWhole = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard digits() else { return false }
        }
        if isWhole, Int64(String(decoding: bytes[start..<position], as: UTF8.self)) == nil { hasLargeNumber = true }
        return true
    }

    private mutating func string() -> Bool {
        guard take(UInt8(ascii: "\"")) else { return false }
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case 0..<0x20: return false
            case UInt8(ascii: "\\"):
                let letter = current
                position += 1
                if letter == UInt8(ascii: "u") {
                    for _ in 0..<4 {
                        guard NaiveHTTP.hex(current) != nil else { return false }
                        position += 1
                    }
                    // Whether it has a partner is not this reader's business.
                    if bytes[position - 4] | 0x20 == UInt8(ascii: "d"), bytes[position - 3] >= 56 { hasLoneSurrogate = true }
                } else if !"\"\\/bfnrt".utf8.contains(letter) {
                    return false
                }
            default: break
            }
        }
        return false
    }
}
