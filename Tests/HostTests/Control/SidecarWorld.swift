import Filters
import Glibc
import Pipeline
import WeftTesting

@testable import Host

/// One sidecar, its application and its control plane in this process; the test turns the control loops.
final class SidecarWorld {
    let authority: TestAuthority
    let folder: String
    var plane: FakeControlPlane?
    var sidecar: Sidecar!
    let application: SidecarApplication
    let lines = Lines()

    static let registry = FilterRegistry([
        TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
    ])

    init() throws {
        authority = try TestAuthority()
        folder = "/tmp/weft-\(getpid())-\(Entropy.word() % 1_000_000_000)"
        plane = try FakeControlPlane(authority: authority)
        application = SidecarApplication()
    }

    deinit {
        sidecar?.end()
        plane?.stop()
        application.stop()
        for name in ["/last-good/chain", "/last-good/traffic", "/last-good/access", "/last-good/trust", "/identity.json", "/endpoints.json", "/admin.sock"] {
            unlink(folder + name)
        }
        rmdir(folder + "/last-good")
        rmdir(folder)
    }

    func settings(token: String? = nil) -> SidecarSettings {
        var settings = SidecarSettings(
            workload: .init(service: "payment", namespace: "default", version: "v1"), name: "payment-1", stateDirectory: folder)
        settings.application = application.address
        settings.entrances.inbound = SocketAddress("127.0.0.1:0")
        settings.entrances.proxy = SocketAddress("127.0.0.1:0")
        settings.admin = SocketAddress("127.0.0.1:0")
        settings.controlPlane = .init(address: plane?.address ?? SocketAddress("127.0.0.1:1")!, token: token)
        settings.exportInterval = .milliseconds(50)
        settings.drain.announcement = .milliseconds(50)
        settings.drain.outboundMax = .milliseconds(50)
        return settings
    }

    func start(_ settings: SidecarSettings? = nil, snapshot: Snapshot? = nil, reload: (() throws -> SidecarFiles)? = nil) throws {
        sidecar = try Sidecar(
            settings: settings ?? self.settings(token: plane?.token), snapshot: snapshot, registry: Self.registry, software: "test",
            log: SidecarLog { [lines] line in lines.add(line) }, reload: reload)
        sidecar.start()
    }

    /// Joined, connected, and on a snapshot that lets the service `order` in.
    func startServing(_ settings: SidecarSettings? = nil) throws {
        try start(settings)
        _ = turn { plane?.hello != nil }
        plane?.push(snapshot())
        _ = turn { plane?.acked.count == 4 }
    }

    /// False if it did not come true in time.
    @discardableResult
    func turn(seconds: Int64 = 10, until done: () -> Bool) -> Bool {
        let end = Clock.monotonic() + Patience.seconds(seconds)
        while !done() {
            guard Clock.monotonic() < end else { return false }
            sidecar?.loop.turn(waitingAtMost: .milliseconds(1))
            plane?.turn()
        }
        return true
    }

    func restart(_ settings: SidecarSettings) throws {
        sidecar.end()
        sidecar = nil
        try start(settings)
    }

    func snapshot(access: AccessPart = AccessPart(), inbound: [String] = ["tls", "stats", "authz", "router"]) -> Snapshot {
        let stages = { (names: [String]) in names.map { ChainPart.Stage(id: $0, filter: $0, origin: Origin(resource: "Chain default/test")) } }
        return Snapshot(
            chain: ChainPart(inbound: stages(inbound), outbound: stages(["stats", "router", "tls"])),
            traffic: TrafficPart(workload: .init(service: "payment", namespace: "default", version: "v1"), services: []),
            access: access,
            trust: TrustPart(trustDomain: "shop.internal", roots: String(decoding: (try? authority.root.pem) ?? [], as: UTF8.self)))
    }

    /// A call of the inbound port as the sidecar of `service` would make it.
    func call(_ path: String = "/", as service: String = "order") throws -> Result<ServiceResponse, ServiceFailure>? {
        let context = try TLSContext.client(identity: authority.workload(service), trust: .roots([authority.root]), trustDomain: "shop.internal")
        let target = ServiceTarget(
            sidecar.addresses.dataplane.inbound!, tls: (context, ExpectedPeer([try SPIFFEID(TestAuthority.id("payment"))], endpoint: "payment")))
        var outcome: Result<ServiceResponse, ServiceFailure>?
        ServiceClient.send(ServiceRequest("GET", path), to: target, on: sidecar.loop, timeout: Patience.seconds(10)) { outcome = $0 }
        turn { outcome != nil }
        return outcome
    }

    func admin(_ path: String, method: String = "GET", host: String? = nil, tcp: Bool = true) throws -> ServiceResponse {
        let target: ServiceTarget
        if tcp {
            let node = ConfigReader.read(bytes: try Files.read(folder + "/endpoints.json"), name: "endpoints").root
            target = ServiceTarget(SocketAddress(node?["admin"]?.string ?? "")!, host: host)
        } else {
            target = ServiceTarget(SocketAddress(unix: folder + "/admin.sock")!)
        }
        var outcome: Result<ServiceResponse, ServiceFailure>?
        ServiceClient.send(ServiceRequest(method, path), to: target, on: sidecar.loop) { outcome = $0 }
        turn { outcome != nil }
        guard let outcome else { throw SystemError(ETIMEDOUT, path) }
        return try outcome.get()
    }
}

/// What a sidecar logged.
final class Lines: Sendable {
    private let all = Lock<[String]>([])

    func add(_ line: String) { all.withLock { $0.append(line) } }
    func contain(_ text: String) -> Bool { all.withLock { $0.contains { $0.contains(text) } } }
}

/// Answers every request with its path, on a thread of its own; a path `/slow` after the time it names in milliseconds.
final class SidecarApplication: Sendable {
    let address: SocketAddress
    private let thread: LoopThread
    private let server: Box

    private final class Box: @unchecked Sendable {
        var server: ServiceServer?
        var wakeups: [Wakeup] = []
    }

    init() {
        let bound = Rendezvous<SocketAddress>()
        let box = Box()
        server = box
        thread = try! LoopThread(
            name: "application",
            prepare: { loop in
                let server = ServiceServer(on: loop) { request, reply in
                    guard request.path == "/slow" else { return reply.respond(ServiceResponse(text: "payment \(request.path)")) }
                    let wakeup = Wakeup(on: loop) { reply.respond(ServiceResponse(text: "slow, but done")) }
                    wakeup.set(loop.now + .milliseconds(400))
                    box.wakeups.append(wakeup)
                }
                box.server = server
                bound.fulfil(try! server.listen(at: SocketAddress("127.0.0.1:0")!))
            },
            finish: { _ in
                box.server?.close()
                box.wakeups = []
            })
        address = bound.wait()
    }

    func stop() {
        guard thread.stop() else { return }
        thread.join()
    }
}
