import Filters
import FoundationEssentials
import Glibc
import Host
import Pipeline
import Testing
import WeftTesting

@testable import ControlPlane

/// A control plane in a directory of its own, and its callers, on one loop that the test turns.
final class PlaneWorld {
    let loop: EventLoop
    let directory: String
    private(set) var plane: Plane!
    var lease = Nanoseconds.seconds(30)
    /// Where the API listens on TCP.
    private let api: SocketAddress?
    /// Why the control plane wanted to end.
    private(set) var fatal: String?

    init(lease: Nanoseconds = .seconds(30), api: SocketAddress? = nil) throws {
        self.api = api
        loop = try EventLoop()
        var template = Array("/tmp/weft-plane.XXXXXX".utf8CString)
        directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        self.lease = lease
        try start()
    }

    func start() throws {
        var settings = PlaneSettings(
            stateDirectory: directory, mesh: SocketAddress("127.0.0.1:0")!, metrics: SocketAddress("127.0.0.1:0")!, trustDomain: "shop.internal")
        settings.lease = lease
        settings.api = api
        plane = try Plane(settings, filters: Self.filters, on: loop) { [unowned self] in fatal = $0 }
    }

    static let filters = FilterRegistry([
        TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
    ])

    func stop() {
        plane?.close()
        plane = nil
    }

    deinit {
        stop()
        for _ in 0..<3 { loop.turn(waitingAtMost: .zero) }
        loop.destroy()
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Time

    @discardableResult
    func turn(seconds: Int64 = 10, until done: () -> Bool) -> Bool {
        let end = Clock.monotonic() + Patience.seconds(seconds)
        while !done(), Clock.monotonic() < end { loop.turn(waitingAtMost: .milliseconds(20)) }
        return done()
    }

    // MARK: Calls

    func call(_ request: ServiceRequest, at target: ServiceTarget) throws -> ServiceResponse {
        var outcome: Result<ServiceResponse, ServiceFailure>?
        var limits = ServiceLimits()
        limits.bodyTimeout = .nanoseconds(limits.bodyTimeout.count * Patience.factor)
        let call = ServiceClient.send(request, to: target, on: loop, timeout: Patience.seconds(10), limits) { outcome = $0 }
        turn { outcome != nil }
        call.cancel()
        return try #require(outcome).get()
    }

    func api(_ method: String, _ path: String, _ query: String = "", _ body: String = "") throws -> ServiceResponse {
        try call(ServiceRequest(method, path, query: query, body: Array(body.utf8)), at: ServiceTarget(SocketAddress(unix: "\(directory)/api.sock")!))
    }

    /// The body of a GET's 200.
    func view(_ path: String, _ query: String = "") throws -> ConfigNode {
        let response = try api("GET", path, query)
        try #require(response.status == 200, "\(response.text)")
        return try response.root
    }

    func apply(_ text: String, name: String = "shop.json", dryRun: Bool = false) throws -> ServiceResponse {
        var writer = JSONWriter()
        writer.object {
            $0.key("files")
            $0.array {
                $0.object {
                    $0.member("name", name)
                    $0.member("text", text)
                }
            }
        }
        return try api("POST", "/v1/apply", dryRun ? "dryRun=true" : "", writer.text)
    }

    func applied(_ text: String) throws {
        let response = try apply(text)
        try #require(response.status == 200, "\(response.text)")
    }

    func mesh(_ context: TLSContext) -> ServiceTarget {
        let peer = ExpectedPeer(anyDomainWith: "/ns/weft-system/sa/control-plane", endpoint: "control-plane")
        return ServiceTarget(plane.addresses.mesh, tls: (context, peer))
    }

    func metricsPage() throws -> String {
        let response = try call(ServiceRequest("GET", "/metrics"), at: ServiceTarget(plane.addresses.metrics))
        try #require(response.status == 200)
        return response.text
    }

    // MARK: Joining

    func token(_ service: String, uses: Int = 1) throws -> String {
        let response = try api("POST", "/v1/tokens", "", "{\"service\":\"\(service)\",\"uses\":\(uses)}")
        return try #require(response.root["token"]?.string, "\(response.text)")
    }

    func join(_ token: String, _ key: Host.PrivateKey, sidecar: String? = nil) throws -> ServiceResponse {
        let root = try JoinToken(parsing: token).rootFingerprint
        return try join(
            token, csr: String(decoding: key.signingRequest(for: "spiffe://nobody/ns/x/sa/y"), as: UTF8.self), pinned: root, sidecar: sidecar)
    }

    func join(_ token: String, csr: String, pinned root: [UInt8]? = nil, sidecar: String? = nil) throws -> ServiceResponse {
        let context = try TLSContext.client(
            identity: nil, trust: .pinnedRoot(sha256: root ?? plane.authority.rotation.issuer.fingerprint), trustDomain: "")
        var writer = JSONWriter()
        writer.object {
            $0.member("token", token)
            $0.member("csr", csr)
            if let sidecar { $0.member("sidecar", sidecar) }
        }
        return try call(ServiceRequest("POST", "/v1/join", body: writer.utf8), at: mesh(context))
    }

    /// A client context with the identity of a workload that joined as `service`.
    func identity(_ service: String) throws -> TLSContext {
        let key = try Host.PrivateKey.generate()
        return try context(join(token(service), key, sidecar: "\(service)-1"), key)
    }

    /// As `identity`, with a certificate that was asked for with another.
    func renewed(_ service: String, with context: TLSContext) throws -> TLSContext {
        let key = try Host.PrivateKey.generate()
        var writer = JSONWriter()
        try writer.object {
            $0.member("csr", String(decoding: try key.signingRequest(for: "spiffe://nobody/ns/x/sa/y"), as: UTF8.self))
            $0.member("sidecar", "\(service)-1")
        }
        return try self.context(call(ServiceRequest("POST", "/v1/renew", body: writer.utf8), at: mesh(context)), key)
    }

    func context(_ answer: ServiceResponse, _ key: Host.PrivateKey) throws -> TLSContext {
        let chain = try #require(answer.root["certificate"]?.string, "\(answer.text)")
        let bundle = try #require(answer.root["bundle"]?.string)
        return try TLSContext.client(
            identity: LocalIdentity(key: key, chain: Host.Certificate.all(inPEM: Array(chain.utf8))),
            trust: .roots(Host.Certificate.all(inPEM: Array(bundle.utf8))), trustDomain: "shop.internal")
    }
}

extension ServiceResponse {
    var root: ConfigNode {
        get throws { try #require(ConfigReader.read(bytes: body, name: "answer").root, "\(text)") }
    }
}

extension ConfigNode {
    /// `items` of an answer, or any other list.
    func list(_ key: String = "items") -> [ConfigNode] { self[key]?.elements ?? [] }
    func text(_ key: String) -> String { self[key]?.string ?? "" }
}
