import Pipeline
import Testing
import WeftTesting

/// Requests for another protocol, and the answers to them, in every segmentation.
@Suite("Upgrade")
struct UpgradeTests {
    /// A caller's and an upstream's machine over one exchange, each read in memory of its own.
    private final class Hop {
        var server = ServerMachine()
        var client = ClientMachine()
        let requestStorage = HeadStorage(), responseStorage = HeadStorage()
        var request: RequestHead
        var response: ResponseHead
        private var received: [UInt8] = []
        private var answered: [UInt8] = []

        init() {
            request = requestStorage.requestHead()
            response = responseStorage.responseHead()
        }

        /// Hands over one byte more with each call of the machine; the events that were not `needMore`, and the bytes behind the head.
        func receive(_ text: String, reads: Int) -> (event: ServerEvent, behind: String) {
            var event = ServerEvent.needMore(consumed: 0)
            var taken = 0
            let bytes = Array(text.utf8)
            while taken < bytes.count, case .needMore = event {
                taken = min(bytes.count, taken + reads)
                received = Array(bytes[..<taken])
                event = received.withUnsafeBytes { server.receive(Bytes($0), scratch: requestStorage.scratch, into: &request) }
            }
            guard case .head(let count) = event else { return (event, "") }
            return (event, String(decoding: bytes[count...], as: UTF8.self))
        }

        func answer(_ text: String, reads: Int) -> (event: ClientEvent, behind: String) {
            var event = ClientEvent.needMore(consumed: 0)
            var taken = 0
            let bytes = Array(text.utf8)
            while taken < bytes.count, case .needMore = event {
                taken = min(bytes.count, taken + reads)
                answered = Array(bytes[..<taken])
                event = answered.withUnsafeBytes { client.receive(Bytes($0), into: &response) }
            }
            switch event {
            case .switched(let count), .head(let count): return (event, String(decoding: bytes[count...], as: UTF8.self))
            default: return (event, "")
            }
        }

        /// What the head says to the next hop about upgrading.
        func forwarded() -> String {
            guard request.asksUpgrade else { return "" }
            return received.withUnsafeBytes { memory in
                request.headers.base = Bytes(memory).base
                return Self.written { Upgrade.writeOffer(of: request.headers, to: &$0) }
            }
        }

        var isAgreed: Bool {
            received.withUnsafeBytes { first in
                answered.withUnsafeBytes { second in
                    request.headers.base = Bytes(first).base
                    response.headers.base = Bytes(second).base
                    return Upgrade.isAgreed(response.headers, on: request.headers)
                }
            }
        }

        private static func written(_ fill: (inout HeadWriter) -> Void) -> String {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096, alignment: 1)
            defer { memory.deallocate() }
            var writer = HeadWriter(into: memory)
            fill(&writer)
            return String(decoding: memory[..<writer.needed], as: UTF8.self)
        }

        func begin() {
            client.begin(request.method, asksUpgrade: request.asksUpgrade)
            client.wrote(100)
            client.requestDidEnd()
        }
    }

    private static func ask(_ lines: String...) -> String {
        "GET /chat HTTP/1.1\r\nHost: a.test\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
    }
    private static let reads = [1, 2, 3, 7, 64, 4_096]

    @Test("The wish is said anew for the next hop, without what must not travel on", arguments: [
        (["Connection: Upgrade", "Upgrade: websocket"], "connection: upgrade\r\nupgrade: websocket\r\n"),
        (["Upgrade: WebSocket", "Connection: keep-alive, Upgrade"], "connection: upgrade\r\nupgrade: WebSocket\r\n"),
        (["Connection: upgrade", "Upgrade: h2c, websocket"], "connection: upgrade\r\nupgrade: websocket\r\n"),
        (["Connection: upgrade", "Upgrade: a/1 , ,b", "Upgrade: TLS/1.2, C"], "connection: upgrade\r\nupgrade: a/1, b, C\r\n"),
        (["Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"], "connection: upgrade\r\nupgrade: websocket\r\n"),
        (["Connection: upgrade, http2-settings", "Upgrade: H2C", "HTTP2-Settings: AAMAAABkAAQ"], ""),
        (["Connection: upgrade", "Upgrade: h2c", "Content-Length: 2"], ""), (["Connection: upgrade", "Upgrade: HTTP/2.0"], ""),
        (["Connection: upgrade", "Upgrade: TLS/1.2, tls, h2, http"], ""), (["Connection: upgrade", "Upgrade:"], ""),
        (["Upgrade: websocket"], ""), (["Connection: upgrade"], ""), (["Connection: close", "Upgrade: websocket", "Content-Length: 2"], ""),
    ] as [([String], String)])
    func offer(lines: [String], forwarded: String) {
        for reads in Self.reads {
            let hop = Hop()
            let text = "GET /chat HTTP/1.1\r\nHost: a.test\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n"
            #expect(hop.receive(text, reads: reads).event == .head(byteCount: text.utf8.count), "reads of \(reads)")
            #expect(hop.request.asksUpgrade == !forwarded.isEmpty)
            #expect(hop.forwarded() == forwarded)
            let dropped = (0..<Int(hop.request.headers.count)).filter { hop.request.dropped.contains($0) }.count
            #expect(dropped == lines.count + 1 - (lines.contains { $0 == "X: 1" } ? 1 : 0), "no line of it travels as it came")
        }
    }

    @Test("A wish that two could read differently is refused", arguments: [
        (["Connection: upgrade", "Upgrade: web socket"], .malformedUpgrade), (["Connection: upgrade", "Upgrade: a/"], .malformedUpgrade),
        (["Connection: upgrade", "Upgrade: \"a\""], .malformedUpgrade), (["Connection: upgrade", "Upgrade: a,b,c,d,e", "Upgrade: f,g,h,i"], .malformedUpgrade),
        (["Connection: upgrade", "Upgrade: websocket", "Content-Length: 5"], .upgradeWithBody),
        (["Connection: upgrade", "Upgrade: h2c, websocket", "Transfer-Encoding: chunked"], .upgradeWithBody),
        (["Content-Length: 5", "Connection: upgrade", "Upgrade: x"], .upgradeWithBody),
    ] as [([String], HTTP1Fault)])
    func refused(lines: [String], fault: HTTP1Fault) {
        for reads in Self.reads {
            let text = "GET /chat HTTP/1.1\r\nHost: a.test\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\nhello"
            #expect(Hop().receive(text, reads: reads).event == .reject(fault), "reads of \(reads)")
        }
        #expect(fault.status == 400)
    }

    @Test("HTTP/1.0 knows no upgrade")
    func old() {
        let hop = Hop()
        let text = "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        #expect(hop.receive(text, reads: 1).event == .head(byteCount: text.utf8.count))
        #expect(!hop.request.asksUpgrade)
    }

    @Test("CONNECT is refused, whatever the bytes behind it", arguments: ["CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\nGET / HTTP/1.1\r\n", "CONNECT "])
    func connect(text: String) {
        for reads in Self.reads { #expect(Hop().receive(text, reads: reads).event == .reject(.tunnelRefused)) }
        #expect(HTTP1Fault.tunnelRefused.status == 501)
    }

    private static let asked = ask("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    @Test("Bytes behind the request are nobody's until the upstream has agreed; then they are the tunnel's, as are those behind the 101")
    func agreed() {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
        for reads in Self.reads {
            let hop = Hop()
            _ = hop.receive(Self.asked, reads: reads)
            let early = Array("GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n".utf8)
            let take = { early.withUnsafeBytes { hop.server.receive(Bytes($0), scratch: hop.requestStorage.scratch, into: &hop.request) } }
            #expect(hop.server.receive(.empty, scratch: hop.requestStorage.scratch, into: &hop.request) == .bodyEnd(consumed: 0))
            #expect(take() == .paused)
            hop.begin()
            let (event, behind) = hop.answer(answer + "frames", reads: reads)
            #expect(event == .switched(byteCount: answer.utf8.count), "reads of \(reads)")
            #expect(behind == "frames")
            #expect(hop.isAgreed)
            #expect(hop.server.canAnswer)
            hop.server.switched()
            #expect(!hop.server.canAnswer)
            #expect(take() == .paused, "never a request")
            #expect(hop.server.receivedEnd() == .close)
        }
    }

    @Test("A switch to what nobody asked for, or that does not say to what, is no answer", arguments: [
        ("Connection: upgrade\r\nUpgrade: h2c", false), ("Connection: upgrade\r\nUpgrade: websocket, other", false), ("Connection: upgrade\r\nUpgrade: web", false),
        ("Connection: upgrade\r\nUpgrade:", false), ("Upgrade: websocket", true), ("Connection: upgrade", true), ("X: 1", true),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", true), ("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", true),
    ])
    func disagreed(lines: String, isRejected: Bool) {
        for reads in Self.reads {
            let hop = Hop()
            _ = hop.receive(Self.asked, reads: reads)
            hop.begin()
            let event = hop.answer("HTTP/1.1 101 Switching Protocols\r\n\(lines)\r\n\r\n", reads: reads).event
            if isRejected {
                guard case .reject = event else { Issue.record("\(event) for \(lines)"); continue }
            } else {
                #expect(!hop.isAgreed, "\(lines)")
            }
        }
    }

    @Test("A switch that nobody asked for is no answer, nor is one before the request is whole")
    func unasked() {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        for request in [Self.ask(), Self.ask("Connection: upgrade", "Upgrade: h2c"), Self.ask("Upgrade: websocket")] {
            let hop = Hop()
            _ = hop.receive(request, reads: 7)
            hop.begin()
            #expect(hop.answer(answer, reads: 7).event == .reject(.unaskedSwitch))
        }
        let hop = Hop()
        _ = hop.receive(Self.asked, reads: 7)
        hop.client.begin(.get, asksUpgrade: true)
        hop.client.wrote(1)
        #expect(hop.answer(answer, reads: 7).event == .reject(.unaskedSwitch))
    }

    @Test("A refusal is an answer like any other, and the connection goes on, unless bytes of an unknown protocol wait on it")
    func refusal() {
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
        for holds in [false, true] {
            let hop = Hop()
            _ = hop.receive(Self.asked, reads: 64)
            _ = hop.server.receive(.empty, scratch: hop.requestStorage.scratch, into: &hop.request)
            hop.begin()
            #expect(hop.answer(answer, reads: 4_096).event == .head(byteCount: answer.utf8.count - 2))
            let plan = hop.server.sendsHead(status: 403, framing: .length(2), holdsBytes: holds)
            #expect(plan.connection == (holds ? .close : .none))
            #expect(hop.server.responseEnded() == (holds ? .close : .nextRequest))
        }
        // Of a plain request the bytes behind it are the next one, as ever.
        let plain = Hop()
        _ = plain.receive(Self.ask(), reads: 64)
        _ = plain.server.receive(.empty, scratch: plain.requestStorage.scratch, into: &plain.request)
        #expect(plain.server.sendsHead(status: 200, framing: .length(0), holdsBytes: true).connection == .none)
    }
}
