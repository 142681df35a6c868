import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct PushTests {
    @Test("A sidecar that joined is pushed every part, and what it accepts is SYNCED")
    func synced() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let sidecar = try world.sidecar("payment")
        #expect(try world.shows("payment-1", "SYNCED"))
        guard case .welcome? = sidecar.messages.first else { Issue.record("\(sidecar.messages.first as Any)"); return }
        let snapshot = try sidecar.snapshot()
        #expect(snapshot.trust.trustDomain == "shop.internal" && snapshot.traffic.workload.service == "payment")
        #expect(snapshot.chain.inbound.first?.filter == "tls")
        let row = try #require(try world.row("payment-1"))
        #expect(row["connected"]?.bool == true && row.text("health") == "healthy" && row.text("address") == "127.0.0.1:4001")
        for part in row.list("parts") { #expect(part.text("state") == "SYNCED" && part.text("sent") == part.text("accepted") && !part.text("sent").isEmpty) }
    }

    @Test("A policy has reached the sidecar within a second of apply's answer, and nobody else is pushed anything")
    func policy() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let (payment, order) = (try world.sidecar("payment"), try world.sidecar("order"))
        #expect(try world.shows("order-1", "SYNCED") && world.shows("payment-1", "SYNCED"))
        let before = (order: order.parts, payment: payment.parts)
        try world.applied(Shop.policy("order"))
        let answered = Clock.monotonic()
        world.turn { payment.parts[.access] != before.payment[.access] }
        #expect(Clock.monotonic() - answered < .seconds(1))
        #expect(try payment.snapshot().access.policies.map(\.name) == ["callers"])
        #expect(payment.parts.filter { $0.key != .access } == before.payment.filter { $0.key != .access })
        for _ in 0..<10 { world.loop.turn(waitingAtMost: .milliseconds(10)) }
        #expect(order.parts == before.order)
    }

    @Test("A refused chain shows REJECTED with the reason and holds back neither access nor trust")
    func nack() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let sidecar = try TestSidecar(world, world.identity("payment"))
        sidecar.verdict = { $0.part == .chain ? .rejected("no filter \"stats\" here") : .accepted }
        sidecar.greet(TestSidecar.hello("payment"))
        #expect(try world.shows("payment-1", "REJECTED"))
        let parts = try #require(try world.row("payment-1")?.list("parts"))
        #expect(parts.first { $0.text("part") == "chain" }?.text("reason") == "no filter \"stats\" here")
        #expect(parts.filter { $0.text("state") == "SYNCED" }.map { $0.text("part") } == ["trust", "access", "traffic"])
        try world.applied(Shop.policy("order"))
        #expect(world.turn { (try? sidecar.snapshot().access.policies.count) == 1 })
        // A version that was refused is not sent again; the next one is.
        let pushed = sidecar.parts[.chain]
        sidecar.verdict = { _ in .accepted }
        try world.applied(#"{"kind":"Mesh","name":"shop","trustDomain":"shop.internal","settings":{"retry":{"maxRetries":1}}}"#)
        #expect(try world.shows("payment-1", "SYNCED"))
        #expect(sidecar.parts[.chain] != pushed)
    }

    @Test("A chain with a filter that some of its sidecars lack is applied with a warning that names them")
    func lacking() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let sidecar = try world.sidecar("payment", TestSidecar.hello("payment", filters: ["tls", "stats", "authz", "router"]))
        let answer = try world.apply(#"{"kind":"Chain","name":"in","direction":"inbound","stages":["tls","stats","authz","ratelimit","router"]}"#)
        #expect(answer.status == 200)
        #expect(try answer.root.list("warnings").contains { $0.text("message").contains("payment-1") && $0.text("message").contains("ratelimit") }, "\(answer.text)")
        withExtendedLifetime(sidecar) {}
    }

    @Test("Health and draining reach the callers' endpoints; leaving takes the endpoint out at once")
    func health() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let (payment, order) = (try world.sidecar("payment"), try world.sidecar("order"))
        func sees(_ matches: ([TrafficPart.EndpointEntry]) -> Bool) -> Bool {
            world.turn(seconds: 5) { (try? world.endpoints("payment", seenBy: order)).map(matches) ?? false }
        }
        #expect(sees { $0.map(\.address) == ["127.0.0.1:4001"] && $0.allSatisfy { $0.isHealthy && !$0.isDraining } })
        payment.say(.health(isHealthy: false, reason: "connection refused"))
        #expect(sees { $0.first?.isHealthy == false })
        #expect(try world.row("payment-1")?.text("health") == "unhealthy")
        payment.say(.health(isHealthy: true, reason: ""))
        #expect(sees { $0.first?.isHealthy == true })
        payment.say(.draining)
        #expect(sees { $0.first?.isDraining == true })
        payment.say(.leaving)
        #expect(sees(\.isEmpty))
        payment.stream?.close()
        #expect(world.turn { world.plane.sidecars.count == 1 })
    }

    @Test("A stream that ends keeps its endpoint until the lease lapses, and a minority that is silent goes then")
    func lease() throws {
        let world = try PlaneWorld(lease: .milliseconds(600))
        try world.applied(Shop.services)
        let context = try world.identity("payment")
        let sidecars = try (1...3).map { number in
            let sidecar = try TestSidecar(world, context)
            sidecar.greet(TestSidecar.hello("payment", name: "payment-\(number)", address: "127.0.0.1:400\(number)"))
            return sidecar
        }
        sidecars[2].stream?.close()
        let closed = Clock.monotonic()
        #expect(world.turn { world.plane.sidecars.values.count { $0.stream != nil } == 2 })
        #expect(world.plane.leases.count == 3)
        world.turn {
            for sidecar in sidecars.prefix(2) { sidecar.say(.heartbeat) }
            return world.plane.leases.count == 2
        }
        #expect(world.plane.leases.all.map(\.sidecar) == ["default/payment/payment-1", "default/payment/payment-2"])
        #expect(Clock.monotonic() - closed > .milliseconds(450))
        #expect(sidecars.prefix(2).allSatisfy { !$0.isClosed })
    }

    @Test("A stream that falls silent is cut; the last endpoint of a service stays all the same")
    func silence() throws {
        let world = try PlaneWorld(lease: .milliseconds(300))
        try world.applied(Shop.services)
        let sidecar = try world.sidecar("payment")
        #expect(world.turn { sidecar.isClosed })
        for _ in 0..<40 { world.loop.turn(waitingAtMost: .milliseconds(20)) }
        #expect(world.plane.leases.count == 1)
        #expect(try world.row("payment-1")?["connected"]?.bool == false)
    }

    @Test("A restart keeps endpoints and shows whose sidecars have not come back")
    func restart() throws {
        let world = try PlaneWorld()
        var expires = ""
        try world.applied(Shop.services)
        do {
            let sidecar = try world.sidecar("payment")
            #expect(try world.shows("payment-1", "SYNCED"))
            expires = try #require(try world.row("payment-1")).text("certificateExpires")
            withExtendedLifetime(sidecar) {}
            world.stop()
        }
        try world.start()
        let row = try #require(try world.row("payment-1"))
        #expect(row.text("certificateExpires") == expires && expires > "2026")
        #expect(row["connected"]?.bool == false && row.text("address") == "127.0.0.1:4001" && row.text("version") == "v1")
        let order = try world.sidecar("order")
        #expect(try world.endpoints("payment", seenBy: order).map(\.id) == ["payment-1"])
    }

    @Test("Who comes back with what is wanted is pushed nothing")
    func reconnect() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let context = try world.identity("payment")
        let first = try TestSidecar(world, context)
        first.greet(TestSidecar.hello("payment"))
        #expect(try world.shows("payment-1", "SYNCED"))
        let second = try TestSidecar(world, context)
        var hello = TestSidecar.hello("payment")
        hello.have = first.parts.mapValues(\.version)
        second.say(.hello(hello))
        #expect(world.turn { first.isClosed })
        #expect(try world.shows("payment-1", "SYNCED"))
        #expect(second.parts.isEmpty && world.plane.sidecars.count == 1)
    }

    @Test("No service speaks for another's sidecar by taking its name")
    func namesake() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let payment = try world.sidecar("payment")
        let thief = try world.sidecar("order", TestSidecar.hello("order", name: "payment-1", address: "127.0.0.1:6666"))
        for _ in 0..<10 { world.loop.turn(waitingAtMost: .milliseconds(10)) }
        #expect(!payment.isClosed)
        #expect(try world.endpoints("payment", seenBy: thief).map(\.address) == ["127.0.0.1:4001"])
    }

    @Test("A stream is cut for what it may not say", arguments: 0..<9)
    func objections(_ number: Int) throws {
        let world = try PlaneWorld()
        let sidecar = try TestSidecar(world, world.identity("payment"))
        var hello = TestSidecar.hello("payment")
        switch number {
        case 0: hello.service = "order"
        case 1: hello.namespace = "other"
        case 2: hello.version = "V 2"
        case 3: hello.endpoints[0].address = "payment.example:80"
        case 4: hello.endpoints[0].address = "127.0.0.1:0"
        case 5: hello.sidecar = "a\nb"
        case 6: hello.sidecar = String(repeating: "a", count: 254)
        case 7:
            sidecar.say(.hello(hello))
        default:
            sidecar.say(.heartbeat)
        }
        sidecar.say(.hello(hello))
        #expect(world.turn { sidecar.isClosed })
        #expect(sidecar.refused?.isEmpty == false, "it is told why")
        if number == 0 { #expect(sidecar.refused == "it says it is of default/order, its certificate says default/payment") }
        #expect(number == 7 || world.plane.sidecars.isEmpty)
        #expect(world.plane.strangers.isEmpty && world.plane.counts.streamsCut == 1)
    }

    @Test("Bytes that are no message cut the stream and nothing else")
    func garbage() throws {
        let world = try PlaneWorld()
        let context = try world.identity("payment")
        for frame in [[], [0xFF, 0xFE], Array("{}".utf8), Array("{\"type\":\"hello\",\"session\":1}".utf8), Array(repeating: 0x20, count: 2 << 20)] as [[UInt8]] {
            let sidecar = try TestSidecar(world, context)
            sidecar.stream?.send(frame)
            #expect(world.turn { sidecar.isClosed }, "\(frame.prefix(8))")
        }
        #expect(try world.view("/v1/sidecars").list().isEmpty)
    }
}
