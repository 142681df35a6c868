import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct JoinTests {
    @Test("A token gives one certificate, for its service, whatever the request asks for; the second join is refused")
    func once() throws {
        let world = try PlaneWorld()
        let token = try world.token("payment")
        let key = try Host.PrivateKey.generate()
        let answer = try world.join(token, key)
        #expect(answer.status == 200, "\(answer.text)")
        #expect(try answer.root.text("spiffeID") == "spiffe://shop.internal/ns/default/sa/payment")
        #expect(try answer.root.text("trustDomain") == "shop.internal")
        let chain = try Host.Certificate.all(inPEM: Array(answer.root.text("certificate").utf8))
        #expect(try LocalIdentity(key: key, chain: chain).id?.description == "spiffe://shop.internal/ns/default/sa/payment")
        let again = try world.join(token, .generate())
        #expect(again.status == 403 && again.text.contains("used up"), "\(again.text)")
    }

    @Test("Of many joins at once with one token, one gets a certificate")
    func race() throws {
        let world = try PlaneWorld()
        let token = try world.token("payment")
        let context = try TLSContext.client(identity: nil, trust: .pinnedRoot(sha256: JoinToken(parsing: token).rootFingerprint), trustDomain: "")
        let csr = String(decoding: try Host.PrivateKey.generate().signingRequest(for: "spiffe://a/ns/b/sa/c"), as: UTF8.self)
        var statuses: [UInt16] = []
        var writer = JSONWriter()
        writer.object {
            $0.member("token", token)
            $0.member("csr", csr)
        }
        let calls = (0..<16).map { _ in
            ServiceClient.send(ServiceRequest("POST", "/v1/join", body: writer.utf8), to: world.mesh(context), on: world.loop) {
                statuses.append((try? $0.get().status) ?? 0)
            }
        }
        world.turn { statuses.count == 16 }
        #expect(statuses.sorted() == [200] + Array(repeating: 403, count: 15))
        withExtendedLifetime(calls) {}
    }

    @Test("A request that cannot be signed costs the token nothing")
    func badRequest() throws {
        let world = try PlaneWorld()
        let token = try world.token("payment")
        for csr in ["", "nonsense", RequestFixtures.rsa1024] { #expect(try world.join(token, csr: csr).status == 403, "\(csr)") }
        #expect(try world.join(token, .generate()).status == 200)
    }

    @Test("Wrong tokens are told why, a flood of them 429, and a right one gets through all the same")
    func flood() throws {
        let world = try PlaneWorld()
        let token = try world.token("payment")
        let csr = String(decoding: try Host.PrivateKey.generate().signingRequest(for: "spiffe://a/ns/b/sa/c"), as: UTF8.self)
        var statuses: [UInt16] = []
        for number in 0..<(JoinThrottle.burst + 20) {
            let wrong = JoinToken(rootFingerprint: world.plane.authority.rotation.issuer.fingerprint)
            statuses.append(try world.join(number.isMultiple(of: 2) ? wrong.text : "no token", csr: csr).status)
        }
        #expect(statuses.prefix(JoinThrottle.burst).allSatisfy { $0 == 403 })
        #expect(statuses.suffix(5).contains(429), "\(statuses)")
        #expect(try world.join(token, .generate()).status == 200)
    }

    @Test("The throttle lets a burst through, then one a second")
    func throttle() {
        var throttle = JoinThrottle()
        let start = Instant.zero + .seconds(100)
        #expect((0..<JoinThrottle.burst + 5).count { _ in throttle.admits(at: start) } == JoinThrottle.burst)
        #expect((0..<5).count { _ in throttle.admits(at: start + .seconds(3)) } == 3)
    }

    @Test("A certificate renews itself and nobody else's; without one nothing is renewed")
    func renew() throws {
        let world = try PlaneWorld()
        let context = try world.identity("payment")
        let key = try Host.PrivateKey.generate()
        func body() throws -> [UInt8] {
            var writer = JSONWriter()
            try writer.object { $0.member("csr", String(decoding: try key.signingRequest(for: "spiffe://shop.internal/ns/default/sa/order"), as: UTF8.self)) }
            return writer.utf8
        }
        let answer = try world.call(ServiceRequest("POST", "/v1/renew", body: body()), at: world.mesh(context))
        #expect(answer.status == 200, "\(answer.text)")
        #expect(try answer.root.text("spiffeID") == "spiffe://shop.internal/ns/default/sa/payment")
        _ = try world.context(answer, key)
        let stranger = try TLSContext.client(
            identity: nil, trust: .pinnedRoot(sha256: world.plane.authority.rotation.issuer.fingerprint), trustDomain: "")
        #expect(try world.call(ServiceRequest("POST", "/v1/renew", body: body()), at: world.mesh(stranger)).status == 403)
        #expect(try world.call(ServiceRequest("POST", "/v1/metrics", body: [1]), at: world.mesh(stranger)).status == 403)
        #expect(try world.call(ServiceRequest("GET", "/v1/join"), at: world.mesh(stranger)).status == 405)
        #expect(try world.call(ServiceRequest("GET", "/v1/push"), at: world.mesh(context)).status == 426)
    }

    @Test("Before anybody is known the mesh port takes a mebibyte and no more")
    func bound() throws {
        let world = try PlaneWorld()
        let stranger = try TLSContext.client(
            identity: nil, trust: .pinnedRoot(sha256: world.plane.authority.rotation.issuer.fingerprint), trustDomain: "")
        let request = ServiceRequest("POST", "/v1/join", body: Array(repeating: 0x20, count: Plane.meshBodyBytesMax + 1))
        #expect(try world.call(request, at: world.mesh(stranger)).status == 413)
    }
}
