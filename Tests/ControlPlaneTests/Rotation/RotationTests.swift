import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct RotationTests {
    private func phase(_ world: PlaneWorld) throws -> String { try world.view("/v1/ca").text("phase") }

    /// Turns until the rotation is there; the sidecar keeps its stream alive meanwhile.
    private func comes(_ world: PlaneWorld, to wanted: String, _ sidecar: TestSidecar? = nil) throws -> Bool {
        world.turn {
            sidecar?.say(.heartbeat)
            return (try? phase(world)) == wanted
        }
    }

    /// For several of the control plane's ticks.
    private func stays(_ world: PlaneWorld, in wanted: String, _ sidecar: TestSidecar? = nil) throws -> Bool {
        let end = Clock.monotonic() + .milliseconds(800)
        world.turn {
            sidecar?.say(.heartbeat)
            return Clock.monotonic() >= end
        }
        return try phase(world) == wanted
    }

    private func rotate(_ world: PlaneWorld, force: Bool = false) throws -> ServiceResponse {
        try world.api("POST", "/v1/ca/rotate", "", force ? "{\"force\":true}" : "{}")
    }

    private func roots(_ sidecar: TestSidecar) throws -> Int {
        try Host.Certificate.all(inPEM: Array(sidecar.snapshot().trust.roots.utf8)).count
    }

    @Test("A rotation waits for every ACK, then for every renewal, then drops the old root; in between it survives a restart")
    func whole() throws {
        let world = try PlaneWorld(lease: .seconds(1))
        try world.applied(Shop.services)
        var context = try world.identity("payment")
        var sidecar: TestSidecar! = try TestSidecar(world, context)
        sidecar.greet(TestSidecar.hello("payment"))
        let before = world.plane.authority.rotation.issuer

        sidecar.verdict = { _ in nil }
        #expect(try rotate(world).status == 200)
        #expect(try rotate(world).status == 409)
        #expect(world.turn { (try? self.roots(sidecar)) == 2 })
        #expect(try stays(world, in: "spreading", sidecar), "it has not said yes")
        var view = try world.view("/v1/ca")
        #expect(view["waitingFor"]?.integer == 1 && view.list("waiting").first?.text("sidecar") == "default/payment/payment-1")
        #expect(view.list("roots").map { $0["issues"]?.bool } == [true, false])

        // The control plane is started again; the sidecar comes back, still without the new root, and takes it now.
        sidecar = nil
        world.stop()
        try world.start()
        #expect(try stays(world, in: "spreading"), "who is away counts")
        sidecar = try TestSidecar(world, context)
        sidecar.greet(TestSidecar.hello("payment"))
        #expect(try comes(world, to: "retiring", sidecar))
        #expect(world.turn { sidecar.messages.contains { if case .renewCertificate = $0 { true } else { false } } })
        view = try world.view("/v1/ca")
        #expect(view.list("roots").map { $0["issues"]?.bool } == [true, false])
        #expect(view.list("waiting").first?.text("why") == "has a certificate of the old root")
        #expect(world.plane.authority.rotation.issuer != before)

        // Renewed is who shows the new certificate, not who was given one; and that survives a restart too.
        context = try world.renewed("payment", with: context)
        #expect(try stays(world, in: "retiring", sidecar))
        let expiresBefore = try #require(try world.row("payment-1")?.text("certificateExpires"))
        sidecar = nil
        world.stop()
        try world.start()
        sidecar = try TestSidecar(world, context)
        sidecar.greet(TestSidecar.hello("payment"))
        #expect(try #require(try world.row("payment-1")?.text("certificateExpires")) > expiresBefore)
        #expect(try comes(world, to: "steady", sidecar))
        #expect(world.turn { (try? self.roots(sidecar)) == 1 })
        #expect(world.plane.authority.rotation.trusted.count == 1 && !world.plane.authority.rotation.trusted.contains(before))
        #expect(try Files.names(in: world.directory + "/store").filter { $0.hasSuffix(".key") }.count == 1)
        _ = try world.renewed("payment", with: context)
        withExtendedLifetime(sidecar) {}
    }

    @Test("Who was away from before the rotation until the old root's last day comes back, learns the new root and renews")
    func away() throws {
        let world = try PlaneWorld(lease: .seconds(1))
        try world.applied(Shop.services)
        let context = try world.identity("payment")
        #expect(try rotate(world).status == 200)
        #expect(try stays(world, in: "spreading"))
        #expect(try rotate(world, force: true).status == 200)
        #expect(try phase(world) == "retiring")
        let sidecar = try TestSidecar(world, context)
        sidecar.greet(TestSidecar.hello("payment"))
        #expect(try roots(sidecar) == 2)
        #expect(world.turn { sidecar.messages.contains { if case .renewCertificate = $0 { true } else { false } } })
        let next = try TestSidecar(world, world.renewed("payment", with: context))
        next.greet(TestSidecar.hello("payment"))
        #expect(try comes(world, to: "steady"))
    }

    @Test("A token made before a rotation works until the old root is gone, one made during it also afterwards")
    func tokens() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        // One that takes no new root holds each step up until it is forced, however slow the machine.
        let sidecar = try TestSidecar(world, world.identity("payment"))
        sidecar.verdict = { _ in nil }
        sidecar.greet(TestSidecar.hello("payment"))
        #expect(world.turn { sidecar.refused != nil || !sidecar.parts.isEmpty })
        let (first, second, last) = (try world.token("payment"), try world.token("payment"), try world.token("payment"))
        #expect(try rotate(world).status == 200)
        let during = try world.token("payment")
        #expect(try world.join(first, .generate()).status == 200)
        #expect(try rotate(world, force: true).status == 200)
        #expect(try phase(world) == "retiring")
        #expect(try world.join(second, .generate()).status == 200)
        #expect(try rotate(world, force: true).status == 200)
        #expect(try phase(world) == "steady")
        #expect(try world.join(during, .generate()).status == 200)
        // The joiner sees that the root it was told of is not there, and shows its token to nobody.
        let key = try Host.PrivateKey.generate()
        let failure = try #require(throws: ServiceFailure.self) { _ = try world.join(last, key) }
        guard case .transport(let why) = failure else { Issue.record("\(failure)"); return }
        #expect(why.tls?.isWithoutPin == true)
        withExtendedLifetime(sidecar) {}
    }

    @Test("With nobody there a rotation is over in two steps")
    func empty() throws {
        let world = try PlaneWorld(lease: .seconds(1))
        #expect(try rotate(world).status == 200)
        #expect(try comes(world, to: "steady"))
        #expect(try world.view("/v1/ca").list("roots").count == 1)
        #expect(try world.api("POST", "/v1/ca/rotate", "", "{\"now\":true}").status == 400)
        #expect(try world.api("GET", "/v1/ca/rotate").status == 405)
    }
}
