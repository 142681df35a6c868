import Host
import Pipeline
import Testing

@testable import ControlPlane

/// The other end of a push stream: says what the test has it say, and keeps what it is told.
final class TestSidecar {
    let world: PlaneWorld
    private(set) var stream: FramedStream?
    private(set) var isClosed = false
    private(set) var refusal: ServiceFailure?
    private(set) var parts: [SnapshotPart: PushedPart] = [:]
    /// Why the control plane ended the stream.
    private(set) var refused: String?
    private(set) var messages: [PushMessage] = []
    /// Answers to parts; nil keeps silent.
    var verdict: (PushedPart) -> SubscriberMachine.Verdict? = { _ in .accepted }
    let session: UInt64 = 7

    init(_ world: PlaneWorld, _ context: TLSContext) throws {
        self.world = world
        ServiceClient.upgrade(ServiceRequest("GET", "/v1/push"), to: "weft-push/1", at: world.mesh(context), on: world.loop) { [self] in
            switch $0 {
            case .success(let opened):
                stream = opened
                opened.onFrame = { [unowned self] in receive($0) }
                opened.onClose = { [unowned self] _ in isClosed = true }
            case .failure(let why): refusal = why
            }
        }
        world.turn { self.stream != nil || self.refusal != nil }
    }

    deinit { stream?.close() }

    private func receive(_ frame: [UInt8]) {
        guard let (message, number) = try? PushMessage.read(frame) else {
            Issue.record("an unreadable frame")
            return
        }
        if case .refused(let why) = message {
            refused = why
            return
        }
        guard number == session else {
            Issue.record("a frame of another session")
            return
        }
        messages.append(message)
        guard case .part(let part) = message else { return }
        parts[part.part] = part
        switch verdict(part) {
        case .accepted: say(.ack(part.part, version: part.version, generation: part.generation))
        case .rejected(let why): say(.nack(part.part, version: part.version, generation: part.generation, reason: why))
        case nil: break
        }
    }

    func say(_ message: PushMessage) { stream?.send(message.json(session: session)) }

    static func hello(
        _ service: String, name: String? = nil, version: String = "v1", address: String? = "127.0.0.1:4001", filters: [String]? = nil,
        incarnation: String = "i1"
    ) -> PushMessage.Hello {
        let known = PlaneWorld.filters.filters.filter { filters?.contains($0.name) ?? true }
        return PushMessage.Hello(
            sidecar: name ?? "\(service)-1", incarnation: incarnation, namespace: "default", service: service, version: version, software: "test",
            endpoints: address.map { [.init(port: 8080, address: $0)] } ?? [],
            filters: known.map { .init(name: $0.name, schema: FilterSchema(name: $0.name, fields: $0.fields).json) })
    }

    /// Says hello and waits until every part is there.
    func greet(_ hello: PushMessage.Hello) {
        say(.hello(hello))
        say(.health(isHealthy: true, reason: ""))
        #expect(world.turn { self.parts.count == 4 })
    }

    func text(_ part: SnapshotPart) -> String { parts[part].map { String(decoding: $0.body, as: UTF8.self) } ?? "" }

    func snapshot() throws -> Snapshot {
        var snapshot = Snapshot.waiting(for: .init(service: "", namespace: "", version: ""))
        for (part, pushed) in parts { try SnapshotCodec.decode(part.part, String(decoding: pushed.body, as: UTF8.self), into: &snapshot) }
        return snapshot
    }
}

extension PlaneWorld {
    /// A sidecar that joined and said hello.
    func sidecar(_ service: String, _ hello: PushMessage.Hello? = nil) throws -> TestSidecar {
        let sidecar = try TestSidecar(self, identity(service))
        sidecar.greet(hello ?? TestSidecar.hello(service))
        return sidecar
    }

    func row(_ name: String) throws -> ConfigNode? { try view("/v1/sidecars").list().first { $0.text("name") == name } }

    /// Turns until `ps` says so.
    func shows(_ name: String, _ state: String) throws -> Bool {
        var isShown = false
        for _ in 0..<100 where !isShown {
            loop.turn(waitingAtMost: .milliseconds(10))
            isShown = try row(name)?.text("state") == state
        }
        return isShown
    }

    /// Endpoints of a service as a caller's traffic part has them.
    func endpoints(_ service: String, seenBy sidecar: TestSidecar) throws -> [TrafficPart.EndpointEntry] {
        try sidecar.snapshot().traffic.services.first { $0.name == service }?.versions.flatMap(\.endpoints) ?? []
    }
}
