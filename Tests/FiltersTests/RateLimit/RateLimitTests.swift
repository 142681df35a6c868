import Pipeline
import Testing
import WeftTesting

@Suite("ratelimit")
struct RateLimitTests {
    private static let order = HarnessWorld.identity("order")
    private static let analytics = HarnessWorld.identity("analytics")

    private func harness(_ rules: [AccessPart.RateRule], config: String = "{}") throws -> ChainHarness {
        let limit = AccessPart.RateLimit(name: "default/payment", rules: rules, origin: Origin(resource: "RateLimit default/payment"))
        return try ChainHarness(
            "[{\"filter\":\"ratelimit\",\"config\":\(config)}]", inbound: true,
            world: HarnessWorld(own: "payment", access: AccessPart(rateLimits: [limit])))
    }

    @Test("The request over the burst is answered 429 RL and counted; when a token is back it passes")
    func burstThenRefill() throws {
        let harness = try harness([.init(key: .total, rate: "2/s", burst: 3)])
        for _ in 0..<3 { #expect(harness.send(.get("/")).status == 200) }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 429)
        #expect(answer.flag == .RL)
        #expect(answer["retry-after"] == "1")
        #expect(answer.body == "too many requests: RateLimit default/payment, rule 1 allows 2/s in total\n")
        #expect(answer.reason == "RateLimit default/payment, rule 1: more than 2/s in total")
        #expect(!answer.reachedUpstream)
        harness.advance(by: .milliseconds(499))
        #expect(harness.send(.get("/")).status == 429)
        harness.advance(by: .milliseconds(1))
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.stat("weft_ratelimit_limited_total") == 2)
        #expect(harness.stat("weft_ratelimit_allowed_total") == 4)
    }

    @Test("Retry-After is whole seconds, rounded up, and absent if the bucket never refills")
    func retryAfter() throws {
        let slow = try harness([.init(key: .total, rate: "20/m", burst: 1)])
        _ = slow.send(.get("/"))
        slow.advance(by: .milliseconds(500))
        #expect(slow.send(.get("/"))["retry-after"] == "3")
        let never = try harness([.init(key: .total, rate: "0/s", burst: 1)])
        _ = never.send(.get("/"))
        #expect(never.send(.get("/"))["retry-after"] == nil)
    }

    @Test("Each source has its own bucket; callers without identity share one")
    func perSource() throws {
        let harness = try harness([.init(key: .source, rate: "0/s", burst: 2)])
        for source in [Self.order, Self.analytics, nil] {
            #expect((0..<3).map { _ in harness.send(.get("/", source: source)).status } == [200, 200, 429])
        }
    }

    @Test("The identity's limit is asked before the total, however they are written: one caller cannot use up what all share")
    func sourceBeforeTotal() throws {
        let harness = try harness([.init(key: .total, rate: "0/s", burst: 5), .init(key: .source, rate: "0/s", burst: 2)])
        let greedy = (0..<20).map { _ in harness.send(.get("/", source: Self.analytics)) }
        #expect(greedy.filter { $0.status == 200 }.count == 2)
        #expect(greedy[10].body.contains("rule 2"))
        #expect((0..<3).map { _ in harness.send(.get("/", source: Self.order)).status } == [200, 200, 429])
    }

    @Test("A rule counts only what it matches")
    func matches() throws {
        let search = TrafficPart.MatchEntry(path: .prefix("/search"), method: "GET")
        let harness = try harness([.init(matches: [search], key: .total, rate: "0/s", burst: 1)])
        #expect(harness.send(.get("/search/a")).status == 200)
        #expect(harness.send(.get("/search")).status == 429)
        #expect(harness.send(.post("/search")).status == 200)
        #expect(harness.send(.get("/searching")).status == 200)
    }

    @Test("Per route, each entry of matches has its bucket on an inbound chain")
    func perRoute() throws {
        let entries = ["/a", "/b"].map { TrafficPart.MatchEntry(path: .prefix($0)) }
        let harness = try harness([.init(matches: entries, key: .route, rate: "0/s", burst: 1)])
        #expect(["/a/1", "/a/2", "/b/1", "/b/2", "/c"].map { harness.send(.get($0)).status } == [200, 429, 200, 429, 200])
    }

    @Test("mode shadow lets everything through and counts what it would refuse")
    func shadow() throws {
        let harness = try harness([.init(key: .total, rate: "0/s", burst: 1)], config: #"{"mode":"shadow"}"#)
        #expect((0..<3).map { _ in harness.send(.get("/")).status } == [200, 200, 200])
        #expect(harness.stat("weft_ratelimit_shadow_limited_total") == 2)
        #expect(harness.stat("weft_ratelimit_limited_total") == 0)
    }

    @Test("The stage's own rules apply beside the resources', on outbound chains alone")
    func ownRules() throws {
        let harness = try harness([], config: #"{"rules":[{"key":"total","rate":"5/s"}]}"#)
        #expect((0..<6).map { _ in harness.send(.get("/")).status } == [200, 200, 200, 200, 200, 429], "one second's worth, if no burst is said")
        var world = HarnessWorld()
        world.access.rateLimits = [.init(name: "x", rules: [.init(key: .total, rate: "0/s", burst: 0)], origin: Origin(resource: "x"))]
        let outbound = try ChainHarness(#"["ratelimit"]"#, world: world)
        #expect(outbound.send(.get("/")).status == 200)
    }

    @Test("Two stages under two names have two buckets; the same stage keeps its own when it moves or another rule joins it")
    func identity() throws {
        let own = #"{"matches":[{"path":{"exact":"/"}}],"key":"total","rate":"0/s","burst":2}"#
        let harness = try ChainHarness("[{\"filter\":\"ratelimit\",\"name\":\"a\",\"config\":{\"rules\":[\(own)]}}]")
        #expect(harness.send(.get("/")).status == 200)
        try harness.swap("[\"stats\",{\"filter\":\"ratelimit\",\"name\":\"a\",\"config\":{\"rules\":[{\"key\":\"total\",\"rate\":\"100/s\"},\(own)]}}]")
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.send(.get("/")).status == 429)
        try harness.swap("[{\"filter\":\"ratelimit\",\"name\":\"b\",\"config\":{\"rules\":[\(own)]}}]")
        #expect(harness.send(.get("/")).status == 200)
    }
}
