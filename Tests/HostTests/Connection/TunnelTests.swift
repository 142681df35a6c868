import Glibc
import Pipeline
import Synchronization
import Testing
import WeftTesting

@testable import Host
@Suite("Tunnels", .serialized)
struct TunnelTests {
    @Test("An upgrade goes through as the service and the caller said it, each hop naming it anew; then bytes go both ways")
    func opens() throws {
        let head = Lock("")
        let world = try RelayWorld { service, number in
            let seen = service.readHead()
            head.withLock { $0 = seen }
            service.send(Echo.agreement + "first")
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        let caller = try world.connect()
        let answer = caller.upgrade()
        #expect(answer.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(answer.hasSuffix("connection: upgrade\r\nupgrade: websocket\r\n\r\n") && !answer.contains("Connection: Upgrade") && !answer.contains("content-length"))
        let seen = head.withLock { $0 }
        #expect(seen.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") && seen.hasSuffix("connection: upgrade\r\nupgrade: websocket\r\n\r\n"))
        #expect(!seen.contains("keep-alive"))
        #expect(caller.read(5) == "first")
        for text in ["a", "hello", String(repeating: "x", count: 5_000), "\u{0}\u{1}\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            caller.send(text)
            #expect(caller.read(text.utf8.count) == text)
        }
        #expect(world.open == 1)
        caller.finishWriting()
        #expect(caller.ending() == .finished)
        #expect(world.isReleased() && world.open == 0 && world.ended("finished") == 1)
        #expect(world.value("weft_tunnel_received_bytes_total") + 5 == world.value("weft_tunnel_sent_bytes_total"))
    }

    @Test("What a caller sends too early waits until the service has agreed", arguments: [0, 20])
    func early(milliseconds: Int) throws {
        let heardNothing = Atomic<Bool>(false)
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            heardNothing.store(service.hearsNothing(milliseconds: 150), ordering: .relaxed)
            service.send(Echo.agreement)
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        let caller = try world.connect()
        let early = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
        if milliseconds == 0 {
            caller.send(Echo.ask() + early)
        } else {
            caller.send(Echo.ask())
            usleep(UInt32(milliseconds) * 1_000)
            caller.send(early)
        }
        #expect(caller.readHead().hasPrefix("HTTP/1.1 101"))
        #expect(caller.read(early.utf8.count) == early)
        let wasQuiet = heardNothing.load(ordering: .relaxed)
        #expect(wasQuiet)
    }

    @Test("A request behind a refused upgrade is never served, wherever reads cut the bytes", arguments: [0, 1, 7, -1])
    func smuggled(cut: Int) throws {
        let paths = Lock<[String]>([])
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                paths.withLock { $0.append(String(head.split(separator: " ")[1])) }
                usleep(100_000)
                service.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
            }
        }
        let caller = try world.connect()
        let both = Array((Echo.ask() + "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n").utf8)
        switch cut {
        case 0: caller.send(both)
        case -1:
            caller.send(Echo.ask())
            usleep(20_000)
            caller.send(Array(both[Echo.ask().utf8.count...]))
        default:
            for start in stride(from: 0, to: both.count, by: cut) {
                caller.send(Array(both[start..<min(both.count, start + cut)]))
                if start % 16 == 0 { usleep(200) }
            }
        }
        let answer = caller.readHead()
        #expect(answer.hasPrefix("HTTP/1.1 404") && answer.contains("connection: close"))
        #expect(caller.readAll() == "none")
        #expect(paths.withLock { $0 } == ["/chat"])
        #expect(world.isReleased(upstreams: 1))
    }

    @Test("A refused upgrade is an answer like any other, and both connections go on", arguments: [200, 403, 404, 503])
    func refused(status: Int) throws {
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                let code = head.contains(" /chat ") ? status : 200
                service.send("HTTP/1.1 \(code) Said\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nsaid")
            }
        }
        let caller = try world.connect()
        for _ in 0..<3 {
            let answer = caller.upgrade()
            #expect(answer.hasPrefix("HTTP/1.1 \(status)") && !answer.contains("close"))
            #expect(caller.read(4) == "said")
            caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
            #expect(caller.read(4) == "said")
        }
        #expect(world.server.connections == 1 && world.open == 0)
    }

    @Test("An agreement to something else is no answer: 502, and the connection to the service is gone", arguments: [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI *", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket, x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello",
    ])
    func disagreed(answer: String) throws {
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            service.send(answer)
            _ = service.readAll()
        }
        let caller = try world.connect()
        #expect(caller.upgrade().hasPrefix("HTTP/1.1 502"))
        #expect(soon { world.value("weft_upstream_connections") == 0 } && world.open == 0)
    }

    @Test("Another version of HTTP, or TLS, is never asked for; CONNECT is refused", arguments: ["h2c", "HTTP/2.0", "TLS/1.2", "h2c, TLS/1.3"])
    func stripped(name: String) throws {
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                let isClean = !head.lowercased().contains("upgrade") && !head.lowercased().contains("http2-settings")
                service.send("HTTP/1.1 \(isClean ? 200 : 500) Said\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let caller = try world.connect()
        for method in ["GET", "POST"] {
            caller.send("\(method) / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: \(name)\r\nHTTP2-Settings: AAMAAABk\r\n\(method == "POST" ? "Content-Length: 2\r\n\r\nhi" : "\r\n")")
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
        }
        caller.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 501"))
        #expect(world.open == 0)
    }

    @Test("Ten megabytes each way pass whole while readers are slow, through small buffers, held within the bounds", arguments: [0, 4_096] as [Int32])
    func streams(sendBuffer: Int32) throws {
        var bounds = Bounds()
        bounds.sendBufferBytes = sendBuffer
        // Far less than what passes.
        bounds.memoryMax = 1 << 20
        let size = 10 << 20
        let piece = (0..<(1 << 16)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let expected = piece.reduce(UInt64(0)) { $0 &+ UInt64($1) } &* UInt64(size / piece.count)
        let arrived = Lock<(Int, UInt64)?>(nil)
        let world = try RelayWorld(bounds: bounds) { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement)
            RawServer.spawn {
                usleep(200_000)
                let got = service.drain(size)
                arrived.withLock { $0 = (got.count, got.sum) }
            }
            for _ in 0..<(size / piece.count) { service.send(piece) }
            while arrived.withLock({ $0 == nil }) { usleep(1_000) }
            service.send("done")
            _ = service.readAll()
        }
        let caller = try world.connect(receiveBuffer: 8_192)
        #expect(caller.upgrade().hasPrefix("HTTP/1.1 101"))
        RawServer.spawn { for _ in 0..<(size / piece.count) { caller.send(piece) } }
        usleep(300_000)
        let got = caller.drain(size)
        #expect(got.count == size && got.sum == expected)
        #expect(caller.read(4) == "done")
        let other = arrived.withLock { $0 }
        #expect(other?.0 == size && other?.1 == expected)
        caller.close()
        #expect(world.isReleased() && world.open == 0)
    }

    @Test("An end passes on behind the last byte, and the other direction goes on", arguments: [true, false])
    func halfClose(callerFirst: Bool) throws {
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement)
            if callerFirst {
                let said = service.readAll()
                for _ in 0..<3 {
                    usleep(20_000)
                    service.send("answer to \(said)")
                }
            } else {
                service.send("all I say")
                service.finishWriting()
                let said = service.readAll()
                guard said == "late late late " else { return service.reset() }
            }
        }
        let caller = try world.connect()
        _ = caller.upgrade()
        if callerFirst {
            caller.send("all I say")
            caller.finishWriting()
            #expect(caller.readAll() == String(repeating: "answer to all I say", count: 3))
        } else {
            #expect(caller.readAll() == "all I say")
            for _ in 0..<3 {
                caller.send("late ")
                usleep(20_000)
            }
            #expect(world.open == 1)
            caller.finishWriting()
        }
        #expect(world.isReleased() && world.ended("finished") == 1)
    }

    @Test("A reset passes on", arguments: [true, false])
    func reset(byCaller: Bool) throws {
        let ending = Lock<RawConnection.Ending?>(nil)
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement + "x")
            if !byCaller {
                _ = service.read(1)
                return service.reset()
            }
            let how = service.ending()
            ending.withLock { $0 = how }
        }
        let caller = try world.connect()
        _ = caller.upgrade()
        #expect(caller.read(1) == "x")
        if byCaller {
            caller.reset()
            #expect(soon { ending.withLock { $0 != nil } })
            #expect(ending.withLock { $0 } == .reset)
        } else {
            caller.send("y")
            #expect(caller.ending() == .reset)
        }
        #expect(world.isReleased() && world.open == 0 && world.ended(byCaller ? "caller" : "service") == 1)
    }

    @Test("Only a tunnel in which nothing moves is cut for its time: neither one that is slow nor one whose reader pauses")
    func idle() throws {
        var bounds = Bounds()
        bounds.tunnelIdleTime = .milliseconds(600)
        bounds.bodyProgressTime = .milliseconds(100)
        bounds.downstreamIdleTime = .milliseconds(100)
        bounds.sendBufferBytes = 4_096
        let world = try RelayWorld(bounds: bounds) { service, number in
            _ = service.readHead()
            service.send(Echo.agreement)
            if number == 1 {
                // More than anybody takes at the moment.
                for _ in 0..<64 { service.send([UInt8](repeating: 7, count: 65_536)) }
            }
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        let slow = try world.connect()
        _ = slow.upgrade()
        for _ in 0..<5 {
            usleep(200_000)
            slow.send("a")
            #expect(slow.read(1) == "a")
        }
        let paused = try world.connect(receiveBuffer: 4_096)
        _ = paused.upgrade()
        usleep(400_000)
        #expect(paused.drain(64 << 16).count == 64 << 16)
        #expect(slow.ending() == .reset)
        #expect(paused.ending() == .reset)
        #expect(world.isReleased() && world.ended("idle") == 2)
    }

    @Test("A reader may pause for longer than a dead host is waited for")
    func pause() throws {
        var bounds = Bounds()
        bounds.deadPeerTime = .seconds(2)
        bounds.sendBufferBytes = 4_096
        let world = try RelayWorld(bounds: bounds) { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement)
            for _ in 0..<64 { service.send([UInt8](repeating: 7, count: 65_536)) }
            while case let piece = service.readSome(), !piece.isEmpty {}
        }
        let paused = try world.connect(receiveBuffer: 4_096)
        _ = paused.upgrade()
        usleep(5_000_000)
        #expect(paused.drain(64 << 16).count == 64 << 16)
    }

    @Test("An idle tunnel holds no buffer: as many as there are leave requests what they need")
    func holdsNothing() throws {
        var bounds = Bounds()
        bounds.memoryMax = 512 << 10
        bounds.connectionsPerEndpointMax = 4
        let world = try RelayWorld(bounds: bounds) { service, _ in
            let head = service.readHead()
            if head.contains("Upgrade") || head.contains("upgrade") {
                service.send(Echo.agreement)
                while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
            } else {
                service.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let callers = try (0..<100).map { _ in try world.connect() }
        for caller in callers {
            #expect(caller.upgrade().hasPrefix("HTTP/1.1 101"))
            caller.send("ping")
            #expect(caller.read(4) == "ping")
        }
        #expect(world.open == 100)
        let plain = try world.connect()
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(plain.readHead().hasPrefix("HTTP/1.1 200"))
        for caller in callers {
            caller.send("pong")
            #expect(caller.read(4) == "pong")
        }
    }

    @Test("A thousand tunnels opened and ended in every way leave nothing behind")
    func thousand() throws {
        let world = try RelayWorld { service, number in
            _ = service.readHead()
            service.send(Echo.agreement)
            var left = number % 5 == 4 ? 1 : Int.max
            while left > 0, case let piece = service.readSome(), !piece.isEmpty {
                service.send(piece)
                left -= 1
            }
            if left == 0 { service.reset() }
        }
        for round in 0..<20 {
            let callers = try (0..<50).map { _ in try world.connect() }
            for caller in callers { caller.send(Echo.ask()) }
            for caller in callers {
                #expect(caller.readHead().hasPrefix("HTTP/1.1 101"))
                caller.send("hi")
            }
            for (number, caller) in callers.enumerated() {
                switch (number + round) % 4 {
                case 0: caller.close()
                case 1: caller.reset()
                case 2:
                    caller.finishWriting()
                    _ = caller.ending()
                default:
                    _ = caller.read(2)
                    caller.close()
                }
            }
        }
        #expect(world.isReleased() && world.open == 0)
        let ended = ["finished", "caller", "service", "idle", "policy", "shutdown"].map(world.ended)
        #expect(ended.reduce(0, +) == 1_000, "\(ended)")
    }

    @Test("A change of policy cuts the tunnels it refuses within a second, and no others; shutting down cuts the rest")
    func policy() throws {
        let registry = FilterRegistry([RelayRouter.self, PathGate.self])
        let snapshot = { (path: String) -> Snapshot in
            var snapshot = DataplaneTests.snapshot()
            snapshot.chain.inbound.insert(
                ChainPart.Stage(id: "path-gate", filter: "path-gate", config: "{\"path\":\"\(path)\"}", origin: Origin(resource: "test")), at: 0)
            return snapshot
        }
        let world = try RelayWorld(registry: registry, snapshot: snapshot("/"), Echo.serve)
        let chat = try world.connect(), news = try world.connect()
        #expect(chat.upgrade("/chat").hasPrefix("HTTP/1.1 101"))
        #expect(news.upgrade("/news").hasPrefix("HTTP/1.1 101"))
        let began = Clock.monotonic()
        try world.plane.apply(snapshot("/news"))
        #expect(chat.ending() == .reset)
        #expect(Clock.monotonic() - began < .seconds(1))
        news.send("still here")
        #expect(news.read(10) == "still here")
        #expect(world.ended("policy") == 1 && world.open == 1)
        // As many swaps as there may be old chains, and then some.
        for _ in 0..<10 { try world.plane.apply(snapshot("/")) }
        news.send("and here")
        #expect(news.read(8) == "and here")
        world.plane.cutTunnels(inbound: false)
        news.send("yet")
        #expect(news.read(3) == "yet")
        world.plane.cutTunnels(inbound: true)
        #expect(news.ending() == .reset)
        #expect(world.isReleased() && world.ended("shutdown") == 1)
    }
}

/// Lets requests through whose path begins so.
private final class PathGate: RequestHeadFilter, ReviewFilter {
    static let name: FilterName = "path-gate"

    struct Config: FilterConfig {
        let path: String
        init(_ fields: inout ConfigFields) { path = fields.read("path", default: "/", "Prefix.") }
    }

    private let path: String

    init(_ config: Config, _ stage: inout StageSetup) { path = config.path }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange.request.path.string.hasPrefix(path) ? .next : .reply(403, because: "another path")
    }

    func onReview(_ exchange: borrowing Exchange) -> ConnectionVerdict {
        exchange.request.path.string.hasPrefix(path) ? .next : .refuse(because: "another path")
    }
}

@Suite("Tunnels under mutual TLS", .serialized)
struct SecureTunnelTests {
    private static func pair(_ handle: @escaping @Sendable (RawConnection, Int) -> Void) throws -> MeshPair {
        let authority = try TestAuthority()
        return try MeshPair(caller: authority.workload("order"), authority: authority, handle: handle)
    }

    private static func connect(_ pair: MeshPair, receiveBuffer: Int32 = 0) throws -> RawConnection {
        let caller = try RawConnection(to: pair.calling.addresses.proxy!, receiveBuffer: receiveBuffer)
        #expect(caller.upgrade("http://payment.weft/chat", host: "payment.weft").hasPrefix("HTTP/1.1 101"))
        return caller
    }

    private static func isReleased(_ pair: MeshPair) -> Bool {
        soon {
            [pair.calling, pair.called].allSatisfy { plane in
                plane.context.stats.read().allSatisfy { series in
                    guard case .gauge(let value) = series.value else { return true }
                    return value == 0
                }
            }
        }
    }

    @Test("Through two sidecars bytes go both ways, and an end passes both of them, one direction at a time")
    func through() throws {
        let pair = try Self.pair { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement)
            let said = service.readAll()
            usleep(50_000)
            service.send("answer to \(said)")
        }
        for _ in 0..<3 {
            let caller = try Self.connect(pair)
            caller.send("question")
            caller.finishWriting()
            #expect(caller.readAll() == "answer to question")
            caller.close()
        }
        #expect(Self.isReleased(pair))
        #expect(tunnelsEnded(pair.calling, "finished") == 3 && tunnelsEnded(pair.called, "finished") == 3)
    }

    @Test("Ten megabytes pass two sidecars whole, with the end behind them, to a reader that is slow")
    func streams() throws {
        let size = 10 << 20
        let piece = (0..<(1 << 16)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let pair = try Self.pair { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement)
            for _ in 0..<(size / piece.count) { service.send(piece) }
            service.finishWriting()
            _ = service.readAll()
        }
        let caller = try Self.connect(pair, receiveBuffer: 8_192)
        usleep(300_000)
        let got = caller.drain(size)
        #expect(got.count == size && got.sum == piece.reduce(UInt64(0)) { $0 &+ UInt64($1) } &* UInt64(size / piece.count))
        #expect(caller.ending() == .finished)
        caller.close()
        #expect(Self.isReleased(pair))
    }

    @Test("A reset passes two sidecars, in either direction", arguments: [true, false])
    func reset(byCaller: Bool) throws {
        let ending = Lock<RawConnection.Ending?>(nil)
        let pair = try Self.pair { service, _ in
            _ = service.readHead()
            service.send(Echo.agreement + "x")
            if !byCaller {
                _ = service.read(1)
                return service.reset()
            }
            let how = service.ending()
            ending.withLock { $0 = how }
        }
        let caller = try Self.connect(pair)
        #expect(caller.read(1) == "x")
        if byCaller {
            caller.reset()
            #expect(soon { ending.withLock { $0 != nil } })
            #expect(ending.withLock { $0 } == .reset)
        } else {
            caller.send("y")
            #expect(caller.ending() == .reset)
        }
        #expect(Self.isReleased(pair))
    }

    @Test("Tunnels do not outlive the trust they were opened under; new keys, and roots beside the old ones, leave them alone", arguments: [true, false])
    func trust(callingSide: Bool) throws {
        let pair = try Self.pair(Echo.serve)
        let stranger = try TestAuthority()
        let caller = try Self.connect(pair)
        let change = { (roots: [Certificate]) in
            if callingSide {
                pair.calling.setTLS(
                    server: nil,
                    client: try TLSContext.client(identity: pair.authority.workload("order"), trust: .roots(roots), trustDomain: "shop.internal"), trustChanged: true)
            } else {
                pair.called.setTLS(
                    server: try TLSContext.server(identity: pair.authority.workload("payment"), trust: roots, trustDomain: "shop.internal", scope: "inbound"),
                    client: nil, trustChanged: true)
            }
        }
        for roots in [[pair.authority.root], [pair.authority.root, stranger.root]] {
            try change(roots)
            caller.send("here")
            #expect(caller.read(4) == "here")
        }
        try change([stranger.root])
        #expect(caller.ending() == .reset)
        #expect(Self.isReleased(pair) && tunnelsEnded(callingSide ? pair.calling : pair.called, "policy") == 1)
    }
}
