import COpenSSL
import Glibc
import Pipeline
import Testing

@testable import Host

@Suite("WebSockets on streams of HTTP/2 (RFC 8441)", .serialized)
struct WebSocketStreamTests {
    private static var bounds: Bounds {
        var bounds = Bounds()
        bounds.takesWebSocketStreams = true
        return bounds
    }

    /// RFC 6455 §4.2.2: what a server makes of a key.
    private static func answer(to head: String) -> String {
        let key = head.split(separator: "\r\n").first { $0.hasPrefix("sec-websocket-key: ") }?.dropFirst(19) ?? ""
        let text = Array("\(key)258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)
        var digest = [UInt8](repeating: 0, count: 20), encoded = [UInt8](repeating: 0, count: 29)
        EVP_Digest(text, text.count, &digest, nil, EVP_sha1(), nil)
        EVP_EncodeBlock(&encoded, digest, 20)
        return String(decoding: encoded.dropLast(), as: UTF8.self)
    }

    private static func agreement(to head: String) -> String {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: \(answer(to: head))\r\n\r\n"
    }

    /// Agrees, says something first, then says everything back.
    @Sendable private static func echo(_ service: RawConnection, _: Int) {
        while case let head = service.readHead(), !head.isEmpty {
            guard head.contains("upgrade: websocket") else {
                service.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsaid")
                continue
            }
            service.send(agreement(to: head) + "first")
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
            return
        }
    }

    private static func open(_ world: RelayWorld, window: UInt32 = 65_535) throws -> FrameCaller {
        let caller = FrameCaller(try world.connect(), window: window)
        caller.webSocket(1)
        guard case .head(1, let fields, false) = caller.next() else { throw CancellationError() }
        #expect(fields[":status"] == "200" && fields["sec-websocket-protocol"] == "chat")
        #expect(fields["upgrade"] == nil && fields["connection"] == nil && fields["sec-websocket-accept"] == nil)
        return caller
    }

    @Test("The service sees an upgrade with a key of the hop's own, the caller a 200; then bytes go both ways, beside other streams")
    func opens() throws {
        let seen = Lock("")
        let world = try RelayWorld(bounds: Self.bounds) { service, number in
            if number == 0 {
                let head = service.readHead()
                seen.withLock { $0 = head }
                service.send(Self.agreement(to: head) + "first")
                while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
            } else {
                Self.echo(service, number)
            }
        }
        let caller = FrameCaller(try world.connect())
        caller.webSocket(1, "/chat?x=1", [("sec-websocket-key", "the caller has none"), ("sec-websocket-protocol", "chat")])
        caller.data(1, Array("early".utf8))
        guard case .head(1, let fields, false) = caller.next() else {
            Issue.record("no answer")
            return
        }
        #expect(caller.mayConnect && fields[":status"] == "200")
        let head = seen.withLock { $0 }
        #expect(head.hasPrefix("GET /chat?x=1 HTTP/1.1\r\n") && head.contains("sec-websocket-protocol: chat\r\n"))
        #expect(head.contains("connection: upgrade\r\nupgrade: websocket\r\n") && head.components(of: "sec-websocket-key") == 2 && !head.contains("the caller has none"))
        #expect(caller.bytes(1, 10) == Array("firstearly".utf8))
        for text in ["a", String(repeating: "x", count: 5_000), "\u{0}\u{1}\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            caller.data(1, Array(text.utf8))
            #expect(caller.bytes(1, text.utf8.count) == Array(text.utf8))
        }
        caller.get(3, "/")
        #expect(caller.answer(3)?.fields[":status"] == "200" && world.open == 1)
        caller.data(1, [], ends: true)
        #expect(caller.next() == .data(1, [], ends: true))
        #expect(soon { world.open == 0 && world.ended("finished") == 1 && world.value("weft_upstream_connections") == 1 })
        caller.get(5, "/")
        #expect(caller.answer(5)?.body == Array("said".utf8))
    }

    @Test("Megabytes each way pass whole, to ends that are slow, through windows of any size", arguments: [65_535, 1_000, 1])
    func large(window: UInt32) throws {
        let world = try RelayWorld(bounds: Self.bounds, Self.echo)
        let caller = try Self.open(world, window: window)
        #expect(caller.bytes(1, 5) == Array("first".utf8))
        let count = window == 1 ? 2_000 : 1 << 20
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        // What comes back meanwhile is taken, and waits: the echo's windows are the test's.
        caller.data(1, bytes, ends: true)
        #expect(caller.answerBody(1) == bytes)
        #expect(soon { world.open == 0 && world.ended("finished") == 1 })
    }

    @Test("Other answers are answers: the service's word passes on, and the connection goes on", arguments: [403, 404, 503])
    func refused(status: Int) throws {
        let world = try RelayWorld(bounds: Self.bounds) { service, _ in
            while case let head = service.readHead(), !head.isEmpty { service.send("HTTP/1.1 \(status) Said\r\nContent-Length: 4\r\n\r\nsaid") }
        }
        let caller = FrameCaller(try world.connect())
        for stream in [UInt32(1), 3] {
            caller.webSocket(stream)
            let answer = caller.answer(stream)
            #expect(answer?.fields[":status"] == "\(status)" && answer?.body == Array("said".utf8))
        }
        #expect(world.server.connections == 1 && world.open == 0)
    }

    @Test("A yes that is none is none: a 200, a key that was not asked for, none at all", arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsaid", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ])
    func disagreed(answer: String) throws {
        let world = try RelayWorld(bounds: Self.bounds) { service, _ in
            _ = service.readHead()
            service.send(answer)
            _ = service.readAll()
        }
        let caller = FrameCaller(try world.connect())
        caller.webSocket(1)
        #expect(caller.answer(1)?.fields[":status"] == "502")
        #expect(soon { world.value("weft_upstream_connections") == 0 } && world.open == 0)
    }

    @Test("Who was not told may not ask; other protocols and plain tunnels are refused; a length and trailers are none of a tunnel's")
    func unasked() throws {
        let plain = try RelayWorld(Self.echo)
        let stranger = FrameCaller(try plain.connect())
        stranger.webSocket(1)
        #expect(stranger.next() == .reset(1, 1) && !stranger.mayConnect)
        stranger.get(3, "/")
        #expect(stranger.answer(3)?.fields[":status"] == "200")

        let world = try RelayWorld(bounds: Self.bounds, Self.echo)
        let caller = FrameCaller(try world.connect())
        caller.webSocket(1, named: "connect-udp")
        caller.webSocket(3, "/", named: "websocket", [("content-length", "5")])
        #expect(caller.answer(1).map { $0.fields[":status"] } == "501" || caller.next() == .reset(3, 1))
        caller.webSocket(5)
        guard case .head(5, _, false) = caller.nextOf(5) else { throw CancellationError() }
        caller.request(5, [("x", "y")])
        #expect(caller.until { if case .reset(5, 1) = $0 { true } else { false } })
        #expect(soon { world.open == 0 })
    }

    @Test("A caller's reset reaches the service, and the service's end, orderly or not, the caller")
    func ends() throws {
        let ending = Lock("")
        let world = try RelayWorld(bounds: Self.bounds) { service, number in
            let head = service.readHead()
            service.send(Self.agreement(to: head))
            switch number {
            case 0:
                let how = "\(service.ending())"
                ending.withLock { $0 = how }
            case 1: service.close()
            default: service.reset()
            }
        }
        let caller = FrameCaller(try world.connect())
        caller.webSocket(1)
        _ = caller.nextOf(1)
        caller.reset(1)
        #expect(soon { ending.withLock { $0 } == "reset" } && world.ended("caller") == 1)
        caller.webSocket(3)
        _ = caller.nextOf(3)
        #expect(caller.nextOf(3) == .data(3, [], ends: true))
        caller.data(3, [], ends: true)
        #expect(soon { world.ended("finished") == 1 || world.ended("service") == 1 })
        caller.webSocket(5)
        #expect(caller.until { if case .reset(5, _) = $0 { true } else { false } })
        #expect(soon { world.open == 0 && world.value("weft_upstream_connections") == 0 })
        caller.webSocket(7)
        caller.connection.close()
        #expect(soon { world.open == 0 && world.value("weft_upstream_connections") == 0 })
    }

    @Test("One in which nothing moves is cut for its time, and one that a change of config cuts is cut at once")
    func cut() throws {
        var bounds = Self.bounds
        bounds.tunnelIdleTime = .milliseconds(200)
        let world = try RelayWorld(bounds: bounds, Self.echo)
        let caller = try Self.open(world)
        #expect(caller.bytes(1, 5) == Array("first".utf8))
        #expect(caller.until { if case .reset(1, _) = $0 { true } else { false } })
        #expect(soon { world.open == 0 && world.ended("idle") == 1 })

        let other = try RelayWorld(bounds: Self.bounds, Self.echo)
        let second = try Self.open(other)
        #expect(other.open == 1)
        other.plane.cutTunnels(inbound: true)
        #expect(second.until { if case .reset(1, _) = $0 { true } else { false } })
        #expect(soon { other.open == 0 && other.ended("shutdown") == 1 })
    }
}

extension FrameCaller {
    /// What comes next on one stream.
    fileprivate func nextOf(_ stream: UInt32) -> Event {
        while true {
            let event = next()
            switch event {
            case .head(stream, _, _), .data(stream, _, _), .reset(stream, _), .closed: return event
            default: continue
            }
        }
    }

    fileprivate func until(_ matches: (Event) -> Bool) -> Bool {
        while true {
            let event = next()
            if matches(event) { return true }
            if event == .closed { return false }
        }
    }

    /// All DATA of a stream up to its end.
    fileprivate func answerBody(_ stream: UInt32) -> [UInt8] {
        var body: [UInt8] = []
        while case .data(stream, let piece, let ends) = nextOf(stream) {
            body += piece
            if ends { break }
        }
        return body
    }
}

extension String {
    fileprivate func components(of separator: String) -> Int { ranges(of: separator).count + 1 }
}
