import Pipeline
import Testing
import WeftTesting

@Suite("breaker")
struct BreakerTests {
    private func harness(_ config: String, world: HarnessWorld = HarnessWorld()) throws -> ChainHarness {
        // Ejection off: what is shown here is the stage alone.
        try ChainHarness(
            "[{\"filter\":\"breaker\",\"config\":\(config)},{\"filter\":\"router\",\"config\":{\"ejection\":{\"consecutiveFailures\":0}}}]", world: world)
    }

    private let three = #"{"consecutiveFailures":3,"backoff":{"base":"2s","max":"2s"},"probeDeadline":"5s"}"#

    @Test("It trips after so many failures in a row, lets exactly one probe go, and recovers with it")
    func cycle() throws {
        let harness = try harness(three)
        harness.upstream = { _, _ in .answer(500) }
        for _ in 0..<3 { #expect(harness.send(.get("/")).status == 500) }
        #expect(harness.stat("weft_breaker_state") == 1)
        let refused = harness.send(.get("/"))
        #expect(refused.status == 503)
        #expect(refused.flag == .UO)
        #expect(refused.reason == "the upstream failed too often in a row")
        #expect(!refused.reachedUpstream)

        harness.advance(by: .milliseconds(2000))
        harness.upstream = { _, _ in .answer(200, after: .seconds(1)) }
        let probe = harness.start(.get("/"))
        let others = (0..<50).map { _ in harness.send(.get("/")) }
        #expect(others.allSatisfy { $0.status == 503 && $0.reason == "a probe of the upstream is out" })
        #expect(harness.attempts == 4)
        harness.advance(by: .seconds(1))
        #expect(probe.answer.status == 200)
        #expect(harness.stat("weft_breaker_state") == 0)
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.stat("weft_breaker_tripped_total") == 1)
        #expect(harness.stat("weft_breaker_recovered_total") == 1)
        #expect(harness.stat("weft_breaker_refused_total") == 51)
    }

    @Test("A probe that fails shuts it off again; the gauge still says one")
    func failedProbe() throws {
        let harness = try harness(three)
        harness.upstream = { _, _ in .refuse }
        for _ in 0..<3 { _ = harness.send(.get("/")) }
        harness.advance(by: .seconds(2))
        _ = harness.send(.get("/"))
        #expect(harness.attempts == 4)
        #expect(harness.send(.get("/")).flag == .UO)
        #expect(harness.stat("weft_breaker_state") == 1)
        #expect(harness.stat("weft_breaker_tripped_total") == 1)
    }

    @Test("A probe whose caller hangs up does not jam it: the next request probes")
    func abortedProbe() throws {
        let harness = try harness(three)
        harness.upstream = { _, _ in .refuse }
        for _ in 0..<3 { _ = harness.send(.get("/")) }
        harness.advance(by: .seconds(2))
        harness.upstream = { _, _ in .hang }
        harness.abort(harness.start(.get("/")))
        harness.upstream = { _, _ in .ok }
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.stat("weft_breaker_state") == 0)
    }

    @Test("A probe that hangs makes room for another at its deadline")
    func hangingProbe() throws {
        let harness = try harness(three)
        harness.upstream = { _, _ in .refuse }
        for _ in 0..<3 { _ = harness.send(.get("/")) }
        harness.advance(by: .seconds(2))
        harness.upstream = { _, number in number == 3 ? .hang : .ok }
        let stuck = harness.start(.get("/"))
        #expect(harness.send(.get("/")).flag == .UO)
        harness.advance(by: .seconds(5))
        #expect(harness.send(.get("/")).status == 200)
        harness.abort(stuck)
        #expect(harness.stat("weft_breaker_state") == 0)
        #expect(harness.stat("weft_breaker_active") == 0)
    }

    @Test("maxRequests are out at once, over all callers, and the rest is refused")
    func limit() throws {
        let harness = try harness(#"{"maxRequests":2}"#)
        harness.upstream = { _, _ in .hang }
        let out = [harness.start(.get("/")), harness.start(.get("/"))]
        #expect(harness.send(.get("/")).reason == "maxRequests of the breaker are out")
        #expect(harness.stat("weft_breaker_active") == 2)
        harness.abort(out[0])
        #expect(!harness.start(.get("/")).answer.isFinished)
    }

    @Test("10,000 calls that hang up leave every gauge at zero and the breaker as it was")
    func aborts() throws {
        let harness = try ChainHarness(
            #"["stats",{"filter":"retry","config":{"maxRetries":2}},{"filter":"breaker","config":{"maxRequests":50,"consecutiveFailures":3}},{"filter":"timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, number in number % 3 == 0 ? .refuse : .hang }
        for round in 0..<200 {
            // Refused attempts would trip it; between two rounds enough time passes for what is shut off to be probed.
            let calls = (0..<50).map { _ in harness.start(.get("/")) }
            if round % 2 == 0 { harness.advance(by: .milliseconds(Int64(round % 30))) }
            for call in calls { harness.abort(call) }
            harness.advance(by: .seconds(61))
        }
        #expect(harness.inFlight == 0)
        #expect(harness.gaugesNotZero.filter { $0 != "weft_breaker_state" } == [])
        harness.upstream = { _, _ in .ok }
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.gaugesNotZero == [])
        #expect((0..<50).allSatisfy { _ in harness.send(.get("/")).status == 200 })
    }

    @Test("A caller that goes away, and refusals of stages below, are no failures")
    func noWord() throws {
        let harness = try ChainHarness(
            #"[{"filter":"breaker","config":{"consecutiveFailures":2}},{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"0/s","burst":12}]}}]"#)
        harness.upstream = { _, number in number < 10 ? .hang : .ok }
        for _ in 0..<10 { harness.abort(harness.start(.get("/"))) }
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.send(.get("/")).status == 200)
        for _ in 0..<5 { #expect(harness.send(.get("/")).status == 429) }
        #expect(harness.stat("weft_breaker_tripped_total") == 0)
    }

    @Test("A deadline above that passes with nothing answered is a failure; one that cuts a slow answer is not")
    func deadlines() throws {
        let stages = #"[{"filter":"timeout","config":{"after":"1s"}},{"filter":"breaker","config":{"consecutiveFailures":2}}]"#
        let hanging = try ChainHarness(stages)
        hanging.upstream = { _, _ in .hang }
        for _ in 0..<2 { #expect(hanging.send(.get("/")).status == 504) }
        #expect(hanging.stat("weft_breaker_tripped_total") == 1)
        let slow = try ChainHarness(stages)
        slow.upstream = { _, _ in .slowBody(200, after: .seconds(9)) }
        for _ in 0..<5 { #expect(slow.send(.get("/")).isCut) }
        #expect(slow.stat("weft_breaker_tripped_total") == 0)
    }

    @Test("One upstream that fails does not shut another off")
    func perUpstream() throws {
        let harness = try harness(three, world: HarnessWorld(services: [.simple("payment", versions: ["v1": 1]), .simple("inventory", versions: ["v1": 1])]))
        harness.upstream = { request, _ in request.service == "payment" ? .refuse : .ok }
        for _ in 0..<4 { _ = harness.send(.get("/").by(.servicePort(0))) }
        #expect(harness.send(.get("/").by(.servicePort(0))).flag == .UO)
        #expect(harness.send(.get("/").by(.servicePort(1))).status == 200)
    }

    @Test("Its state survives a swap: what was tripped stays tripped, permits of the old chain come back to the new")
    func swap() throws {
        let harness = try harness(#"{"maxRequests":1,"consecutiveFailures":2}"#)
        harness.upstream = { _, _ in .hang }
        let out = harness.start(.get("/"))
        try harness.swap(#"["stats",{"filter":"breaker","config":{"maxRequests":1,"consecutiveFailures":2}}]"#)
        #expect(harness.send(.get("/")).flag == .UO)
        harness.abort(out)
        harness.upstream = { _, _ in .ok }
        #expect(harness.send(.get("/")).status == 200)
    }
}
