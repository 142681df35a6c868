import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct RevocationTests {
    private func revoke(_ world: PlaneWorld, _ service: String, reason: String = "stolen key") throws -> ServiceResponse {
        try world.api("POST", "/v1/revocations", "", "{\"service\":\"\(service)\",\"reason\":\"\(reason)\"}")
    }

    private func denied(_ sidecar: TestSidecar) throws -> [AccessPart.Source] {
        try sidecar.snapshot().access.policies.filter { $0.name == "weft-system/revoked" }.flatMap(\.rules).flatMap(\.from)
    }

    @Test("A revoked token lets nobody in, also after a restart; the list says so, and shows no secret")
    func token() throws {
        let world = try PlaneWorld()
        let text = try world.token("payment", uses: 2)
        #expect(try world.join(text, .generate()).status == 200)
        let row = try #require(try world.view("/v1/tokens").list().first)
        #expect(row.text("state") == "open" && row["usesLeft"]?.integer == 1 && row.text("service") == "payment")
        #expect(try !world.api("GET", "/v1/tokens").text.contains(text.suffix(60)))
        #expect(try world.api("DELETE", "/v1/tokens", "id=\(row.text("id"))").status == 200)
        #expect(try world.api("DELETE", "/v1/tokens", "id=0000").status == 404)
        for _ in 0..<2 {
            let answer = try world.join(text, .generate())
            #expect(answer.status == 403 && answer.text.contains("was revoked"), "\(answer.text)")
            #expect(try world.view("/v1/tokens").list().first?.text("state") == "revoked")
            world.stop()
            try world.start()
        }
    }

    @Test("A revoked identity's stream ends with the reason, its endpoints go, and everybody else denies it; durable until restored")
    func identity() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let context = try world.identity("payment")
        let payment = try TestSidecar(world, context)
        payment.greet(TestSidecar.hello("payment"))
        let token = try world.token("payment")
        var order: TestSidecar! = try world.sidecar("order")
        #expect(world.turn { (try? world.endpoints("payment", seenBy: order).count) == 1 })

        let answer = try revoke(world, "payment")
        #expect(try answer.status == 200 && answer.root["streamsEnded"]?.integer == 1)
        #expect(world.turn { payment.isClosed })
        #expect(payment.refused == "the identity default/payment is revoked: stolen key")
        #expect(world.turn(seconds: 1) { (try? self.denied(order)) == [.service(namespace: "default", name: "payment")] })
        #expect(world.turn { (try? world.endpoints("payment", seenBy: order).isEmpty) == true })
        #expect(try world.row("payment-1")?.text("revoked").contains("stolen key") == true)
        order = nil
        for _ in 0..<2 {
            #expect(try world.view("/v1/revocations").list().first?.text("reason") == "stolen key")
            // Neither with its certificate nor with a token.
            let key = try Host.PrivateKey.generate()
            var writer = JSONWriter()
            try writer.object { $0.member("csr", String(decoding: try key.signingRequest(for: "spiffe://a/ns/b/sa/c"), as: UTF8.self)) }
            let renewal = try world.call(ServiceRequest("POST", "/v1/renew", body: writer.utf8), at: world.mesh(context))
            #expect(renewal.status == 403 && renewal.text.contains("stolen key"), "\(renewal.text)")
            #expect(try world.join(token, key).status == 403)
            let batch = ServiceRequest("POST", "/v1/metrics", headers: [("content-encoding", "zstd")], body: [1])
            #expect(try world.call(batch, at: world.mesh(context)).status == 403)
            let again = try TestSidecar(world, context)
            again.say(.hello(TestSidecar.hello("payment")))
            #expect(world.turn { again.isClosed })
            #expect(again.refused?.contains("stolen key") == true && again.parts.isEmpty)
            world.stop()
            try world.start()
        }
        #expect(try world.api("DELETE", "/v1/revocations", "service=payment").status == 200)
        #expect(try world.api("DELETE", "/v1/revocations", "service=payment").status == 404)
        // No use of the token was taken while it could not be used.
        #expect(try world.join(token, .generate()).status == 200)
        let back = try TestSidecar(world, context)
        back.greet(TestSidecar.hello("payment"))
        #expect(try denied(back).isEmpty)
    }

    @Test("What cannot be revoked is refused with a sentence")
    func refused() throws {
        let world = try PlaneWorld()
        #expect(try revoke(world, "No Label").status == 400)
        #expect(try revoke(world, "payment", reason: String(repeating: "a", count: 501)).status == 422)
        #expect(try world.api("POST", "/v1/revocations", "", "{}").status == 400)
        #expect(try world.api("PUT", "/v1/revocations").status == 405)
        #expect(try world.api("DELETE", "/v1/revocations").status == 400)
    }

    @Test("The list is bounded, keeps a reason's first date, and reads back what it stored and nothing else")
    func list() throws {
        var list = RevocationList()
        let now = UnixTime(1_000)
        for number in 0..<RevocationList.entriesMax {
            guard case .changed = list.revoke("default", "s\(number)", because: "", at: now) else { Issue.record("\(number)"); return }
        }
        guard case .refused(let why) = list.revoke("default", "more", because: "", at: now) else { Issue.record("one too many"); return }
        #expect(why.contains("1000"))
        guard case .changed(let change) = list.revoke("default", "s7", because: "again", at: now + 60) else { Issue.record("known"); return }
        let value = try #require(change.value)
        let read = try #require(RevocationList([(change.key, Tables.Entry(value: value, revision: 1))]))
        #expect(read.entries == ["default/s7": .init(reason: "again", since: now)])
        #expect(read.objection("default", "s7") == "the identity default/s7 is revoked: again" && read.objection("default", "s8") == nil)
        for count in 0..<value.count { #expect(RevocationList([(change.key, Tables.Entry(value: Array(value.prefix(count)), revision: 1))]) == nil) }
    }
}
