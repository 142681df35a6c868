extension ConfigReader {
    /// At a quote. Nil if the string is broken, which has been reported; then it has been skipped.
    mutating func string() -> String? {
        let start = offset
        let quote = bytes[offset]
        offset += 1
        var text: [UInt8] = []
        var isGood = true
        while let byte = current {
            switch byte {
            case quote:
                offset += 1
                if quote != UInt8(ascii: "\"") {
                    report("strings stand in double quotes", start..<offset)
                }
                return isGood ? String(decoding: text, as: UTF8.self) : nil
            case UInt8(ascii: "\\"):
                if !escape(into: &text) { isGood = false }
            case 0x0A, 0x0D:
                report("this string is not closed on its line", start..<offset, label: "its \" is missing")
                return nil
            case 0..<0x20:
                report(
                    "a control character may not stand in a string", offset..<offset + 1,
                    label: byte == 0x09 ? "write \\t" : "write \\u\(byte < 16 ? "000" : "00")\(String(byte, radix: 16))")
                isGood = false
                offset += 1
            default:
                text.append(byte)
                offset += 1
            }
        }
        report("this string is never closed", start..<min(start + 1, bytes.count), label: "its \" is missing")
        return nil
    }

    /// At a backslash.
    private mutating func escape(into text: inout [UInt8]) -> Bool {
        let start = offset
        offset += 1
        guard let letter = current, letter >= 0x20 else { return false }
        offset += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            guard let scalar = unicodeEscape() else {
                report("\\u takes four hexadecimal digits of a character", start..<min(max(offset, start + 2), bytes.count))
                return false
            }
            text.append(contentsOf: Array(String(Character(scalar)).utf8))
        default:
            report(
                "no such escape", start..<offset,
                notes: [#"escapes are \" \\ \/ \b \f \n \r \t \u0041; a backslash itself is \\"#])
            return false
        }
        return true
    }

    /// After `\u`; joins a surrogate pair.
    private mutating func unicodeEscape() -> Unicode.Scalar? {
        guard let first = hexUnit() else { return nil }
        guard 0xD800..<0xDC00 ~= first else { return Unicode.Scalar(first) }
        guard offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"), bytes[offset + 1] == UInt8(ascii: "u") else { return nil }
        offset += 2
        guard let second = hexUnit(), 0xDC00..<0xE000 ~= second else { return nil }
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    }

    private mutating func hexUnit() -> UInt32? {
        guard offset + 4 <= bytes.count else { return nil }
        var unit: UInt32 = 0
        for index in 0..<4 {
            guard let digit = ASCII.hexValue(bytes[offset + index]) else { return nil }
            unit = unit << 4 | UInt32(digit)
        }
        offset += 4
        return unit
    }

    /// The run of letters, digits and signs that a number or a bare word is made of; may be empty.
    mutating func bareWord() -> String {
        let start = offset
        while let byte = current, Self.isWordByte(byte) { offset += 1 }
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "$"), UInt8(ascii: "%"), 0x80...: true
        default: false
        }
    }

    /// A number, `true`, `false`, `null`, or something that should have been one of them or stood in quotes.
    mutating func word() -> ConfigNode? {
        let start = offset
        let text = bareWord()
        guard !text.isEmpty else {
            report("this is no value", start..<start + 1)
            if offset == start { offset += 1 }
            return nil
        }
        let range = start..<offset
        switch text {
        case "true": return ConfigNode(.bool(true), range: range, source: source)
        case "false": return ConfigNode(.bool(false), range: range, source: source)
        case "null": return ConfigNode(.null, range: range, source: source)
        default: break
        }
        switch Self.number(text) {
        case .integer(let number): return ConfigNode(.integer(number), range: range, source: source)
        case .decimal: return ConfigNode(.decimal(text), range: range, source: source)
        case .tooLarge:
            report("\(text.prefix(40)) does not fit into 64 bits", range, notes: ["numbers lie between \(Int64.min) and \(Int64.max)"])
        case .malformed:
            report("\(text.prefix(40)) is not how JSON writes a number", range, notes: ["like 5, -5, 0.5 or 1e3; one with a unit stands in quotes: \"250ms\""])
        case .none:
            let meant: String? =
                switch text.lowercased() {
                case "true", "yes", "on": "true"
                case "false", "no", "off": "false"
                case "null", "none", "nil": "null"
                default: nil
                }
            report("strings stand in double quotes", range, label: "write \(meant ?? JSONWriter.quoted(text.prefix(40)))")
        }
        return nil
    }

    private enum Number { case integer(Int64), decimal, tooLarge, malformed, none }

    /// RFC 8259 §6.
    private static func number(_ text: String) -> Number {
        let bytes = Array(text.utf8)
        var index = 0
        func digits() -> Int {
            let start = index
            while index < bytes.count, ASCII.isDigit(bytes[index]) { index += 1 }
            return index - start
        }
        let looksNumeric = bytes.contains(where: ASCII.isDigit) && bytes.first.map { ASCII.isDigit($0) || [0x2B, 0x2D, 0x2E].contains($0) } == true
        guard looksNumeric else { return .none }
        if bytes[index] == UInt8(ascii: "-") { index += 1 }
        let whole = index
        let wholeCount = digits()
        guard wholeCount > 0, wholeCount == 1 || bytes[whole] != UInt8(ascii: "0") else { return .malformed }
        if index == bytes.count { return Int64(text).map(Number.integer) ?? .tooLarge }
        if bytes[index] == UInt8(ascii: ".") {
            index += 1
            guard digits() > 0 else { return .malformed }
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") { index += 1 }
            guard digits() > 0 else { return .malformed }
        }
        return index == bytes.count ? .decimal : .malformed
    }
}
