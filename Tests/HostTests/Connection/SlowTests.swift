import Glibc
import Pipeline
import Synchronization
import Testing

@testable import Host

/// Peers that dawdle, and too many of them.
@Suite("Slow and many", .serialized)
struct SlowTests {
    private static func bounds(_ change: (inout Bounds) -> Void) -> Bounds {
        var bounds = Bounds()
        change(&bounds)
        return bounds
    }

    @Sendable private static func ok(_ service: RawConnection, _: Int) {
        while !service.readHead().isEmpty { service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") }
    }

    private static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = Clock.monotonic()
        try body()
        return Double((Clock.monotonic() - start).count) / 1e9
    }

    @Test("A head that does not end in time is answered 408, dripping or not; the time counts from its first byte", arguments: [false, true])
    func head(drips: Bool) throws {
        let world = try RelayWorld(bounds: Self.bounds { $0.headTime = .milliseconds(300) }, Self.ok)
        let caller = try world.connect()
        // An idle connection is in no hurry.
        usleep(400_000)
        caller.send("G")
        if drips {
            let sender = caller
            RawServer.spawn { for byte in "ET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" where sender.send(String(byte)) { usleep(40_000) } }
        }
        let wait = Self.seconds { #expect(caller.readAll().hasPrefix("HTTP/1.1 408")) }
        #expect(wait > 0.25 && wait < 3)
        #expect(world.value("weft_downstream_timeouts_total") == 1)
        usleep(drips ? 50_000 : 0)
        #expect(world.isReleased())
    }

    @Test("A body that makes no progress in time is answered 408; one that makes a little goes on")
    func body() throws {
        let world = try RelayWorld(bounds: Self.bounds { $0.bodyProgressTime = .milliseconds(300) }) { service, _ in
            _ = service.readHead()
            let body = service.read(10)
            service.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
        let stalled = try world.connect()
        stalled.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        #expect(stalled.readAll().hasPrefix("HTTP/1.1 408"))
        let slow = try world.connect()
        slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        for digit in 0..<10 {
            usleep(100_000)
            slow.send("\(digit)")
        }
        #expect(slow.read(until: "0123456789").hasPrefix("HTTP/1.1 200"))
    }

    @Test("A body that stalls after the answer has stalled and gone on is still missed")
    func stalledAfterStall() throws {
        let size = 16 << 20
        let world = try RelayWorld(bounds: Self.bounds { $0.bodyProgressTime = .milliseconds(600) }) { service, _ in
            _ = service.readHead()
            service.send("HTTP/1.1 200 OK\r\nContent-Length: \(size + 1)\r\n\r\n")
            service.send([UInt8](repeating: 1, count: size))
            _ = service.readAll()
        }
        let caller = try world.connect(receiveBuffer: 64 << 10)
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        _ = caller.readHead()
        // Long enough that the sidecar has found the caller not reading.
        usleep(300_000)
        #expect(caller.drain(size).count == size)
        let wait = Self.seconds { #expect(caller.readAll().isEmpty, "the last byte never comes") }
        #expect(wait < 5)
        #expect(world.isReleased())
    }

    @Test("The rest of a request that was answered early is not waited for longer than any body")
    func drains() throws {
        let bounds = Self.bounds {
            $0.bodyProgressTime = .milliseconds(300)
            $0.downstreamIdleTime = .seconds(60)
        }
        let world = try RelayWorld(bounds: bounds) { service, _ in
            _ = service.readHead()
            service.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            _ = service.readAll()
        }
        let caller = try world.connect()
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n12345")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 403"))
        let wait = Self.seconds { _ = caller.readAll() }
        #expect(wait < 5)
        #expect(world.isReleased())
    }

    @Test("A connection that idles is closed in silence")
    func idle() throws {
        let world = try RelayWorld(bounds: Self.bounds { $0.downstreamIdleTime = .milliseconds(300) }, Self.ok)
        let silent = try world.connect()
        #expect(silent.readAll().isEmpty)
        let served = try world.connect()
        served.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(served.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        #expect(served.readAll().isEmpty)
        #expect(world.value("weft_downstream_timeouts_total") == 0)
        #expect(world.isReleased(upstreams: 1))
    }

    @Test("A caller that sends nothing, or half a hello, to a port that speaks TLS is let go", arguments: [[], [0x16], [0x16, 3, 1, 2, 0, 1, 0, 1]] as [[UInt8]])
    func handshake(bytes: [UInt8]) throws {
        let authority = try TestAuthority()
        var entrances = Dataplane.Entrances()
        entrances.inbound = SocketAddress("127.0.0.1:0")
        let plane = try Dataplane(
            workers: 1, entrances: entrances, application: nil, registry: FilterRegistry([RelayRouter.self]), snapshot: DataplaneTests.snapshot(),
            bounds: Self.bounds { $0.handshakeTime = .milliseconds(300) })
        defer { plane.stop() }
        plane.setTLS(
            server: try TLSContext.server(
                identity: authority.workload("payment"), trust: [authority.root], trustDomain: "shop.internal", scope: "inbound"),
            client: nil, trustChanged: false)
        let caller = try RawConnection(to: plane.addresses.inbound!)
        caller.send(bytes)
        let wait = Self.seconds { _ = caller.readAll() }
        #expect(wait > 0.2 && wait < 3)
    }

    @Test("Over the limit of connections a newcomer is closed at once and counted; when one leaves, the next is served")
    func connections() throws {
        let world = try RelayWorld(bounds: Self.bounds { $0.downstreamMax = 2 }, Self.ok)
        let first = try world.connect(), second = try world.connect()
        for caller in [first, second] {
            caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = caller.read(until: "ok")
        }
        let third = try world.connect()
        #expect(third.readAll().isEmpty)
        #expect(world.value("weft_downstream_refused_total") == 1)
        first.close()
        let end = Clock.monotonic() + .seconds(5)
        while world.value("weft_downstream_connections") > 1, Clock.monotonic() < end { usleep(2_000) }
        let fourth = try world.connect()
        fourth.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(fourth.read(until: "ok").hasPrefix("HTTP/1.1 200"))
    }

    @Test("Out of memory for buffers, new requests get 503 and newcomers a close, both counted; then service goes on")
    func memory() throws {
        let world = try RelayWorld(bounds: Self.bounds { $0.memoryMax = 6 * BufferPool.bufferBytes }, Self.ok)
        let early = try world.connect()
        early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!early.readHead().lowercased().contains("connection: close"))
        _ = early.read(2)
        // Heads that do not end hold a buffer each.
        let holders = try (0..<7).map { _ in try world.connect() }
        for holder in holders {
            holder.send("GET / HTTP/1.1\r\n")
            usleep(20_000)
        }
        let refused = try world.connect()
        #expect(refused.readAll().isEmpty)
        #expect(world.value("weft_downstream_refused_total") == 1)
        holders[0].send("Host: a\r\n\r\n")
        #expect(holders[0].readAll().hasPrefix("HTTP/1.1 503"))
        #expect(world.value("weft_memory_shed_total") == 1)
        for holder in holders { holder.close() }
        let end = Clock.monotonic() + .seconds(5)
        while world.value("weft_downstream_connections") > 1, Clock.monotonic() < end { usleep(2_000) }
        let late = try world.connect()
        late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(late.read(until: "ok").hasPrefix("HTTP/1.1 200"))
    }

    @Test("Heads too large are answered as soon as that is known, within a fixed memory", arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "x", 1_000_000, 431), ("GET / HTTP/1.1\r\nHost: a\r\n", "X: 1\r\n", 5_000, 431), ("GET /", "a", 100_000, 414), ("", "A", 10_000, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\na\r\n", 5_000, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0", 20_000, 400), ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: 1\r\n", 5_000, 431),
    ] as [(String, String, Int, Int)])
    func bombs(start: String, piece: String, count: Int, status: Int) throws {
        // The last buffer may be one of the largest; all of it together stays below the budget, or there would be no answer.
        let world = try RelayWorld(bounds: Self.bounds { $0.memoryMax = 8 * BufferPool.bufferBytes }) { service, _ in
            _ = service.readHead()
            _ = service.readAll()
        }
        let caller = try world.connect()
        let bytes = Array((start + String(repeating: piece, count: count)).utf8)
        let sender = caller
        RawServer.spawn { sender.send(bytes) }
        #expect(caller.readHead().hasPrefix("HTTP/1.1 \(status)"))
        caller.close()
        #expect(world.isReleased())
    }

    @Test("A data path that cannot open its ports leaves no thread behind")
    func failedStart() throws {
        let taken = RawServer { _, _ in }
        defer { taken.stop() }
        var entrances = Dataplane.Entrances()
        entrances.proxy = SocketAddress("127.0.0.1:0")
        entrances.inbound = taken.address
        #expect(throws: SystemError.self) {
            _ = try Dataplane(
                workers: 7, entrances: entrances, application: nil, registry: FilterRegistry([RelayRouter.self]), snapshot: DataplaneTests.snapshot())
        }
        let names = try Files.names(in: "/proc/self/task").compactMap { try? String(decoding: Files.read("/proc/self/task/\($0)/comm"), as: UTF8.self) }
        #expect(!names.isEmpty && !names.contains { $0.hasPrefix("weft-6") })
    }
}
