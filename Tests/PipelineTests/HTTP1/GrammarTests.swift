import Pipeline
import Testing
import WeftTesting

/// The codec against the grammar: every odd byte at every place of requests that use every part of it, and damage by seed.
@Suite("HTTP/1 by its grammar")
struct GrammarTests {
    static let requests = [
        "GET /a/b;c?d=e HTTP/1.1\r\nHost: a.test:80\r\nX: 1\r\n\r\n",
        "POST /%41/../x HTTP/1.1\r\nHost: [::1]:8\r\nContent-Length: 12\r\nConnection: a, te\r\n\r\nhello worldx",
        "PUT http://a.test/y HTTP/1.1\r\nHost: A.test\r\nTransfer-Encoding: chunked\r\n\r\n3;q=\"a;b\";z\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\nGET /./%2e%2E;/ HTTP/1.1\r\nHost: b\r\n\r\n",
        "\r\nM-X /.a//%c3%a4%25z HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding:chunked \t\r\n\r\n0\r\n\r\n",
    ]
    /// Every control, the edges of every class, and whatever is a mark to somebody.
    private static let bytes: [UInt8] =
        Array(0...32) + [127, 128, 160, 255] + Array("!\"#$%&'()*+,-./019:;<=>?@AFGXZ[\\]^_`afgxz{|}~".utf8)

    /// Holds the codec's answer against the grammar's.
    static func compare(_ bytes: [UInt8], _ why: @autoclosure () -> String, reads: [Int] = []) {
        let expected = Grammar.requests(bytes)
        let stream = HTTP1.requests(bytes, reads: reads)
        let agrees: Bool
        switch expected.end {
        case .clean: agrees = stream.end == .clean
        // What is missing may be missed before the line ends.
        case .incomplete: agrees = stream.end != .clean
        case .invalid: if case .rejected = stream.end { agrees = true } else { agrees = false }
        }
        guard agrees, stream.messages.count == expected.requests.count else {
            Issue.record("\(why()): \(Grammar.text(bytes).debugDescription): the grammar says \(expected.end) after \(expected.requests.count), the codec \(stream.end) after \(stream.messages.count)")
            return
        }
        for (message, request) in zip(stream.messages, expected.requests)
        where Array(message.method.utf8) != request.method || Array(message.target.utf8) != request.target || message.body != request.body {
            Issue.record("\(why()): \(Grammar.text(bytes).debugDescription): \(Grammar.text(request.target)) became \(message.target)")
        }
    }

    @Test("Any byte in place of any byte is judged as the grammar judges it", arguments: requests)
    func replaced(request: String) {
        let whole = Array(request.utf8)
        Self.compare(whole, "as it is")
        for position in whole.indices {
            for byte in Self.bytes where byte != whole[position] {
                var damaged = whole
                damaged[position] = byte
                Self.compare(damaged, "\(byte) at \(position)", reads: (position + Int(byte)) % 16 == 0 ? [1] : [])
            }
        }
    }

    @Test("Any byte put in anywhere is judged as the grammar judges it", arguments: requests)
    func inserted(request: String) {
        let whole = Array(request.utf8)
        for position in 0...whole.count {
            for byte in [0, 9, 10, 11, 12, 13, 32, 127, 160] + Array("\"%,./0:;\\_x".utf8) {
                Self.compare(Array(whole[..<position]) + [byte] + whole[position...], "\(byte) before \(position)")
            }
        }
    }

    @Test("Any byte, and any line, left out or doubled is judged as the grammar judges it", arguments: requests)
    func leftOut(request: String) {
        let whole = Array(request.utf8)
        for position in whole.indices {
            Self.compare(Array(whole[..<position]) + whole[(position + 1)...], "without \(position)")
            Self.compare(Array(whole[...position]) + whole[position...], "twice \(position)")
            Self.compare(Array(whole[..<position]), "up to \(position)")
        }
        let lines = request.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        for line in lines.indices {
            var fewer = lines
            fewer.remove(at: line)
            Self.compare(Array(fewer.joined(separator: "\r\n").utf8), "without line \(line)")
            for other in lines.indices {
                var more = lines
                more.insert(lines[line], at: other)
                Self.compare(Array(more.joined(separator: "\r\n").utf8), "line \(line) again at \(other)")
            }
        }
    }

    /// Spellings that some server takes for framing, a host or a way out of a folder.
    private static let spellings: [(line: String, values: [String])] = [
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: @\r\n\r\n12345", [
            "5", "05", "0000000000000000005", "00000000000000000005", "+5", "-5", "-0", "0x5", "5.0", "5e0", "5_0", "5,5", "5, 5", "5;", "5 5", "\"5\"", "", ",5", "\u{661}",
            "9223372036854775807", "9223372036854775808", "18446744073709551616", "18446744073709551621", "99999999999999999999", "NaN", "5\u{b}", "\u{a0}5", "5\r\n ",
        ]),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: @\r\n\r\n0\r\n\r\n", [
            "chunked", "CHUNKED", "chunked ", "\tchunked", "chunked,", ",chunked", "chunked, chunked", "chunked;", "chunked;q=1", "\"chunked\"", "'chunked'", "xchunked", "chunkedx",
            "chunk", "identity", "identity, chunked", "chunked, identity", "gzip", "gzip, chunked", "x-gzip, chunked", "chunked\u{b}", "\u{c}chunked", "chunked\u{0}", "\u{a0}chunked",
            "\u{212a}chunked", "c hunked", "", ",", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nContent-Length: 5", "chunked\r\n ", "chunked\n", "nul\r\nTransfer_Encoding: chunked",
        ]),
        ("GET / HTTP/1.1\r\nHost: @\r\n\r\n", [
            "a", "a.test", "A.TEST", "a:80", "a:0", "a:65535", "a:65536", "a:099999", "a:", "a:x", "a:+1", "a:80:80", ":80", "", "a b", "a,b", "a/b", "a?b", "a#b", "u@a", "a\\b", "a%41", "a;b",
            "a=b", "a&b", "a'b", "a\"b", "<a>", "[::1]", "[::1]:80", "[::1", "::1", "[]", "[1]", "[::1%25eth0]", "[fe80::1%eth0]", "[::ffff:1.2.3.4]", "[::1.2.3.256]", "[1:2:3:4:5:6:7:8]",
            "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[:1]", "[1:]", "[12345::]", "[::g]", "[v1.a]", "caf\u{e9}", "a\u{0}", "a_b", "a~b", "xn--a", "-", "..", "a\r\nHost: a", "1.2.3.4", "[::1]a", "a[::1]",
        ]),
        ("GET @ HTTP/1.1\r\nHost: a.test\r\n\r\n", [
            "/", "//", "/a%2fb", "/a%2Fb", "/a%5Cb", "/%00", "/%0", "/%", "/%zz", "/%u0041", "/%252e", "/%25%32%65", "/..", "/../", "/a/../..", "/a/..;/b", "/.;x", "/a/..%3b/b", "/;/..", "/%2e%2e",
            "/%c0%ae%c0%ae/", "/%C0%AF", "/%c1%9c", "/%e0%80%af", "/%f0%80%80%af", "/%e0%a0%80", "/%c3%a4", "/%c0", "/\\", "/a#b", "/#", "/?#", "/a?b#c", "*", "a", "a.test", "a.test:80", "http://a.test",
            "http://a.test?x", "http://a.test:80/", "http://a.test:443/", "https://a.test:443/", "https://a.test:80/", "http://b.test/", "http://u@a.test/", "http://u:p@a.test/", "http:///", "http:/a.test/",
            "http:a.test", "HTTP://A.TEST/", "ftp://a.test/", "http://a.test\\@b/", "http://a.test#b", "file:///etc", "javascript:1", "/\u{e9}", "/\u{7f}", "/ ", "/a b", "/\t", "/a\u{0}b", "?a", "/a?%zz", "/?a=/../b",
            "http://a.test/%2e%2e/", "http://a.test//..", "http://[::1]/",
        ]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n@", [
            "5\r\nhello\r\n0\r\n\r\n", "05\r\nhello\r\n0\r\n\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n", "00000000000000005\r\nhello\r\n0\r\n\r\n", "+5\r\n", "-5\r\n", "0x5\r\n", "5_\r\n", " 5\r\n",
            "5 \r\nhello", "5\t\r\nhello", "\r\n", "5\n", "5\rhello", "8000000000000000\r\n", "7fffffffffffffff\r\n", "ffffffffffffffff\r\n", "10000000000000000\r\n", "g\r\n", "\u{665}\r\n", "5;\r\nhello\r\n0\r\n\r\n",
            "5;a\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n", "5; a = b ;c\r\nhello\r\n0\r\n\r\n", "5;a=\"b\r\n\"\r\n", "5;a=\"b\\\"c\"\r\nhello\r\n0\r\n\r\n", "5;a=\"b\"c\r\n", "5;=b\r\n", "5;;a\r\n", "5;a=\r\n",
            "5;a b\r\n", "5;a=b c\r\n", "5 ;a\r\n", "5;a\nhello\r\n0\r\n\r\n", "5;a\u{0}\r\n", "5;\u{e9}\r\n", "5;a=\"\u{e9}\"\r\nhello\r\n0\r\n\r\n", "5\r\nhelloo\r\n", "5\r\nhell\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
            "0\r\nHost: b\r\n\r\n", "0\r\nContent-Length: 1\r\n\r\n", "0\r\nX-Forwarded-Client-Cert: a\r\n\r\n", "0\r\nConnection: close\r\n\r\n", "0\r\nA : b\r\n\r\n", "0\r\n a\r\n\r\n", "0\r\nA\r\n\r\n", "0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "0\r\nA: b\u{0}\r\n\r\n", "0\r\n\n", "0\r\n\r", "000\r\n\r\n", "0;a\r\n\r\n",
        ]),
        ("GET / HTTP/1.1\r\nHost: a\r\n@\r\n\r\n", [
            "X: 1", "X:", "X:\t1\t", "X : 1", "X\t: 1", " X: 1", "X", ": 1", "X: 1\r\n 2", "X: 1\r\n\t2", "X\r: 1", "X: 1\r2", "X: 1\n2: 3", "X\u{0}: 1", "\u{feff}X: 1", "X\u{e9}: 1", "X/: 1", "X@: 1", "\"X\": 1",
            "Connection: close, host", "Connection: Transfer-Encoding", "Connection: content-length", "Connection: x-forwarded-client-cert", "Connection: X-Weft-A", "Connection: via", "Connection: a b", "Connection: a;b",
            "Connection: ,,close,,", "Connection:", "Expect: 100-Continue", "Expect: 100-continue, x", "Expect: 200-ok", "Expect:", "Expect: 100-continue\r\nExpect: 100-continue", "Content_Length: 5", "transfer_encoding: chunked",
            "Host: a", "host: a", "HOST: b", "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0\r\ncontent-length: 1", "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: a", "TE: chunked",
        ]),
        ("@ / HTTP/1.1\r\nHost: a\r\n\r\n", ["GET", "get", "G", "", " ", "GET ", "\tGET", "G\u{0}T", "G(T", "G:T", "CONNECT", "connect", "\"GET\"", "\u{e9}", String(repeating: "A", count: 32), String(repeating: "A", count: 33), "PRI"]),
        ("GET / @\r\nHost: a\r\n\r\n", [
            "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/1.", "HTTP/1", "HTTP/11", "HTTP/1.10", "HTTP/01.1", "HTTP/1.1 ", " HTTP/1.1", "http/1.1", "HTTP /1.1", "HTTP/1,1", "HTTP/+1.1", "HTTPS/1.1",
            "HTTP/1.1 HTTP/1.1", "", "HTTP/1.1\t", "HTTP/1.\u{661}",
        ]),
    ]

    @Test("Spellings that fool somebody are judged as the grammar judges them", arguments: spellings.indices)
    func spelt(number: Int) {
        let (line, values) = Self.spellings[number]
        let parts = line.split(separator: "@", omittingEmptySubsequences: false)
        for value in values {
            let bytes = Array((parts[0] + value + parts[1]).utf8)
            for reads in [[], [1], [7]] { Self.compare(bytes, "\(value.debugDescription)", reads: reads) }
        }
    }

    @Test("Damage by seed is judged as the grammar judges it", arguments: 1...8 as ClosedRange<UInt64>)
    func damaged(seed: UInt64) {
        var random = Random(seed: seed)
        let pieces = Self.spellings.flatMap(\.values) + ["\r\n", "\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n", "0\r\n\r\n"]
        for _ in 0..<300 {
            var bytes = Array(Self.requests.randomElement(using: &random)!.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let position = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.insert(contentsOf: pieces.randomElement(using: &random)!.utf8, at: position)
                case 1: bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 0...5, using: &random)))
                case 2: bytes.insert(contentsOf: bytes[position...].prefix(Int.random(in: 1...20, using: &random)), at: position)
                default: bytes.insert(Self.bytes.randomElement(using: &random)!, at: position)
                }
            }
            Self.compare(bytes, "SEED=\(seed)", reads: [[], [1], [5, 2, 11]].randomElement(using: &random)!)
        }
    }
}
