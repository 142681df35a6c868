/// A second reader of HTTP/1 messages, written from the grammar of RFC 9112 and nothing else: whole messages, arrays, no state.
///
/// It judges what the machines accept. It is strict where two servers could disagree: lines end in CRLF, a length is
/// digits, chunks are exactly as they say. It knows nothing of limits, paths or policy.
package enum NaiveHTTP {
    package struct Message {
        package var startLine: [UInt8]
        /// Names in lower case.
        package var fields: [(name: [UInt8], value: [UInt8])]
        /// Bytes of the head with its empty line.
        package var headCount: Int
        package var framing: Framing
        package var body: [UInt8]
        /// Where the message ends; nil if it is not whole.
        package var end: Int?
        /// What is wrong behind the head.
        package var bodyFault: Malformed?

        func values(_ name: String) -> [[UInt8]] { fields.filter { $0.name == Array(name.utf8) }.map(\.value) }
    }

    package enum Framing: Equatable { case none, length(Int), chunked, untilClose }

    package struct Malformed: Error { package let reason: String }

    package static func request(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> Message {
        var bytes = bytes
        // §2.2: empty lines before a request line.
        while bytes.starts(with: [13, 10]) { bytes = bytes.dropFirst(2) }
        var message = try head(bytes)
        let words = message.startLine.split(separator: 32, omittingEmptySubsequences: false)
        guard words.count == 3, words[2].starts(with: Array("HTTP/1.".utf8)), words[2].count == 8 else {
            throw Malformed(reason: "request line")
        }
        try frame(&message, otherwise: .none)
        return body(message, bytes)
    }

    static func response(_ bytes: ArraySlice<UInt8>, toHead: Bool) throws(Malformed) -> Message {
        var message = try head(bytes)
        let line = message.startLine
        guard line.count >= 12, line.starts(with: Array("HTTP/1.".utf8)), line[8] == 32, line[9..<12].allSatisfy({ (48...57).contains($0) }), let status = Int(String(decoding: line[9..<12], as: UTF8.self))
        else { throw Malformed(reason: "status line") }
        // §6.3, rule 1.
        if toHead || status < 200 || status == 204 || status == 304 {
            message.framing = .none
        } else {
            try frame(&message, otherwise: .untilClose)
        }
        return body(message, bytes)
    }

    /// What follows a size line, up to the empty line behind the trailers.
    package struct Chunks {
        package var body: [UInt8] = []
        /// Nil if more must come.
        package var end: Int?
    }

    /// §7.1, from the first byte of `bytes` on.
    package static func chunks(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> Chunks {
        var result = Chunks()
        var position = bytes.startIndex
        while true {
            guard let lineEnd = try lineEnd(bytes, position) else { return result }
            let line = bytes[position..<lineEnd]
            let digits = line.prefix { hex($0) != nil }
            guard !digits.isEmpty, areExtensions(line[digits.endIndex...]) else { throw Malformed(reason: "chunk size") }
            var size = 0
            for digit in digits {
                let (shifted, overflow) = size.multipliedReportingOverflow(by: 16)
                guard !overflow, let value = hex(digit), shifted <= Int.max - value else { throw Malformed(reason: "chunk size") }
                size = shifted + value
            }
            position = lineEnd + 2
            if size == 0 { break }
            let available = bytes.endIndex - position
            guard size < available else {
                result.body += bytes[position...]
                return result
            }
            result.body += bytes[position..<position + size]
            position += size
            if available == size + 1 {
                guard bytes[position] == 13 else { throw Malformed(reason: "chunk end") }
                return result
            }
            guard bytes[position] == 13, bytes[position + 1] == 10 else { throw Malformed(reason: "chunk end") }
            position += 2
        }
        while let lineEnd = try lineEnd(bytes, position) {
            let isEmpty = lineEnd == position
            if !isEmpty { _ = try field(bytes[position..<lineEnd]) }
            position = lineEnd + 2
            if isEmpty {
                result.end = position
                break
            }
        }
        return result
    }

    // MARK: Parts

    private static func head(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> Message {
        var position = bytes.startIndex
        var lines: [ArraySlice<UInt8>] = []
        while true {
            guard let end = try lineEnd(bytes, position) else { throw Malformed(reason: "head is cut") }
            let line = bytes[position..<end]
            position = end + 2
            if line.isEmpty, !lines.isEmpty { break }
            lines.append(line)
        }
        var fields: [(name: [UInt8], value: [UInt8])] = []
        for line in lines.dropFirst() { fields.append(try field(line)) }
        return Message(
            startLine: Array(lines[0]), fields: fields, headCount: position, framing: .none, body: [], end: nil)
    }

    /// §6.3, rules 3 to 8.
    private static func frame(_ message: inout Message, otherwise: Framing) throws(Malformed) {
        let (codings, lengths) = (message.values("transfer-encoding"), message.values("content-length"))
        guard codings.count <= 1, lengths.count <= 1, codings.isEmpty || lengths.isEmpty else { throw Malformed(reason: "framing said twice") }
        if let coding = codings.first {
            guard lowercased(coding[...]) == Array("chunked".utf8) else { throw Malformed(reason: "transfer-encoding") }
            message.framing = .chunked
        } else if let text = lengths.first {
            guard !text.isEmpty, text.allSatisfy({ (48...57).contains($0) }), let length = Int(String(decoding: text, as: UTF8.self)) else {
                throw Malformed(reason: "content-length")
            }
            message.framing = .length(length)
        } else {
            message.framing = otherwise
        }
    }

    private static func body(_ message: Message, _ bytes: ArraySlice<UInt8>) -> Message {
        var message = message
        let rest = bytes[message.headCount...]
        switch message.framing {
        case .none: message.end = rest.startIndex
        case .length(let count):
            message.body = Array(rest.prefix(count))
            if rest.count >= count { message.end = rest.startIndex + count }
        case .chunked:
            do {
                let chunks = try chunks(rest)
                message.body = chunks.body
                message.end = chunks.end
            } catch {
                message.bodyFault = error
            }
        case .untilClose: message.body = Array(rest)
        }
        return message
    }

    /// Where the CRLF stands that ends the line at `start`; nil if it has not come.
    private static func lineEnd(_ bytes: ArraySlice<UInt8>, _ start: Int) throws(Malformed) -> Int? {
        guard let end = bytes[start...].firstIndex(where: { $0 == 13 || $0 == 10 || $0 == 0 }) else { return nil }
        guard bytes[end] == 13 else { throw Malformed(reason: "bare LF or NUL") }
        guard end + 1 < bytes.endIndex else { return nil }
        guard bytes[end + 1] == 10 else { throw Malformed(reason: "bare CR") }
        return end
    }

    /// §7.1.1: what stands behind a size.
    private static func areExtensions(_ bytes: ArraySlice<UInt8>) -> Bool {
        var rest = bytes
        func take(_ isMeant: (UInt8) -> Bool) -> Bool {
            let start = rest.startIndex
            rest = rest.drop(while: isMeant)
            return rest.startIndex > start
        }
        func takeSpace() { _ = take { $0 == 32 || $0 == 9 } }
        while rest.first == UInt8(ascii: ";") {
            rest = rest.dropFirst()
            takeSpace()
            guard take(isToken) else { return false }
            takeSpace()
            guard rest.first == UInt8(ascii: "=") else { continue }
            rest = rest.dropFirst()
            takeSpace()
            if rest.first == UInt8(ascii: "\"") {
                rest = rest.dropFirst()
                while let byte = rest.first, byte != UInt8(ascii: "\"") { rest = rest.dropFirst(byte == UInt8(ascii: "\\") ? 2 : 1) }
                guard !rest.isEmpty else { return false }
                rest = rest.dropFirst()
            } else if !take(isToken) {
                return false
            }
            takeSpace()
        }
        return rest.isEmpty && bytes.last != 32 && bytes.last != 9 && bytes.allSatisfy(isText)
    }

    private static func isText(_ byte: UInt8) -> Bool { byte >= 32 && byte != 127 || byte == 9 }

    private static func field(_ line: ArraySlice<UInt8>) throws(Malformed) -> (name: [UInt8], value: [UInt8]) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw Malformed(reason: "no colon") }
        let name = line[..<colon]
        guard !name.isEmpty, name.allSatisfy(isToken) else { throw Malformed(reason: "name") }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 32 || first == 9 { value = value.dropFirst() }
        while let last = value.last, last == 32 || last == 9 { value = value.dropLast() }
        guard value.allSatisfy(isText) else { throw Malformed(reason: "value") }
        return (lowercased(name), Array(value))
    }

    static func lowercased(_ bytes: ArraySlice<UInt8>) -> [UInt8] { bytes.map { (65...90).contains($0) ? $0 + 32 : $0 } }

    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    static func hex(_ byte: UInt8) -> Int? {
        switch byte {
        case 48...57: Int(byte) - 48
        case 65...70: Int(byte) - 55
        case 97...102: Int(byte) - 87
        default: nil
        }
    }
}
