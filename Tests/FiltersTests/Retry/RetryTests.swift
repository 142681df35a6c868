import Pipeline
import Testing
import WeftTesting

@Suite("retry")
struct RetryTests {
    private func harness(_ config: String = "{}", above: String = "", below: String = "", world: HarnessWorld = HarnessWorld()) throws -> ChainHarness {
        try ChainHarness("[\(above){\"filter\":\"retry\",\"config\":\(config)}\(below)]", world: world)
    }

    @Test("A retry that succeeds is what the caller sees, and is counted")
    func saves() throws {
        let harness = try harness()
        harness.upstream = { _, number in number == 0 ? .answer(503) : .ok }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 200)
        #expect(answer.flag == .none)
        #expect(harness.stat("weft_retry_retries_total") == 1)
        #expect(harness.stat("weft_retry_retry_successes_total") == 1)
    }

    @Test("maxRetries excludes the first try; when they are used up the last answer goes up as it is")
    func exhausted() throws {
        let harness = try harness(#"{"maxRetries":3}"#)
        harness.upstream = { _, number in .answer(503, body: "number \(number)") }
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 4)
        #expect(answer.body == "number 3")
        #expect(answer.flag == .URX)
        #expect(!answer.isLocal)
        #expect(harness.stat("weft_retry_limit_exceeded_total") == 1)
    }

    @Test("With maxRetries 0 nothing is tried again and nothing flagged")
    func off() throws {
        let harness = try harness(#"{"maxRetries":0}"#)
        harness.upstream = { _, _ in .answer(503) }
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 1)
        #expect(answer.flag == .none)
    }

    @Test("Waits are random below base, 2 × base, 4 × base, at most max")
    func backOff() throws {
        let harness = try harness(#"{"maxRetries":6,"backoff":{"base":"40ms","max":"100ms"}}"#)
        harness.upstream = { _, _ in .answer(503) }
        var longest: [Nanoseconds] = Array(repeating: .zero, count: 6)
        var distinct: Set<Nanoseconds> = []
        for _ in 0..<50 {
            harness.advance(by: .seconds(10))
            let at = harness.send(.get("/")).forwarded.map(\.at)
            for index in 0..<6 { longest[index] = max(longest[index], at[index + 1] - at[index]) }
            distinct.insert(at[1] - at[0])
        }
        let ceilings: [Nanoseconds] = [.milliseconds(40), .milliseconds(80)] + Array(repeating: .milliseconds(100), count: 4)
        for (length, ceiling) in zip(longest, ceilings) {
            #expect(length < ceiling)
            #expect(length > Nanoseconds(ceiling.count / 2), "full jitter reaches well up")
        }
        #expect(distinct.count == 50)
    }

    @Test("A budget of 20 % and no floor lets one request in five be retried")
    func budget() throws {
        let harness = try harness(#"{"maxRetries":1,"budget":{"percent":"20%","minPerSecond":0},"backoff":{"base":"0s","max":"0s"}}"#)
        harness.upstream = { _, _ in .answer(503) }
        for _ in 0..<100 { _ = harness.send(.get("/")) }
        #expect(harness.stat("weft_retry_retries_total") == 20)
        #expect(harness.stat("weft_retry_budget_exhausted_total") == 80)
    }

    @Test("The floor of the budget refills with time")
    func floor() throws {
        let harness = try harness(#"{"maxRetries":1,"budget":{"percent":"0%","minPerSecond":3},"backoff":{"base":"0s","max":"0s"}}"#)
        harness.upstream = { _, _ in .answer(503) }
        #expect((0..<5).reduce(0) { sum, _ in sum + harness.send(.get("/")).attempts - 1 } == 3)
        harness.advance(by: .seconds(1))
        #expect((0..<5).reduce(0) { sum, _ in sum + harness.send(.get("/")).attempts - 1 } == 3)
    }

    @Test("Each upstream has a budget of its own")
    func budgetPerUpstream() throws {
        let world = HarnessWorld(services: [.simple("payment", versions: ["v1": 1]), .simple("inventory", versions: ["v1": 1])])
        let harness = try harness(#"{"maxRetries":1,"budget":{"percent":"0%","minPerSecond":1},"backoff":{"base":"0s","max":"0s"}}"#, world: world)
        harness.upstream = { _, _ in .answer(503) }
        #expect(harness.send(.get("/").by(.servicePort(0))).attempts == 2)
        #expect(harness.send(.get("/").by(.servicePort(0))).attempts == 1)
        #expect(harness.send(.get("/").by(.servicePort(1))).attempts == 2)
    }

    @Test("A POST is tried again when a peer's sidecar says that its application never saw it", arguments: ["UF", "UH", "UO", "OM"])
    func peerUnsent(flag: String) throws {
        let harness = try harness()
        harness.upstream = { _, number in number == 0 ? .answer(503, headers: ["x-weft-reason": flag]) : .ok }
        #expect(harness.send(.post("/")).status == 200)
    }

    @Test("What a peer's sidecar refused on purpose is never tried again, not even a GET with its status listed", arguments: ["RL", "AZ"])
    func peerDenied(flag: String) throws {
        let harness = try harness(#"{"statuses":["4xx","5xx"]}"#)
        harness.upstream = { _, _ in .answer(flag == "RL" ? 429 : 403, headers: ["x-weft-reason": flag]) }
        #expect(harness.send(.get("/")).attempts == 1)
    }

    @Test("An application without a sidecar cannot claim that it never saw a request")
    func notAPeer() throws {
        let world = HarnessWorld(services: [.simple("payment", versions: ["v1": 1], hasSidecar: false)])
        let harness = try harness(world: world)
        harness.upstream = { _, _ in .answer(503, headers: ["x-weft-reason": "UF"]) }
        #expect(harness.send(.post("/")).attempts == 1)
    }

    @Test("A local 429 below is an answer, not a failure, whatever statuses are listed")
    func localReply() throws {
        let harness = try harness(#"{"statuses":["4xx"]}"#, below: #",{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"0/s","burst":1}]}}"#)
        #expect(harness.send(.get("/")).status == 200)
        let answer = harness.send(.get("/"))
        #expect(answer.status == 429)
        #expect(harness.stat("weft_retry_retries_total") == 0)
        #expect(harness.stat("weft_ratelimit_limited_total") == 1)
    }

    @Test("Only the conditions that are named are retried")
    func conditions() throws {
        let harness = try harness(#"{"on":["connect-failure"]}"#)
        harness.upstream = { _, _ in .answer(503) }
        #expect(harness.send(.get("/")).attempts == 1)
        harness.upstream = { _, _ in .resetBeforeHead }
        #expect(harness.send(.get("/")).attempts == 1)
        harness.upstream = { _, _ in .refuse }
        #expect(harness.send(.get("/")).attempts == 3)
    }

    @Test("retryNonIdempotent lets a POST be sent again after a reset")
    func nonIdempotent() throws {
        let harness = try harness(#"{"retryNonIdempotent":true}"#)
        harness.upstream = { _, number in number == 0 ? .resetBeforeHead : .ok }
        let answer = harness.send(.post("/", "pay"))
        #expect(answer.status == 200)
        #expect(answer.forwarded.map(\.body) == ["pay", "pay"])
    }

    @Test("A body over bodyLimit is not retried once it went out")
    func bodyLimit() throws {
        let harness = try harness(#"{"bodyLimit":"4B"}"#)
        harness.upstream = { _, number in number % 2 == 0 ? .refuse : .ok }
        #expect(harness.send(.post("/", "four")).status == 200)
        #expect(harness.send(.post("/", "fifth")).status == 503)
    }

    @Test("A retry goes to an endpoint that was not tried")
    func elsewhere() throws {
        let harness = try harness(#"{"maxRetries":2}"#, world: HarnessWorld(services: [.simple("payment", versions: ["v1": 3])]))
        harness.upstream = { _, _ in .refuse }
        for _ in 0..<20 {
            harness.advance(by: .seconds(100))
            #expect(Set(harness.send(.get("/")).forwarded.map(\.endpoint)).count == 3)
        }
    }

    @Test("A breaker's refusal below is retried within the budget, after its back-off")
    func overflow() throws {
        let harness = try harness(#"{"maxRetries":1,"backoff":{"base":"50ms","max":"50ms"}}"#, below: #",{"filter":"breaker","config":{"maxRequests":1}}"#)
        harness.upstream = { _, _ in .answer(200, after: .milliseconds(1)) }
        let first = harness.start(.get("/"))
        let second = harness.start(.post("/"))
        harness.advance(by: .seconds(1))
        #expect(first.answer.status == 200)
        #expect(second.answer.status == 200)
        #expect(harness.stat("weft_breaker_refused_total") == 1)
        #expect(harness.stat("weft_retry_retry_successes_total") == 1)
    }
}
