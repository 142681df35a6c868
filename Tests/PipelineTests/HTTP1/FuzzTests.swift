import Pipeline
import Testing
import WeftTesting

/// Messages made and damaged by seed: whatever comes, the codec answers, and the same however reads cut it.
@Suite("HTTP/1 by seed")
struct FuzzTests {
    private static let valid: [String] = [
        "GET /a/b?c=d HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nUser-Agent: fuzz/1.0 (x; y)\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nhello worldGET / HTTP/1.1\r\nHost: b.test\r\n\r\n",
        "PUT //x/../y%7e HTTP/1.1\r\nHost: a.test:80\r\nTransfer-Encoding: chunked\r\n\r\n5;e=1\r\nhello\r\n1\r\n!\r\n0\r\ngrpc-status: 0\r\n\r\n",
        "GET http://a.test/%41 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\n\r\n",
        "\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    ]
    private static let responses: [String] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 500 Oh no\r\nConnection: close\r\n\r\nuntil the end",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    ]
    /// Pieces that mean something to some parser.
    private static let pieces: [String] = [
        "\r\n", "\n", "\r", "\u{0}", " ", "\t", ":", ",", ";", "%", "%2f", "..", "/", "#", "\\", "0", "chunked", "Content-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n", "Host: b.test\r\n", "HTTP/1.1", "\r\n\r\n", "\u{7f}", "\u{e9}", "Connection: close\r\n", "fffffffff",
    ]

    private static func damaged(_ text: String, _ random: inout Random) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let position = Int.random(in: 0...bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0 where position < bytes.count: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 1 where position < bytes.count: bytes.remove(at: position)
            case 2: bytes.insert(contentsOf: pieces.randomElement(using: &random)!.utf8, at: position)
            case 3: bytes.removeSubrange(min(position, bytes.count)..<min(bytes.count, position + 7))
            default: bytes.insert(contentsOf: bytes.prefix(position).suffix(9), at: position)
            }
        }
        return bytes
    }

    private static func cut(_ random: inout Random) -> [Int] { (0..<5).map { _ in Int.random(in: 1...23, using: &random) } }

    @Test("A damaged request means the same however reads cut it", arguments: 1...8 as ClosedRange<UInt64>)
    func requests(seed: UInt64) {
        var random = Random(seed: seed)
        var ends: [String: Int] = [:]
        for _ in 0..<300 {
            let bytes = Self.damaged(Self.valid.randomElement(using: &random)!, &random)
            let whole = HTTP1.requests(bytes)
            let sizes = Self.cut(&random)
            #expect(HTTP1.requests(bytes, reads: sizes) == whole, "SEED=\(seed) reads of \(sizes): \(bytes)")
            #expect(HTTP1.requests(bytes, reads: [1]) == whole, "SEED=\(seed) byte by byte: \(bytes)")
            ends["\(whole.end)", default: 0] += 1
            for message in whole.messages { Self.expectHarmless(message, "SEED=\(seed): \(bytes)") }
        }
        #expect(ends.count > 8, "the damage reaches many different faults")
    }

    @Test("A damaged response means the same however reads cut it", arguments: 1...8 as ClosedRange<UInt64>)
    func responses(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<300 {
            let bytes = Self.damaged(Self.responses.randomElement(using: &random)!, &random)
            let whole = HTTP1.responses(bytes)
            let sizes = Self.cut(&random)
            #expect(HTTP1.responses(bytes, reads: sizes) == whole, "SEED=\(seed) reads of \(sizes): \(bytes)")
            #expect(HTTP1.responses(bytes, reads: [1]) == whole, "SEED=\(seed) byte by byte: \(bytes)")
        }
    }

    @Test("Noise is answered, never understood", arguments: 1...4 as ClosedRange<UInt64>)
    func noise(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<200 {
            let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(HTTP1.requests(bytes).messages.isEmpty)
            #expect(HTTP1.responses(bytes).messages.isEmpty)
        }
    }

    @Test("What is written reads back as what was read, and nothing more", arguments: 1...8 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) {
        var random = Random(seed: seed)
        var forwarded = 0
        for _ in 0..<300 {
            let bytes = Self.damaged(Self.valid.randomElement(using: &random)!, &random)
            guard let (head, message) = Self.firstHead(bytes), !message.authority.isEmpty else { continue }
            let back = HTTP1.requests(head)
            forwarded += 1
            // Framing is read back with the head; its body is not there.
            let read = back.messages.first ?? message
            #expect(back.end == .clean || back.end == .incomplete, "SEED=\(seed): \(bytes) gave \(head)")
            #expect(read.method == message.method && read.target == message.target && read.authority == message.authority)
            #expect(read.framing == message.framing)
            #expect(back.messages.count <= 1)
        }
        #expect(forwarded > 50)
    }

    /// The first head of `bytes` as it is forwarded, and as it was read.
    private static func firstHead(_ bytes: [UInt8]) -> ([UInt8], ParsedMessage)? {
        let storage = HeadStorage()
        var head = storage.requestHead()
        var room = [UInt8](repeating: 0, count: 4096)
        return bytes.withUnsafeBytes { buffer in
            var parser = RequestHeadParser()
            guard case .complete = parser.parse(Bytes(buffer), scratch: storage.scratch, into: &head) else { return nil }
            let count = room.withUnsafeMutableBytes { memory in
                var writer = HeadWriter(into: memory)
                writer.requestLine(head)
                writer.copyFields(head.headers, skipping: head.dropped)
                return writer.finish(head.framing)
            }
            return count.map { (Array(room[..<$0]), ParsedMessage(head)) }
        }
    }

    /// What no accepted request may hold.
    private static func expectHarmless(_ message: ParsedMessage, _ comment: Comment) {
        let path = message.path.utf8
        #expect(message.path == "*" || path.first == UInt8(ascii: "/"), comment)
        #expect(!message.path.contains("//") && !message.path.contains("/../") && !message.path.hasSuffix("/.."), comment)
        #expect(message.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, comment)
        #expect(!message.target.contains("#"), comment)
        #expect(message.values("host").count <= 1 && message.values("content-length").count <= 1, comment)
        #expect(message.values("content-length").isEmpty || message.values("transfer-encoding").isEmpty, comment)
        #expect(message.headers.allSatisfy { field in field.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 } }, comment)
    }
}
