import Pipeline
import Testing
import WeftTesting

@Suite("router")
struct RouterTests {
    private typealias Rule = TrafficPart.RuleEntry
    private typealias Match = TrafficPart.MatchEntry

    private func harness(_ services: [TrafficPart.ServiceEntry], _ stages: String = "[]", seed: UInt64 = 1) throws -> ChainHarness {
        try ChainHarness(stages, world: HarnessWorld(services: services), seed: seed)
    }

    private func split(_ v1: Int, _ v2: Int) -> [TrafficPart.RuleEntry] {
        [Rule(name: "all", matches: [], backends: [.init(version: "v1", weight: v1), .init(version: "v2", weight: v2)])]
    }

    // MARK: Versions

    @Test("Of 10,000 requests at 90/10 v2 gets 900 to 1,100, at 50/50 4,800 to 5,200, at 0/100 all", arguments: [(90, 10, 900...1100), (50, 50, 4800...5200), (0, 100, 10_000...10_000), (100, 0, 0...0)])
    func canary(v1: Int, v2: Int, expected: ClosedRange<Int>) throws {
        let harness = try harness([.simple("payment", versions: ["v1": 2, "v2": 1], route: split(v1, v2), defaultVersion: "v1")], #"["stats"]"#, seed: 42)
        var count = 0
        harness.upstream = { request, _ in
            if request.version == "v2" { count += 1 }
            return .ok
        }
        for _ in 0..<10_000 { #expect(harness.send(.get("/")).status == 200) }
        #expect(expected.contains(count))
        #expect(harness.calls["order → payment v2 all 200", default: 0] == count)
        #expect(harness.calls["order → payment v1 all 200", default: 0] == 10_000 - count)
    }

    @Test("Without a Route the default version gets everything, without one of these all versions do")
    func defaults() throws {
        let one = try harness([.simple("payment", versions: ["v1": 1, "v2": 3], defaultVersion: "v1")])
        #expect((0..<50).allSatisfy { _ in one.send(.get("/")).forwarded[0].version == "v1" })
        let all = try harness([.simple("payment", versions: ["v1": 1, "v2": 1])])
        #expect(Set((0..<50).map { _ in all.send(.get("/")).forwarded[0].version }) == ["v1", "v2"])
    }

    @Test("Retries keep route and version")
    func retriesKeepVersion() throws {
        let harness = try harness([.simple("payment", versions: ["v1": 3, "v2": 3], route: split(50, 50))], #"[{"filter":"retry","config":{"budget":{"percent":"100%","minPerSecond":1000}}}]"#)
        harness.upstream = { _, _ in .answer(503) }
        var seen: Set<String> = []
        for _ in 0..<60 {
            harness.advance(by: .seconds(100))
            let versions = Set(harness.send(.get("/")).forwarded.map(\.version))
            #expect(versions.count == 1)
            seen.formUnion(versions)
        }
        #expect(seen == ["v1", "v2"])
    }

    @Test("A retry moves to another version only if its own has no endpoint")
    func redraw() throws {
        let harness = try harness([.simple("payment", versions: ["v1": 2, "v2": 0], route: split(50, 50))], #"[{"filter":"retry","config":{"budget":{"percent":"100%","minPerSecond":1000}}}]"#)
        let answers = (0..<100).map { _ in harness.send(.get("/")) }
        #expect(answers.allSatisfy { $0.status == 200 && $0.forwarded[0].version == "v1" })
        #expect((30...70).contains(harness.stat("weft_router_redrawn_total")))
        let strict = try self.harness([.simple("payment", versions: ["v1": 2, "v2": 0], route: split(0, 100))])
        let answer = strict.send(.get("/"))
        #expect(answer.status == 503)
        #expect(answer.flag == .UH)
        #expect(answer.reason == "no usable endpoint of payment v2")
    }

    @Test("A backend may be another service; one that cannot be reached has no endpoint")
    func otherService() throws {
        let route = [Rule(name: "moved", matches: [Match(path: .exact("/old"))], backends: [.init(service: "billing")]), Rule(name: "lost", matches: [], backends: [.init(service: "nowhere")])]
        let harness = try harness([.simple("payment", versions: ["v1": 1], route: route), .simple("billing", versions: ["v7": 1])], #"["stats"]"#)
        let answer = harness.send(.get("/old"))
        #expect(answer.forwarded[0].service == "billing")
        #expect(answer.forwarded[0].version == "v7")
        #expect(harness.send(.get("/new")).flag == .UH)
        #expect(harness.calls["order → billing v7 moved 200"] == 1)
    }

    // MARK: Rules

    @Test("The first rule that matches decides, and none is 404 NR")
    func rules() throws {
        func rule(_ name: String, _ matches: TrafficPart.MatchEntry...) -> TrafficPart.RuleEntry { Rule(name: name, matches: matches, backends: [.init(version: name)]) }
        let route = [
            rule("exact", Match(path: .exact("/a"))), rule("header", Match(headers: [.init(name: "X-Canary", value: .exact("yes"))])),
            rule("method", Match(path: .prefix("/a"), method: "DELETE")), rule("prefix", Match(path: .prefix("/a/")), Match(path: .prefix("/b"))),
            rule("present", Match(headers: [.init(name: "x-debug", value: .present(true)), .init(name: "x-user", value: .prefix("test-"))])),
        ]
        let versions = Dictionary(uniqueKeysWithValues: route.map { ($0.name, 1) })
        let harness = try harness([.simple("payment", versions: versions, route: route)])
        func version(_ request: HarnessRequest) -> String? { harness.send(request).forwarded.first?.version }
        #expect(version(.get("/a")) == "exact")
        #expect(version(.get("/a?b=/b")) == "exact")
        #expect(version(HarnessRequest("DELETE", "/a/1")) == "method")
        #expect(version(.get("/a/1")) == "prefix")
        #expect(version(.get("/b")) == "prefix")
        #expect(version(.get("/bb", headers: ["x-canary": "yes"])) == "header")
        #expect(version(.get("/zzz", headers: ["x-debug": "", "x-user": "test-7"])) == "present")
        for request in [HarnessRequest.get("/bb"), .get("/A"), .get("/", headers: ["x-canary": "no"]), .get("/z", headers: ["x-debug": "1"])] {
            let answer = harness.send(request)
            #expect(answer.status == 404)
            #expect(answer.flag == .NR)
            #expect(answer.reason == "no rule of Route default/payment matches")
        }
    }

    @Test("An edit above the router is what it routes by")
    func edits() throws {
        let route = [Rule(name: "beta", matches: [Match(headers: [.init(name: "x-beta", value: .exact("1"))])], backends: [.init(version: "v2")]), Rule(name: "rest", matches: [], backends: [.init(version: "v1")])]
        let harness = try ChainHarness(
            #"["stats","mark"]"#, adding: [Mark.self], world: HarnessWorld(services: [.simple("payment", versions: ["v1": 1, "v2": 1], route: route)]))
        #expect(harness.send(.get("/")).forwarded[0].version == "v2")
        #expect(harness.calls == ["order → payment v2 beta 200": 1])
    }

    @Test("An edit below retry that is taken back no longer routes the next try")
    func editsTakenBack() throws {
        let route = [Rule(name: "beta", matches: [Match(headers: [.init(name: "x-beta", value: .exact("1"))])], backends: [.init(version: "v2")]), Rule(name: "rest", matches: [], backends: [.init(version: "v1")])]
        let harness = try ChainHarness(
            #"["stats","retry","mark-once"]"#, adding: [MarkOnce.self], world: HarnessWorld(services: [.simple("payment", versions: ["v1": 1, "v2": 1], route: route)]))
        harness.upstream = { request, _ in request.version == "v2" ? .refuse : .ok }
        #expect(harness.send(.get("/")).forwarded.map(\.version) == ["v2", "v1"])
        #expect(harness.calls == ["order → payment v1 rest 200": 1])
    }

    @Test("Settings of a service and of a rule reach exactly their requests, and edits above move them")
    func settings() throws {
        func slow(_ after: String) -> [SettingsLayer] { [SettingsLayer(origin: Origin(resource: "x"), stages: ["timeout": "{\"after\":\"\(after)\"}"])] }
        var payment = TrafficPart.ServiceEntry.simple(
            "payment", versions: ["v1": 1],
            route: [Rule(name: "slow", matches: [Match(path: .prefix("/slow"))], backends: [.init(version: "v1")], settings: slow("9s")), Rule(name: "all", matches: [], backends: [.init(version: "v1")])])
        payment.settings = slow("3s")
        let harness = try harness([payment, .simple("inventory", versions: ["v1": 1])], #"[{"filter":"timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, _ in .hang }
        #expect(harness.send(.get("/x").by(.servicePort(0))).elapsed == .seconds(3))
        #expect(harness.send(.get("/slow").by(.servicePort(0))).elapsed == .seconds(9))
        #expect(harness.send(.get("/x").by(.servicePort(1))).elapsed == .seconds(1))
    }

    // MARK: Ways in

    @Test("The proxy port finds a service by its name, with or without namespace and port, in any case; others are 502 NR")
    func proxy() throws {
        let harness = try harness([
            .simple("payment", versions: ["v1": 1]), .simple("payment", versions: ["admin": 1], port: 9090),
            .simple("payment", versions: ["b"  : 1], namespace: "billing"), .simple("stock", versions: ["s": 1], namespace: "billing"),
        ])
        func version(_ authority: String) -> String? { harness.send(.proxied(authority)).forwarded.first?.version }
        #expect(version("payment.weft") == "v1")
        #expect(version("PAYMENT.Weft") == "v1")
        #expect(version("payment.default.weft:8080") == "v1")
        #expect(version("payment.weft:9090") == "admin")
        #expect(version("payment.billing.weft") == "b")
        for authority in ["stock.weft", "payment", "payment.weft:1", "example.com", "", "payment.weft.evil"] {
            let answer = harness.send(.proxied(authority))
            #expect(answer.status == 502)
            #expect(answer.flag == .NR)
        }
        #expect(harness.send(.get("/").by(.servicePort(3))).forwarded[0].version == "s")
        #expect(harness.send(.get("/").by(.servicePort(4))).status == 502)
    }

    @Test("Inbound everything goes to the application, whatever the authority")
    func inbound() throws {
        let harness = try ChainHarness(#"["stats"]"#, inbound: true)
        let answer = harness.send(.get("/", source: HarnessWorld.identity("order")))
        #expect(answer.forwarded[0].endpoint == "application")
        #expect(answer.forwarded[0].authority == "payment.weft", "Host is kept for the application")
        #expect(harness.calls == ["order → payment v1 none 200": 1])
    }

    // MARK: Endpoints

    @Test("The less loaded of two gets the request, so a slow endpoint collects few")
    func leastRequest() throws {
        let harness = try harness([.simple("payment", versions: ["v1": 2])])
        harness.upstream = { request, _ in request.endpoint.hasPrefix("payment-v1-0") ? .answer(200, after: .seconds(10)) : .ok }
        var slow = 0
        for _ in 0..<1000 {
            let exchange = harness.start(.get("/"))
            harness.advance(by: .milliseconds(1))
            if exchange.answer.forwarded[0].endpoint.hasPrefix("payment-v1-0") { slow += 1 }
        }
        #expect(slow <= 2)
    }

    @Test("An endpoint that fails five times in a row is put aside, comes back by a probe, and never the last one goes")
    func ejection() throws {
        let harness = try harness([.simple("payment", versions: ["v1": 2])])
        harness.upstream = { request, _ in request.endpoint.hasPrefix("payment-v1-0") ? .refuse : .ok }
        for _ in 0..<200 { _ = harness.send(.get("/")) }
        #expect(harness.stat("weft_router_ejected_total") == 1)
        let before = harness.attempts
        #expect((0..<100).allSatisfy { _ in harness.send(.get("/")).forwarded[0].endpoint.hasPrefix("payment-v1-1") })
        #expect(harness.attempts == before + 100)
        harness.advance(by: .seconds(2))
        harness.upstream = { _, _ in .ok }
        for _ in 0..<50 { _ = harness.send(.get("/")) }
        #expect(harness.stat("weft_router_recovered_total") == 1)
        let alone = try self.harness([.simple("payment", versions: ["v1": 1])])
        alone.upstream = { _, _ in .refuse }
        for _ in 0..<50 { #expect(alone.send(.get("/")).reachedUpstream) }
        #expect(alone.stat("weft_router_ejected_total") == 0)
    }

    @Test("Unhealthy and draining endpoints get nothing while enough others are there")
    func health() throws {
        var payment = TrafficPart.ServiceEntry.simple("payment", versions: ["v1": 4])
        payment.versions[0].endpoints[1].isHealthy = false
        payment.versions[0].endpoints[2].isDraining = true
        let harness = try harness([payment])
        let used = Set((0..<100).map { _ in harness.send(.get("/")).forwarded[0].endpoint })
        #expect(used == ["payment-v1-0:8080", "payment-v1-3:8080"])
    }

    @Test("An endpoint keeps its label and its ejection over a new snapshot")
    func labelsLast() throws {
        let harness = try harness([.simple("payment", versions: ["v1": 2])])
        harness.upstream = { request, _ in request.endpoint.hasPrefix("payment-v1-0") ? .refuse : .ok }
        for _ in 0..<200 { _ = harness.send(.get("/")) }
        let record = EndpointDirectory.Record(address: "payment-v1-0:8080", identity: HarnessWorld.identity("payment"))
        let label = harness.context.endpoints.label(of: record)
        try harness.swap(#"["stats"]"#)
        #expect(harness.context.endpoints.label(of: record) == label)
        #expect((0..<50).allSatisfy { _ in harness.send(.get("/")).forwarded[0].endpoint.hasPrefix("payment-v1-1") })
    }
}

/// Marks the first try only.
private final class MarkOnce: RequestHeadFilter {
    static let name: FilterName = "mark-once"
    struct Config: FilterConfig { init(_ fields: inout ConfigFields) {} }
    init(_ config: Config, _ stage: inout StageSetup) {}
    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if exchange.attempt == 0 { exchange.setRequestHeader(Mark.beta, "1") }
        return .next
    }
}

private final class Mark: RequestHeadFilter {
    static let name: FilterName = "mark"
    static let beta: HeaderName = "x-beta"
    struct Config: FilterConfig { init(_ fields: inout ConfigFields) {} }
    init(_ config: Config, _ stage: inout StageSetup) {}
    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange.setRequestHeader(Self.beta, "1")
        return .next
    }
}
