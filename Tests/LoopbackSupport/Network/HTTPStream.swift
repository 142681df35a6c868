internal import Glibc
internal import Host

/// A peer of a test broke HTTP, or went away in the middle of it.
package enum StreamError: Error, Equatable, Sendable {
    /// The stream ended before the first byte of a message.
    case ended
    /// It ended inside a message.
    case cut
    case malformed(String)
}

/// Reads HTTP/1.1 messages off a blocking socket: simple and strict, nothing of the sidecar's own code, so that the two
/// cannot share a mistake.
package final class HTTPStream {
    package struct Head: Sendable {
        /// `GET /path HTTP/1.1` or `HTTP/1.1 200 OK`, in three words.
        package var line: [String]
        /// Names in lower case.
        package var fields: [(name: String, value: String)]

        package subscript(name: String) -> String? { fields.first { $0.name == name }?.value }
        package var isChunked: Bool { self["transfer-encoding"]?.lowercased() == "chunked" }
        package var length: Int? { self["content-length"].flatMap { Int($0) } }
        package var closes: Bool { self["connection"]?.lowercased() == "close" }
    }

    package let socket: BlockingSocket
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 16)
    private var start = 0
    private var end = 0

    package init(_ socket: BlockingSocket) { self.socket = socket }
    deinit { buffer.deallocate() }

    /// The next head, with 1xx responses among them.
    package func head() throws -> Head {
        while true {
            if let stop = find("\r\n\r\n") {
                let text = String(decoding: UnsafeRawBufferPointer(rebasing: buffer[start..<stop]), as: UTF8.self)
                start = stop + 4
                return try Self.parse(text)
            }
            let wasEmpty = start == end
            guard try fill() else { throw wasEmpty ? StreamError.ended : StreamError.cut }
        }
    }

    private static func parse(_ text: String) throws -> Head {
        var lines = text.utf8.split(separator: UInt8(ascii: "\r"), omittingEmptySubsequences: false).makeIterator()
        guard let first = lines.next() else { throw StreamError.malformed("empty head") }
        let words = first.split(separator: UInt8(ascii: " "), maxSplits: 2).map { String(Substring($0)) }
        guard words.count >= 2 else { throw StreamError.malformed(text) }
        var fields: [(String, String)] = []
        while let line = lines.next() {
            let line = Substring(line.dropFirst())
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else { throw StreamError.malformed(String(line)) }
            let value = line[line.index(after: colon)...]
            fields.append((line[..<colon].lowercased(), String(value.drop { $0 == " " })))
        }
        return Head(line: words, fields: fields)
    }

    /// Hands over the body of a message in pieces; returns how many bytes there were.
    ///
    /// - Parameter untilClose: whether a message without framing goes on to the end of the stream (a response) or is empty.
    @discardableResult
    package func body(of head: Head, untilClose: Bool = false, _ piece: (UnsafeRawBufferPointer) throws -> Void = { _ in }) throws -> Int {
        if head.isChunked { return try chunks(piece) }
        if let length = head.length {
            try exactly(length, piece)
            return length
        }
        guard untilClose else { return 0 }
        var total = 0
        while true {
            if start == end, try !fill() { return total }
            total += end - start
            try piece(UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
            start = end
        }
    }

    private func chunks(_ piece: (UnsafeRawBufferPointer) throws -> Void) throws -> Int {
        var total = 0
        while true {
            let line = try line()
            guard let size = Int(line.prefix { $0 != ";" }, radix: 16) else { throw StreamError.malformed("chunk size \(line)") }
            if size == 0 {
                while try self.line() != "" {}
                return total
            }
            try exactly(size, piece)
            guard try self.line() == "" else { throw StreamError.malformed("no end of chunk") }
            total += size
        }
    }

    private func line() throws -> String {
        while true {
            if let stop = find("\r\n") {
                defer { start = stop + 2 }
                return String(decoding: UnsafeRawBufferPointer(rebasing: buffer[start..<stop]), as: UTF8.self)
            }
            guard try fill() else { throw StreamError.cut }
        }
    }

    private func exactly(_ count: Int, _ piece: (UnsafeRawBufferPointer) throws -> Void) throws {
        var left = count
        while left > 0 {
            if start == end, try !fill() { throw StreamError.cut }
            let taken = min(left, end - start)
            try piece(UnsafeRawBufferPointer(rebasing: buffer[start..<start + taken]))
            start += taken
            left -= taken
        }
    }

    // MARK: Bytes

    /// False at the end of the stream.
    private func fill() throws -> Bool {
        if start == end { (start, end) = (0, 0) }
        if end == buffer.count {
            guard start > 0 else { throw StreamError.malformed("a head of \(buffer.count) bytes") }
            memmove(buffer.baseAddress!, buffer.baseAddress! + start, end - start)
            (start, end) = (0, end - start)
        }
        let count: Int
        do {
            count = try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
        } catch let error as SystemError where error.code == ECONNRESET {
            return false
        }
        end += count
        return count > 0
    }

    private func find(_ text: StaticString) -> Int? {
        let wanted = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        return UnsafeRawBufferPointer(rebasing: buffer[start..<end]).firstIndex(of: wanted).map { start + $0 }
    }
}

extension UnsafeRawBufferPointer {
    /// Where `wanted` begins.
    func firstIndex(of wanted: UnsafeRawBufferPointer) -> Int? {
        guard let base = baseAddress, let first = wanted.first else { return nil }
        var index = 0
        while index + wanted.count <= count {
            guard let found = memchr(base + index, Int32(first), count - index - wanted.count + 1) else { return nil }
            index = UnsafeRawPointer(found) - base
            if memcmp(found, wanted.baseAddress!, wanted.count) == 0 { return index }
            index += 1
        }
        return nil
    }
}
