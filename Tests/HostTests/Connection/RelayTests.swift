import Glibc
import Pipeline
import Synchronization
import Testing
import WeftTesting

@testable import Host

/// A data path with the least chain, in front of a service that the test scripts.
final class RelayWorld {
    let plane: Dataplane
    let server: RawServer

    /// - Parameter above: a stage above the router, and its filter.
    init(
        workers: Int = 1, bounds: Bounds = Bounds(), registry: FilterRegistry = FilterRegistry([RelayRouter.self]),
        snapshot: Snapshot = DataplaneTests.snapshot(), above: (stage: ChainPart.Stage, filter: any Filter.Type)? = nil, seed: UInt64? = nil,
        trustedProxies: [AddressRange] = [],
        _ handle: @escaping @Sendable (RawConnection, Int) -> Void
    ) throws {
        server = RawServer(handle)
        var entrances = Dataplane.Entrances()
        entrances.inbound = SocketAddress("127.0.0.1:0")
        entrances.inboundIsPlain = true
        entrances.trustedProxies = trustedProxies
        var snapshot = snapshot
        if let above { snapshot.chain.inbound.insert(above.stage, at: 0) }
        plane = try Dataplane(
            workers: workers, entrances: entrances, application: server.address,
            registry: above.map { FilterRegistry([RelayRouter.self, $0.filter]) } ?? registry, snapshot: snapshot, bounds: bounds, seed: seed)
    }

    deinit {
        plane.stop()
        server.stop()
    }

    func connect(receiveBuffer: Int32 = 0) throws -> RawConnection { try RawConnection(to: plane.addresses.inbound!, receiveBuffer: receiveBuffer) }

    func value(_ name: String) -> Int64 {
        switch plane.context.stats.read().first(where: { $0.name == name })?.value {
        case .counter(let value)?: Int64(value)
        case .gauge(let value)?: value
        default: -1
        }
    }

    /// Everything a request held has come back.
    func isReleased(upstreams: Int64 = 0) -> Bool {
        let end = Clock.monotonic() + Patience.seconds(20)
        while Clock.monotonic() < end {
            if value("weft_downstream_connections") == 0, value("weft_upstream_connections") <= upstreams, plane.inboundInFlight() == 0 { return true }
            usleep(5_000)
        }
        return false
    }
}

@Suite("Relay", .serialized)
struct RelayTests {
    private static func ok(_ body: String, _ more: String = "") -> String { "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\(more)\r\n\(body)" }

    /// Answers every request with its target, for as long as the connection lives.
    @Sendable private static func echoTargets(_ service: RawConnection, _: Int) {
        while case let head = service.readHead(), !head.isEmpty { service.send(ok(String(head.split(separator: " ")[1]))) }
    }

    @Test("Requests sent all at once are answered in order, over one connection to the service")
    func pipelined() throws {
        let world = try RelayWorld(Self.echoTargets)
        let caller = try world.connect()
        caller.send((0..<50).map { "GET /\($0 + 10) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for number in 0..<50 { #expect(caller.read(until: "/\(number + 10)").hasSuffix("\r\n\r\n/\(number + 10)")) }
        #expect(world.server.connections == 1)
    }

    @Test("A request that waits behind a long answer is served when that has left", arguments: [16 << 10, 32 << 10, 64 << 10, 1 << 20])
    func pipelinedBehindLongAnswer(_ size: Int) throws {
        let world = try RelayWorld { service, _ in
            while !service.readHead().isEmpty { service.send(Self.ok(String(repeating: "x", count: size))) }
        }
        let caller = try world.connect()
        let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        caller.send(head + head + head)
        for _ in 0..<3 {
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
            #expect(caller.drain(size).count == size)
        }
    }

    @Test("Chunks and trailers pass both ways")
    func chunked() throws {
        let world = try RelayWorld { service, _ in
            let head = service.readHead()
            let body = service.read(until: "0\r\n")
            let trailers = service.readHead()
            service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\(head.lowercased().contains("transfer-encoding: chunked") ? "good" : "bad!")\r\n")
            usleep(20_000)
            service.send("\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\nGrpc-Status: \(trailers.contains("Grpc-Status: 7") ? 7 : 0)\r\n\r\n")
            _ = service.readHead()
        }
        let caller = try world.connect()
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        usleep(20_000)
        caller.send("1\r\n!\r\n0\r\nGrpc-Status: 7\r\n\r\n")
        #expect(caller.readHead().lowercased().contains("transfer-encoding: chunked"))
        let answer = caller.read(until: "Grpc-Status: 7\r\n\r\n")
        #expect(answer.contains("good") && answer.contains("hello") && answer.hasSuffix("0\r\nGrpc-Status: 7\r\n\r\n"))
    }

    @Test("Answers without a body end with their head, and the connection goes on")
    func bodiless() throws {
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                switch head.split(separator: " ")[1] {
                case "/head": service.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                case "/204": service.send("HTTP/1.1 204 No Content\r\n\r\n")
                case "/304": service.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
                default: service.send(Self.ok("end"))
                }
            }
        }
        let caller = try world.connect()
        for (method, path, status) in [("HEAD", "/head", 200), ("GET", "/204", 204), ("GET", "/304", 304)] {
            caller.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(caller.readHead().hasPrefix("HTTP/1.1 \(status)"))
        }
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.read(until: "end").hasPrefix("HTTP/1.1 200"))
        #expect(world.server.connections == 1)
    }

    @Test("A caller that waits for 100 is told to go on once, when the service is asked")
    func expectContinue() throws {
        let world = try RelayWorld { service, _ in
            let head = service.readHead()
            service.send(Self.ok(service.read(4) + (head.lowercased().contains("expect") ? " expected" : "")))
            _ = service.readHead()
        }
        let caller = try world.connect()
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 100"))
        caller.send("body")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
    }

    @Test("A hundred mebibytes go up and come back whole, within a few of memory")
    func large() throws {
        let size = 100 << 20
        let piece = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let sum = piece.reduce(UInt64(0)) { $0 + UInt64($1) } * 100
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            let got = service.drain(size)
            service.send("HTTP/1.1 200 OK\r\nX-Got: \(got.count) \(got.sum)\r\nContent-Length: \(size)\r\n\r\n")
            for _ in 0..<100 where !service.send(piece) { return }
            _ = service.readHead()
        }
        let caller = try world.connect()
        let before = Self.residentBytes
        caller.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
        for _ in 0..<100 { #expect(caller.send(piece)) }
        #expect(caller.readHead().contains("X-Got: \(size) \(sum)\r\n"))
        let back = caller.drain(size)
        #expect(back.count == size && back.sum == sum)
        // A sanitizer's shadow of the buffers counts too.
        #expect(Self.residentBytes - before < (Patience.factor > 1 ? 96 : 24) << 20)
    }

    private static var residentBytes: Int {
        let text = (try? Files.read("/proc/self/statm")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    @Test("A caller that does not read stops the service's sending, not the sidecar; then everything comes")
    func slowReader() throws {
        let size = 64 << 20
        let sent = Shared()
        let world = try RelayWorld { service, _ in
            _ = service.readHead()
            service.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            let piece = [UInt8](repeating: 1, count: 64 << 10)
            for _ in 0..<(size / piece.count) {
                guard service.send(piece) else { return }
                sent.count.add(piece.count, ordering: .relaxed)
            }
            _ = service.readHead()
        }
        let caller = try world.connect(receiveBuffer: 64 << 10)
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = caller.readHead()
        usleep(500_000)
        let early = sent.count.load(ordering: .relaxed)
        // What the kernel's socket buffers hold on both sides of the sidecar: 6 MiB to receive, 4 MiB to send, each.
        #expect(early < 24 << 20)
        // Another caller is served meanwhile.
        let back = caller.drain(size)
        #expect(back.count == size && back.sum == UInt64(size))
    }

    final class Shared: Sendable { let count = Atomic<Int>(0) }

    @Test("A caller that leaves in the middle of its request, or of the answer, leaves nothing behind")
    func callerLeaves() throws {
        let world = try RelayWorld { service, _ in
            let head = service.readHead()
            if head.hasPrefix("POST") {
                _ = service.readAll()
            } else if head.contains("/silent") {
                _ = service.readAll()
            } else {
                service.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while service.send([UInt8](repeating: 0, count: 1024)) { usleep(1_000) }
            }
        }
        for leave in [RawConnection.close, RawConnection.reset] {
            let upload = try world.connect()
            upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nstart")
            usleep(50_000)
            leave(upload)()
            let download = try world.connect()
            download.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = download.readHead()
            leave(download)()
            let waiting = try world.connect()
            waiting.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
            usleep(50_000)
            leave(waiting)()
            // One that asked for the connection to close may have finished sending for good; a reset tells.
            let closing = try world.connect()
            closing.send("GET /silent HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            usleep(50_000)
            closing.reset()
            #expect(world.isReleased())
        }
    }

    @Test("A service that breaks off before its answer becomes an error; within it, a cut that nobody takes for the end")
    func serviceBreaks() throws {
        let world = try RelayWorld { service, _ in
            switch service.readHead().split(separator: " ")[1] {
            case "/reset": service.reset()
            case "/close": service.close()
            case "/length": service.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            case "/chunked": service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            case "/nonsense": service.send("SSH-2.0-OpenSSH\r\n\r\n")
            default: service.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
            }
        }
        for path in ["/reset", "/close", "/nonsense"] {
            let caller = try world.connect()
            caller.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            let head = caller.readHead()
            #expect(head.hasPrefix("HTTP/1.1 50"), "\(path)")
        }
        for (path, ending) in [("/length", "half"), ("/chunked", "4\r\nhalf\r\n")] {
            let caller = try world.connect()
            caller.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = caller.readHead()
            #expect(caller.readAll() == ending, "\(path)")
        }
        let caller = try world.connect()
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.read(until: "0\r\n\r\n").hasSuffix("until the end\r\n0\r\n\r\n"))
        caller.close()
        #expect(world.isReleased())
    }

    @Test("A kept connection that the service has closed meanwhile costs the caller nothing")
    func stale() throws {
        let world = try RelayWorld { service, number in
            let head = service.readHead()
            service.send(Self.ok("\(number)"))
            // The second request of a connection meets a close without an answer.
            if !head.isEmpty { _ = service.readHead() }
        }
        let caller = try world.connect()
        for number in 0..<5 {
            caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
            #expect(caller.read(1) == "\(number)")
        }
        #expect(world.value("weft_upstream_stale_total") == 4)
    }

    @Test("A service that is not there is an error at once")
    func refused() throws {
        let world = try RelayWorld { _, _ in }
        world.server.stop()
        let caller = try world.connect()
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 503"))
        caller.close()
        #expect(world.isReleased())
    }

    @Test("Chains swapped a hundred times under load lose no request")
    func swaps() throws {
        let world = try RelayWorld(workers: 2, Self.echoTargets)
        let good = Shared(), bad = Shared(), left = Shared()
        left.count.store(4, ordering: .relaxed)
        let address = world.plane.addresses.inbound!
        for _ in 0..<4 {
            RawServer.spawn {
                if let caller = try? RawConnection(to: address) {
                    for number in 0..<200 {
                        caller.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
                        let head = caller.readHead()
                        let body = caller.read("/\(number)".utf8.count)
                        (head.hasPrefix("HTTP/1.1 200") && body == "/\(number)" ? good : bad).count.add(1, ordering: .relaxed)
                    }
                }
                left.count.subtract(1, ordering: .relaxed)
            }
        }
        for _ in 0..<100 {
            try world.plane.apply(DataplaneTests.snapshot())
            usleep(2_000)
        }
        let end = Clock.monotonic() + Patience.seconds(20)
        while left.count.load(ordering: .relaxed) > 0, Clock.monotonic() < end { usleep(5_000) }
        #expect(bad.count.load(ordering: .relaxed) == 0)
        #expect(good.count.load(ordering: .relaxed) == 800)
    }

    @Test("Draining, it takes no new connection, says goodbye in the answer under way, and closes idle ones")
    func drains() throws {
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                if head.contains("/slow") { usleep(300_000) }
                service.send(Self.ok("done"))
            }
        }
        let idle = try world.connect()
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = idle.read(until: "done")
        let busy = try world.connect()
        busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(100_000)
        #expect(world.plane.inboundInFlight() == 1)
        world.plane.drainInbound()
        #expect(idle.readAll().isEmpty)
        let head = busy.readHead()
        #expect(head.hasPrefix("HTTP/1.1 200") && head.lowercased().contains("connection: close"))
        #expect(busy.readAll() == "done")
        #expect(throws: SystemError.self) { try world.connect() }
        #expect(world.isReleased(upstreams: 2))
    }
}
