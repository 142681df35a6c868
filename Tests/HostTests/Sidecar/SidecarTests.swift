import Glibc
import Pipeline
import Testing

@testable import Host

@Suite("Sidecar", .serialized)
struct SidecarTests {
    @Test("A sidecar joins with its token, takes its snapshot, and then serves whom the access part lets in")
    func serves() throws {
        let world = try SidecarWorld()
        try world.start()
        #expect(world.sidecar.unready == "no config yet")
        #expect(world.turn { world.plane!.hello != nil })
        let hello = try #require(world.plane!.hello)
        #expect(hello.service == "payment" && hello.version == "v1" && hello.sidecar == "payment-1")
        #expect(hello.endpoints.map(\.address) == [world.sidecar.addresses.dataplane.inbound!.description])
        #expect(Set(hello.filters.map(\.name)).isSuperset(of: ["authz", "router", "tls"]))
        #expect(world.plane!.joins.first?["version"]?.string == "v1")

        // Before it was told who may come in, nobody may.
        guard case .failure = try #require(try world.call()) else { Issue.record("served without config"); return }
        let deny = AccessPart.Policy(
            name: "default/no-analytics", action: .deny, rules: [.init(from: [.service(namespace: "default", name: "analytics")])],
            origin: Origin(resource: "test"))
        world.plane!.push(world.snapshot(access: AccessPart(policies: [deny])))
        #expect(world.turn { world.plane!.acked.count == 4 })
        #expect(world.plane!.nacks.map(\.1) == [])
        #expect(world.sidecar.unready == nil)
        #expect(try world.call("/a")?.get().text == "payment /a")
        #expect(try world.call("/a", as: "analytics")?.get().status == 403)
        #expect(world.turn { world.plane!.heard(.health(isHealthy: true, reason: "")) })
    }

    @Test("What it keeps on disk is its owner's alone")
    func privateFiles() throws {
        let world = try SidecarWorld()
        try world.startServing()
        for (name, mode) in [("", 0o700), ("/last-good", 0o700), ("/identity.json", 0o600), ("/last-good/chain", 0o600), ("/admin.sock", 0o600)] {
            var status = stat()
            #expect(stat(world.folder + name, &status) == 0)
            #expect(Int(status.st_mode & 0o777) == mode, "\(name)")
        }
    }

    @Test("The bounds it was started with are those of its data path")
    func bounds() throws {
        let world = try SidecarWorld()
        var settings = world.settings(token: world.plane?.token)
        settings.bounds.downstreamMax = 1
        settings.bounds.handshakeTime = .seconds(3_600)
        try world.startServing(settings)
        let address = try #require(world.sidecar.addresses.dataplane.inbound)
        let only = try RawConnection(to: address), refused = { world.sidecar.dataplane.context.stats.read().first { $0.name == "weft_downstream_refused_total" }?.value }
        #expect(world.turn { (try? RawConnection(to: address).readAll())?.isEmpty == true && refused() != .counter(0) })
        withExtendedLifetime(only) {}
    }

    @Test("Restarted while the control plane is away, it serves from its last good snapshot and needs no token")
    func lastGood() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let address = world.plane!.address
        world.plane!.stop()
        world.plane = nil
        var settings = world.settings()
        settings.controlPlane = .init(address: address, token: nil)
        try world.restart(settings)
        #expect(world.sidecar.unready == nil)
        #expect(try world.call("/b")?.get().text == "payment /b")
        // The control plane is back: the sidecar says what it has, and is not sent it again.
        world.plane = try FakeControlPlane(authority: world.authority, at: address)
        #expect(world.turn { world.plane!.hello != nil })
        #expect(world.plane!.hello?.have.count == 4)
        #expect(world.plane!.joins.isEmpty)
    }

    @Test("With no room on disk for the last good version a push is in force all the same, and the failure is counted")
    func noRoom() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let folder = world.folder + "/last-good"
        for name in try Files.names(in: folder) { unlink(folder + "/" + name) }
        #expect(rmdir(folder) == 0)
        // Root writes through permissions; a file in the folder's place stops even it.
        try Files.write([], to: folder)
        defer { unlink(folder) }
        let deny = AccessPart.Policy(
            name: "default/no-order", action: .deny, rules: [.init(from: [.service(namespace: "default", name: "order")])],
            origin: Origin(resource: "test"))
        world.plane!.push(world.snapshot(access: AccessPart(policies: [deny])))
        #expect(world.turn { world.lines.contain("cannot be stored") })
        #expect(try world.call()?.get().status == 403)
        #expect(try world.admin("/metrics").text.contains("weft_last_good_failures_total 1"))
    }

    @Test("A part that was damaged on disk counts as absent: the sidecar waits to be told again, and nobody comes in")
    func damaged() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let address = world.plane!.address
        world.plane!.stop()
        world.plane = nil
        var bytes = try Files.read(world.folder + "/last-good/access")
        bytes[bytes.count - 3] ^= 1
        try Files.write(bytes, to: world.folder + "/last-good/access")
        var settings = world.settings()
        settings.controlPlane = .init(address: address, token: nil)
        try world.restart(settings)
        #expect(world.sidecar.unready == "no config yet")
        #expect(world.lines.contain("checksum"))
        guard case .failure = try #require(try world.call()) else { Issue.record("served without access"); return }
    }

    @Test("A state folder of another version of the service is not run on: the sidecar waits to be told")
    func foreignState() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let address = world.plane!.address
        world.plane!.stop()
        world.plane = nil
        var settings = world.settings()
        settings.controlPlane = .init(address: address, token: nil)
        settings.workload.version = "v2"
        try world.restart(settings)
        #expect(world.sidecar.unready == "no config yet")
        #expect(world.sidecar.running.versions.isEmpty)
    }

    @Test("A chain that cannot be built here is refused with the reason; the access part beside it is taken")
    func refusedChain() throws {
        let world = try SidecarWorld()
        try world.startServing()
        world.plane!.heard = []
        world.plane!.push(.chain, of: world.snapshot(inbound: ["tls", "authz", "no-such-filter", "router"]))
        world.plane!.push(.access, of: world.snapshot(access: AccessPart(allowsByDefault: false)))
        #expect(world.turn { world.plane!.nacks.count == 1 && world.plane!.acked == [.access] })
        #expect(world.plane!.nacks.first?.0 == .chain)
        #expect(world.plane!.nacks.first?.1.contains("no-such-filter") == true)
        // The old chain serves on, under the new access part.
        #expect(try world.call()?.get().status == 403)
        #expect(try world.admin("/config").text.contains("no-such-filter"))
    }

    @Test("A chain without a stage that the sidecar's own files require is refused")
    func requiredStage() throws {
        let world = try SidecarWorld()
        var settings = world.settings(token: world.plane!.token)
        settings.requiredStages = [.inbound: ["authz"]]
        try world.start(settings)
        world.turn { world.plane!.hello != nil }
        world.plane!.push(world.snapshot(inbound: ["tls", "router"]))
        #expect(world.turn { !world.plane!.nacks.isEmpty })
        #expect(world.plane!.nacks.first?.1.contains("inbound stage \"authz\"") == true)
        world.plane!.push(.chain, of: world.snapshot())
        #expect(world.turn { world.plane!.acked.count == 4 })
    }

    @Test("Roots of another trust domain, and parts that cannot be read, are refused")
    func refusedParts() throws {
        let world = try SidecarWorld()
        try world.startServing()
        var other = world.snapshot()
        other.trust.trustDomain = "elsewhere.example"
        world.plane!.push(.trust, of: other)
        world.plane!.push(.traffic, "{\"nonsense\":true}")
        #expect(world.turn { world.plane!.nacks.count == 2 })
        #expect(try world.call()?.get().status == 200)
    }

    @Test("Roots that its own certificate does not lead to are refused: it would cut itself off")
    func cutOff() throws {
        let world = try SidecarWorld()
        try world.startServing()
        var other = world.snapshot()
        other.trust.roots = String(decoding: try TestAuthority().root.pem, as: UTF8.self)
        world.plane!.push(.trust, of: other)
        #expect(world.turn { world.plane!.nacks.count == 1 })
        #expect(world.plane!.nacks.first?.0 == .trust && world.plane!.nacks.first?.1.contains("own certificate") == true)
        #expect(try world.call()?.get().status == 200)
        // Both roots are fine.
        other.trust.roots += String(decoding: try world.authority.root.pem, as: UTF8.self)
        world.plane!.heard = []
        world.plane!.push(.trust, of: other)
        #expect(world.turn { world.plane!.acked == [.trust] })
        #expect(try world.call()?.get().status == 200)
    }

    @Test("Told to renew, it does so at once and shows the new certificate on a new stream, with what it runs on")
    func renewsAtOnce() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let before = try #require(world.plane!.stream?.peer)
        world.plane!.heard = []
        world.plane!.certificateLife = 7_200
        _ = world.plane!.stream?.send(PushMessage.renewCertificate(within: .zero).json(session: world.plane!.session))
        #expect(world.turn { world.plane!.hello != nil })
        #expect(world.plane!.renewals == 1 && world.plane!.hello?.have.count == 4)
        #expect(try #require(world.plane!.stream?.peer).expires > before.expires)
        #expect(try world.call()?.get().status == 200)
    }

    @Test("With the token it once joined with it comes back after the roots were rotated")
    func oldToken() throws {
        let world = try SidecarWorld()
        let settings = world.settings(token: world.plane!.token)
        try world.startServing(settings)
        let credentials = try #require(world.sidecar.identity?.credentials)
        // What a rotation leaves behind: another root, a certificate by it, and the token's root nowhere but in the notes.
        let next = try TestAuthority()
        let rotated = try WorkloadCredentials(
            identity: next.workload("payment"), id: credentials.id, rootsPEM: String(decoding: next.root.pem, as: UTF8.self),
            joinRoot: credentials.joinRoot)
        world.sidecar.end()
        world.sidecar = nil
        try Files.write(rotated.encoded(), to: world.folder + "/identity.json", mode: 0o600)
        try world.start(settings)
        #expect(world.sidecar.identity?.credentials?.identity.certificate.sha256 == rotated.identity.certificate.sha256)
        #expect(!world.lines.contain("another mesh"))
    }

    @Test("Refused by the control plane, it logs why once, shows it on its admin page and serves on")
    func refusedStream() throws {
        let world = try SidecarWorld()
        try world.startServing()
        let stream = try #require(world.plane!.stream)
        _ = stream.send(PushMessage.refused(reason: "it says it is of default/order").json(session: 0))
        #expect(world.turn { world.lines.contain("refuses this sidecar: it says it is of default/order") })
        #expect(world.turn { world.plane!.stream == nil })
        let config = ConfigReader.read(try world.admin("/config").text, name: "config").root
        #expect(config?["refusedByControlPlane"]?.string == "it says it is of default/order" && config?["connected"]?.bool == false)
        #expect(try world.call()?.get().status == 200)
        // A new certificate may change its mind: the next try does not wait.
        world.plane!.heard = []
        world.sidecar.identity?.renewNow()
        #expect(world.turn { world.plane!.hello != nil })
        _ = world.plane!.stream?.send(PushMessage.welcome(heartbeat: .seconds(5)).json(session: world.plane!.session))
        #expect(world.turn { world.sidecar.push?.refusal == nil })
    }

    @Test("A control plane of another version of the protocol refuses the stream, and the sidecar says so")
    func otherProtocol() throws {
        let world = try SidecarWorld()
        world.plane!.pushStatus = 426
        try world.start()
        #expect(world.turn { world.sidecar.push?.refusal == "use the same weft on both sides" })
        #expect(world.lines.contain("refuses this sidecar"))
    }

    @Test("A token never leaves for a server without the root it names")
    func pinned() throws {
        let world = try SidecarWorld()
        let stranger = try TestAuthority()
        let token = JoinToken(id: Array(0..<8), secret: Array(0..<24), rootFingerprint: stranger.root.sha256).text
        try world.start(world.settings(token: token))
        #expect(world.turn { world.lines.contain("no new certificate") })
        #expect(world.lines.contain("weft token create"), "it says what to do")
        #expect(world.plane!.requests == 0)
    }

    @Test("A sidecar whose token is refused gives up, saying why")
    func refusedToken() throws {
        let world = try SidecarWorld()
        world.plane!.joinStatus = 403
        try world.start()
        #expect(world.turn { world.sidecar.loop.isStopping })
        #expect(world.lines.contain("the token was used"))
    }

    @Test("Nothing is lost when a batch is refused: the same one comes again, and later ones count on")
    func exports() throws {
        let world = try SidecarWorld()
        world.plane!.refusedBatches = 2
        try world.startServing()
        for _ in 0..<5 { _ = try world.call() }
        #expect(world.turn { world.plane!.batches.flatMap(\.1).calls == 5 })
        let sequences = world.plane!.batches.map(\.0.sequence)
        #expect(sequences == sequences.sorted() && Set(sequences).count == sequences.count && sequences.first == 1)
        #expect(Set(world.plane!.batches.map(\.0.incarnation)).count == 1)
        // At least: where the machine is slow, an answer may have come too late as well.
        let failures = try world.admin("/metrics").text.split(separator: "\n").first { $0.hasPrefix("weft_export_failures_total ") }
        #expect(failures.flatMap { Int($0.split(separator: " ")[1]) } ?? 0 >= 2)
    }

    @Test("Leaving, it fails readiness and says so first, lets a request in flight end, and sends its last metrics")
    func drains() throws {
        let world = try SidecarWorld()
        var settings = world.settings(token: world.plane!.token)
        settings.exportInterval = .seconds(3600)
        settings.drain.announcement = .milliseconds(300)
        try world.startServing(settings)
        let context = try TLSContext.client(
            identity: world.authority.workload("order"), trust: .roots([world.authority.root]), trustDomain: "shop.internal")
        let peer = ExpectedPeer([try SPIFFEID(TestAuthority.id("payment"))], endpoint: "payment")
        var slow: Result<ServiceResponse, ServiceFailure>?
        ServiceClient.send(
            ServiceRequest("GET", "/slow"), to: ServiceTarget(world.sidecar.addresses.dataplane.inbound!, tls: (context, peer)),
            on: world.sidecar.loop
        ) { slow = $0 }
        #expect(world.turn { world.sidecar.dataplane.inboundInFlight() == 1 })
        world.sidecar.stop()
        #expect(world.turn { world.plane!.heard(.draining) })
        #expect(try world.admin("/readyz").status == 503)
        #expect(slow == nil)
        #expect(world.turn { world.sidecar.loop.isStopping })
        #expect(try slow?.get().text == "slow, but done")
        #expect(world.plane!.batches.flatMap(\.1).calls == 1)
    }

    @Test("Local files that are wrong change nothing; once they are right they are in force")
    func reload() throws {
        let world = try SidecarWorld()
        var files = SidecarFiles(snapshot: world.snapshot())
        var settings = world.settings()
        settings.controlPlane = nil
        settings.entrances.inboundIsPlain = true
        try world.start(settings, snapshot: files.snapshot, reload: { files })
        let call = { () throws -> UInt16? in
            var outcome: Result<ServiceResponse, ServiceFailure>?
            ServiceClient.send(ServiceRequest("GET", "/"), to: ServiceTarget(world.sidecar.addresses.dataplane.inbound!), on: world.sidecar.loop) { outcome = $0 }
            world.turn { outcome != nil }
            return try outcome?.get().status
        }
        #expect(try call() == 200)
        files.snapshot = world.snapshot(inbound: ["nonsense", "router"])
        world.sidecar.readFilesAgain()
        #expect(world.lines.contain("nonsense"))
        #expect(try world.admin("/metrics").text.contains("weft_config_reload_failures_total 1"))
        #expect(try call() == 200)
        files.snapshot = world.snapshot(access: AccessPart(allowsByDefault: false))
        world.sidecar.readFilesAgain()
        #expect(try call() == 403)
    }

    @Test("Renewed in time over its own certificate; calls that were open go on")
    func renews() throws {
        let world = try SidecarWorld()
        try world.startServing()
        world.sidecar.identity?.hurry(within: .seconds(60))
        let first = world.sidecar.identity?.credentials?.identity.certificate.sha256
        // `hurry` waits up to a minute; the test does not.
        world.sidecar.identity?.renewNow()
        #expect(world.turn { world.plane!.renewals == 1 && world.sidecar.identity?.credentials?.identity.certificate.sha256 != first })
        #expect(try world.call()?.get().status == 200)
        #expect(try world.call()?.get().status == 200)
        #expect(world.plane!.joins.count == 1)
    }
}

extension [OTLP.Metric] {
    /// Calls that the destination counted.
    var calls: UInt64 {
        filter { $0.name == DeltaTracker.requestDuration }.reduce(0) { sum, metric in
            guard case .histogram(let points, _) = metric.data else { return sum }
            return sum + points.reduce(0) { $0 + $1.count }
        }
    }
}
