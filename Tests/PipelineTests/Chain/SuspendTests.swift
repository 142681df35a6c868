import Pipeline
import Testing
import WeftTesting

@Suite("Suspending an exchange")
struct SuspendTests {
    private func harness(_ config: String, above: String = "") throws -> ChainHarness {
        try ChainHarness("[\(above){\"filter\":\"probe\",\"name\":\"s\",\"config\":\(config)},{\"filter\":\"probe\",\"name\":\"below\"}]", adding: [Probe.self])
    }

    private func token(_ exchange: HarnessExchange) -> ResumeToken {
        ResumeToken(loop: 0, slot: exchange.storage.pointee.slot, generation: exchange.storage.pointee.suspendGeneration)
    }

    @Test("Nothing goes on until the decision comes; then the request goes on below")
    func resumes() throws {
        let harness = try harness(#"{"head":"suspend"}"#)
        let exchange = harness.start(.get("/"))
        harness.advance(by: .seconds(4))
        #expect(!exchange.answer.isFinished)
        #expect(!exchange.answer.reachedUpstream)
        #expect(harness.resume(exchange, token(exchange), .next))
        harness.advance(by: .zero)
        #expect(exchange.answer.status == 200)
        #expect(harness.stat("weft_probe_heads_total", stage: "below") == 1)
    }

    @Test("A decision may be an answer")
    func resumesWithReply() throws {
        let harness = try harness(#"{"head":"suspend"}"#)
        let exchange = harness.start(.get("/"))
        #expect(harness.resume(exchange, token(exchange), .reply(401, "who are you\n", because: "asked elsewhere")))
        #expect(exchange.answer.status == 401)
        #expect(exchange.answer.reason == "asked elsewhere")
    }

    @Test("A token is good once: a second resumption, and one after the end, change nothing")
    func staleTokens() throws {
        let harness = try harness(#"{"head":"suspend"}"#)
        let exchange = harness.start(.get("/"))
        let used = token(exchange)
        #expect(harness.resume(exchange, used, .next))
        #expect(!harness.resume(exchange, used, .reply(401, because: "late")))
        harness.advance(by: .zero)
        #expect(exchange.answer.status == 200)
        #expect(!harness.resume(exchange, used, .reply(401, because: "later")))
        #expect(exchange.answer.status == 200)
    }

    @Test("Without a decision in time the exchange fails with 500, and a decision that comes then is stale")
    func tooLate() throws {
        let harness = try harness(#"{"head":"suspend","delay":"300ms"}"#)
        let exchange = harness.start(.get("/"))
        let late = token(exchange)
        harness.advance(by: .milliseconds(299))
        #expect(!exchange.answer.isFinished)
        harness.advance(by: .milliseconds(1))
        #expect(exchange.answer.status == 500)
        #expect(exchange.answer.flag == .LR)
        #expect(!harness.resume(exchange, late, .next))
        #expect(harness.stat("weft_probe_open") == 0)
    }

    @Test("A deadline above ends a suspension, and so does a caller that goes away")
    func endedFromOutside() throws {
        let above = #"{"filter":"timeout","config":{"after":"1s"}},"#
        let harness = try harness(#"{"head":"suspend"}"#, above: above)
        #expect(harness.send(.get("/")).status == 504)
        let exchange = harness.start(.get("/"))
        let late = token(exchange)
        harness.abort(exchange)
        #expect(exchange.answer.isFinished)
        #expect(exchange.answer.flag == .DC)
        #expect(!harness.resume(exchange, late, .next))
        #expect(harness.stat("weft_probe_open") == 0)
    }

    @Test("Within the body the piece is held, the body stops, and goes on with the decision")
    func inBody() throws {
        let harness = try harness(#"{"body":"suspend"}"#)
        var request = HarnessRequest.post("/")
        request.body = ["first", "last"]
        harness.upstream = { _, _ in .answer(200, after: .seconds(1)) }
        let exchange = harness.start(request)
        #expect(exchange.answer.forwarded.map(\.body) == [""])
        #expect(harness.resume(exchange, token(exchange), .next))
        #expect(exchange.answer.forwarded.map(\.body) == ["first"])
        #expect(harness.resume(exchange, token(exchange), .next))
        #expect(exchange.answer.forwarded.map(\.body) == ["firstlast"])
        harness.advance(by: .seconds(1))
        #expect(exchange.answer.status == 200)
    }

    @Test("A response that comes while the body is suspended waits for the decision, and is not lost")
    func responseHeld() throws {
        let harness = try harness(#"{"body":"suspend"}"#)
        let exchange = harness.start(.post("/", "only"))
        harness.advance(by: .seconds(1))
        #expect(exchange.answer.status == 0)
        #expect(harness.resume(exchange, token(exchange), .next))
        harness.advance(by: .seconds(1))
        #expect(exchange.answer.status == 200)
        #expect(exchange.answer.body == "ok")
    }

    @Test("An attempt that fails while the body is suspended fails the exchange at once")
    func failureWhileSuspended() throws {
        let harness = try harness(#"{"body":"suspend"}"#)
        harness.upstream = { _, _ in .resetBeforeHead }
        let exchange = harness.start(.post("/", "only"))
        let late = token(exchange)
        harness.advance(by: .zero)
        #expect(exchange.answer.status == 503)
        #expect(!harness.resume(exchange, late, .next))
        #expect(harness.stat("weft_probe_open") == 0)
    }
}
