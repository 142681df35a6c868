internal import Glibc
package import Host

/// One kept-alive connection of a plain client that never retries.
package final class HTTPClient {
    package struct Answer: Sendable, CustomStringConvertible {
        package var status: Int
        package var fields: [(name: String, value: String)]
        /// The first 64 KiB.
        package var body: String
        package var bodyBytes: Int
        /// The stream ended inside the response.
        package var isCut: Bool

        package subscript(name: String) -> String? { fields.first { $0.name == name }?.value }
        package var description: String { "\(status)\(isCut ? " (cut)" : "") \(body)" }
    }

    private static let keptMax = 64 * 1024

    private let address: SocketAddress
    private let host: String
    private let timeout: Duration
    private var stream: HTTPStream?
    /// How often a connection was opened.
    package private(set) var connections = 0

    package init(_ address: SocketAddress, host: String = "payment", timeout: Duration = .seconds(30)) {
        self.address = address
        self.host = host
        self.timeout = timeout
    }

    package func close() { stream = nil }

    package func get(_ path: String, _ fields: [String] = []) throws -> Answer { try send("GET", path, fields) }

    package func send(_ method: String, _ path: String, _ fields: [String] = [], body: String? = nil) throws -> Answer {
        var text = "\(method) \(path) HTTP/1.1\r\nhost: \(host)\r\n"
        for field in fields { text += field + "\r\n" }
        if let body { text += "content-length: \(body.utf8.count)\r\n" }
        text += "\r\n"
        if let body { text += body }
        return try exchange(Array(text.utf8), method)
    }

    /// Sends a whole request as it is, and reads the final response.
    package func exchange(_ request: [UInt8], _ method: String = "GET") throws -> Answer {
        let stream = try connected()
        do {
            try stream.socket.write(request)
            return try answer(stream, method)
        } catch {
            self.stream = nil
            throw error
        }
    }

    package func connected() throws -> HTTPStream {
        if let stream { return stream }
        let opened = HTTPStream(try BlockingSocket(to: address, timeout: timeout))
        connections += 1
        stream = opened
        return opened
    }

    package func answer(_ stream: HTTPStream, _ method: String) throws -> Answer {
        var head = try stream.head()
        while head.line[1].hasPrefix("1") { head = try stream.head() }
        guard let status = Int(head.line[1]) else { throw StreamError.malformed(head.line.joined(separator: " ")) }
        var kept: [UInt8] = []
        var total = 0
        var isCut = false
        if method != "HEAD", status != 204, status != 304 {
            do {
                try stream.body(of: head, untilClose: true) { piece in
                    total += piece.count
                    if kept.count < Self.keptMax { kept += piece.prefix(Self.keptMax - kept.count) }
                }
            } catch StreamError.cut {
                isCut = true
            }
        }
        if isCut || head.closes || (head.length == nil && !head.isChunked && method != "HEAD" && status != 204 && status != 304) {
            self.stream = nil
        }
        return Answer(status: status, fields: head.fields, body: String(decoding: kept, as: UTF8.self), bodyBytes: total, isCut: isCut)
    }
}
