import Glibc
import Pipeline
import Testing

@testable import Host

/// Routes to the application, and on request takes every descriptor of its thread, or gives them back.
private final class HoardingRouter: DestinationResolver {
    static let name: FilterName = "router"

    struct Config: FilterConfig {
        init(_ fields: inout ConfigFields) {}
    }

    private static let hoard = Lock<[Int32]>([])

    init(_ config: Config, _ stage: inout StageSetup) {}

    func resolve(_ exchange: borrowing Exchange) -> Destination { Destination() }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if exchange.request.path.equals("/own") { Self.takeOwnDescriptors() }
        if exchange.request.path.equals("/hoard") {
            Self.hoard.withLock { hoard in
                while case let copy = dup(0), copy >= 0 { hoard.append(copy) }
            }
        }
        if exchange.request.path.equals("/free") {
            Self.hoard.withLock { hoard in
                for each in hoard { Descriptor.close(each) }
                hoard = []
            }
        }
        exchange.storage.pointee.endpoint = 0
        return .next
    }

    /// unshare(CLONE_FILES): the loop's thread gets a table of its own, so that no other test feels the want.
    private static func takeOwnDescriptors() {
        guard let symbol = dlsym(nil, "unshare") else { return }
        _ = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)(0x400)
        // The copy holds other tests' connections too: they must end when those tests close them.
        let ours = ports.withLock { $0 }
        for descriptor in Int32(3)..<1_024 {
            guard let local = Socket.localAddress(descriptor) else { continue }
            let peer = Socket.peerAddress(descriptor)
            if !ours.contains(local.port), !ours.contains(peer?.port ?? 0) { Descriptor.close(descriptor) }
        }
    }

    /// Of the connections that the loop needs.
    static let ports = Lock<Set<UInt16>>([])
}

@Suite("Out of descriptors", .serialized)
struct DescriptorTests {
    private struct World {
        let plane: Dataplane
        let server: RawServer

        init() throws {
            server = RawServer { service, _ in
                while case let head = service.readHead(), !head.isEmpty {
                    if head.contains(" /slow ") { usleep(300_000) }
                    service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
            var entrances = Dataplane.Entrances()
            entrances.inbound = SocketAddress("127.0.0.1:0")
            entrances.inboundIsPlain = true
            plane = try Dataplane(
                workers: 1, entrances: entrances, application: server.address, registry: FilterRegistry([HoardingRouter.self]),
                snapshot: DataplaneTests.snapshot())
            let ours: Set<UInt16> = [plane.addresses.inbound!.port, server.address.port]
            HoardingRouter.ports.withLock { $0 = ours }
            // From here on the loop is alone with its descriptors. Its copy of ours keeps this one open: the loop must end it.
            let first = try connect()
            first.send("GET /own HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            _ = first.read(until: "ok")
            first.finishWriting()
            usleep(50_000)
        }

        func connect() throws -> RawConnection { try RawConnection(to: plane.addresses.inbound!) }

        func ask(_ caller: RawConnection, _ path: String) -> String {
            caller.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let status = String(caller.readHead().dropFirst(9).prefix(3))
            if status == "200" { _ = caller.read(2) }
            return status
        }

        func value(_ name: String) -> Int {
            if case .counter(let value)? = plane.context.stats.read().first(where: { $0.name == name })?.value { return Int(value) }
            return -1
        }

        func stop() {
            plane.stop()
            server.stop()
        }
    }

    @Test("A newcomer without a descriptor is closed and counted, idle connections give way, and the next newcomer is served")
    func accepts() throws {
        let world = try World()
        defer { world.stop() }
        let idle = try (0..<3).map { _ in try world.connect() }
        for caller in idle { #expect(world.ask(caller, "/") == "200") }
        #expect(world.ask(idle[2], "/hoard") == "200")
        let shed = try world.connect()
        #expect(shed.readAll().isEmpty)
        #expect(idle[0].readAll().isEmpty, "the one that idled longest")
        #expect(world.value("weft_downstream_shed_total") == 1)
        let next = try world.connect()
        #expect(world.ask(next, "/") == "200")
        #expect(world.value("weft_idle_shed_total") >= 3)
        #expect(world.ask(next, "/free") == "200")
        for caller in try (0..<20).map({ _ in try world.connect() }) { #expect(world.ask(caller, "/") == "200") }
    }

    @Test("A request that needs a descriptor for its endpoint takes an idle connection's; where there is none, it is 503 and the sidecar's want")
    func connects() throws {
        let world = try World()
        defer { world.stop() }
        let first = try world.connect(), second = try world.connect(), third = try world.connect()
        for caller in [first, second, third] { #expect(world.ask(caller, "/") == "200") }
        #expect(world.ask(second, "/hoard") == "200")
        // The only connection to the endpoint is busy. The third caller idles: it gives way.
        first.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(50_000)
        #expect(world.ask(second, "/") == "200")
        #expect(third.readAll().isEmpty)
        #expect(first.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        #expect(world.value("weft_upstream_connect_failures_total") == 0)
        #expect(world.ask(second, "/hoard") == "200")
        // Both connections to the endpoint are busy or gone, and nobody idles.
        first.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(50_000)
        second.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(50_000)
        #expect(first.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        #expect(second.read(until: "ok").hasPrefix("HTTP/1.1 200"))
        #expect(world.ask(second, "/free") == "200")
        #expect(world.ask(try world.connect(), "/") == "200")
    }

    @Test("With nothing to give way, a request that needs a descriptor is answered 503, and served when there is one again")
    func refuses() throws {
        let world = try World()
        defer { world.stop() }
        let first = try world.connect(), second = try world.connect()
        #expect(world.ask(first, "/") == "200")
        #expect(world.ask(second, "/hoard") == "200")
        first.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(50_000)
        #expect(world.ask(second, "/") == "503")
        #expect(world.value("weft_upstream_connect_failures_total") == 1)
        #expect(first.read(until: "ok").hasPrefix("HTTP/1.1 200"))
    }
}
