import Testing

@testable import Pipeline

struct ProtocolDetectorTests {
    private static let start = Instant.zero + .seconds(5)

    private func look(_ text: [UInt8], at now: Instant = start, ended: Bool = false) -> ProtocolDetector.Verdict {
        var detector = ProtocolDetector(openedAt: Self.start)
        return text.withUnsafeBytes { detector.look(at: Bytes($0), hasEnded: ended, now: now) }
    }

    /// The same, a byte more each time, in memory that moves.
    private func crawl(_ text: [UInt8]) -> ProtocolDetector.Verdict {
        var detector = ProtocolDetector(openedAt: Self.start)
        for count in 0...text.count {
            let verdict = Array(text[..<count]).withUnsafeBytes { detector.look(at: Bytes($0), now: Self.start) }
            if verdict != .undecided { return verdict }
        }
        return .undecided
    }

    @Test("The first bytes tell, wherever reads cut them", arguments: [
        ("GET / HTTP/1.1\r\n", .found(.http1)), ("\r\nGET / HTTP/1.0\r\n", .found(.http1)), ("M-SEARCH * HTTP/1.1\r\n", .found(.http1)),
        ("POST http://a/%2f?x=y HTTP/1.", .found(.http1)), ("PATCH /", .undecided), ("GET / HTTP/1", .undecided), ("P", .undecided), ("", .undecided),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .found(.http2)), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", .found(.http2)), ("PRI * HTTP/2.0\r\n\r\nS", .undecided),
        ("PRI * HTTP/2.0\r\n\r\nXX", .opaque(.unknownBytes)), ("PRI * HTTP/1.1\r\n", .found(.http1)),
        ("\u{16}", .undecided), ("\u{16}\u{3}", .found(.tls)), ("\u{16}\u{3}\u{1}\0", .found(.tls)), ("\u{16}\u{2}", .opaque(.unknownBytes)),
        // Redis, inline and not; memcached; PostgreSQL's and its wish for TLS; SSH; SMTP's and FTP's clients; NATS; Kafka.
        ("GET key\r\n", .opaque(.unknownBytes)), ("*1\r\n$4\r\nPING\r\n", .opaque(.unknownBytes)), ("get key\r\n", .opaque(.unknownBytes)),
        ("\0\0\0\u{8}\u{4}\u{d2}\u{16}\u{2f}", .opaque(.unknownBytes)), ("SSH-2.0-x\r\n", .opaque(.unknownBytes)), ("EHLO a\r\n", .opaque(.unknownBytes)),
        ("USER a\r\n", .opaque(.unknownBytes)), ("CONNECT {\"a\":1}\r\n", .opaque(.unknownBytes)),
        (" GET / HTTP/1.1", .opaque(.unknownBytes)), ("GET  / HTTP/1.1", .opaque(.unknownBytes)), ("GET /\u{7f} HTTP/1.1", .opaque(.unknownBytes)),
        ("\r\n\r\nGET / HTTP/1.1", .opaque(.unknownBytes)), ("\nGET / HTTP/1.1", .opaque(.unknownBytes)), ("GET / HTTP/2.0", .opaque(.unknownBytes)),
        (String(repeating: "M", count: 33), .opaque(.unknownBytes)),
    ] as [(String, ProtocolDetector.Verdict)])
    func bytes(text: String, verdict: ProtocolDetector.Verdict) {
        let bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        #expect(look(bytes) == verdict)
        #expect(crawl(bytes) == verdict)
    }

    @Test("The longest target is waited for, and not a byte more")
    func bounds() {
        let target = Array("GET /".utf8) + [UInt8](repeating: 0x61, count: HTTP1Limits.targetBytesMax - 1)
        #expect(look(target) == .undecided)
        #expect(look(target + Array(" HTTP/1.1".utf8)) == .found(.http1))
        #expect(look(target + [UInt8](repeating: 0x61, count: 100)) == .opaque(.unknownBytes))
    }

    @Test("Silence is an answer after a second, an end at once; bytes that tell come first")
    func time() {
        let late = Self.start + ProtocolDetector.Limits.wait
        #expect(ProtocolDetector(openedAt: Self.start).deadline == late)
        #expect(look([]) == .undecided)
        #expect(look([], at: late) == .opaque(.silence))
        #expect(look(Array("GET".utf8), at: late) == .opaque(.silence))
        #expect(look(Array("GET / HTTP/1.1".utf8), at: late) == .found(.http1))
        #expect(look([], ended: true) == .opaque(.ended))
        #expect(look(Array("GET /".utf8), ended: true) == .opaque(.ended))
    }

    @Test("Whatever comes is told in the same way whole and byte by byte", arguments: 0..<4)
    func random(seed: UInt64) {
        var random = Random(seed: seed)
        let pieces = ["GET ", "/a", " HTTP/1.1", "\r\n", "PRI * HTTP/2.0\r\n\r\n", "SM\r\n\r\n", "\u{16}", "\u{3}", "*", " ", "\0", "x"]
        for _ in 0..<2_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...6, using: &random) { text += pieces.randomElement(using: &random)! }
            let bytes = Array(text.utf8)
            #expect(look(bytes) == crawl(bytes), "\(text.debugDescription)")
        }
    }
}
