import Pipeline
import Testing
import WeftTesting

@Suite("Deadlines in the runner")
struct DeadlineTests {
    @Test("The time counts from the request's end, not from its head")
    func fromRequestEnd() throws {
        let harness = try ChainHarness(
            #"[{"filter":"timeout","config":{"after":"2s"}},{"filter":"probe","config":{"body":"suspend"}}]"#, adding: [Probe.self])
        harness.upstream = { _, _ in .hang }
        let exchange = harness.start(.post("/"))
        harness.advance(by: .seconds(3))
        #expect(!exchange.answer.isFinished, "the body is not over yet")
        let token = ResumeToken(loop: 0, slot: 0, generation: exchange.storage.pointee.suspendGeneration)
        #expect(harness.resume(exchange, token, .next))
        harness.advance(by: .milliseconds(1999))
        #expect(!exchange.answer.isFinished)
        harness.advance(by: .milliseconds(1))
        #expect(exchange.answer.status == 504)
    }

    @Test("Of two deadlines the earlier ends the exchange, and only the stage that set it counts it")
    func earliest() throws {
        let harness = try ChainHarness(
            #"[{"filter":"timeout","name":"long","config":{"after":"5s"}},{"filter":"timeout","name":"short","config":{"after":"1s"}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.elapsed == .seconds(1))
        #expect(harness.stat("weft_timeout_expired_total", stage: "short") == 1)
        #expect(harness.stat("weft_timeout_expired_total", stage: "long") == 0)
    }

    @Test("A deadline during a back-off ends it: no attempt is made after it")
    func duringBackOff() throws {
        let harness = try ChainHarness(
            #"[{"filter":"timeout","config":{"after":"1s"}},{"filter":"probe","config":{"failure":"retry","delay":"3s"}}]"#, adding: [Probe.self])
        harness.upstream = { _, _ in .refuse }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.elapsed == .seconds(1))
        harness.advance(by: .seconds(10))
        #expect(harness.attempts == 1)
    }

    @Test("A deadline below a retry is set anew by each attempt")
    func perAttempt() throws {
        let harness = try ChainHarness(
            #"[{"filter":"probe","config":{"failure":"retry","retries":2}},{"filter":"timeout","config":{"after":"1s"}}]"#, adding: [Probe.self])
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 3)
        #expect(answer.elapsed == .seconds(3))
        #expect(harness.stat("weft_timeout_expired_total") == 3)
    }
}
