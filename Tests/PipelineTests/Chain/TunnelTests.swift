import Pipeline
import Testing
import WeftTesting

@Suite("Tunnels in the runner")
struct TunnelTests {
    private static let upgrade = HarnessRequest.get("/chat", headers: ["connection": "upgrade", "upgrade": "websocket"])

    private func harness(_ stages: String, inbound: Bool = false) throws -> ChainHarness {
        let harness = try ChainHarness(stages, inbound: inbound, adding: [Probe.self, Gate.self])
        harness.upstream = { _, _ in .switchProtocol("websocket") }
        return harness
    }

    private func open(_ harness: ChainHarness, _ request: HarnessRequest = upgrade) -> HarnessExchange {
        let exchange = harness.start(request)
        harness.advance(by: .milliseconds(1))
        return exchange
    }

    @Test("The 101 climbs through the response phase; then bytes flow outside of the body phases, and the outcome comes when both directions ended")
    func life() throws {
        let harness = try harness(#"["stats","breaker",{"filter":"probe","config":{"edit":"a"}}]"#)
        let exchange = open(harness)
        #expect(exchange.answer.isTunnel && exchange.answer.status == 101)
        #expect(exchange.answer["x-edit"] == "a")
        #expect(harness.stat("weft_breaker_active") == 1 && harness.stat("weft_stats_in_flight") == 1)
        harness.pass(exchange, up: 1_000, down: 20)
        harness.pass(exchange, down: 3)
        harness.advance(by: .seconds(7_200))
        harness.finish(exchange, caller: true)
        #expect(!exchange.answer.isFinished, "half of it goes on")
        harness.pass(exchange, down: 7)
        harness.finish(exchange, service: true)
        #expect(exchange.answer.isFinished && !exchange.answer.isCut)
        #expect(harness.gaugesNotZero == [])
        #expect(harness.stat("weft_probe_completed_total") == 1 && harness.stat("weft_probe_bodies_total") == 0)
        #expect(harness.stat("weft_probe_response_bodies_total") == 0 && harness.stat("weft_probe_broken_total") == 0)
        #expect(harness.stat("weft_stats_tunnels_total") == 1)
        #expect(harness.stat("weft_stats_tunnel_request_bytes_total") == 1_000 && harness.stat("weft_stats_tunnel_response_bytes_total") == 30)
        #expect(harness.calls.count == 1 && harness.calls.keys.allSatisfy { $0.hasSuffix(" 101") })
        #expect(harness.stat("weft_stats_failures_total") == 0)
    }

    @Test("Deadlines hold until the service has agreed, and not a moment longer")
    func deadlines() throws {
        let stages = #"[{"filter":"timeout","config":{"after":"1s"}}]"#
        let harness = try harness(stages)
        let exchange = open(harness)
        harness.advance(by: .seconds(86_400))
        #expect(exchange.answer.isTunnel && !exchange.answer.isFinished)
        harness.finish(exchange, caller: true, service: true)
        #expect(exchange.answer.isFinished && harness.stat("weft_timeout_expired_total") == 0)

        harness.upstream = { _, _ in .hang }
        let late = harness.send(Self.upgrade)
        #expect(late.status == 504 && late.elapsed == .seconds(1))
    }

    @Test("A refused upgrade is an exchange like any other", arguments: [200, 403, 404, 503])
    func refused(status: Int) throws {
        let harness = try harness(#"["stats","breaker"]"#)
        harness.upstream = { _, _ in .answer(status, body: "no") }
        let answer = harness.send(Self.upgrade)
        #expect(answer.status == status && answer.body == "no" && !answer.isTunnel && !answer.isCut)
        #expect(harness.gaugesNotZero == [])
    }

    @Test("A stage may answer in place of the 101, or ask for another try: no byte has flowed")
    func stagesDecide() throws {
        let replaced = try harness(#"[{"filter":"probe","config":{"response":"reply"}}]"#)
        let answer = replaced.send(Self.upgrade)
        #expect(answer.status == 299 && !answer.isTunnel && answer.isLocal)

        let again = try harness(#"[{"filter":"probe","config":{"response":"retry","retries":1}}]"#)
        let exchange = open(again)
        #expect(exchange.answer.isTunnel && exchange.answer.attempts == 2)
        again.finish(exchange, caller: true, service: true)
        #expect(again.gaugesNotZero == [])
    }

    @Test("However it ends, every pass ends once and everything comes back", arguments: ["caller", "service", "idle", "shutdown"])
    func ends(how: String) throws {
        let harness = try harness(#"["stats",{"filter":"probe"},"retry","breaker"]"#)
        let exchange = open(harness)
        harness.pass(exchange, up: 5)
        switch how {
        case "caller": harness.abort(exchange)
        case "service": harness.breakOff(exchange)
        case "idle": harness.cut(exchange, .tunnelIdle)
        default: harness.cut(exchange, .shuttingDown)
        }
        #expect(exchange.answer.isFinished && exchange.answer.isCut == (how != "caller"))
        #expect(exchange.answer.attempts == 1, "bytes that flowed are never sent again")
        #expect(harness.gaugesNotZero == [] && harness.inFlight == 0)
        #expect(harness.stat(how == "caller" ? "weft_probe_cancelled_total" : "weft_probe_failed_total") == 1)
        #expect(exchange.answer.flag == ["caller": .DC, "service": .UC, "idle": .SI, "shutdown": .LR][how])
        // Whatever comes afterwards comes to nothing.
        harness.pass(exchange, up: 1)
        harness.finish(exchange, caller: true, service: true)
        harness.cut(exchange, .tunnelIdle)
        #expect(harness.stat("weft_probe_broken_total") == 0)
    }

    @Test("Services that agree and then break tunnels off are not shut off: they answered")
    func breaker() throws {
        let harness = try harness(#"[{"filter":"breaker","config":{"consecutiveFailures":2}}]"#)
        for _ in 0..<10 {
            let exchange = open(harness)
            #expect(exchange.answer.isTunnel)
            harness.breakOff(exchange)
        }
        #expect(harness.stat("weft_breaker_tripped_total") == 0)
    }

    @Test("A tunnel holds a permit of the breaker for as long as it lives")
    func permits() throws {
        let harness = try harness(#"[{"filter":"breaker","config":{"maxRequests":2}}]"#)
        let tunnels = [open(harness), open(harness)]
        #expect(harness.send(Self.upgrade).flag == .UO)
        harness.finish(tunnels[0], caller: true, service: true)
        let third = open(harness)
        #expect(third.answer.isTunnel)
        harness.finish(third, caller: true, service: true)
        harness.abort(tunnels[1])
        #expect(harness.gaugesNotZero == [])
    }

    @Test("When the config changes, stages decide anew on open tunnels; what they refuse is cut with their reason, the rest goes on")
    func review() throws {
        let harness = try harness(#"["stats",{"filter":"gate","config":{"path":"/"}}]"#)
        let chat = open(harness), news = open(harness, .get("/news", headers: ["connection": "upgrade", "upgrade": "websocket"]))
        harness.upstream = { _, _ in .slowBody(200, after: .seconds(5)) }
        let plain = harness.start(.get("/chat"))
        harness.advance(by: .seconds(1))
        try harness.swap(#"["stats",{"filter":"gate","config":{"path":"/news"}}]"#)
        #expect(chat.answer.isFinished && chat.answer.isCut && chat.answer.flag == .AZ && chat.answer.reason == "the gate is shut")
        #expect(!news.answer.isFinished)
        #expect(harness.retiredChains == 1)
        harness.advance(by: .seconds(10))
        #expect(plain.answer.isFinished && !plain.answer.isCut && plain.answer.status == 200, "an exchange in flight ends on what it began with")
        harness.finish(news, caller: true, service: true)
        #expect(harness.retiredChains == 0 && harness.gaugesNotZero == [])
    }
}

/// Lets paths through that begin with one.
private final class Gate: RequestHeadFilter, ReviewFilter {
    static let name: FilterName = "gate"

    struct Config: FilterConfig {
        let path: String
        init(_ fields: inout ConfigFields) { path = fields.read("path", default: "/", "Prefix.") }
    }

    let path: String

    init(_ config: Config, _ stage: inout StageSetup) { path = config.path }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange.request.path.string.hasPrefix(path) ? .next : .reply(403, because: "the gate is shut")
    }

    func onReview(_ exchange: borrowing Exchange) -> ConnectionVerdict {
        exchange.request.path.string.hasPrefix(path) ? .next : .refuse(because: "the gate is shut")
    }
}
