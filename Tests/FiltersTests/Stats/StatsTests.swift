import Pipeline
import Testing
import WeftTesting

@Suite("stats")
struct StatsTests {
    @Test("Every call is counted once by source, destination, version, route and status, with its latency")
    func calls() throws {
        let harness = try ChainHarness(#"["stats",{"filter":"retry","config":{"maxRetries":2}},{"filter":"stats","name":"attempts"}]"#)
        harness.upstream = { _, number in number < 2 ? .answer(503) : .answer(200, after: .milliseconds(50)) }
        let answer = harness.send(.get("/"))
        #expect(answer.attempts == 3)
        #expect(harness.calls == ["order → payment v1 none 200": 1])
        #expect(harness.stat("weft_stats_passes_total", stage: "attempts") == 3)
        #expect(harness.stat("weft_stats_failures_total", stage: "attempts") == 2)
        #expect(harness.stat("weft_stats_failures_total", stage: "stats") == 0)
        let row = harness.context.calls[0].read()[0]
        #expect(row.key.reporter == .source)
        #expect(Nanoseconds(Int64(row.latency.sum)) == answer.elapsed)
    }

    @Test("Inbound the source is what the certificate proved, and unknown without one")
    func sources() throws {
        let harness = try ChainHarness(#"["stats"]"#, inbound: true)
        _ = harness.send(.get("/", source: HarnessWorld.identity("order")))
        _ = harness.send(.get("/", source: HarnessWorld.identity("order", namespace: "other")))
        _ = harness.send(.get("/"))
        #expect(
            harness.calls == ["order → payment v1 none 200": 1, "order.other → payment v1 none 200": 1, "unknown → payment v1 none 200": 1])
    }

    @Test("What has no route or no endpoint is counted too; a caller that went away counts with status 0")
    func failures() throws {
        let world = HarnessWorld(services: [.simple("payment", versions: [:]), .simple("stock", versions: ["v1": 1])])
        let harness = try ChainHarness(#"["stats"]"#, world: world)
        _ = harness.send(.get("/"))
        _ = harness.send(.proxied("nobody.weft"))
        harness.upstream = { _, _ in .hang }
        let exchange = harness.start(.get("/").by(.servicePort(1)))
        #expect(harness.stat("weft_stats_in_flight") == 1)
        harness.abort(exchange)
        #expect(harness.stat("weft_stats_in_flight") == 0)
        #expect(harness.stat("weft_stats_cancelled_total") == 1)
        #expect(
            harness.calls == ["order → payment none none 503": 1, "order → unknown none none 502": 1, "order → stock v1 none 0": 1])
    }

    @Test("An answer that a sidecar made in the service's place is the mesh's, here or at the peer; the service's own is its own")
    func answerers() throws {
        func answerers(_ harness: ChainHarness) -> [String: Int] {
            harness.context.calls[0].read().reduce(into: [:]) { $0["\($1.key.status) \($1.key.answeredBy.text)", default: 0] += Int($1.calls) }
        }
        let limited = try ChainHarness(
            #"["stats",{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"1/s","burst":1}]}},"retry"]"#)
        limited.upstream = { _, _ in .answer(404) }
        for _ in 0..<3 { _ = limited.send(.get("/")) }
        #expect(answerers(limited) == ["404 service": 1, "429 mesh": 2])
        // The word of the sidecar in front of the service; one that says 200 denied nothing.
        let peer = try ChainHarness(#"["stats"]"#)
        for (status, flag) in [(403, "AZ"), (403, nil), (503, "UF"), (503, nil), (200, "AZ")] as [(UInt16, String?)] {
            peer.upstream = { _, _ in flag.map { UpstreamBehaviour.answer(Int(status), headers: ["x-weft-reason": $0]) } ?? .answer(Int(status)) }
            _ = peer.send(.get("/"))
        }
        #expect(answerers(peer) == ["403 mesh": 1, "403 service": 1, "503 mesh": 1, "503 service": 1, "200 service": 1])
        // Inbound the application is no sidecar: it is not believed.
        let inbound = try ChainHarness(#"["stats"]"#, inbound: true)
        inbound.upstream = { _, _ in .answer(403, headers: ["x-weft-reason": "AZ"]) }
        _ = inbound.send(.get("/"))
        #expect(answerers(inbound) == ["403 service": 1])
    }

    @Test("Canary and reordering leave the sums whole: calls counted are calls sent")
    func sums() throws {
        let route = [TrafficPart.RuleEntry(name: "all", matches: [], backends: [.init(version: "v1", weight: 90), .init(version: "v2", weight: 10)])]
        let world = HarnessWorld(services: [.simple("payment", versions: ["v1": 1, "v2": 1], route: route)])
        let harness = try ChainHarness(#"["stats","retry","breaker"]"#, world: world, seed: 7)
        harness.upstream = { request, number in request.version == "v2" && number % 2 == 0 ? .answer(500) : .ok }
        for round in 0..<20 {
            for _ in 0..<50 { _ = harness.send(.get("/")) }
            try harness.swap(round % 2 == 0 ? #"["breaker","stats","retry"]"# : #"["stats","retry","breaker"]"#)
        }
        let counted = harness.calls
        // A breaker above stats refuses some; those it never saw.
        let refused = harness.stat("weft_breaker_refused_total")
        let seen = counted.values.reduce(0, +)
        #expect(seen <= 1000 && seen >= 1000 - refused)
        #expect(counted.keys.allSatisfy { $0.contains(" v1 all ") || $0.contains(" v2 all ") || $0.hasSuffix(" 503") })
    }
}
