/// The one spelling of a path: escapes of unreserved bytes decoded, other escapes in upper case, bytes that a path cannot
/// hold escaped, dot segments removed, slashes merged (RFC 3986 §6.2.2).
///
/// Matching one spelling and forwarding another is how access rules are walked around; here there is one. What servers are known
/// to disagree on is refused: encoded slashes, backslashes and NULs, `..;`, escapes of escapes, paths above the root.
package enum CanonicalPath {
    package enum Written: Equatable, Sendable {
        case written(Int)
        case reject(HTTP1Fault)
    }

    /// How many bytes of `text`, up to its end or its `?`, are a path that is canonical as it stands; 0 if it is not.
    @inline(__always)
    package static func canonicalPrefix(of text: Bytes) -> Int {
        guard text.count > 0, text[0] == UInt8(ascii: "/") else { return 0 }
        var position = 0
        while position < text.count {
            let byte = text[position]
            if !isPlain(byte) {
                if byte == UInt8(ascii: "?") { break }
                guard byte == UInt8(ascii: "/") else { return 0 }
                // A slash or a dot behind a slash needs the long way, if only to find a harmless `/.well-known`.
                if position &+ 1 < text.count, text[position &+ 1] &- UInt8(ascii: ".") < 2 { return 0 }
            }
            position = text.firstUncommon(from: position &+ 1, to: text.count)
        }
        return position
    }

    /// Writes the canonical form of `path`, which has no query; an empty path is `/`.
    package static func write(_ path: Bytes, into memory: UnsafeMutableBufferPointer<UInt8>) -> Written {
        guard memory.count > 0 else { return .reject(.targetTooLong) }
        guard path.isEmpty || path[0] == UInt8(ascii: "/") else { return .reject(.malformedPath) }
        unsafe memory[0] = UInt8(ascii: "/")
        var count = 1
        var segmentStart = 1
        var position = min(1, path.count)
        while true {
            // A segment ends at a slash or at the end of the path.
            let atEnd = position >= path.count
            if atEnd || path[position] == UInt8(ascii: "/") {
                switch unsafe dots(memory, segmentStart, count) {
                case .name: break
                case .current:
                    count = segmentStart
                case .parent:
                    guard segmentStart > 1 else { return .reject(.pathAboveRoot) }
                    count = segmentStart &- 1
                    while unsafe memory[count &- 1] != UInt8(ascii: "/") { count &-= 1 }
                case .disguised:
                    return .reject(.malformedPath)
                }
                if atEnd { return .written(count) }
                // An empty segment adds nothing: slashes merge.
                if unsafe memory[count &- 1] != UInt8(ascii: "/") {
                    guard count < memory.count else { return .reject(.targetTooLong) }
                    unsafe memory[count] = UInt8(ascii: "/")
                    count &+= 1
                }
                segmentStart = count
                position &+= 1
                continue
            }
            guard count &+ 3 <= memory.count else { return .reject(.targetTooLong) }
            var byte = path[position]
            if byte == UInt8(ascii: "%") {
                guard position &+ 2 < path.count, let high = ASCII.hexValue(path[position &+ 1]),
                    let low = ASCII.hexValue(path[position &+ 2])
                else { return .reject(.malformedPath) }
                byte = high &<< 4 | low
                if isAmbiguous(byte) { return .reject(.encodedPathByte) }
                position &+= 3
                if isUnreserved(byte) {
                    unsafe memory[count] = byte
                    count &+= 1
                    if unsafe endsInDoubleEscape(memory, segmentStart, count) { return .reject(.encodedPathByte) }
                    continue
                }
            } else {
                if byte == UInt8(ascii: "\\") || byte < 0x21 || byte > 0x7E { return .reject(.malformedPath) }
                position &+= 1
                if isPlain(byte) || byte == UInt8(ascii: ";") {
                    unsafe memory[count] = byte
                    count &+= 1
                    if unsafe endsInDoubleEscape(memory, segmentStart, count) { return .reject(.encodedPathByte) }
                    continue
                }
            }
            unsafe memory[count] = UInt8(ascii: "%")
            unsafe memory[count &+ 1] = hexDigit(byte &>> 4)
            unsafe memory[count &+ 2] = hexDigit(byte & 0x0F)
            count &+= 3
            if byte & 0xC0 == 0x80, unsafe endsInOverlong(memory, segmentStart, count, byte) { return .reject(.encodedPathByte) }
        }
    }

    private enum Segment { case name, current, parent, disguised }

    /// What the decoded segment in `start ..< end` means to somebody who walks the path.
    private static func dots(_ memory: UnsafeMutableBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Segment {
        var position = start
        while position < end, unsafe memory[position] == UInt8(ascii: ".") { position &+= 1 }
        let count = position &- start
        guard count == 1 || count == 2 else { return .name }
        if position == end { return count == 1 ? .current : .parent }
        // `..;x` walks up on servers that cut parameters off first; `%3B` may be decoded before that.
        if unsafe memory[position] == UInt8(ascii: ";") { return .disguised }
        if position &+ 3 <= end, unsafe memory[position] == UInt8(ascii: "%"), unsafe memory[position &+ 1] == UInt8(ascii: "3"),
            unsafe memory[position &+ 2] == UInt8(ascii: "B")
        {
            return .disguised
        }
        return .name
    }

    /// Whether what is written so far ends in `%25` and two hexadecimal digits: an escape of an escape, which a server that
    /// decodes twice takes for something else. Looking at what is written finds it however the digits were spelt.
    private static func endsInDoubleEscape(_ memory: UnsafeMutableBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        guard end &- start >= 5, unsafe ASCII.hexValue(memory[end &- 1]) != nil,
            unsafe ASCII.hexValue(memory[end &- 2]) != nil
        else { return false }
        return unsafe memory[end &- 5] == UInt8(ascii: "%") && memory[end &- 4] == UInt8(ascii: "2")
            && memory[end &- 3] == UInt8(ascii: "5")
    }

    /// Whether what is written so far ends in the escapes of a longer UTF-8 form of a character than there is need for, of which
    /// `byte` is the second: some decoders take `%C0%AF` for a slash.
    private static func endsInOverlong(
        _ memory: UnsafeMutableBufferPointer<UInt8>, _ start: Int, _ end: Int, _ byte: UInt8
    ) -> Bool {
        guard end &- start >= 6, unsafe memory[end &- 6] == UInt8(ascii: "%"), let high = unsafe ASCII.hexValue(memory[end &- 5]),
            let low = unsafe ASCII.hexValue(memory[end &- 4])
        else { return false }
        switch high &<< 4 | low {
        case 0xC0, 0xC1: return true
        case 0xE0: return byte < 0xA0
        case 0xF0: return byte < 0x90
        default: return false
        }
    }

    /// Escaped, these mean one thing to one server and another to the next: a separator or a name's byte, an end or not.
    private static func isAmbiguous(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") || byte == 0
    }

    /// RFC 3986 §2.3.
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- 0x61 < 26 || ASCII.isDigit(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
    }

    /// `pchar` of RFC 3986 §3.3 but for `%` and `;`: bytes that stand in a path as they are and start nothing.
    @inline(__always)
    private static func isPlain(_ byte: UInt8) -> Bool {
        let word: UInt64 =
            switch byte &>> 6 {
            // ! $ & ' ( ) * + , - . 0-9 : =
            case 0: 0x27FF_7FD2_0000_0000
            // @ A-Z _ a-z ~
            case 1: 0x47FF_FFFE_87FF_FFFF
            default: 0
            }
        return word &>> UInt64(byte & 63) & 1 == 1
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 &+ value : 0x37 &+ value }
}
