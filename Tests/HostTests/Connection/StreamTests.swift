import Glibc
import Pipeline
import Testing
import WeftTesting

@testable import Host

@Suite("Raw streams through two data paths", .serialized)
struct StreamTests {
    /// Speaks first, as MySQL and SMTP do; then says everything back.
    @Sendable static func greet(_ service: RawConnection, _: Int) {
        service.send("hello\n")
        while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
    }

    /// Says everything back, and waits to be spoken to.
    @Sendable static func echo(_ service: RawConnection, _: Int) {
        while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
    }

    private static func soon(_ what: () -> Bool) -> Bool {
        let end = Clock.monotonic() + Patience.seconds(10)
        while !what() {
            guard Clock.monotonic() < end else { return false }
            usleep(2_000)
        }
        return true
    }

    private static func isReleased(_ world: StreamWorld) -> Bool {
        soon { [world.calling, world.called].allSatisfy { world.value("weft_tunnels", $0) == 0 && world.value("weft_stats_in_flight", $0) == 0 } }
    }

    @Test("A service that speaks first is heard at once; bytes of any kind go both ways, and are counted by pair")
    func both() throws {
        let world = try StreamWorld(handle: Self.greet)
        let caller = try world.connect()
        #expect(caller.read(6) == "hello\n")
        for text in ["a", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", String(repeating: "\u{0}x", count: 40_000)] {
            caller.send(text)
            #expect(caller.read(text.utf8.count) == text)
        }
        for plane in [world.calling, world.called] {
            // Peers are interned once per process, here with another world's labels: the called side's source may have any name.
            let pair = ["destination=orders-db", plane === world.calling ? "source=order" : "reporter=destination"]
            #expect(world.value("weft_tcp_connections_opened_total", plane, pair[0], pair[1]) == 1)
            #expect(world.value("weft_connections", plane, pair[0], pair[1]) == 1)
            // While it is still open.
            #expect(Self.soon { world.value("weft_tcp_received_bytes_total", plane, pair[0], pair[1]) == 80_043 })
            #expect(Self.soon { world.value("weft_tcp_sent_bytes_total", plane, pair[0], pair[1]) == 80_049 })
        }
        caller.finishWriting()
        #expect(caller.ending() == .finished)
        #expect(Self.isReleased(world))
        #expect(Self.soon { world.calls(world.called).count == 1 })
        #expect(world.calls(world.calling) == ["order → orders-db 0": 1] && world.calls(world.called).values.reduce(0, +) == 1)
        #expect(world.said.all.isEmpty)
    }

    @Test("A caller that says all it has and half-closes at once still gets its answer", arguments: [1, 300_000])
    func halfClosed(count: Int) throws {
        let world = try StreamWorld { service, _ in
            let said = service.readAll()
            service.send("\(said.utf8.count) bytes")
        }
        let caller = try world.connect()
        caller.send(String(repeating: "x", count: count))
        caller.finishWriting()
        #expect(caller.readAll() == "\(count) bytes")
        #expect(Self.isReleased(world))
    }

    @Test("A service that finishes first still hears its caller out")
    func serviceFirst() throws {
        let heard = Lock("")
        let world = try StreamWorld { service, _ in
            service.send("bye")
            service.finishWriting()
            let rest = service.readAll()
            heard.withLock { $0 = rest }
        }
        let caller = try world.connect()
        #expect(caller.readAll() == "bye")
        caller.send("late")
        caller.finishWriting()
        #expect(Self.soon { heard.withLock { $0 } == "late" })
        #expect(Self.isReleased(world))
    }

    @Test("Ten megabytes each way pass whole at once, to a reader that is slow")
    func large() throws {
        let size = 10 << 20
        let piece = (0..<(1 << 16)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let arrived = Lock(0)
        let world = try StreamWorld { service, _ in
            RawServer.spawn { for _ in 0..<(size / piece.count) { service.send(piece) } }
            let got = service.drain(size)
            arrived.withLock { $0 = got.count }
            service.send("done")
            _ = service.readAll()
        }
        let caller = try world.connect()
        RawServer.spawn { for _ in 0..<(size / piece.count) { caller.send(piece) } }
        usleep(200_000)
        #expect(caller.drain(size).count == size)
        #expect(caller.read(4) == "done" && arrived.withLock { $0 } == size)
        caller.close()
        #expect(Self.isReleased(world))
    }

    // MARK: Who may

    @Test("Who is denied by identity is reset before the application hears of it; the log names the rule")
    func denied() throws {
        let world = try StreamWorld(access: .rule(.deny, from: [.service(namespace: "default", name: "order")]), handle: Self.greet)
        let caller = try world.connect()
        #expect(caller.isReset(saying: Array("SELECT 1".utf8)))
        #expect(world.servers[0].connections == 0)
        #expect(Self.isReleased(world))
        #expect(world.value("weft_authz_denied_total", world.called) == 1 && world.value("weft_authz_revoked_total", world.called) == 0)
        #expect(world.calls(world.called).map { "\($0.key.suffix(3)) \($0.value)" } == ["403 1"])
        let line = world.said.all.first { $0.contains("refused") } ?? ""
        #expect(line.contains("port 5432") && line.contains("sa/order") && line.contains("denied by AccessPolicy default/rule, rule 1"), "\(world.said.all)")
    }

    @Test("A rule for another port does not concern it; an allow of it lets exactly those in", arguments: ["order", "analytics"])
    func allowed(caller: String) throws {
        let world = try StreamWorld(access: .rule(.allow, from: [.service(namespace: "default", name: "order")]), caller: caller, handle: Self.greet)
        let connection = try world.connect()
        #expect(connection.read(6) == (caller == "order" ? "hello\n" : ""))
        #expect(world.servers[0].connections == (caller == "order" ? 1 : 0))
    }

    @Test(
        "Without a trusted identity not one byte reaches a strict application: plaintext, silence, other people's TLS, a mesh client that speaks HTTP",
        arguments: ["SELECT 1\n", "\u{0}\u{0}\u{0}\u{8}", "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}", "\u{16}"])
    func strict(bytes: String) throws {
        var bounds = Bounds()
        bounds.handshakeTime = .milliseconds(300)
        bounds.detectTime = .milliseconds(100)
        let world = try StreamWorld(bounds: bounds, handle: Self.greet)
        let stranger = try world.stranger()
        stranger.send(bytes)
        #expect(stranger.readAll() == "")
        #expect(world.servers[0].connections == 0)
        let other = try StreamWorld(bounds: bounds, protocols: ["http/1.1"], handle: Self.greet)
        #expect(try other.connect().ending() == .reset)
        #expect(other.servers[0].connections == 0)
        #expect(other.value("weft_upstream_connect_failures_total", other.calling) >= 1)
    }

    @Test("Permissive: strangers are external to the policies, whether they speak first or wait", arguments: [true, false])
    func permissive(isDenied: Bool) throws {
        var bounds = Bounds()
        bounds.detectTime = .milliseconds(100)
        let access = AccessPart.rule(.deny, from: [isDenied ? .external : .service(namespace: "default", name: "nobody")], mtls: .permissive)
        let world = try StreamWorld(access: access, bounds: bounds, handle: Self.greet)
        for opening in ["", "\u{0}\u{0}\u{0}\u{8}", "x", "\u{16}\u{3}\u{1}\u{0}\u{4}\u{1}\u{0}\u{0}\u{0}rest"] {
            let stranger = try world.stranger()
            if isDenied {
                #expect(stranger.isReset(saying: Array(opening.utf8)), "\(opening.debugDescription)")
            } else {
                stranger.send(opening)
                let expected = "hello\n" + opening
                #expect(stranger.read(expected.utf8.count) == expected)
            }
        }
        // The mesh's own callers are as welcome as before.
        #expect(try world.connect().read(6) == "hello\n")
        #expect(world.servers[0].connections == (isDenied ? 1 : 5))
    }

    @Test("A change of policy cuts who is refused now, within a second, and nobody else; many swaps lose no stream")
    func changes() throws {
        let world = try StreamWorld(access: AccessPart(mtls: .permissive), handle: Self.echo)
        let order = try world.connect(), stranger = try world.stranger()
        for connection in [order, stranger] {
            connection.send("hi")
            #expect(connection.read(2) == "hi")
        }
        for round in 0..<20 {
            try world.change(AccessPart(mtls: .permissive))
            for connection in [order, stranger] {
                connection.send("round \(round)")
                #expect(connection.read(7 + (round > 9 ? 1 : 0)) == "round \(round)")
            }
        }
        let start = Clock.monotonic()
        try world.change(.rule(.deny, from: [.external], mtls: .permissive))
        #expect(stranger.ending() == .reset)
        #expect(Clock.monotonic() - start < .seconds(1))
        order.send("still here")
        #expect(order.read(10) == "still here")
        #expect(world.said.all.contains { $0.contains("cut: denied by AccessPolicy default/rule, rule 1") }, "\(world.said.all)")
        #expect(world.value("weft_authz_revoked_total", world.called) == 1 && world.value("weft_authz_denied_total", world.called) == 0)
        try world.change(.rule(.deny, from: [.service(namespace: "default", name: "order")], mtls: .permissive))
        #expect(order.ending() == .reset)
        #expect(Self.isReleased(world))
    }

    @Test("Going strict cuts streams in the clear alone")
    func goesStrict() throws {
        let world = try StreamWorld(access: AccessPart(mtls: .permissive), handle: Self.echo)
        let order = try world.connect(), stranger = try world.stranger()
        for connection in [order, stranger] {
            connection.send("hi")
            #expect(connection.read(2) == "hi")
        }
        try world.change(AccessPart(mtls: .strict))
        #expect(stranger.ending() == .reset)
        order.send("hi")
        #expect(order.read(2) == "hi")
    }

    @Test("A stream does not outlive the trust it was opened under")
    func trust() throws {
        let world = try StreamWorld(handle: Self.echo)
        let caller = try world.connect()
        caller.send("hi")
        #expect(caller.read(2) == "hi")
        let change = { (roots: [Certificate]) in
            world.called.setTLS(
                server: nil, client: nil,
                streamServer: try TLSContext.server(
                    identity: world.authority.workload("orders-db"), trust: roots, trustDomain: "shop.internal",
                    applicationProtocols: ["weft-tcp"], scope: "inbound-tcp"), trustChanged: true)
        }
        try change([world.authority.root])
        caller.send("hi")
        #expect(caller.read(2) == "hi")
        try change([try TestAuthority().root])
        #expect(caller.ending() == .reset)
    }

    @Test("Beyond the rate, connections are reset, and none of a change of config costs a token")
    func rate() throws {
        var access = AccessPart()
        access.rateLimits = [
            .init(name: "default/db", rules: [.init(key: .source, rate: "1/h", burst: 2)], origin: Origin(resource: "test")),
            .init(name: "default/paths", rules: [.init(matches: [.init(path: .prefix("/x"))], key: .total, rate: "1/h", burst: 1)], origin: Origin(resource: "test")),
        ]
        let world = try StreamWorld(access: access, handle: Self.greet)
        let kept = try (0..<2).map { _ in try world.connect() }
        for connection in kept { #expect(connection.read(6) == "hello\n") }
        try world.change(access)
        #expect(try world.connect().ending() == .reset)
        #expect(world.value("weft_ratelimit_limited_total", world.called) == 1)
        #expect(world.said.all.contains { $0.contains("RateLimit default/db, rule 1: more than 1/h per source") }, "\(world.said.all)")
        kept[0].send("hi")
        #expect(kept[0].read(2) == "hi")
    }

    // MARK: Endpoints

    @Test("An endpoint that cannot be connected to costs nobody a stream as long as there is another")
    func otherEndpoint() throws {
        let world = try StreamWorld(dead: 1, handle: Self.greet)
        var connections: [RawConnection] = []
        for _ in 0..<12 {
            connections.append(try world.connect())
            #expect(connections.last?.read(6) == "hello\n")
        }
        // Five failures in a row put it aside.
        #expect(world.value("weft_upstream_connect_failures_total", world.calling) <= 5)
        #expect(world.calls(world.calling).isEmpty)
    }

    @Test("With nobody to connect to the caller is reset at once, each endpoint tried once", arguments: [1, 2])
    func nobody(dead: Int) throws {
        let world = try StreamWorld(dead: dead, isAlive: false, handle: Self.greet)
        #expect(try world.connect().ending() == .reset)
        #expect(Self.isReleased(world))
        #expect(world.value("weft_upstream_connect_failures_total", world.calling) == dead)
        #expect(world.calls(world.calling) == ["order → orders-db 503": 1])
        #expect(world.said.all.contains { $0.contains("failed (UF)") }, "\(world.said.all)")
        let empty = try StreamWorld(isAlive: false, handle: Self.greet)
        #expect(try empty.connect().ending() == .reset)
        #expect(empty.said.all.contains { $0.contains("failed (UH)") }, "\(empty.said.all)")
    }

    @Test("A stream in which nothing moves is cut for its time")
    func idle() throws {
        var bounds = Bounds()
        bounds.tunnelIdleTime = .milliseconds(300)
        let world = try StreamWorld(bounds: bounds, handle: Self.greet)
        let caller = try world.connect()
        #expect(caller.read(6) == "hello\n")
        #expect(caller.ending() == .reset)
        #expect(Self.isReleased(world))
        // Whichever of the two was first.
        #expect(Self.soon { [world.calling, world.called].contains { world.calls($0).contains { $0.key.hasSuffix("408") } } })
    }

    @Test("A reset passes on, in both directions", arguments: [true, false])
    func reset(byCaller: Bool) throws {
        let ending = Lock<RawConnection.Ending?>(nil)
        let world = try StreamWorld { service, _ in
            service.send("x")
            _ = service.read(1)
            if !byCaller { return service.reset() }
            let how = service.ending()
            ending.withLock { $0 = how }
        }
        let caller = try world.connect()
        #expect(caller.read(1) == "x")
        caller.send("y")
        if byCaller {
            usleep(50_000)
            caller.reset()
            #expect(Self.soon { ending.withLock { $0 != nil } })
            #expect(ending.withLock { $0 } == .reset)
        } else {
            #expect(caller.ending() == .reset)
        }
        #expect(Self.isReleased(world))
    }

    // MARK: PROXY protocol

    private static let header: [UInt8] =
        [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0, 12, 203, 0, 113, 9, 10, 0, 0, 2, 0x0F, 0xA0, 0x15, 0x38]

    @Test("The application is told where the caller is, before its first byte, also where it speaks first")
    func proxyOut() throws {
        let world = try StreamWorld(sendsProxyHeader: true) { service, _ in
            service.send("hello")
            var seen: [UInt8] = []
            while seen.count < 30, case let piece = service.readSome(), !piece.isEmpty { seen += piece }
            service.send(seen)
            _ = service.readAll()
        }
        let caller = try world.connect()
        #expect(caller.read(5) == "hello")
        caller.send("hi")
        let seen = caller.readExactly(30)
        #expect(Array(seen[..<16]) == Array(Self.header[..<16]))
        #expect(Array(seen[16..<24]) == [127, 0, 0, 1, 127, 0, 0, 1])
        #expect(UInt16(seen[26]) << 8 | UInt16(seen[27]) == world.called.addresses.streams[0].port)
        #expect(Array(seen[28...]) == Array("hi".utf8))
    }

    @Test("A trusted proxy's header, however it is cut, is taken before plaintext and before TLS, and handed on; its policies stay those of a stranger")
    func proxyIn() throws {
        let world = try StreamWorld(access: AccessPart(mtls: .permissive), takesProxyHeader: true, sendsProxyHeader: true) { service, _ in
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        for cut in [1, 7, 28, 40] {
            let proxy = try world.stranger()
            let all = Self.header + Array("SELECT 1".utf8)
            for start in stride(from: 0, to: all.count, by: cut) {
                proxy.send(Array(all[start..<min(all.count, start + cut)]))
                if cut < 28 { usleep(500) }
            }
            let seen = proxy.readExactly(36)
            // The destination is the sidecar's own.
            #expect(Array(seen[12..<20]) == Array(Self.header[12..<20]) && Array(seen[24..<26]) == [0x0F, 0xA0] && Array(seen[28...]) == Array("SELECT 1".utf8), "\(seen)")
        }
        try world.change(.rule(.deny, from: [.external], mtls: .permissive))
        let denied = try world.stranger()
        #expect(denied.isReset(saying: Self.header + Array("SELECT 1".utf8)))
        #expect(world.said.all.contains { $0.contains("from 203.0.113.9:4000") }, "\(world.said.all)")
        try world.change(AccessPart(mtls: .strict))
        let strict = try world.stranger()
        #expect(strict.isReset(saying: Self.header + Array("SELECT 1".utf8)))
    }

    @Test("A proxy that passes mTLS through says where the caller is; the caller's identity is its certificate's all the same")
    func proxyBeforeTLS() throws {
        let access = AccessPart.rule(.allow, from: [.service(namespace: "default", name: "order")])
        let world = try StreamWorld(access: access, takesProxyHeader: true, sendsProxyHeader: true, proxyHeader: Self.header) { service, _ in
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        let caller = try world.connect()
        caller.send("hi")
        let seen = caller.readExactly(30)
        #expect(Array(seen[12..<20]) == Array(Self.header[12..<20]) && Array(seen[28...]) == Array("hi".utf8), "\(seen)")
        try world.change(.rule(.deny, from: [.service(namespace: "default", name: "order")]))
        #expect(caller.readAll() == "")
        #expect(world.said.all.contains { $0.contains("from 203.0.113.9:4000") && $0.contains("sa/order") && $0.contains("cut: denied by AccessPolicy default/rule, rule 1") }, "\(world.said.all)")
    }

    @Test("A trusted proxy without a header, with one of version 1 or of a later one is closed; so is one that never finishes it", arguments: ["SELECT 1", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nSELECT 1", "\r\n\r\n\u{0}\r\nQUIT\n\u{31}\u{11}", "\r\n\r\n"])
    func noHeader(bytes: String) throws {
        var bounds = Bounds()
        bounds.handshakeTime = .milliseconds(200)
        let world = try StreamWorld(access: AccessPart(mtls: .permissive), bounds: bounds, takesProxyHeader: true, handle: Self.greet)
        let proxy = try world.stranger()
        proxy.send(bytes)
        #expect(proxy.readAll() == "")
        #expect(world.servers[0].connections == 0)
        // Mesh callers come from the same address here, and say no header either.
        #expect(try world.connect().readAll() == "")
    }
}

extension RawConnection {
    /// Whether the other end breaks off, whatever is said.
    fileprivate func isReset(saying bytes: [UInt8]) -> Bool {
        // The reset may be there before the first byte: then it is the write that is told.
        let wasSent = send(bytes)
        return ending() == .reset || !wasSent
    }

    /// So many bytes, or fewer at the end.
    fileprivate func readExactly(_ count: Int) -> [UInt8] {
        var seen: [UInt8] = []
        while seen.count < count, case let piece = readSome(), !piece.isEmpty { seen += piece }
        return seen + [UInt8](repeating: 0, count: max(0, count - seen.count))
    }
}
