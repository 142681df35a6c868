import Pipeline
import Testing
import WeftTesting

@Suite("Request heads")
struct RequestHeadTests {
    @Test("The example of RFC 9112 §2.1 is read line by line")
    func example() {
        let stream = readRequests(
            "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n")
        #expect(stream.end == .clean)
        let message = stream.messages.first
        #expect(message?.method == "GET")
        #expect(message?.path == "/hello.txt")
        #expect(message?.authority == "www.example.com")
        #expect(message?.headers == [
            .init("User-Agent", "curl/7.64.1"), .init("Host", "www.example.com"), .init("Accept-Language", "en, mi"),
        ])
        #expect(message?.keepsAlive == true)
    }

    @Test("What has one meaning is accepted", arguments: [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \t a.test \t \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test:65535\r\nX-Empty:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: caf\u{e9} \t tab\r\n\r\n",
        "GET /?a=b&c=%zz HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test:80/x HTTP/1.1\r\nHost: A.test\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, , TE, x-hop\r\nTE: trailers\r\nX-Hop: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
    ])
    func accepted(text: String) {
        let stream = readRequests(text)
        #expect(stream.end == .clean)
        #expect(stream.messages.count == 1)
    }

    @Test("A head that has not ended is waited for", arguments: [
        "G", "GET ", "GET /", "GET / HTT", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost", "GET / HTTP/1.1\r\nHost: a\r",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ])
    func unfinished(text: String) {
        #expect(readRequests(text) == ParsedStream(messages: [], end: .incomplete))
    }

    @Test("Request lines with two readings are refused", arguments: [
        ("GET /\r\n\r\n", .malformedRequestLine),
        (" GET / HTTP/1.1\r\n", .malformedRequestLine),
        ("GET  / HTTP/1.1\r\n", .malformedRequestLine),
        ("GET /  HTTP/1.1\r\n", .malformedVersion),
        ("GET\t/ HTTP/1.1\r\n", .malformedRequestLine),
        ("GET /\tHTTP/1.1\r\n", .malformedTarget),
        ("GET / a HTTP/1.1\r\n", .malformedVersion),
        ("GET / HTTP/1.1 HTTP/1.1\r\n", .malformedRequestLine),
        ("GET / HTTP/1.1 \r\n", .malformedRequestLine),
        ("GET / HTTP/1.1\n", .bareLineFeed),
        ("GET / HTTP/1.1\rX", .bareCarriageReturn),
        ("GET /\n", .bareLineFeed),
        ("GET\n", .bareLineFeed),
        ("\nGET / HTTP/1.1\r\n", .bareLineFeed),
        ("\rG", .bareCarriageReturn),
        ("\r\n\r\nGET / HTTP/1.1\r\n", .malformedRequestLine),
        ("G<T / HTTP/1.1\r\n", .malformedRequestLine),
        ("\u{16}\u{3}\u{1}", .malformedRequestLine),
        ("GET / http/1.1\r\n", .malformedVersion),
        ("GET / HTTP/1.2\r\n", .malformedVersion),
        ("GET / HTTP/1.11\r\n", .malformedRequestLine),
        ("GET / HTTP/01.1\r\n", .malformedVersion),
        ("GET / HTTP/2.0\r\n", .unsupportedVersion),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
        ("GET / ICE/1.0\r\n", .malformedVersion),
        ("OPEN / ICE/1.0\r\n", .notHTTP), ("INVALID CONNECTION PREFACE\r\n", .notHTTP),
        ("CONNECT a.test:443 HTTP/1.1\r\n", .tunnelRefused),
    ] as [(String, HTTP1Fault)])
    func requestLine(text: String, fault: HTTP1Fault) {
        #expect(readRequests(text).end == .rejected(fault))
    }

    @Test("Targets with two readings are refused", arguments: [
        ("a", .malformedTarget), ("*", .malformedTarget), ("a.test:80", .malformedTarget), ("/a\u{7f}", .malformedTarget),
        ("/\u{e9}", .malformedTarget), ("/a#b", .malformedTarget), ("/?a#b", .malformedTarget), ("/#", .malformedTarget),
        ("http://", .malformedTarget), ("http:///x", .malformedTarget), ("http://u@a.test/", .malformedTarget),
        ("http://u:p@a.test/", .malformedTarget), ("ftp://a.test/", .malformedTarget), ("http:/a.test/", .malformedTarget),
        ("http://b.test/", .differingHost), ("http://a.test:81/", .differingHost), ("http://a.test#@b.test/", .malformedTarget),
    ] as [(String, HTTP1Fault)])
    func target(text: String, fault: HTTP1Fault) {
        #expect(readRequests("GET \(text) HTTP/1.1\r\nHost: a.test\r\n\r\n").end == .rejected(fault))
    }

    @Test("Header lines with two readings are refused", arguments: [
        ("X: a\n", .bareLineFeed), ("X: a\rb", .bareCarriageReturn), ("X: a\u{0}b", .controlByte), ("X: a\u{b}b", .controlByte),
        ("X: a\u{7f}", .controlByte), ("X: a\r\n b", .lineFold), ("X: a\r\n\tb: c", .lineFold), (" X: a", .lineFold), ("X : a", .spaceInName),
        ("X\t: a", .spaceInName), ("X Y: a", .spaceInName), (": a", .emptyName), ("X", .missingColon), ("X\n: a", .bareLineFeed),
        ("X\rY: a", .bareCarriageReturn), ("X(: a", .malformedName), ("X\u{0}: a", .malformedName), ("X\u{e9}: a", .malformedName),
        ("[X]: a", .malformedName), ("\"X\": a", .malformedName),
    ] as [(String, HTTP1Fault)])
    func headerLine(line: String, fault: HTTP1Fault) {
        #expect(readRequests(request(line)).end == .rejected(fault))
    }

    @Test("Hosts that two servers could read differently are refused", arguments: [
        "", " ", "a b", "a,b", "u@a", "a/b", "a?b", "a#b", "a\\b", "a:b", "a:", ":80", "a:65536", "a:1:2", "a:+1", "\u{e9}", "[::1", "[]", "[::1]x",
        "[::g]", "a%00", "a;b", "a\"b",
    ])
    func host(text: String) {
        #expect(readRequests("GET / HTTP/1.1\r\nHost: \(text)\r\n\r\n").end == .rejected(.malformedHost))
    }

    @Test("A missing or repeated Host is refused")
    func hostCount() {
        #expect(readRequests("GET / HTTP/1.1\r\n\r\n").end == .rejected(.missingHost))
        #expect(readRequests(request("Host: a.test")).end == .rejected(.repeatedHost))
        #expect(readRequests(request("hOST: b.test")).end == .rejected(.repeatedHost))
    }

    @Test("Content-Length is one run of digits, once", arguments: [
        "+5", "-0", "0x5", "5_0", "5e0", "", "\"5\"", "5,5", "5, 5", "5 5", "5;", "\u{0665}", "9223372036854775808", "18446744073709551616",
        "99999999999999999999999",
    ])
    func contentLength(value: String) {
        #expect(readRequests(request("Content-Length: \(value)")).end == .rejected(.malformedLength))
    }

    @Test("The largest Content-Length is 2^63 - 1")
    func contentLengthMax() {
        #expect(readRequests(request("Content-Length: 9223372036854775807")).end == .incomplete)
    }

    @Test("Framing headers that contradict or imitate each other are refused", arguments: [
        ("Content-Length: 5\r\nContent-Length: 5", .repeatedLength),
        ("Content-Length: 5\r\nContent-Length: 6", .repeatedLength),
        ("Content-Length: 0\r\ncontent-length: 0", .repeatedLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", .lengthAndCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .repeatedCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", .repeatedCoding),
        ("Content_Length: 5", .disguisedFraming),
        ("transfer_encoding: chunked", .disguisedFraming),
    ] as [(String, HTTP1Fault)])
    func framing(lines: String, fault: HTTP1Fault) {
        #expect(readRequests(request(lines)).end == .rejected(fault))
    }

    @Test("Transfer-Encoding is exactly `chunked`", arguments: [
        ("xchunked", .unknownCoding), ("chunked, identity", .unknownCoding), (", chunked", .unknownCoding), ("chunked,", .unknownCoding),
        ("\"chunked\"", .unknownCoding), ("identity", .unknownCoding), ("chunked, chunked", .unknownCoding), ("", .unknownCoding),
        ("chunked;q=1", .unknownCoding), ("chunked chunked", .unknownCoding), ("\u{a0}chunked", .unknownCoding), ("gzip,", .unknownCoding),
        ("gzip, chunked,", .unknownCoding), ("chunked, gzip", .unknownCoding), ("cow, chunked", .unknownCoding),
        ("\u{b}chunked", .controlByte), ("chunked\u{c}", .controlByte), ("chun\u{0}ked", .controlByte),
        ("gzip", .unsupportedCoding), ("gzip, chunked", .unsupportedCoding), ("x-compress,chunked", .unsupportedCoding),
    ] as [(String, HTTP1Fault)])
    func transferEncoding(value: String, fault: HTTP1Fault) {
        #expect(readRequests(request("Transfer-Encoding: \(value)")).end == .rejected(fault))
    }

    @Test("HTTP/1.0 knows no transfer coding")
    func codingInHTTP10() {
        #expect(readRequests(request("Transfer-Encoding: chunked", version: "1.0")).end == .rejected(.codingInHTTP10))
    }

    @Test("Connection may not strip what others rely on", arguments: [
        "content-length", "Transfer-Encoding", "close, host", "authorization", "cookie", "forwarded", "x-forwarded-for",
        "X-Forwarded-Client-Cert", "x-weft-reason", "keep-alive,x-real-ip",
    ])
    func protectedOptions(value: String) {
        #expect(readRequests(request("Connection: \(value)")).end == .rejected(.protectedConnectionOption))
    }

    @Test("Connection holds tokens", arguments: ["a b", "\"close\"", "a;b", "caf\u{e9}"])
    func connectionTokens(value: String) {
        #expect(readRequests(request("Connection: \(value)")).end == .rejected(.malformedConnection))
    }

    @Test("Only 100-continue may be expected", arguments: ["", "100-continue, x", "100 continue", "x100-continue", "100-continue\r\nExpect: 100-continue"])
    func expectation(value: String) {
        #expect(readRequests(request("Expect: \(value)")).end == .rejected(.unknownExpectation))
        #expect(HTTP1Fault.unknownExpectation.status == 417)
    }

    @Test("Persistence follows version and Connection (RFC 9112 §9.3)", arguments: [
        ("1.1", "X: y", true), ("1.1", "Connection: close", false), ("1.1", "Connection: x, Close", false), ("1.0", "X: y", false),
        ("1.0", "Connection: keep-alive", true), ("1.0", "Connection: keep-alive, close", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close", false),
    ])
    func persistence(version: String, line: String, stays: Bool) {
        #expect(readRequests(request(line, version: version)).messages.first?.keepsAlive == stays)
    }

    @Test("Each bound answers with its own fault, at the bound and not before")
    func bounds() {
        func bytes(_ count: Int) -> String { String(repeating: "a", count: count) }
        func head(_ count: Int) -> String {
            let start = "GET / HTTP/1.1\r\nHost: a.test\r\nX: "
            return start + bytes(count - start.utf8.count - 4) + "\r\n\r\n"
        }
        func end(_ text: String) -> StreamEnd { HTTP1.requests(Array(text.utf8), reads: [4096]).end }
        #expect(end(head(HTTP1Limits.headBytesMax)) == .clean)
        #expect(end(head(HTTP1Limits.headBytesMax + 1)) == .rejected(.headTooLarge))
        #expect(end("GET / HTTP/1.1\r\nX: " + bytes(1 << 20)) == .rejected(.headTooLarge))

        #expect(end("GET /\(bytes(HTTP1Limits.targetBytesMax - 1)) HTTP/1.1\r\nHost: a\r\n\r\n") == .clean)
        #expect(end("GET /\(bytes(HTTP1Limits.targetBytesMax)) HTTP/1.1\r\nHost: a\r\n\r\n") == .rejected(.targetTooLong))
        #expect(end("GET /\(bytes(HTTP1Limits.targetBytesMax))") == .rejected(.targetTooLong))

        #expect(end("\(bytes(HTTP1Limits.methodBytesMax)) / HTTP/1.1\r\nHost: a\r\n\r\n") == .clean)
        #expect(end("\(bytes(HTTP1Limits.methodBytesMax + 1))") == .rejected(.methodTooLong))

        #expect(end(request("\(bytes(HTTP1Limits.nameBytesMax)): 1")) == .clean)
        #expect(end(request("\(bytes(HTTP1Limits.nameBytesMax + 1)): 1")) == .rejected(.nameTooLong))

        let options = { (count: Int) in "Connection: " + Array(repeating: "a", count: count).joined(separator: ",") }
        #expect(end(request(options(HTTP1Limits.connectionOptionsMax))) == .clean)
        #expect(end(request(options(HTTP1Limits.connectionOptionsMax + 1))) == .rejected(.malformedConnection))
        #expect(end(request(options(20) + "\r\n" + options(20))) == .rejected(.malformedConnection))

        let line = "X: 1\r\n"
        #expect(end(request(String(repeating: line, count: HTTP1Limits.fieldsMax - 2) + "X: 1")) == .clean)
        #expect(end(request(String(repeating: line, count: HTTP1Limits.fieldsMax - 1) + "X: 1")) == .rejected(.tooManyFields))
    }

    @Test("Lines that end at this hop are marked, and those Connection names with them")
    func droppedLines() {
        let lines = [
            "Host: a.test", "Accept: */*", "Connection: x-hop, te, upgrade", "Keep-Alive: timeout=5", "Proxy-Connection: x", "TE: trailers",
            "Upgrade: h2c", "HTTP2-Settings: AAA", "X-Hop: 1", "Expect: 100-continue", "Content-Length: 1", "X-Stay: 2", "x-HOP: 3",
        ]
        let bytes = Array(("GET / HTTP/1.1\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        let storage = HeadStorage()
        var head = storage.requestHead()
        bytes.withUnsafeBytes { buffer in
            var parser = RequestHeadParser()
            let step = parser.parse(Bytes(buffer), scratch: storage.scratch, into: &head)
            #expect(step == .complete(byteCount: bytes.count))
        }
        let kept = lines.indices.filter { !head.dropped.contains($0) }.map { lines[$0] }
        #expect(kept == ["Accept: */*", "TE: trailers", "X-Stay: 2"])
        #expect(!head.asksUpgrade, "another version of HTTP is no tunnel")
        #expect(head.expectsContinue)
    }

    @Test("Known names are recognised by the tags written in the switch", arguments: [
        ("host", .host), ("content-length", .contentLength), ("transfer-encoding", .transferEncoding), ("connection", .connection),
        ("keep-alive", .keepAlive), ("proxy-connection", .proxyConnection), ("te", .te), ("upgrade", .upgrade),
        ("http2-settings", .http2Settings), ("expect", .expect), ("content_length", .disguisedFraming),
        ("transfer_encoding", .disguisedFraming), ("hast", .other), ("contentzlength", .other), ("via", .via), ("x-request-id", .requestID),
        ("x-forwarded-for", .forwardedFor), ("x-forwarded-proto", .forwardedProto), ("x-forwarded-host", .forwardedHost), ("forwarded", .claim),
        ("x-forwarded-port", .claim), ("x-real-ip", .claim), ("x-original-url", .claim), ("x-weft-reason", .reserved),
        ("x-forwarded-client-cert", .reserved), ("proxy", .reserved), ("x_forwarded_for", .reserved), ("x-other", .other), ("vza", .other),
    ] as [(String, KnownField)])
    func knownFields(name: String, known: KnownField) {
        for spelling in [name, name.uppercased()] {
            Array(spelling.utf8).withUnsafeBytes { buffer in
                let bytes = Bytes(buffer)
                #expect(KnownField.identify(bytes, tag: HeaderName.tag(of: bytes)) == known)
            }
        }
    }
}
