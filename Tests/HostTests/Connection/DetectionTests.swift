import Filters
import Glibc
import Pipeline
import Testing
import WeftTesting

@testable import Host

/// A port that declares no protocol, through two data paths with mTLS between them.
@Suite("Ports that declare no protocol", .serialized)
struct DetectionTests {
    private static let path = AccessPart.Operation(paths: ["/admin/*"])

    /// Requests it answers, of HTTP/2 it says that it came, everything else it says back.
    @Sendable private static func serve(_ service: RawConnection, _: Int) {
        let first = service.readSome()
        guard !first.isEmpty else { return }
        let text = String(decoding: first, as: UTF8.self)
        if text.hasPrefix("GET "), text.contains("HTTP/1.1") {
            service.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + (text.contains("x-request-id") ? "weft!" : "bare!"))
        } else {
            service.send(first)
        }
        while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
    }

    @Test("Requests are requests, with all that the chain does to them; whatever else comes goes through as it is", arguments: [false, true])
    func either(inPieces: Bool) throws {
        let world = try UndeclaredWorld(handle: Self.serve)
        let send = { (connection: RawConnection, text: String) in
            guard inPieces else { return connection.send(text) }
            for byte in text.utf8 {
                guard connection.send([byte]) else { return false }
                usleep(500)
            }
            return true
        }
        let request = try world.connect()
        #expect(send(request, "GET /a HTTP/1.1\r\nhost: orders\r\n\r\n"))
        #expect(request.readHead().hasPrefix("HTTP/1.1 200") && request.read(5) == "weft!")
        request.close()
        // Redis knows GET too; other people's TLS is none of ours.
        for text in ["GET counter\r\n", "\u{0}\u{0}\u{0}\u{8}startup", "\u{16}\u{3}\u{1}\u{0}\u{5}hello", "*1\r\n$4\r\nPING\r\n"] {
            let stream = try world.connect()
            #expect(send(stream, text))
            #expect(stream.read(text.utf8.count) == text, "\(text.debugDescription)\n\(world.said.all)")
            stream.send("more")
            #expect(stream.read(4) == "more")
            stream.finishWriting()
            #expect(stream.ending() == .finished)
        }
        let seen = ["http1", "tcp", "tls"].map { world.value("weft_downstream_detected_total", world.calling, "protocol=\($0)") }
        #expect(seen == [1, 3, 1])
        #expect(world.value("weft_downstream_detected_total", world.called, "protocol=tcp") == 4)
        for plane in [world.calling, world.called] {
            #expect(soon { world.value("weft_tunnels", plane) == 0 && world.value("weft_stats_in_flight", plane) == 0 })
            #expect(world.value("weft_tcp_connections_opened_total", plane) == 4)
            #expect(world.value("weft_tunnels_ended_total", plane, "why=finished") == 4)
        }
        #expect(world.said.all.isEmpty)
    }

    @Test("HTTP/2 with prior knowledge reaches the application as HTTP/2")
    func http2() throws {
        let world = try UndeclaredWorld(handle: Self.serve)
        let caller = try world.connect()
        // GET / of http://a, by indexes of the static table and one literal.
        let head: [UInt8] = [0x82, 0x86, 0x84, 0x41, 0x01, 0x61]
        caller.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0] + [0, 0, UInt8(head.count), 1, 5, 0, 0, 0, 1] + head)
        #expect(soon { world.firstBytes.all.contains { $0.hasPrefix("PRI * HTTP/2.0") } })
        #expect(world.value("weft_downstream_detected_total", world.calling, "protocol=http2") == 1)
    }

    @Test("A service that speaks first is heard after detectTime; a caller that ends before it said enough is passed on")
    func silence() throws {
        var bounds = Bounds()
        bounds.detectTime = .milliseconds(100)
        let world = try UndeclaredWorld(bounds: bounds, speaksFirst: true) { service, _ in
            service.send("220 ready\n")
            while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
        }
        let silent = try world.connect()
        #expect(silent.read(10) == "220 ready\n")
        #expect(world.value("weft_downstream_detected_total", world.calling, "protocol=silence") == 1)
        let brief = try world.connect()
        brief.send("GE")
        brief.finishWriting()
        #expect(brief.readAll() == "220 ready\nGE")
    }

    @Test("In the clear to a permissive sidecar it is the same")
    func plaintext() throws {
        let world = try UndeclaredWorld(access: AccessPart(mtls: .permissive), handle: Self.serve)
        let request = try world.stranger()
        request.send("GET /a HTTP/1.1\r\nhost: orders\r\n\r\n")
        #expect(request.readHead().hasPrefix("HTTP/1.1 200"))
        let stream = try world.stranger()
        stream.send("PING\r\n")
        #expect(stream.read(6) == "PING\r\n")
    }

    // MARK: What is asked of HTTP is not passed by

    @Test("A policy that asks for what only HTTP has refuses what is none, and the log names it", arguments: [false, true])
    func policies(inClear: Bool) throws {
        var access = AccessPart(mtls: inClear ? .permissive : .strict)
        access.policies = [.init(name: "default/no-admin", action: .deny, rules: [.init(from: [], to: [Self.path])], origin: Origin(resource: "test"))]
        let world = try UndeclaredWorld(access: access, handle: Self.serve)
        let connect = { inClear ? try world.stranger() : try world.connect() }
        let request = try connect()
        request.send("GET /a HTTP/1.1\r\nhost: orders\r\n\r\n")
        #expect(request.readHead().hasPrefix("HTTP/1.1 200"))
        let stream = try connect()
        stream.send("PING\r\n")
        #expect(stream.ending() == .reset)
        #expect(soon { world.said.all.contains { $0.contains("denied by AccessPolicy default/no-admin, rule 1") } }, "\(world.said.all)")
        #expect(world.firstBytes.all.count == 1)
    }

    @Test("So does a rate limit by what only requests have")
    func limits() throws {
        var access = AccessPart(mtls: .strict)
        let rule = AccessPart.RateRule(matches: [.init(path: .prefix("/a"))], key: .total, rate: "1000/s", burst: 1000)
        access.rateLimits = [.init(name: "default/slow-a", rules: [rule], origin: Origin(resource: "test"))]
        let world = try UndeclaredWorld(access: access, handle: Self.serve)
        let stream = try world.connect()
        stream.send("PING\r\n")
        #expect(stream.ending() == .reset && world.firstBytes.all.isEmpty)
        #expect(soon { world.said.all.contains { $0.contains("asks for what only HTTP has") } }, "\(world.said.all)")
    }

    @Test("So does a route that asks for it before it takes everything", arguments: [true, false])
    func routes(asksFirst: Bool) throws {
        let asks = TrafficPart.RuleEntry(name: "a", matches: [.init(path: .prefix("/a"))], backends: [.init(version: "", weight: 1)])
        let all = TrafficPart.RuleEntry(name: "all", matches: [], backends: [.init(version: "", weight: 1)])
        let world = try UndeclaredWorld(route: asksFirst ? [asks, all] : [all, asks], handle: Self.serve)
        let stream = try world.connect()
        stream.send("PING\r\n")
        if asksFirst {
            #expect(stream.ending() == .reset && world.firstBytes.all.isEmpty)
            #expect(soon { world.said.all.contains { $0.contains("asks for what only HTTP has") } }, "\(world.said.all)")
        } else {
            #expect(stream.read(6) == "PING\r\n")
        }
    }

    @Test("A port that declares HTTP takes no raw stream of another sidecar, and is asked for none by its callers' look")
    func declared() throws {
        let world = try UndeclaredWorld(called: .http, handle: Self.serve)
        let stream = try world.connect()
        stream.send("PING\r\n")
        #expect(stream.ending() == .reset && world.firstBytes.all.isEmpty)
        #expect(soon { world.said.all.contains { $0.contains("its port declares a protocol of HTTP") } }, "\(world.said.all)")
        let request = try world.connect()
        request.send("GET /a HTTP/1.1\r\nhost: orders\r\n\r\n")
        #expect(request.readHead().hasPrefix("HTTP/1.1 200"))
    }
}

/// order's data path and that of orders, whose one port declares no protocol.
final class UndeclaredWorld {
    private let server: RawServer
    let called: Dataplane
    let calling: Dataplane
    let said = StreamWorld.Lines()
    /// What connections to the application began with.
    let firstBytes = StreamWorld.Lines()

    init(
        access: AccessPart = AccessPart(mtls: .strict), route: [TrafficPart.RuleEntry]? = nil, called spoken: PortProtocol = .auto,
        bounds: Bounds = Bounds(), speaksFirst: Bool = false, handle: @escaping @Sendable (RawConnection, Int) -> Void
    ) throws {
        let authority = try TestAuthority(), said = said, firstBytes = firstBytes
        server = RawServer { connection, number in
            let first = speaksFirst ? [] : connection.peekSome()
            if !first.isEmpty { firstBytes.add(String(decoding: first, as: UTF8.self)) }
            handle(connection, number)
        }
        let entry = { (endpoints: [TrafficPart.EndpointEntry]) in
            TrafficPart.ServiceEntry(
                name: "orders", namespace: "default", port: 8080, protocol: .auto, route: route, routeName: "orders",
                versions: [.init(name: "", endpoints: endpoints)])
        }
        let make = { (own: String, service: TrafficPart.ServiceEntry, access: AccessPart, spoken: PortProtocol) in
            let stage = { (filter: String) in ChainPart.Stage(id: filter, filter: filter, origin: Origin(resource: "test")) }
            let chain = ChainPart(inbound: ["stats", "authz", "ratelimit", "router"].map(stage), outbound: ["stats", "retry", "router"].map(stage))
            let traffic = TrafficPart(
                workload: .init(service: own, namespace: "default", version: ""), services: [service], applicationProtocol: spoken)
            return Snapshot(chain: chain, traffic: traffic, access: access, trust: TrustPart(trustDomain: "shop.internal", roots: ""))
        }
        let registry = FilterRegistry([Authz.self, RateLimit.self, Router.self, Stats.self, Retry.self])
        var inside = Dataplane.Entrances()
        inside.inbound = SocketAddress("127.0.0.1:0")!
        called = try Dataplane(
            workers: 1, entrances: inside, application: server.address, registry: registry, snapshot: make("orders", entry([]), access, spoken),
            bounds: bounds, log: SidecarLog { said.add($0) })
        let orders = try authority.workload("orders"), order = try authority.workload("order")
        called.setTLS(
            server: try TLSContext.server(
                identity: orders, trust: [authority.root], trustDomain: "shop.internal", applicationProtocols: ["h2", "http/1.1", "weft-tcp"],
                scope: "inbound"), client: nil, trustChanged: false)
        var outside = Dataplane.Entrances()
        outside.outbound = [.init(service: "orders", namespace: "default", port: 8080, address: SocketAddress("127.0.0.1:0")!)]
        let endpoint = TrafficPart.EndpointEntry(id: "orders-1", address: called.addresses.inbound!.description, hasSidecar: true)
        calling = try Dataplane(
            workers: 1, entrances: outside, application: nil, registry: registry,
            snapshot: make("order", entry([endpoint]), AccessPart(), .http), bounds: bounds, log: SidecarLog { said.add($0) })
        let client = { (protocols: [String]) in
            try TLSContext.client(
                identity: order, trust: .roots([authority.root]), trustDomain: "shop.internal", applicationProtocols: protocols)
        }
        calling.setTLS(
            server: nil, client: try client(["http/1.1"]), sharedClient: try client(["h2", "http/1.1"]), streamClient: try client(["weft-tcp"]),
            trustChanged: false)
    }

    deinit {
        calling.stop()
        called.stop()
        server.stop()
    }

    /// Through both sidecars.
    func connect() throws -> RawConnection { try RawConnection(to: calling.addresses.outbound[0]) }
    /// Past the calling sidecar.
    func stranger() throws -> RawConnection { try RawConnection(to: called.addresses.inbound!) }

    func value(_ name: String, _ plane: Dataplane, _ labels: String...) -> Int { plane.total(of: name, labels) }
}
