import Pipeline
import Testing
import WeftTesting

@Suite("Raw streams in a chain")
struct StreamTests {
    /// db on port 5432 with so many endpoints per version.
    private static func world(_ versions: [String: Int], route: [TrafficPart.RuleEntry]? = nil) -> HarnessWorld {
        var service = TrafficPart.ServiceEntry.simple("db", versions: versions, route: route, port: 5432)
        service.protocol = .tcp
        return HarnessWorld(services: [service])
    }

    private static func harness(
        _ versions: [String: Int], route: [TrafficPart.RuleEntry]? = nil, _ stages: String = #"["stats","retry","breaker","router"]"#,
        adding filters: [any Filter.Type] = []
    ) throws -> ChainHarness {
        try ChainHarness(stages, adding: filters, world: world(versions, route: route))
    }

    /// It is open, and both ends finish.
    private func use(_ harness: ChainHarness) -> HarnessExchange {
        let stream = harness.connect()
        harness.advance(by: .milliseconds(1))
        if stream.answer.isTunnel { harness.finish(stream, caller: true, service: true) }
        return stream
    }

    @Test("Versions get their share of connections, by weight")
    func split() throws {
        let harness = try Self.harness(["v1": 2, "v2": 2], route: [.init(name: "all", matches: [.init(path: .prefix("/"))], backends: [.init(version: "v1", weight: 90), .init(version: "v2", weight: 10)])])
        var counts: [String: Int] = [:]
        for _ in 0..<1_000 { counts[use(harness).answer.forwarded[0].version, default: 0] += 1 }
        #expect((60...140).contains(counts["v2"] ?? 0) && counts["v1", default: 0] + counts["v2", default: 0] == 1_000)
        #expect(harness.calls.allSatisfy { $0.key.hasPrefix("order → db v") && $0.key.hasSuffix(" all 0") } && harness.calls.values.reduce(0, +) == 1_000)
        #expect(harness.gaugesNotZero.isEmpty && harness.inFlight == 0)
    }

    @Test("Of a Route, rules that ask for what only requests have take no stream; the first that does not takes it")
    func routes() throws {
        let rules: [TrafficPart.RuleEntry] = [
            .init(name: "paths", matches: [.init(path: .prefix("/a"))], backends: [.init(version: "v1", weight: 1)]),
            .init(name: "methods", matches: [.init(method: "GET")], backends: [.init(version: "v1", weight: 1)]),
            .init(name: "rest", matches: [.init(path: .exact("/x")), .init(path: .prefix("/"))], backends: [.init(version: "v2", weight: 1)]),
        ]
        #expect(use(try Self.harness(["v1": 1, "v2": 1], route: rules)).answer.forwarded.map(\.version) == ["v2"])
        let none = try Self.harness(["v1": 1], route: Array(rules[..<2]))
        let answer = use(none).answer
        #expect(answer.isCut && answer.flag == .NR && answer.reason == "no rule of Route default/db takes connections" && answer.attempts == 0)
        #expect(none.calls == ["order → db none none 404": 1] && none.stat("weft_router_no_route_total") == 1)
    }

    @Test("Another endpoint is tried while nothing has gone out, three in all, and each once")
    func again() throws {
        for (endpoints, attempts) in [(1, 1), (2, 2), (5, 3)] {
            let harness = try Self.harness(["v1": endpoints])
            harness.upstream = { _, _ in .refuse }
            let answer = use(harness).answer
            #expect(answer.isCut && answer.isFinished && answer.flag == .UF && answer.attempts == attempts)
            #expect(Set(answer.forwarded.map(\.endpoint)).count == attempts)
            #expect(harness.calls == ["order → db v1 none 503": 1] && harness.gaugesNotZero.isEmpty)
        }
        let harness = try Self.harness(["v1": 2])
        harness.upstream = { _, number in number == 0 ? .refuse : .ok }
        let stream = harness.connect()
        harness.advance(by: .milliseconds(1))
        #expect(stream.answer.isTunnel && stream.answer.attempts == 2 && stream.answer.flag == .none)
    }

    @Test("A reset before the connection is there that may have carried bytes is not tried again")
    func notAgain() throws {
        let harness = try Self.harness(["v1": 3])
        harness.upstream = { _, _ in .resetBeforeHead }
        #expect(use(harness).answer.attempts == 1)
    }

    @Test("An endpoint is put aside by connections that fail, and comes back with the first that succeeds, while that is still open")
    func ejection() throws {
        let harness = try Self.harness(["v1": 2], #"["stats",{"filter":"router","config":{"ejection":{"consecutiveFailures":2}}}]"#)
        var bad = "db-v1-0:5432"
        harness.upstream = { request, _ in request.endpoint == bad ? .refuse : .ok }
        for _ in 0..<20 { #expect(use(harness).answer.isTunnel) }
        #expect(harness.stat("weft_router_ejected_total") == 1)
        #expect(harness.calls.values.reduce(0, +) == 20)
        bad = ""
        harness.advance(by: .seconds(3))
        // However they end, and however long they stay: opened is well.
        let open = (0..<4).map { _ in harness.connect() }
        harness.advance(by: .milliseconds(1))
        #expect(open.allSatisfy(\.answer.isTunnel) && harness.stat("weft_router_recovered_total") == 1)
        for stream in open { harness.breakOff(stream) }
        #expect(harness.stat("weft_router_ejected_total") == 1 && harness.gaugesNotZero.isEmpty)
        #expect(harness.calls["order → db v1 none 502"] == 4)
    }

    @Test("A stream that stays counts as load on its endpoint: the next go to the other")
    func load() throws {
        let harness = try Self.harness(["v1": 2])
        let streams = (0..<40).map { _ in harness.connect() }
        harness.advance(by: .milliseconds(1))
        let counts = Dictionary(grouping: streams) { $0.answer.forwarded[0].endpoint }.mapValues(\.count)
        #expect(counts.values.allSatisfy { $0 == 20 }, "\(counts)")
    }

    /// Counts what it hears; it knows requests alone.
    private final class Requests: RequestHeadFilter, OutcomeFilter, FailureFilter {
        static let name: FilterName = "requests"
        struct Config: FilterConfig { init(_ fields: inout ConfigFields) {} }
        let heard: Counter
        init(_ config: Config, _ stage: inout StageSetup) { heard = stage.counter("heard_total", "Calls.") }
        func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
            heard.increment()
            return .next
        }
        func onFailure(_ exchange: borrowing Exchange, _ error: ProxyError) -> FailureVerdict {
            heard.increment()
            return .pass
        }
        func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) { heard.increment() }
    }

    @Test("A stage without a stream phase hears nothing of streams, its outcome included; retry and breaker are among them")
    func skipped() throws {
        let harness = try Self.harness(["v1": 2], #"["stats","requests","retry","breaker","router"]"#, adding: [Requests.self])
        harness.upstream = { _, number in number % 3 == 0 ? .refuse : .ok }
        for _ in 0..<9 { _ = use(harness) }
        #expect(harness.stat("weft_requests_heard_total") == 0)
        #expect(harness.stat("weft_stats_passes_total") == 9 && harness.stat("weft_breaker_active") == 0)
    }

    @Test("Outbound authz refuses a stream that the called side would refuse, without a connection")
    func outboundAuthz() throws {
        var world = Self.world(["v1": 1])
        let policy = AccessPart.Policy(
            name: "default/p", action: .deny, rules: [.init(from: [.service(namespace: "default", name: "order")], to: [.init(ports: [5432])])],
            origin: Origin(resource: "test"))
        world.access.callees = [.init(policy: policy, services: [.init(name: "db", namespace: "default")])]
        let harness = try ChainHarness(#"["stats","authz","router"]"#, world: world)
        let answer = harness.connect().answer
        #expect(answer.isCut && answer.flag == .AZ && answer.attempts == 0 && answer.reason == "denied by AccessPolicy default/p, rule 1")
    }
}
