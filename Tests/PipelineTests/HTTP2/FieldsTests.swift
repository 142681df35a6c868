import Pipeline
import Testing
import WeftTesting

@testable import Pipeline

@Suite("Requests and responses from fields")
struct FieldsTests {
    private func message(_ fields: [HPACKField], endsStream: Bool = true) -> ParsedMessage? {
        guard case .request(let message) = FieldsPeer().request(fields, endsStream: endsStream) else { return nil }
        return message
    }

    // MARK: Requests

    @Test("A request is what its pseudo-headers say, with the same views as one in HTTP/1")
    func example() {
        let peer = FieldsPeer()
        guard case .request(let message) = peer.request(getFields([.init("accept", "*/*"), .init("te", "trailers")], path: "/a/%62?x=1")) else {
            Issue.record("refused")
            return
        }
        #expect(message.method == "GET" && message.authority == "a.test" && message.path == "/a/b" && message.query == "x=1" && message.framing == .none)
        #expect(message.headers == [.init("accept", "*/*"), .init("te", "trailers")])
        #expect(String(decoding: peer.asHTTP1, as: UTF8.self) == "GET /a/b?x=1 HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\nte: trailers\r\n\r\n")
    }

    @Test("§8.2.1, §8.3: what is no request is malformed", arguments: [
        [.init(":scheme", "https"), .init(":path", "/"), .init(":authority", "a")],
        [.init(":method", "GET"), .init(":path", "/"), .init(":authority", "a")],
        [.init(":method", "GET"), .init(":scheme", "https"), .init(":authority", "a")],
        getFields(path: ""), getFields(method: ""), getFields(scheme: ""), getFields(scheme: "ftp"), getFields(method: "GE T"),
        getFields([.init(":method", "GET")]), getFields([.init(":path", "/")]), getFields([.init(":scheme", "https")]), getFields([.init(":authority", "a.test")]),
        getFields([.init(":status", "200")]), getFields([.init(":other", "1")]), getFields([.init(":", "1")]), getFields([.init(":protocol", "websocket")]),
        [.init(":method", "GET"), .init(":scheme", "https"), .init("accept", "*/*"), .init(":path", "/"), .init(":authority", "a")],
        getFields(path: "a"), getFields(path: "/a b"), getFields(path: "/a\r\nx: y"), getFields(path: "http://a.test/"), getFields(path: "/\u{e9}"),
        getFields([.init("Accept", "*/*")]), getFields([.init("", "1")]), getFields([.init("a b", "1")]), getFields([.init("a:", "1")]), getFields([.init("a\u{e9}", "1")]),
        getFields([.init("a", "1\r\nb: 2")]), getFields([.init("a", "1\nb")]), getFields([.init("a", "\0")]), getFields([.init("a", " 1")]), getFields([.init("a", "1\t")]),
        getFields([.init("a", "\u{7f}")]),
        getFields(method: "CONNECT"), getFields([.init(":protocol", "websocket")], method: "CONNECT"),
    ] as [[HPACKField]])
    func malformed(fields: [HPACKField]) {
        #expect(FieldsPeer().request(fields) == .refused(.malformed))
    }

    @Test("§8.2.2: what is about a connection is malformed", arguments: [
        ("connection", "close"), ("connection", "x-hop"), ("keep-alive", "1"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("http2-settings", "AAA"),
        ("te", "gzip"), ("te", "trailers, gzip"), ("content_length", "1"),
    ])
    func connectionSpecific(name: String, value: String) {
        #expect(FieldsPeer().request(getFields([.init(name, value)])) == .refused(.malformed))
        #expect(FieldsPeer().response([.init(":status", "200"), .init(name, value)]) == nil)
    }

    @Test("What HTTP/1 would refuse is refused with the same status", arguments: [
        (getFields(authority: nil), .missingHost), (getFields(authority: "a b"), .malformedHost), (getFields(authority: "me@a.test"), .malformedHost),
        (getFields([.init("host", "b.test")]), .differingHost), (getFields([.init("host", "a.test"), .init("host", "a.test")]), .repeatedHost),
        (getFields(path: "/../a"), .pathAboveRoot), (getFields(path: "/a%2fb"), .encodedPathByte), (getFields(path: "/" + String(repeating: "a", count: 20_000)), .targetTooLong),
        (getFields([.init("expect", "200-ok")]), .unknownExpectation), ([.init(":method", "CONNECT"), .init(":authority", "a:1")], .tunnelRefused),
        (getFields((0..<101).map { .init("x-\($0)", "") }), .tooManyFields), (getFields(method: String(repeating: "A", count: 40)), .methodTooLong),
        (getFields([.init(String(repeating: "a", count: 300), "1")]), .nameTooLong),
    ] as [([HPACKField], HTTP1Fault)])
    func refused(fields: [HPACKField], fault: HTTP1Fault) {
        #expect(FieldsPeer().request(fields) == .refused(.fault(fault)))
    }

    @Test("The host stands for a missing authority; both may stand there if they mean the same")
    func host() {
        #expect(message(getFields([.init("host", "b.test")], authority: nil))?.authority == "b.test")
        let both = message(getFields([.init("host", "A.test:443")]))
        #expect(both?.authority == "a.test" && both?.headers == [])
        #expect(message(getFields(method: "OPTIONS", path: "*"))?.target == "*")
    }

    @Test("A length is that of all the DATA there is; without one the end is what HTTP/2 says it is")
    func framing() {
        #expect(message(getFields())?.framing == BodyFraming.none)
        #expect(message(getFields(), endsStream: false)?.framing == .chunked)
        #expect(message(getFields([.init("content-length", "5")]), endsStream: false)?.framing == .length(5))
        #expect(message(getFields([.init("content-length", "0")]))?.framing == .length(0))
        for value in ["5", "-1", "+0", "", "0, 0", "0x0", "99999999999999999999"] {
            #expect(FieldsPeer().request(getFields([.init("content-length", value)])) == .refused(.malformed))
        }
        #expect(FieldsPeer().request(getFields([.init("content-length", "5"), .init("content-length", "5")]), endsStream: false) == .refused(.malformed))
    }

    @Test("§8.2.3: cookies that came in pieces are one, for filters and for HTTP/1, and as secret as the most secret of them")
    func cookies() {
        let peer = FieldsPeer()
        // Short ones are secret anyhow.
        let long = String(repeating: "1", count: 30)
        guard case .request(let message) = peer.request(getFields([
            .init("cookie", "a=\(long)"), .init("accept", "*/*"), .init("cookie", "b=2", isSensitive: true), .init("cookie", ""), .init("cookie", "c=\(long)"), .init("x", "y"),
        ])) else {
            Issue.record("refused")
            return
        }
        #expect(message.headers == [.init("accept", "*/*"), .init("x", "y"), .init("cookie", "a=\(long); b=2; c=\(long)")])
        #expect(String(decoding: peer.asHTTP1, as: UTF8.self).hasSuffix("accept: */*\r\nx: y\r\ncookie: a=\(long); b=2; c=\(long)\r\n\r\n"))
        #expect(peer.sensitive.filter { $0 == "cookie" }.count == 3)
        guard case .request(let one) = peer.request(getFields([.init("cookie", "a=1")])) else { return #expect(Bool(false)) }
        #expect(one.headers == [.init("cookie", "a=1")])
    }

    @Test("Whatever is accepted is one and the same request in HTTP/1, with nothing behind it")
    func translation() {
        let peer = FieldsPeer()
        var random = Random(seed: 9113)
        let names = ["accept", "cookie", "host", "content-length", "x-a", "te", "connection", "expect", "via", "x-request-id", "transfer-encoding", "X-Up", "x y", ":path", "x-weft-a", "upgrade"]
        let values = ["1", "", "a.test", "trailers", "100-continue", "a, b", "0", "\tx", "x\r\nhost: b", "chunked", "é", "b=2; c=3"]
        let paths = ["/", "/a?b", "*", "/a/../b", "/%2e/x", "/a b", "//x", "/a#b", "", "/a;b", "/x%0d%0ay: z"]
        var accepted = 0
        for _ in 0..<20_000 {
            let count = Int(random.next() % 5)
            let more = (0..<count).map { _ in HPACKField(names[Int(random.next() % UInt64(names.count))], values[Int(random.next() % UInt64(values.count))]) }
            let fields = getFields(more, method: random.next() % 4 == 0 ? "POST" : "GET", path: paths[Int(random.next() % UInt64(paths.count))], authority: random.next() % 8 == 0 ? nil : "a.test")
            guard case .request(let message) = peer.request(fields, endsStream: random.next() % 2 == 0) else { continue }
            accepted += 1
            let body = message.framing == .chunked ? Array("0\r\n\r\n".utf8) : []
            if case .length(let length) = message.framing, length > 0 { continue }
            let stream = HTTP1.requests(peer.asHTTP1 + body)
            guard stream.end == .clean, stream.messages.count == 1, let read = stream.messages.first else {
                Issue.record("\(fields) became \(String(decoding: peer.asHTTP1, as: UTF8.self)), read as \(stream)")
                return
            }
            #expect(read.method == message.method && read.path == message.path && read.query == message.query && read.authority == message.authority && read.framing == message.framing)
            let framing: Set = ["host", "content-length", "transfer-encoding"]
            #expect(read.headers.filter { !framing.contains($0.name) } == message.headers)
        }
        #expect(accepted > 2_000)
    }

    // MARK: Responses and trailers

    @Test("A response is its status and its fields")
    func responses() {
        let peer = FieldsPeer()
        let plain = peer.response([.init(":status", "200"), .init("content-type", "text/plain"), .init("x-weft-reason", "UO")], endsStream: false)
        #expect(plain?.status == 200 && plain?.framing == .chunked && plain?.headers == [.init("content-type", "text/plain")])
        #expect(peer.response([.init(":status", "200")])?.framing == .length(0))
        #expect(peer.response([.init(":status", "200"), .init("content-length", "5")], endsStream: false)?.framing == .length(5))
        #expect(peer.response([.init(":status", "204")])?.framing == BodyFraming.none)
        let toHead = peer.response([.init(":status", "200"), .init("content-length", "5")], isToHead: true)
        #expect(toHead?.framing == BodyFraming.none && toHead?.headers == [.init("content-length", "5")])
        #expect(peer.response([.init(":status", "103"), .init("link", "</a>")], endsStream: false)?.status == 103)
    }

    @Test("What is no response is malformed", arguments: [
        ([], true), ([.init(":status", "20")], true), ([.init(":status", "600")], true), ([.init(":status", "2000")], true), ([.init(":status", "2x0")], true),
        ([.init(":status", "200"), .init(":status", "200")], true), ([.init("a", "b"), .init(":status", "200")], true), ([.init(":status", "200"), .init(":path", "/")], true),
        ([.init(":status", "101")], false), ([.init(":status", "100")], true), ([.init(":status", "103"), .init("content-length", "0")], false),
        ([.init(":status", "200"), .init("content-length", "5")], true), ([.init(":status", "204"), .init("content-length", "5")], true),
        ([.init(":status", "200"), .init("content-length", "1"), .init("content-length", "1")], false), ([.init(":status", "200"), .init("A", "b")], true),
        ([.init(":status", "200"), .init("a", "b\r\nc: d")], true),
    ] as [([HPACKField], Bool)])
    func badResponses(fields: [HPACKField], endsStream: Bool) {
        #expect(FieldsPeer().response(fields, endsStream: endsStream) == nil)
    }

    @Test("Trailers have no pseudo-headers, no framing, and bounds")
    func trailers() {
        let peer = FieldsPeer()
        #expect(peer.trailers([.init("grpc-status", "0"), .init("grpc-message", "")]) == nil)
        for name in [":status", ":path", "content-length", "transfer-encoding", "host", "connection", "te", "Grpc-Status", ""] {
            #expect(peer.trailers([.init(name, "trailers")]) == .malformed)
        }
        #expect(peer.trailers([.init("a", "b\n")]) == .malformed)
        #expect(peer.trailers((0..<33).map { .init("x-\($0)", "1") }) == .fault(.trailersTooLarge))
        #expect(peer.trailers([.init("a", String(repeating: "b", count: 9_000))]) == .fault(.trailersTooLarge))
    }
}
