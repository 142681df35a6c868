import Pipeline
import Testing
import WeftTesting

@Suite("authz")
struct AuthzTests {
    private typealias Policy = AccessPart.Policy
    private typealias Rule = AccessPart.Rule

    private static let order = HarnessWorld.identity("order")
    private static let analytics = HarnessWorld.identity("analytics")

    private func policy(
        _ name: String, _ action: AccessPart.Action, from: [AccessPart.Source] = [], to: [AccessPart.Operation] = [], shadow: Bool = false,
        targetsService: Bool = true
    ) -> AccessPart.Policy {
        AccessPart.Policy(
            name: "default/\(name)", action: action, isShadow: shadow, rules: [AccessPart.Rule(from: from, to: to)],
            origin: Origin(resource: "AccessPolicy default/\(name)"), targetsService: targetsService)
    }

    private func harness(_ policies: [AccessPart.Policy], allowsByDefault: Bool = true, config: String = "{}") throws -> ChainHarness {
        try ChainHarness(
            "[\"stats\",{\"filter\":\"authz\",\"config\":\(config)}]", inbound: true,
            world: HarnessWorld(own: "payment", access: AccessPart(allowsByDefault: allowsByDefault, policies: policies)))
    }

    private func status(_ harness: ChainHarness, _ request: HarnessRequest) -> Int { harness.send(request).status }

    @Test("A denied caller gets 403 AZ with policy and rule, and the application sees nothing")
    func denied() throws {
        let harness = try harness([
            policy("payment-callers", .allow, from: [.service(namespace: "default", name: "order")]),
            AccessPart.Policy(
                name: "default/no-analytics", action: .deny,
                rules: [Rule(from: [.external]), Rule(from: [.service(namespace: "default", name: "analytics")])], origin: Origin(resource: "x")),
        ])
        let answer = harness.send(.get("/", source: Self.analytics))
        #expect(answer.status == 403)
        #expect(answer.flag == .AZ)
        #expect(answer.body == "denied by AccessPolicy default/no-analytics, rule 2\n")
        #expect(answer.reason == "denied by AccessPolicy default/no-analytics, rule 2")
        #expect(!answer.reachedUpstream)
        #expect(status(harness, .get("/", source: Self.order)) == 200)
        #expect(harness.stat("weft_authz_denied_total") == 1)
        #expect(harness.stat("weft_authz_allowed_total") == 1)
        #expect(harness.calls["analytics → payment v1 none 403"] == 1)
    }

    @Test("A deny alone leaves everybody else to the default")
    func denyAlone() throws {
        let harness = try harness([policy("no-analytics", .deny, from: [.service(namespace: "default", name: "analytics")])])
        #expect(status(harness, .get("/", source: Self.order)) == 200)
        #expect(status(harness, .get("/")) == 200)
        #expect(status(harness, .get("/", source: Self.analytics)) == 403)
    }

    @Test("An allow that targets the service flips its default, and the answer names it")
    func allowFlips() throws {
        let harness = try harness([policy("payment-callers", .allow, from: [.service(namespace: "default", name: "order")])])
        let answer = harness.send(.get("/", source: Self.analytics))
        #expect(answer.status == 403)
        #expect(answer.body == "denied: no allow policy of the service matches (default/payment-callers)\n")
        #expect(status(harness, .get("/", source: Self.order)) == 200)
    }

    @Test("An allow for the whole mesh, and one in shadow, do not flip the default")
    func noFlip() throws {
        let mesh = try harness([policy("all", .allow, from: [.service(namespace: "default", name: "order")], targetsService: false)])
        #expect(status(mesh, .get("/", source: Self.analytics)) == 200)
        let shadow = try harness([policy("callers", .allow, from: [.service(namespace: "default", name: "order")], shadow: true)])
        #expect(status(shadow, .get("/", source: Self.analytics)) == 200)
        #expect(shadow.stat("weft_authz_shadow_denied_total") == 1)
        #expect(status(shadow, .get("/", source: Self.order)) == 200)
        #expect(shadow.stat("weft_authz_shadow_denied_total") == 1)
    }

    @Test("With defaultAccess deny only what is allowed passes")
    func defaultDeny() throws {
        let harness = try harness([policy("all", .allow, from: [.namespace("default")], targetsService: false)], allowsByDefault: false)
        #expect(status(harness, .get("/", source: Self.order)) == 200)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 403)
        #expect(answer.body == "denied: no policy allows it, and the mesh's defaultAccess is deny\n")
    }

    @Test("A deny wins over an allow, in whatever order they stand")
    func denyWins() throws {
        let allow = policy("a", .allow, from: [.service(namespace: "default", name: "order")])
        let deny = policy("b", .deny, from: [.namespace("default")])
        for policies in [[allow, deny], [deny, allow]] {
            #expect(status(try harness(policies), .get("/", source: Self.order)) == 403)
        }
    }

    @Test("A deny in shadow is counted and never enforced")
    func shadowDeny() throws {
        let harness = try harness([policy("no-analytics", .deny, from: [.service(namespace: "default", name: "analytics")], shadow: true)])
        #expect(status(harness, .get("/", source: Self.analytics)) == 200)
        #expect(status(harness, .get("/", source: Self.order)) == 200)
        #expect(harness.stat("weft_authz_shadow_denied_total") == 1)
        #expect(harness.stat("weft_authz_denied_total") == 0)
    }

    @Test("mode shadow lets everything through and counts what it would refuse")
    func shadowMode() throws {
        let harness = try harness([policy("nobody", .deny)], config: #"{"mode":"shadow"}"#)
        #expect(status(harness, .get("/", source: Self.order)) == 200)
        #expect(harness.stat("weft_authz_shadow_denied_total") == 1)
        #expect(harness.stat("weft_authz_denied_total") == 0)
    }

    struct SourceCase: Sendable, CustomTestStringConvertible {
        var source: AccessPart.Source
        var caller: String?
        var matches: Bool
        var testDescription: String { "\(source) and \(caller ?? "nobody")" }
    }

    static let sources: [SourceCase] = [
        SourceCase(source: .service(namespace: "default", name: "order"), caller: order, matches: true),
        SourceCase(source: .service(namespace: "default", name: "order"), caller: HarnessWorld.identity("orders"), matches: false),
        SourceCase(source: .service(namespace: "default", name: "orders"), caller: order, matches: false),
        SourceCase(source: .service(namespace: "default", name: "order"), caller: HarnessWorld.identity("order", namespace: "other"), matches: false),
        SourceCase(source: .service(namespace: "default", name: "order"), caller: "spiffe://elsewhere/ns/default/sa/order", matches: false),
        SourceCase(source: .service(namespace: "default", name: "order"), caller: nil, matches: false),
        SourceCase(source: .prefix("spiffe://shop.internal/ns/default/"), caller: order, matches: true),
        SourceCase(source: .prefix("spiffe://shop.internal/ns/other/"), caller: order, matches: false),
        SourceCase(source: .prefix(order + "-and-more"), caller: order, matches: false),
        SourceCase(source: .prefix(""), caller: nil, matches: false),
        SourceCase(source: .namespace("default"), caller: order, matches: true),
        SourceCase(source: .namespace("default"), caller: HarnessWorld.identity("order", namespace: "defaults"), matches: false),
        SourceCase(source: .namespace("default"), caller: "spiffe://elsewhere/ns/default/sa/order", matches: false),
        SourceCase(source: .external, caller: nil, matches: true),
        SourceCase(source: .external, caller: order, matches: false),
    ]

    @Test("A source matches exactly whom it names", arguments: sources)
    func source(row: SourceCase) throws {
        let harness = try harness([policy("p", .deny, from: [row.source])])
        #expect(status(harness, .get("/", source: row.caller)) == (row.matches ? 403 : 200))
    }

    struct OperationCase: Sendable, CustomTestStringConvertible {
        var operation: AccessPart.Operation
        var method = "GET"
        var path: String
        var matches: Bool
        var testDescription: String { "\(operation) and \(method) \(path)" }
    }

    static let operations: [OperationCase] = [
        OperationCase(operation: .init(paths: ["/admin"]), path: "/admin", matches: true),
        OperationCase(operation: .init(paths: ["/admin"]), path: "/admin?x=1", matches: true),
        OperationCase(operation: .init(paths: ["/admin"]), path: "/admin/users", matches: false),
        OperationCase(operation: .init(paths: ["/admin/*"]), path: "/admin/users", matches: true),
        OperationCase(operation: .init(paths: ["/admin/*"]), path: "/admin", matches: true),
        OperationCase(operation: .init(paths: ["/admin/*"]), path: "/administrator", matches: false),
        OperationCase(operation: .init(paths: ["/*"]), path: "/anything", matches: true),
        OperationCase(operation: .init(paths: ["/a%7eb"]), path: "/a~b", matches: true),
        OperationCase(operation: .init(methods: ["GET"]), path: "/", matches: true),
        OperationCase(operation: .init(methods: ["POST", "PUT"]), path: "/", matches: false),
        OperationCase(operation: .init(methods: ["get"]), path: "/", matches: false),
        OperationCase(operation: .init(methods: ["PURGE"]), method: "PURGE", path: "/", matches: true),
        OperationCase(operation: .init(ports: [8080]), path: "/", matches: true),
        OperationCase(operation: .init(ports: [9090]), path: "/", matches: false),
        OperationCase(operation: .init(ports: [8080], methods: ["GET"], paths: ["/x"]), path: "/y", matches: false),
    ]

    @Test("An operation matches if all that it names does", arguments: operations)
    func operation(row: OperationCase) throws {
        let denying = try harness([policy("p", .deny, to: [row.operation])])
        #expect(status(denying, HarnessRequest(row.method, row.path)) == (row.matches ? 403 : 200))
        let allowing = try harness([policy("p", .allow, to: [row.operation])])
        #expect(status(allowing, HarnessRequest(row.method, row.path)) == (row.matches ? 200 : 403))
    }

    @Test("Entries of from, and of to, are alternatives; both lists must match")
    func alternatives() throws {
        let harness = try harness([
            policy(
                "p", .allow, from: [.external, .service(namespace: "default", name: "order")],
                to: [.init(methods: ["GET"]), .init(paths: ["/open/*"])])
        ])
        #expect(status(harness, .get("/any", source: Self.order)) == 200)
        #expect(status(harness, .post("/open/x")) == 200)
        #expect(status(harness, .post("/any", source: Self.order)) == 403)
        #expect(status(harness, .get("/any", source: Self.analytics)) == 403)
    }

    @Test("An edit of the path above authz is what it decides on")
    func edits() throws {
        let harness = try ChainHarness(
            #"[{"filter":"move"},"authz"]"#, inbound: true, adding: [Move.self],
            world: HarnessWorld(own: "payment", access: AccessPart(policies: [policy("p", .deny, to: [.init(paths: ["/secret"])])])))
        #expect(status(harness, .get("/harmless")) == 403)
    }

    @Test("An open tunnel is cut when the policies no longer let its caller do what it asked for, and only then")
    func tunnels() throws {
        let order = policy("order", .allow, from: [.service(namespace: "default", name: "order")])
        let stages = #"["stats","authz"]"#
        let harness = try ChainHarness(stages, inbound: true, world: HarnessWorld(own: "payment", access: AccessPart(allowsByDefault: true)))
        harness.upstream = { _, _ in .switchProtocol("websocket") }
        let open = { (source: String) in harness.start(.get("/chat", headers: ["connection": "upgrade", "upgrade": "websocket"], source: source)) }
        let kept = open(Self.order), denied = open(Self.analytics)
        harness.advance(by: .seconds(1))
        #expect(kept.answer.isTunnel && denied.answer.isTunnel)
        try harness.swap(stages, access: AccessPart(allowsByDefault: true, policies: [order]))
        #expect(!kept.answer.isFinished)
        #expect(denied.answer.isCut && denied.answer.flag == .AZ && denied.answer.reason.contains("default/order"), "\(denied.answer.reason)")
        #expect(harness.stat("weft_authz_revoked_total") == 1 && harness.stat("weft_authz_denied_total") == 0)
        // In shadow it is only counted.
        try harness.swap(#"["stats",{"filter":"authz","config":{"mode":"shadow"}}]"#, access: AccessPart(allowsByDefault: false))
        #expect(!kept.answer.isFinished)
        try harness.swap(stages, access: AccessPart(allowsByDefault: false))
        #expect(kept.answer.isCut && harness.gaugesNotZero == [])
    }
}

private final class Move: RequestHeadFilter {
    static let name: FilterName = "move"
    struct Config: FilterConfig { init(_ fields: inout ConfigFields) {} }
    init(_ config: Config, _ stage: inout StageSetup) {}
    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange.setPath("/secret?q")
        return .next
    }
}
