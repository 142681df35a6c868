import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct OperatorTests {
    private let anywhere = SocketAddress("127.0.0.1:0")!

    private func create(_ world: PlaneWorld, _ name: String = "alice", ttl: String = "1h") throws -> ConfigNode {
        let answer = try world.api("POST", "/v1/operators", "", "{\"name\":\"\(name)\",\"ttl\":\"\(ttl)\"}")
        try #require(answer.status == 200, "\(answer.text)")
        return try answer.root
    }

    private func remote(_ world: PlaneWorld, _ context: TLSContext? = nil) throws -> ServiceTarget {
        let address = try #require(world.plane.apiAddress)
        let pinned = try TLSContext.client(
            identity: nil, trust: .pinnedRoot(sha256: world.plane.authority.rotation.newest.fingerprint), trustDomain: "")
        return ServiceTarget(address, tls: (context ?? pinned, ExpectedPeer(controlPlaneAt: address)))
    }

    private func ask(
        _ world: PlaneWorld, _ method: String = "GET", _ path: String = "/v1/version", secret: String?, _ context: TLSContext? = nil, body: String = ""
    ) throws -> ServiceResponse {
        let headers = secret.map { [("authorization", "Bearer \($0)")] } ?? []
        return try world.call(ServiceRequest(method, path, headers: headers, body: Array(body.utf8)), at: remote(world, context))
    }

    @Test("With a credential the API is the same over TCP as over its unix socket, under TLS alone, also after a restart")
    func granted() throws {
        let world = try PlaneWorld(api: anywhere)
        let credential = try create(world)
        #expect(credential.text("server") == "https://\(world.plane.apiAddress!)")
        #expect(credential.text("root") == world.plane.authority.rotation.issuer.fingerprint.hex)
        let secret = credential.text("secret")
        for _ in 0..<2 {
            let answer = try ask(world, secret: secret)
            #expect(try answer.status == 200 && answer.root.text("trustDomain") == "shop.internal")
            #expect(answer.header(Plane.rootHeader) == world.plane.authority.rotation.issuer.fingerprint.hex)
            #expect(try ask(world, "POST", "/v1/tokens", secret: secret, body: "{\"service\":\"payment\"}").status == 200)
            #expect(throws: ServiceFailure.self) {
                try world.call(ServiceRequest("GET", "/v1/version", headers: [("authorization", "Bearer \(secret)")]), at: ServiceTarget(world.plane.apiAddress!))
            }
            world.stop()
            try world.start()
        }
    }

    @Test("A workload's certificate is no credential, nor is a join token, a wrong secret or another's id; each waits a second and is counted")
    func refused() throws {
        let world = try PlaneWorld(api: anywhere)
        let (alice, bob) = (try create(world), try create(world, "bob"))
        let parts = alice.text("secret").split(separator: ".").map(String.init), others = bob.text("secret").split(separator: ".").map(String.init)
        let payment = try world.identity("payment")
        let start = Clock.monotonic()
        let wrong: [String?] = [
            nil, "", "weftop1", try world.token("payment"), "\(parts[0]).\(parts[1]).\(others[2])", "\(parts[0]).\(others[1]).\(parts[2])",
            "weftop2.\(parts[1]).\(parts[2])", alice.text("secret") + "00", String(alice.text("secret").dropLast()), alice.text("secret") + " x",
        ]
        // At once, so that the test takes as long as one of them.
        var statuses: [UInt16] = []
        let calls = try wrong.map { secret in
            let headers = secret.map { [("authorization", "Bearer \($0)")] } ?? []
            return ServiceClient.send(ServiceRequest("GET", "/v1/version", headers: headers), to: try remote(world, payment), on: world.loop) {
                statuses.append((try? $0.get().status) ?? 0)
            }
        }
        // Meanwhile who is right does not wait.
        #expect(try ask(world, secret: alice.text("secret")).status == 200)
        #expect(Clock.monotonic() - start < .milliseconds(900) && statuses.isEmpty)
        world.turn { statuses.count == wrong.count }
        #expect(statuses == Array(repeating: 401, count: wrong.count))
        #expect(Clock.monotonic() - start >= PenaltyBox.delay)
        #expect(try world.metricsPage().contains("weft_control_plane_operators_refused_total \(wrong.count)"))
        withExtendedLifetime(calls) {}
    }

    @Test("A revoked credential is refused at once; operators are managed on the control plane's host alone")
    func managed() throws {
        let world = try PlaneWorld(api: anywhere)
        let secret = try create(world).text("secret")
        for (method, path) in [("GET", "/v1/operators"), ("POST", "/v1/operators"), ("DELETE", "/v1/operators")] {
            #expect(try ask(world, method, path, secret: secret, body: method == "POST" ? "{\"name\":\"eve\"}" : "").status == 403)
        }
        #expect(try world.view("/v1/operators").list().map { $0.text("name") } == ["alice"])
        #expect(try !world.api("GET", "/v1/operators").text.contains(secret.suffix(64)))
        #expect(try world.api("POST", "/v1/operators", "", "{\"name\":\"alice\"}").status == 422)
        #expect(try world.api("POST", "/v1/operators", "", "{\"name\":\"Al ice\"}").status == 400)
        #expect(try world.api("POST", "/v1/operators", "", "{\"name\":\"bob\",\"ttl\":\"9000h\"}").status == 400)
        #expect(try world.api("DELETE", "/v1/operators", "name=alice").status == 200)
        #expect(try ask(world, secret: secret).status == 401)
        #expect(try world.api("DELETE", "/v1/operators", "name=alice").status == 404)
    }

    @Test("Who shows no credential has no more than 64 KiB read of what it sends")
    func bound() throws {
        let world = try PlaneWorld(api: anywhere)
        let secret = try create(world).text("secret")
        let big = String(repeating: " ", count: Plane.strangersBodyBytesMax + 1)
        #expect(try ask(world, "POST", "/v1/apply", secret: nil, body: big).status == 413)
        #expect(try ask(world, "POST", "/v1/apply", secret: secret, body: big).status == 400)
    }

    @Test("Without --api-listen there is no TCP port for the API")
    func closed() throws {
        let world = try PlaneWorld()
        #expect(world.plane.apiAddress == nil)
        #expect(try create(world).text("server") == "")
    }

    @Test("A credential ends, is bounded in number, and reads back as it was stored and not otherwise")
    func ledger() throws {
        var ledger = OperatorLedger()
        let now = UnixTime(1_000)
        guard case .created(let secret, let change) = ledger.create("alice", life: 60, at: now, random: Array(0..<40)) else { Issue.record("refused"); return }
        #expect(secret == "weftop1.0001020304050607." + Array<UInt8>(8..<40).hex)
        let value = try #require(change.value)
        #expect(!value.hex.contains(Array<UInt8>(8..<40).hex), "the secret itself is nowhere")
        let read = try #require(OperatorLedger([(change.key, Tables.Entry(value: value, revision: 1))]))
        for ledger in [ledger, read] {
            #expect(ledger.check("Bearer \(secret)", at: now) == .granted("alice") && ledger.check("bearer \(secret)", at: now + 59) == .granted("alice"))
            guard case .refused(let why) = ledger.check("Bearer \(secret)", at: now + 60) else { Issue.record("expired"); return }
            #expect(why.contains("expired"))
            #expect(ledger.check("Basic \(secret)", at: now) != .granted("alice"))
        }
        for count in 0..<value.count { #expect(OperatorLedger([("a", Tables.Entry(value: Array(value.prefix(count)), revision: 1))]) == nil) }
        for number in 1..<OperatorLedger.recordsMax {
            let random = Array("\(number)".utf8) + Array(repeating: UInt8(1), count: 40)
            guard case .created = ledger.create("o\(number)", life: 60, at: now, random: random) else { Issue.record("\(number)"); return }
        }
        guard case .refused = ledger.create("more", life: 60, at: now, random: Array(repeating: 9, count: 40)) else { Issue.record("one too many"); return }
        _ = ledger.revoke("alice")
        #expect(ledger.check("Bearer \(secret)", at: now) != .granted("alice"))
    }
}
