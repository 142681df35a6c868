import Pipeline
import Testing
import WeftTesting

@Suite("Passes")
struct PassTests {
    private static let behaviours: [UpstreamBehaviour] = [
        .ok, .answer(503), .answer(200, after: .milliseconds(30)), .slowBody(200, after: .milliseconds(30)), .refuse, .closeUnsent,
        .resetBeforeHead, .resetAfterHead(200), .resetWithinBody(200), .garbage, .hang,
    ]

    /// Three probes that do anything at any time, a deadline above and one below them, every filter with state between.
    private static let stages = """
        [{"filter":"probe","name":"a","config":{"chaos":6,"retries":2,"delay":"5ms"}},
         {"filter":"timeout","name":"outer","config":{"after":"80ms"}},
         {"filter":"probe","name":"b","config":{"chaos":12,"retries":2,"delay":"5ms","keepBody":"16B","edit":"b"}},
         {"filter":"stats"}, {"filter":"retry","config":{"backoff":{"base":"1ms","max":"8ms"}}},
         {"filter":"breaker","config":{"consecutiveFailures":8,"backoff":{"base":"10ms","max":"40ms"}}},
         {"filter":"timeout","name":"inner","config":{"after":"20ms"}},
         {"filter":"probe","name":"c","config":{"chaos":6,"retries":1,"delay":"5ms","edit":"c"}}]
        """

    @Test("Whatever filters, service and caller do, every pass gets exactly one outcome and everything taken comes back", arguments: 1...40)
    func exactlyOneOutcome(seed: Int) throws {
        var random = Random(seed: UInt64(seed))
        let harness = try ChainHarness(Self.stages, adding: [Probe.self], world: HarnessWorld(services: [.simple("payment", versions: ["v1": 3])]), seed: random.next())
        var script = Random(seed: random.next())
        harness.upstream = { _, _ in Self.behaviours.randomElement(using: &script) ?? .ok }
        var all: [HarnessExchange] = []
        var stale = 0
        for _ in 0..<150 {
            var request = HarnessRequest.get("/", headers: ["x-n": "1"])
            if Bool.random(using: &random) {
                request = .post("/")
                request.body = (0..<Int.random(in: 1...3, using: &random)).map { _ in String(repeating: "b", count: Int.random(in: 0...9, using: &random)) }
            }
            let exchange = harness.start(request)
            all.append(exchange)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: harness.abort(exchange)
            case 1: try harness.swap(Self.stages)
            case 2...4:
                let someone = all[Int.random(in: 0..<all.count, using: &random)]
                let token = ResumeToken(loop: 0, slot: 0, generation: someone.storage.pointee.suspendGeneration)
                if !harness.resume(someone, token, Bool.random(using: &random) ? .next : .reply(401, because: "no")) { stale += 1 }
            case 5: harness.abort(all[Int.random(in: 0..<all.count, using: &random)])
            default: harness.advance(by: .milliseconds(Int64.random(in: 0...20, using: &random)))
            }
        }
        harness.advance(by: .seconds(10))
        #expect(harness.inFlight == 0)
        #expect(harness.retiredChains == 0)
        #expect(harness.gaugesNotZero.filter { $0 != "weft_breaker_state" } == [])
        #expect(harness.stat("weft_probe_broken_total") == 0)
        for stage in ["a", "b", "c"] {
            let begun = harness.stat("weft_probe_heads_total", stage: stage)
            let ended = ["completed", "replied", "failed", "cancelled", "superseded"].reduce(0) { $0 + harness.stat("weft_probe_\($1)_total", stage: stage) }
            #expect(begun == ended)
            #expect(begun > 0)
        }
        #expect(all.allSatisfy { $0.answer.isFinished })
        #expect(stale > 0)
    }

    @Test("A caller that goes away ends every open pass as cancelled, during an attempt and during a back-off")
    func cancelled() throws {
        let harness = try ChainHarness(
            #"[{"filter":"probe","name":"r","config":{"failure":"retry","delay":"1s"}},{"filter":"probe","name":"b"}]"#, adding: [Probe.self])
        harness.upstream = { _, number in number == 0 ? .hang : .refuse }
        let hanging = harness.start(.get("/"))
        harness.abort(hanging)
        #expect(harness.stat("weft_probe_cancelled_total") == 2)
        let backingOff = harness.start(.get("/"))
        harness.advance(by: .milliseconds(500))
        harness.abort(backingOff)
        #expect(harness.stat("weft_probe_cancelled_total", stage: "r") == 2)
        #expect(harness.stat("weft_probe_superseded_total", stage: "b") == 1)
        harness.advance(by: .seconds(5))
        #expect(harness.attempts == 2)
    }

    @Test("Exchanges in flight finish on the chain they began with; new ones take the new one")
    func swapping() throws {
        let harness = try ChainHarness(#"[{"filter":"probe","name":"old"}]"#, adding: [Probe.self])
        harness.upstream = { _, _ in .answer(200, after: .seconds(1)) }
        let early = harness.start(.get("/"))
        try harness.swap(#"[{"filter":"probe","name":"new","config":{"head":"reply"}}]"#)
        #expect(harness.retiredChains == 1)
        #expect(harness.send(.get("/")).status == 418)
        harness.advance(by: .seconds(1))
        #expect(early.answer.status == 200)
        #expect(harness.stat("weft_probe_completed_total", stage: "old") == 1)
        #expect(harness.retiredChains == 0)
    }
}
