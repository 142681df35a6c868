import Filters
import Pipeline

@testable import Host

/// order's data path and that of orders-db, which serves port 5432 with raw streams; real chains, mTLS between them.
final class StreamWorld {
    private(set) var servers: [RawServer]
    let called: Dataplane
    let calling: Dataplane
    let authority: TestAuthority
    let said = Lines()
    private var access: AccessPart
    private let services: [TrafficPart.ServiceEntry]

    final class Lines: Sendable {
        private let list = Lock<[String]>([])
        var all: [String] { list.withLock { $0 } }
        func add(_ line: String) { list.withLock { $0.append(line) } }
    }

    static let workload = TrafficPart.WorkloadRef(service: "orders-db", namespace: "default", version: "")

    /// - Parameters:
    ///   - dead: endpoints before the right one that nobody listens at.
    ///   - caller: the service that the calling side is.
    ///   - proxyHeader: what a proxy between the two sidecars says before it passes bytes on.
    ///   - protocols: whether the calling side says to the called one that it brings a raw stream.
    init(
        access: AccessPart = AccessPart(mtls: .strict), dead: Int = 0, isAlive: Bool = true, caller: String = "order", bounds: Bounds = Bounds(),
        protocols: [String] = ["weft-tcp"], takesProxyHeader: Bool = false, sendsProxyHeader: Bool = false,
        proxyHeader: [UInt8]? = nil, handle: @escaping @Sendable (RawConnection, Int) -> Void
    ) throws {
        authority = try TestAuthority()
        let server = RawServer(handle)
        servers = [server]
        self.access = access
        var entrances = Dataplane.Entrances()
        entrances.streams = [.init(port: 5432, address: SocketAddress("127.0.0.1:0")!, application: server.address)]
        entrances.streams[0].trustedProxies = takesProxyHeader ? [AddressRange(CallerAddress(ipv4: 0x7F00_0000), prefix: 8)!] : []
        entrances.streams[0].takesProxyHeader = takesProxyHeader
        entrances.streams[0].sendsProxyHeader = sendsProxyHeader
        let said = self.said
        called = try Dataplane(
            workers: 1, entrances: entrances, application: nil, registry: Self.registry, snapshot: Self.calledSnapshot(access), bounds: bounds,
            log: SidecarLog { said.add($0) })
        called.setTLS(
            server: nil, client: nil,
            streamServer: try TLSContext.server(
                identity: authority.workload("orders-db"), trust: [authority.root], trustDomain: "shop.internal",
                applicationProtocols: ["weft-tcp"], scope: "inbound-tcp"), trustChanged: false)

        var door = called.addresses.streams[0]
        if let proxyHeader {
            let relay = Self.relay(to: door, saying: proxyHeader)
            servers.append(relay)
            door = relay.address
        }
        var outside = Dataplane.Entrances()
        outside.outbound = [.init(service: "orders-db", namespace: "default", port: 5432, address: SocketAddress("127.0.0.1:0")!)]
        let endpoints =
            (0..<dead).map { TrafficPart.EndpointEntry(id: "dead\($0)", address: "127.0.0.1:\($0 + 1)") }
            + (isAlive ? [.init(id: "db", address: door.description)] : [])
        services = [
            TrafficPart.ServiceEntry(
                name: "orders-db", namespace: "default", port: 5432, protocol: .tcp, versions: [.init(name: "", endpoints: endpoints)])
        ]
        var snapshot = Self.snapshot(.init(service: caller, namespace: "default", version: "v1"), services, AccessPart())
        snapshot.chain.inbound = snapshot.chain.outbound
        calling = try Dataplane(
            workers: 1, entrances: outside, application: nil, registry: Self.registry, snapshot: snapshot, bounds: bounds, seed: 7,
            log: SidecarLog { said.add($0) })
        calling.setTLS(
            server: nil, client: nil,
            streamClient: try TLSContext.client(
                identity: authority.workload(caller), trust: .roots([authority.root]), trustDomain: "shop.internal",
                applicationProtocols: protocols), trustChanged: false)
    }

    private static func relay(to address: SocketAddress, saying header: [UInt8]) -> RawServer {
        RawServer { caller, _ in
            guard let service = try? RawConnection(to: address) else { return }
            service.send(header)
            RawServer.spawn {
                while case let piece = service.readSome(), !piece.isEmpty { caller.send(piece) }
                caller.finishWriting()
            }
            while case let piece = caller.readSome(), !piece.isEmpty { service.send(piece) }
            service.finishWriting()
        }
    }

    deinit {
        calling.stop()
        called.stop()
        for server in servers { server.stop() }
    }

    private static let registry = FilterRegistry([Authz.self, RateLimit.self, Router.self, Stats.self, Timeout.self, Retry.self, Breaker.self])

    private static func snapshot(
        _ workload: TrafficPart.WorkloadRef, _ services: [TrafficPart.ServiceEntry], _ access: AccessPart
    ) -> Snapshot {
        let stage = { (filter: String) in ChainPart.Stage(id: filter, filter: filter, origin: Origin(resource: "test")) }
        return Snapshot(
            chain: ChainPart(
                inbound: ["stats", "authz", "ratelimit", "router"].map(stage), outbound: ["stats", "retry", "breaker", "router"].map(stage)),
            traffic: TrafficPart(workload: workload, services: services), access: access, trust: TrustPart(trustDomain: "shop.internal", roots: ""))
    }

    private static func calledSnapshot(_ access: AccessPart) -> Snapshot { snapshot(workload, [], access) }

    /// Policies of the called side that change while streams are open.
    func change(_ access: AccessPart) throws { try called.apply(Self.calledSnapshot(access)) }

    /// Through both sidecars.
    func connect() throws -> RawConnection { try RawConnection(to: calling.addresses.outbound[0]) }

    /// Past the calling sidecar.
    func stranger() throws -> RawConnection { try RawConnection(to: called.addresses.streams[0]) }

    func value(_ name: String, _ plane: Dataplane, _ labels: String...) -> Int { plane.total(of: name, labels) }

    /// Rows of `weft stat`, `source → destination status` and how often.
    func calls(_ plane: Dataplane) -> [String: Int] {
        plane.context.calls.flatMap { $0.read() }.filter { $0.key.answeredBy == .stream }.reduce(into: [:]) { result, row in
            let labels = plane.context.labels
            result["\(labels.text(row.key.source)) → \(labels.text(row.key.destination)) \(row.key.status)", default: 0] += Int(row.calls)
        }
    }
}

extension Dataplane {
    /// Of a figure, over all of its series that have these labels, each as `name=value`.
    func total(of name: String, _ labels: [String]) -> Int {
        context.stats.read().filter { series in
            series.name == name && labels.allSatisfy { text in series.labels.contains { "\($0.name)=\($0.value)" == text } }
        }.reduce(0) {
            switch $1.value {
            case .counter(let count): $0 + Int(count)
            case .gauge(let amount): $0 + Int(amount)
            case .histogram(let snapshot): $0 + Int(snapshot.count)
            }
        }
    }
}

extension AccessPart {
    /// An enforced policy of one rule.
    static func rule(_ action: Action, from: [Source], mtls: MTLS = .strict, allowsByDefault: Bool = true) -> AccessPart {
        AccessPart(
            mtls: mtls, allowsByDefault: allowsByDefault,
            policies: [
                Policy(name: "default/rule", action: action, rules: [Rule(from: from, to: [Operation(ports: [5432])])], origin: Origin(resource: "test"))
            ])
    }
}
