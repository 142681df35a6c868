import Pipeline

@testable import Host

/// The control plane as one sidecar sees it, on a loop that the test turns: joins, renews, pushes what the test says, and
/// remembers all it hears.
final class FakeControlPlane {
    let authority: TestAuthority
    let loop: EventLoop
    private(set) var address: SocketAddress
    private var server: ServiceServer!

    /// What it heard.
    var joins: [ConfigNode] = []
    var renewals = 0
    var heard: [PushMessage] = []
    var batches: [(BatchID, [OTLP.Metric])] = []
    var requests = 0
    var stream: FramedStream?
    var session: UInt64 = 0
    private var generation: UInt64 = 0
    /// How it behaves.
    var joinStatus: UInt16 = 200
    /// 200: push streams are opened.
    var pushStatus: UInt16 = 200
    /// Service that tokens are for.
    var service = "payment"
    /// Batches to refuse with this status before taking one.
    var refusedBatches = 0
    /// Seconds.
    var certificateLife = 3600

    init(authority: TestAuthority, at wanted: SocketAddress = SocketAddress("127.0.0.1:0")!) throws {
        self.authority = authority
        loop = try EventLoop()
        address = wanted
        let identity = try authority.issue("URI:spiffe://shop.internal\(IdentityClient.controlPlanePath)")
        let context = try TLSContext.server(
            identity: identity, trust: [authority.root], trustDomain: "shop.internal", clients: .optional, scope: "mesh", sendsRoot: authority.root)
        server = ServiceServer(on: loop) { [unowned self] request, reply in answer(request, reply) }
        address = try server.listen(at: wanted, tls: { context })
    }

    deinit { stop() }

    func stop() {
        guard server != nil else { return }
        stream?.close()
        server.close()
        server = nil
        for _ in 0..<5 { loop.turn(waitingAtMost: .zero) }
        loop.destroy()
    }

    var token: String {
        JoinToken(id: Array(0..<8), secret: Array(0..<24), rootFingerprint: authority.root.sha256).text
    }

    func turn() { if server != nil { loop.turn(waitingAtMost: .milliseconds(1)) } }

    private func answer(_ request: ServiceRequest, _ reply: ServiceReply) {
        requests += 1
        switch request.path {
        case "/v1/join":
            let body = ConfigReader.read(bytes: request.body, name: "join").root ?? .empty
            joins.append(body)
            guard joinStatus == 200 else { return reply.respond(ServiceResponse(joinStatus, json: #"{"error":"the token was used"}"#)) }
            reply.respond(certificate(for: body))
        case "/v1/renew":
            renewals += 1
            guard request.peer != nil else { return reply.respond(ServiceResponse(403, json: "{}")) }
            reply.respond(certificate(for: ConfigReader.read(bytes: request.body, name: "renew").root ?? .empty))
        case "/v1/push":
            guard pushStatus == 200 else {
                return reply.respond(ServiceResponse(pushStatus, json: #"{"error":"use the same weft on both sides"}"#))
            }
            guard request.peer != nil else { return reply.respond(ServiceResponse(403, json: "{}")) }
            stream = reply.upgrade(to: "weft-push/1") { stream in
                stream.onFrame = { [unowned self] frame in
                    guard let (message, session) = try? PushMessage.read(frame) else { return }
                    if case .hello = message { self.session = session }
                    heard.append(message)
                }
                stream.onClose = { [unowned self] _ in self.stream = nil }
            }
        case "/v1/metrics":
            guard refusedBatches == 0 else {
                refusedBatches -= 1
                return reply.respond(ServiceResponse(503))
            }
            guard let bytes = try? Zstd().decompress(request.body, limit: 16 << 20), let resources = try? OTLP.decode(bytes),
                let first = resources.first, let id = first.batchID
            else { return reply.respond(ServiceResponse(400)) }
            batches.append((id, first.metrics))
            reply.respond(ServiceResponse(200))
        default: reply.respond(ServiceResponse(404))
        }
    }

    private func certificate(for body: ConfigNode) -> ServiceResponse {
        let id = TestAuthority.id(service)
        guard let csr = body["csr"]?.string,
            let leaf = try? authority.sign(requestPEM: Array(csr.utf8), "URI:\(id)", lifetime: certificateLife), let root = try? authority.root.pem
        else { return ServiceResponse(400, json: "{}") }
        var writer = JSONWriter()
        writer.object {
            $0.member("certificate", String(decoding: leaf, as: UTF8.self))
            $0.member("bundle", String(decoding: root, as: UTF8.self))
            $0.member("trustDomain", "shop.internal")
            $0.member("spiffeID", id)
        }
        return ServiceResponse(200, json: writer.text)
    }

    // MARK: Pushing

    func push(_ part: Snapshot.Part, of snapshot: Snapshot) { push(part, SnapshotCodec.encode(part, of: snapshot)) }

    func push(_ part: Snapshot.Part, _ text: String) {
        generation += 1
        let pushed = PushedPart(
            part: SnapshotPart(rawValue: part.rawValue)!, version: SnapshotCodec.version(of: text), generation: generation, body: Array(text.utf8))
        _ = stream?.send(PushMessage.part(pushed).json(session: session))
    }

    func push(_ snapshot: Snapshot) { for part in [Snapshot.Part.trust, .access, .traffic, .chain] { push(part, of: snapshot) } }

    var hello: PushMessage.Hello? { heard.lazy.compactMap { if case .hello(let hello) = $0 { hello } else { nil } }.last }
    var acked: [SnapshotPart] { heard.compactMap { if case .ack(let part, _, _) = $0 { part } else { nil } } }
    var nacks: [(SnapshotPart, String)] { heard.compactMap { if case .nack(let part, _, _, let reason) = $0 { (part, reason) } else { nil } } }
    func heard(_ message: PushMessage) -> Bool { heard.contains(message) }
}
