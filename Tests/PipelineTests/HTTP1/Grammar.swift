/// The grammar of RFC 9110, 9112 and 3986 for requests, and the house's stricter rules, written from the texts and with no thought
/// of speed: whole strings, split and compared. Shares nothing with the codec, so that the two can be held against each other.
enum Grammar {
    struct Request: Equatable {
        var method: [UInt8]
        var target: [UInt8]
        var body: [UInt8]
    }

    enum End: Equatable { case clean, incomplete, invalid }

    /// Every request of a connection, and how the bytes end.
    static func requests(_ stream: [UInt8]) -> (requests: [Request], end: End) {
        var rest = stream[...]
        var found: [Request] = []
        while true {
            if rest.isEmpty { return (found, .clean) }
            if rest.elementsEqual([13]) { return (found, .incomplete) }
            if rest.starts(with: crlf) { rest = rest.dropFirst(2) }
            guard let end = index(of: crlf + crlf, in: rest) else { return (found, .incomplete) }
            let lines = split(Array(rest[..<end]), by: crlf)
            rest = rest[(end + 4)...]
            guard let head = Head(lines) else { return (found, .invalid) }
            switch body(head.length, isChunked: head.isChunked, &rest) {
            case .whole(let bytes): found.append(Request(method: head.method, target: head.target, body: bytes))
            case .incomplete: return (found, .incomplete)
            case .invalid: return (found, .invalid)
            }
            if head.closes { return (found, .clean) }
        }
    }

    /// One response to a request, after interim ones; then the connection closes. Nil: not whole.
    static func response(_ stream: [UInt8], toHead: Bool) -> (answer: (status: Int, body: [UInt8])?, end: End) {
        var rest = stream[...]
        for _ in 0...16 {
            guard let end = index(of: crlf + crlf, in: rest) else { return (nil, .incomplete) }
            let lines = split(Array(rest[..<end]), by: crlf)
            rest = rest[(end + 4)...]
            let line = lines[0]
            guard line.count >= 12, ["HTTP/1.1 ", "HTTP/1.0 "].contains(text(Array(line[..<9]))), line[9...11].allSatisfy(isDigit),
                let status = Int(text(Array(line[9...11]))), (100...599).contains(status), line.count == 12 || line[12] == 32,
                line.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }), let fields = Fields(lines.dropFirst(), isOld: line[7] == UInt8(ascii: "0"))
            else { return (nil, .invalid) }
            if status == 101 { return (nil, .invalid) }
            if status < 200 {
                guard fields.length == nil, !fields.isChunked else { return (nil, .invalid) }
                continue
            }
            if status == 204, fields.isChunked || fields.length ?? 0 > 0 { return (nil, .invalid) }
            if toHead || status == 204 || status == 304 { return ((status, []), .clean) }
            guard fields.length != nil || fields.isChunked else { return ((status, Array(rest)), .clean) }
            switch body(fields.length, isChunked: fields.isChunked, &rest) {
            case .whole(let bytes): return ((status, bytes), .clean)
            case .incomplete: return (nil, .incomplete)
            case .invalid: return (nil, .invalid)
            }
        }
        return (nil, .invalid)
    }

    // MARK: Heads

    /// Header lines, and what they say about framing and the connection.
    struct Fields {
        var all: [(name: String, value: [UInt8])] = []
        var length: Int?
        var isChunked = false
        var closes = false
        var saysUpgrade = false

        func values(_ name: String) -> [String] { all.filter { $0.name == name }.map { text($0.value) } }

        init?(_ lines: ArraySlice<[UInt8]>, isOld: Bool) {
            for line in lines {
                guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
                let value = trim(Array(line[(colon + 1)...]))
                guard isToken(Array(line[..<colon])), colon <= 255, value.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }) else { return nil }
                all.append((text(Array(line[..<colon])).lowercased(), value))
            }
            guard all.count <= 100, !all.contains(where: { ["content_length", "transfer_encoding"].contains($0.name) }) else { return nil }
            let lengths = values("content-length"), codings = values("transfer-encoding")
            guard lengths.count + codings.count <= 1 else { return nil }
            if let value = lengths.first {
                guard !value.isEmpty, value.utf8.count <= 19, value.utf8.allSatisfy(isDigit), let number = Int(value) else { return nil }
                length = number
            }
            if let value = codings.first {
                guard value.lowercased() == "chunked", !isOld else { return nil }
                isChunked = true
            }
            let options = values("connection").flatMap { $0.split(separator: ",") }.map { text(trim(Array($0.utf8))).lowercased() }.filter { !$0.isEmpty }
            guard options.count <= 32, options.allSatisfy({ isToken(Array($0.utf8)) }) else { return nil }
            let kept = ["content-length", "transfer-encoding", "host", "authorization", "cookie", "forwarded", "via", "x-request-id", "x-real-ip"]
            guard !options.contains(where: { kept.contains($0) || $0.hasPrefix("x-forwarded-") || $0.hasPrefix("x-weft-") }) else { return nil }
            closes = options.contains("close") || isOld && !options.contains("keep-alive")
            saysUpgrade = options.contains("upgrade")
        }
    }

    struct Head {
        var method: [UInt8]
        var target: [UInt8]
        var length: Int?
        var isChunked = false
        var closes = false

        init?(_ lines: [[UInt8]]) {
            let parts = split(lines[0], by: [32])
            guard parts.count == 3, isToken(parts[0]), parts[0].count <= 32, text(parts[0]) != "CONNECT" else { return nil }
            guard ["HTTP/1.1", "HTTP/1.0"].contains(text(parts[2])) else { return nil }
            let isOld = text(parts[2]) == "HTTP/1.0"
            method = parts[0]
            guard let fields = Fields(lines.dropFirst(), isOld: isOld) else { return nil }
            func values(_ name: String) -> [String] { fields.values(name) }
            (length, isChunked, closes) = (fields.length, fields.isChunked, fields.closes)
            guard values("expect").count <= 1, values("expect").allSatisfy({ $0.lowercased() == "100-continue" }) else { return nil }
            if fields.saysUpgrade, !isOld {
                let offered = values("upgrade").flatMap { $0.split(separator: ",") }.map { text(trim(Array($0.utf8))) }.filter { !$0.isEmpty }
                let kinds = offered.map { $0.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) }
                guard offered.count <= 8, kinds.allSatisfy({ $0.allSatisfy { isToken(Array($0.utf8)) } }) else { return nil }
                let travels = kinds.contains { !["h2c", "h2", "http", "tls"].contains($0[0].lowercased()) }
                guard !travels || !isChunked && (length ?? 0) == 0 else { return nil }
            }
            // Where to.
            let hosts = values("host")
            guard hosts.count <= 1, hosts.allSatisfy(isAuthority), isOld || hosts.count == 1 else { return nil }
            guard let target = Self.target(parts[1], host: hosts.first, isOptions: text(method) == "OPTIONS") else { return nil }
            self.target = target
        }

        private static func target(_ bytes: [UInt8], host: String?, isOptions: Bool) -> [UInt8]? {
            guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }) else { return nil }
            var rest = text(bytes)
            if rest == "*" { return isOptions ? bytes : nil }
            if !rest.hasPrefix("/") {
                let scheme = rest.lowercased().hasPrefix("http://") ? "http" : rest.lowercased().hasPrefix("https://") ? "https" : ""
                guard !scheme.isEmpty else { return nil }
                rest = String(rest.dropFirst(scheme.utf8.count + 3))
                let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
                let authority = String(rest[..<end])
                guard isAuthority(authority) else { return nil }
                if let host {
                    let port = scheme == "http" ? ":80" : ":443"
                    func bare(_ text: String) -> String { text.hasSuffix(port) ? String(text.dropLast(port.utf8.count)) : text }
                    guard bare(authority).lowercased() == bare(host).lowercased() else { return nil }
                }
                rest = String(rest[end...])
                if rest.isEmpty, isOptions { return Array("*".utf8) }
            }
            let mark = rest.firstIndex(of: "?") ?? rest.endIndex
            guard let path = canonical(String(rest[..<mark])) else { return nil }
            return Array((path + rest[mark...]).utf8)
        }
    }

    static func isAuthority(_ text: String) -> Bool {
        var host = text
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") {
            let port = String(text[text.index(after: colon)...])
            guard !port.isEmpty, port.utf8.count <= 5, port.utf8.allSatisfy(isDigit), Int(port)! <= 65_535 else { return false }
            host = String(text[..<colon])
        }
        if host.hasPrefix("["), host.hasSuffix("]") { return isIPv6(String(host.dropFirst().dropLast())) }
        return !host.isEmpty && host.utf8.allSatisfy(isUnreserved)
    }

    static func isIPv6(_ text: String) -> Bool {
        func count(_ side: String, isEnd: Bool) -> Int? {
            if side.isEmpty { return 0 }
            var total = 0
            let groups = side.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            for (number, group) in groups.enumerated() {
                if group.contains(".") {
                    let numbers = group.split(separator: ".", omittingEmptySubsequences: false)
                    guard isEnd, number == groups.count - 1, numbers.count == 4 else { return nil }
                    guard numbers.allSatisfy({ UInt8($0) != nil && $0.utf8.allSatisfy(isDigit) && String(UInt8($0)!) == $0 }) else { return nil }
                    total += 2
                } else {
                    guard (1...4).contains(group.utf8.count), group.utf8.allSatisfy(isHex) else { return nil }
                    total += 1
                }
            }
            return total
        }
        guard let gap = text.firstRange(of: "::") else { return count(text, isEnd: true) == 8 }
        guard let before = count(String(text[..<gap.lowerBound]), isEnd: false), let after = count(String(text[gap.upperBound...]), isEnd: true) else {
            return false
        }
        return before + after <= 7
    }

    // MARK: Paths

    static func canonical(_ path: String) -> String? {
        var written = ""
        var bytes = Array(path.utf8)[...]
        while let byte = bytes.popFirst() {
            if byte == UInt8(ascii: "%") {
                let digits = String(decoding: bytes.prefix(2), as: UTF8.self)
                guard bytes.count >= 2, bytes.prefix(2).allSatisfy(isHex), let value = UInt8(digits, radix: 16) else { return nil }
                bytes = bytes.dropFirst(2)
                if [0, UInt8(ascii: "/"), UInt8(ascii: "\\")].contains(value) { return nil }
                written += isUnreserved(value) ? String(UnicodeScalar(value)) : "%" + digits.uppercased()
            } else if byte == UInt8(ascii: "\\") {
                return nil
            } else if isUnreserved(byte) || "!$&'()*+,;=:@/".utf8.contains(byte) {
                written += String(UnicodeScalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                written += "%" + (digits.utf8.count == 1 ? "0" : "") + digits
            }
        }
        for segment in written.split(separator: "/") {
            let bytes = Array(segment.utf8)
            for start in bytes.indices {
                let rest = String(decoding: bytes[start...], as: UTF8.self)
                if rest.hasPrefix("%25"), rest.utf8.count >= 5, rest.utf8.dropFirst(3).prefix(2).allSatisfy(isHex) { return nil }
                guard rest.utf8.count >= 6, rest.utf8.first == UInt8(ascii: "%"), rest.utf8.dropFirst(3).first == UInt8(ascii: "%"),
                    let lead = UInt8(rest.utf8.dropFirst().prefix(2).map { String(UnicodeScalar($0)) }.joined(), radix: 16),
                    let next = UInt8(rest.utf8.dropFirst(4).prefix(2).map { String(UnicodeScalar($0)) }.joined(), radix: 16)
                else { continue }
                if [0xC0, 0xC1].contains(lead) && (0x80..<0xC0).contains(next) || lead == 0xE0 && (0x80..<0xA0).contains(next)
                    || lead == 0xF0 && (0x80..<0x90).contains(next)
                {
                    return nil
                }
            }
        }
        var segments: [Substring] = []
        var endsInSlash = path.isEmpty || path.hasSuffix("/")
        for segment in written.split(separator: "/") {
            endsInSlash = false
            if segment == "." || segment == ".." { endsInSlash = true }
            for dots in [".", ".."] where segment.hasPrefix(dots + ";") || segment.hasPrefix(dots + "%3B") { return nil }
            if segment == "." { continue }
            if segment == ".." {
                guard segments.popLast() != nil else { return nil }
            } else {
                segments.append(segment)
            }
        }
        if written.hasSuffix("/") { endsInSlash = true }
        return segments.isEmpty ? "/" : "/" + segments.joined(separator: "/") + (endsInSlash ? "/" : "")
    }

    // MARK: Bodies

    private enum Body { case whole([UInt8]), incomplete, invalid }

    private static func body(_ length: Int?, isChunked: Bool, _ rest: inout ArraySlice<UInt8>) -> Body {
        if let length {
            guard rest.count >= length else { return .incomplete }
            defer { rest = rest.dropFirst(length) }
            return .whole(Array(rest.prefix(length)))
        }
        guard isChunked else { return .whole([]) }
        var whole: [UInt8] = []
        while true {
            guard let end = index(of: crlf, in: rest) else { return .incomplete }
            let line = Array(rest[..<end])
            let size = Array(line.prefix { $0 != UInt8(ascii: ";") })
            guard !size.isEmpty, size.count <= 16, size.allSatisfy(isHex), isExtensions(Array(line.dropFirst(size.count))) else { return .invalid }
            guard let count = Int(text(size), radix: 16) else { return .invalid }
            rest = rest[(end + 2)...]
            if count == 0 { break }
            if rest.count < count { return .incomplete }
            whole += rest.prefix(count)
            rest = rest.dropFirst(count)
            if rest.count < 2 { return rest.first.map { $0 == 13 } ?? true ? .incomplete : .invalid }
            guard rest.starts(with: crlf) else { return .invalid }
            rest = rest.dropFirst(2)
        }
        while true {
            guard let end = index(of: crlf, in: rest) else { return .incomplete }
            let line = Array(rest[..<end])
            rest = rest[(end + 2)...]
            if line.isEmpty { return .whole(whole) }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), isToken(Array(line[..<colon])),
                trim(Array(line[(colon + 1)...])).allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 })
            else { return .invalid }
            let name = text(Array(line[..<colon])).lowercased()
            if ["content-length", "transfer-encoding", "host", "content_length", "transfer_encoding"].contains(name) { return .invalid }
        }
    }

    /// *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), but none before the first semicolon: it would follow the size.
    private static func isExtensions(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        func skipSpace() { rest = rest.drop { $0 == 32 || $0 == 9 } }
        func takeToken() -> Bool {
            let name = rest.prefix { isToken([$0]) }
            rest = rest.dropFirst(name.count)
            return !name.isEmpty
        }
        while !rest.isEmpty {
            guard rest.popFirst() == UInt8(ascii: ";") else { return false }
            skipSpace()
            guard takeToken() else { return false }
            skipSpace()
            if rest.first == UInt8(ascii: "=") {
                rest = rest.dropFirst()
                skipSpace()
                if rest.first == UInt8(ascii: "\"") {
                    rest = rest.dropFirst()
                    while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
                        let next = byte == UInt8(ascii: "\\") ? rest.popFirst() : byte
                        guard let next, next == 9 || next >= 32 && next != 127 else { return false }
                        if rest.isEmpty { return false }
                    }
                    if bytes.last != UInt8(ascii: "\""), rest.isEmpty { return false }
                } else if !takeToken() {
                    return false
                }
                skipSpace()
            }
        }
        return bytes.last != 32 && bytes.last != 9
    }

    // MARK: Bytes

    private static let crlf: [UInt8] = [13, 10]

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
    static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    static func isHex(_ byte: UInt8) -> Bool { "0123456789abcdefABCDEF".utf8.contains(byte) }
    static func isUnreserved(_ byte: UInt8) -> Bool {
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8.contains(byte)
    }
    static func isToken(_ bytes: [UInt8]) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy { "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8.contains($0) }
    }
    static func trim(_ bytes: [UInt8]) -> [UInt8] {
        Array(bytes.drop { $0 == 32 || $0 == 9 }.reversed().drop { $0 == 32 || $0 == 9 }.reversed())
    }
    static func index(of wanted: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.count >= wanted.count else { return nil }
        return (bytes.startIndex...(bytes.endIndex - wanted.count)).first { bytes[$0...].starts(with: wanted) }
    }
    static func split(_ bytes: [UInt8], by separator: [UInt8]) -> [[UInt8]] {
        var parts: [[UInt8]] = []
        var rest = bytes[...]
        while let at = index(of: separator, in: rest) {
            parts.append(Array(rest[..<at]))
            rest = rest[(at + separator.count)...]
        }
        return parts + [Array(rest)]
    }
}
