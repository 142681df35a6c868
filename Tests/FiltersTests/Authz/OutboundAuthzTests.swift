import Pipeline
import Testing
import WeftTesting

/// authz in the caller's chain: its own service is the source, the destination what the router resolves.
@Suite("authz outbound")
struct OutboundAuthzTests {
    private static let chain = #"["stats","authz"]"#

    /// `analytics` can call payment (8080) and inventory (9000).
    private static func world(_ callees: [AccessPart.CalleePolicy]?, allowsByDefault: Bool = true) -> HarnessWorld {
        HarnessWorld(
            own: "analytics", services: [.simple("payment", versions: ["v1": 1, "v2": 1]), .simple("inventory", versions: ["v1": 1], port: 9000)],
            access: AccessPart(allowsByDefault: allowsByDefault, callees: callees))
    }

    /// Of `payment` alone, unless it says otherwise.
    private static func policy(
        _ name: String, _ action: AccessPart.Action, from service: String = "analytics", to: [AccessPart.Operation] = [], shadow: Bool = false,
        of services: [String]? = ["payment"]
    ) -> AccessPart.CalleePolicy {
        AccessPart.CalleePolicy(
            policy: AccessPart.Policy(
                name: name, action: action, isShadow: shadow,
                rules: [AccessPart.Rule(from: [.service(namespace: "default", name: service)], to: to)],
                origin: Origin(resource: "AccessPolicy \(name)"), targetsService: services != nil),
            services: (services ?? []).map { AccessPart.ServiceName(name: $0, namespace: "default") })
    }

    private static let payment = HarnessRequest.proxied("payment.weft")
    private static let inventory = HarnessRequest.proxied("inventory.weft")

    @Test("A denied call ends at the caller with 403 AZ, policy and rule, and no attempt is made")
    func denied() throws {
        let harness = try ChainHarness(Self.chain, world: Self.world([Self.policy("no-analytics", .deny)]))
        let answer = harness.send(Self.payment)
        #expect(answer.status == 403)
        #expect(answer.flag == .AZ)
        #expect(answer.body == "denied by AccessPolicy no-analytics, rule 1\n")
        #expect(answer.reason == "denied by AccessPolicy no-analytics, rule 1")
        #expect(!answer.reachedUpstream && harness.attempts == 0)
        #expect(harness.send(Self.inventory).status == 200, "the policy covers payment alone")
        #expect(harness.stat("weft_authz_denied_total") == 1)
        #expect(harness.stat("weft_authz_allowed_total") == 1)
        #expect(harness.calls.filter { $0.key.hasSuffix("403") }.values.reduce(0, +) == 1, "\(harness.calls)")
    }

    private static let cases: [([AccessPart.CalleePolicy], Bool, Int, String?)] = [
        ([policy("a", .allow), policy("d", .deny)], true, 403, "denied by AccessPolicy d, rule 1\n"),
        ([policy("a", .allow)], false, 200, nil),
        ([policy("callers", .allow, from: "order")], true, 403, "denied: no allow policy of the service matches (callers)\n"),
        ([policy("d", .deny, from: "order")], true, 200, nil),
        ([policy("mesh", .allow, from: "order", of: nil)], true, 200, nil),
        ([], false, 403, "denied: no policy allows it, and the mesh's defaultAccess is deny\n"),
        ([policy("mesh", .allow, of: nil)], false, 200, nil),
        ([policy("d", .deny, shadow: true)], true, 200, nil),
    ]

    @Test("The order is that of the called side: deny, allow, default", arguments: Self.cases)
    func order(_ policies: [AccessPart.CalleePolicy], _ allowsByDefault: Bool, _ status: Int, _ body: String?) throws {
        let harness = try ChainHarness(Self.chain, world: Self.world(policies, allowsByDefault: allowsByDefault))
        let answer = harness.send(Self.payment)
        #expect(answer.status == status)
        if let body { #expect(answer.body == body) }
    }

    @Test("Methods, paths and the destination's port count; paths in the spelling that is forwarded")
    func operations() throws {
        func status(_ operation: AccessPart.Operation, _ request: HarnessRequest) throws -> Int {
            let policies = [Self.policy("d", .deny, to: [operation], of: ["payment", "inventory"])]
            return try ChainHarness(Self.chain, world: Self.world(policies)).send(request).status
        }
        #expect(try status(.init(paths: ["/admin/*"]), .proxied("payment.weft", "/admin/x?y")) == 403)
        #expect(try status(.init(paths: ["/admin/*"]), .proxied("payment.weft", "/administrator")) == 200)
        #expect(try status(.init(methods: ["POST"]), Self.payment) == 200)
        #expect(try status(.init(methods: ["GET"]), Self.payment) == 403)
        #expect(try status(.init(ports: [9000]), Self.payment) == 200)
        #expect(try status(.init(ports: [9000]), Self.inventory) == 403)
    }

    @Test("The destination is where a Route leads, not the name that was called")
    func route() throws {
        var world = Self.world([Self.policy("no-analytics", .deny)])
        let toPayment = TrafficPart.BackendEntry(service: "payment", namespace: "default", version: "v2")
        world.traffic.services[1].route = [
            .init(name: "old", matches: [.init(path: .prefix("/old"))], backends: [toPayment]), .init(name: "rest", matches: [], backends: [.init()]),
        ]
        let harness = try ChainHarness(Self.chain, world: world)
        #expect(harness.send(.proxied("inventory.weft", "/old/1")).status == 403)
        #expect(harness.send(.proxied("inventory.weft", "/new/1")).status == 200)
    }

    @Test("What leads nowhere is the router's to answer; a service without a matching rule is still denied first")
    func nowhere() throws {
        var world = Self.world([Self.policy("no-analytics", .deny)])
        for index in 0..<2 { world.traffic.services[index].route = [.init(name: "a", matches: [.init(path: .exact("/a"))], backends: [.init()])] }
        let harness = try ChainHarness(Self.chain, world: world)
        #expect(harness.send(.proxied("nobody.weft")).status == 502)
        #expect(harness.send(.proxied("inventory.weft", "/b")).status == 404)
        #expect(harness.send(.proxied("payment.weft", "/b")).status == 403)
    }

    @Test("A chain that came before its policies lets calls through: the called side has the last word")
    func unknown() throws {
        let harness = try ChainHarness(Self.chain, world: Self.world(nil, allowsByDefault: false))
        #expect(harness.send(Self.payment).status == 200)
    }

    @Test("mode shadow counts and lets through; an inbound policy of the caller itself plays no part")
    func shadow() throws {
        let shadow = try ChainHarness(
            #"["stats",{"filter":"authz","config":{"mode":"shadow"}}]"#, world: Self.world([Self.policy("no-analytics", .deny)]))
        #expect(shadow.send(Self.payment).status == 200)
        #expect(shadow.stat("weft_authz_shadow_denied_total") == 1)
        var world = Self.world([])
        world.access.policies = [Self.policy("nobody", .deny).policy]
        #expect(try ChainHarness(Self.chain, world: world).send(Self.payment).status == 200)
    }

    @Test("It comes and goes with the chain: exchanges in flight end on theirs")
    func swap() throws {
        let harness = try ChainHarness(#"["stats"]"#, world: Self.world([Self.policy("no-analytics", .deny)]))
        harness.upstream = { _, _ in .answer(200, after: .milliseconds(100)) }
        let flying = harness.start(Self.payment)
        try harness.swap(Self.chain)
        #expect(harness.send(Self.payment).status == 403)
        harness.advance(by: .seconds(1))
        #expect(flying.answer.status == 200)
        try harness.swap(#"["stats"]"#)
        #expect(harness.send(Self.payment).status == 200)
    }

    @Test("A refusal is never retried, above or below retry", arguments: [#"["stats","retry","authz"]"#, #"["stats","authz","retry"]"#])
    func retry(_ stages: String) throws {
        let harness = try ChainHarness(stages, world: Self.world([Self.policy("no-analytics", .deny)]))
        #expect(harness.send(Self.payment).status == 403)
        #expect(harness.attempts == 0)
        #expect(harness.stat("weft_authz_denied_total") == 1)
    }
}
