import Pipeline
import Testing
import WeftTesting

@Suite("Position is meaning")
struct OrderTests {
    private static let bucket = #"{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"0/s","burst":10}]}}"#
    private static let retry = #"{"filter":"retry","config":{"maxRetries":3,"budget":{"percent":"100%","minPerSecond":1000}}}"#

    private func answering503(_ stages: [String]) throws -> ChainHarness {
        let harness = try ChainHarness("[\(stages.joined(separator: ","))]")
        harness.upstream = { _, _ in .answer(503) }
        return harness
    }

    @Test("A bucket of 10 above retry lets 10 requests and their 30 retries through")
    func bucketAbove() throws {
        let harness = try answering503([Self.bucket, Self.retry])
        let answers = (0..<20).map { _ in harness.send(.get("/")) }
        #expect(harness.attempts == 40)
        #expect(answers.map(\.status) == Array(repeating: 503, count: 10) + Array(repeating: 429, count: 10))
        #expect(answers[0].attempts == 4)
        #expect(answers[0].flag == .URX)
        #expect(answers[19].flag == .RL)
    }

    @Test("The same bucket below retry lets 10 attempts through, and its refusals are not retried")
    func bucketBelow() throws {
        let harness = try answering503([Self.retry, Self.bucket])
        let answers = (0..<20).map { _ in harness.send(.get("/")) }
        #expect(harness.attempts == 10)
        #expect(answers.map(\.attempts) == [4, 4, 2] + Array(repeating: 0, count: 17))
        #expect(answers[2].status == 429)
        #expect(harness.stat("weft_ratelimit_limited_total") == 18)
    }

    @Test("Reordering keeps the bucket: what was taken below is missing above, also for exchanges in flight")
    func bucketSurvives() throws {
        let harness = try answering503([Self.retry, Self.bucket])
        #expect(harness.send(.get("/")).attempts == 4)
        harness.upstream = { _, _ in .answer(503, after: .milliseconds(100)) }
        let flying = harness.start(.get("/"))
        try harness.swap("[\(Self.bucket),\(Self.retry)]")
        #expect(harness.send(.get("/")).attempts == 4, "one token for the whole exchange now")
        harness.advance(by: .seconds(5))
        #expect(flying.answer.attempts == 4, "four tokens under the order it began with")
        #expect(harness.send(.get("/")).attempts == 4)
        #expect(harness.send(.get("/")).status == 429, "4 + 4 + 1 + 1 are taken")
    }

    @Test("A new rate or burst keeps what is missing")
    func configChange() throws {
        let harness = try ChainHarness("[\(Self.bucket)]")
        for _ in 0..<6 { #expect(harness.send(.get("/")).status == 200) }
        try harness.swap(#"[{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"0/s","burst":8}]}}]"#)
        #expect((0..<4).map { _ in harness.send(.get("/")).status } == [200, 200, 429, 429])
    }

    @Test("A timeout above retry limits all tries and their back-offs together")
    func timeoutAbove() throws {
        let harness = try ChainHarness(#"[{"filter":"timeout","config":{"after":"1s"}},{"filter":"retry","config":{"maxRetries":3}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.flag == .UT)
        #expect(answer.attempts == 1, "nothing below retry fails, so nothing is retried")
        #expect(answer.elapsed == .seconds(1))
    }

    @Test("A timeout below retry limits each try, and a try that ran out is retried")
    func timeoutBelow() throws {
        let harness = try ChainHarness(
            #"[{"filter":"retry","config":{"maxRetries":3,"backoff":{"base":"0s","max":"0s"}}},{"filter":"timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.flag == .URX)
        #expect(answer.attempts == 4)
        #expect(answer.elapsed == .seconds(4))
    }

    @Test("With both, the lower makes it try again and the upper ends it all")
    func timeoutBoth() throws {
        let harness = try ChainHarness(
            #"["#
                + #"{"filter":"timeout","name":"request-timeout","config":{"after":"2500ms"}},{"filter":"retry","config":{"maxRetries":5,"backoff":{"base":"0s","max":"0s"}}},{"filter":"timeout","name":"attempt-timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.flag == .UT)
        #expect(answer.attempts == 3)
        #expect(answer.elapsed == .milliseconds(2500))
        #expect(harness.stat("weft_timeout_expired_total", stage: "attempt-timeout") == 2)
        #expect(harness.stat("weft_timeout_expired_total", stage: "request-timeout") == 1)
    }

    @Test("A breaker above retry counts exchanges, below it attempts")
    func breaker() throws {
        let breaker = #"{"filter":"breaker","config":{"consecutiveFailures":4}}"#
        let retry = #"{"filter":"retry","config":{"maxRetries":3,"on":["status"]}}"#
        let above = try answering503([breaker, retry])
        #expect(above.send(.get("/")).attempts == 4)
        #expect(above.stat("weft_breaker_state") == 0)
        let below = try answering503([retry, breaker])
        #expect(below.send(.get("/")).attempts == 4)
        #expect(below.stat("weft_breaker_state") == 1)
    }

    @Test("A stats stage above retry sees one exchange, one below it every attempt")
    func stats() throws {
        let harness = try answering503([#""stats""#, Self.retry, #"{"filter":"stats","name":"attempts"}"#])
        _ = harness.send(.get("/"))
        #expect(harness.stat("weft_stats_passes_total", stage: "stats") == 1)
        #expect(harness.stat("weft_stats_passes_total", stage: "attempts") == 4)
        #expect(harness.calls == ["order → payment v1 none 503": 1])
    }
}
