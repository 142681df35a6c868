import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct MetricsTests {
    private func batch(_ sequence: UInt64, source: String = "order", calls: Int = 10, code: Int64 = 200) throws -> [UInt8] {
        var latency = LatencySnapshot()
        for number in 0..<calls { latency.record(.milliseconds(Int64(number + 1))) }
        var point = OTLP.HistogramPoint(fine: latency)
        point.attributes = [
            .init("reporter", "source"), .init("source", source), .init("destination", "payment"), .init("version", "v1"), .init("route", "all"),
            .init("code", .int(code)),
        ]
        let metric = OTLP.Metric(name: DeltaTracker.requestDuration, unit: "s", data: .histogram([point], .delta))
        return OTLP.encode([OTLP.Resource(service: source, id: BatchID(incarnation: "i1", sequence: sequence), metrics: [metric])])
    }

    private func send(_ body: [UInt8], _ world: PlaneWorld, _ context: TLSContext, encoding: String = "zstd") throws -> ServiceResponse {
        let request = ServiceRequest(
            "POST", "/v1/metrics", headers: [("content-type", "application/x-protobuf"), ("content-encoding", encoding)], body: body)
        return try world.call(request, at: world.mesh(context))
    }

    private func requests(_ world: PlaneWorld) throws -> Int64 {
        try world.view("/v1/stat").list("totals").reduce(0) { $0 + ($1["requests"]?.integer ?? 0) }
    }

    @Test("A batch is counted once, however often it comes, also across a restart")
    func once() throws {
        let world = try PlaneWorld()
        let context = try world.identity("order")
        let first = try Zstd().compress(batch(1))
        for _ in 0..<3 { #expect(try send(first, world, context).status == 200) }
        #expect(try requests(world) == 10)
        world.stop()
        try world.start()
        #expect(try requests(world) == 10)
        #expect(try send(first, world, context).status == 200)
        #expect(try requests(world) == 10)
        #expect(try send(Zstd().compress(batch(2, code: 503)), world, context).status == 200)
        #expect(try requests(world) == 20)
        let stat = try world.view("/v1/stat", "window=60s")
        #expect(stat["ingest"]?["duplicates"]?.integer == 1 && stat["ingest"]?["batches"]?.integer == 1)
        // The window began anew with the process; its statuses are the window's.
        let item = try #require(stat.list().first)
        #expect(item["requests"]?.integer == 10 && item["statuses"]?.keys == ["503"] && item["success"].map { $0.json } == "0.0", "\(item.json)")
        #expect(try #require(stat.list("totals").first)["statuses"]?.keys == ["200", "503"])
    }

    @Test("A bomb is 413, rubbish 400, what is not zstd 415, and none of it counts")
    func refused() throws {
        let world = try PlaneWorld()
        let context = try world.identity("order")
        let zstd = try Zstd()
        let bomb = try zstd.compress([UInt8](repeating: 0, count: 64 << 20))
        #expect(bomb.count < 16 << 10)
        #expect(try send(bomb, world, context).status == 413)
        let whole = try zstd.compress(batch(1))
        #expect(try send(Array(whole.dropLast(3)), world, context).status == 400)
        #expect(try send([], world, context).status == 400)
        #expect(try send(zstd.compress([0xFF, 0xFF, 0xFF]), world, context).status == 400)
        #expect(try send(batch(1), world, context, encoding: "identity").status == 415)
        #expect(try requests(world) == 0)
        #expect(try send(whole, world, context).status == 200)
    }

    @Test("Nobody reports calls in another's name")
    func otherName() throws {
        let world = try PlaneWorld()
        let context = try world.identity("payment")
        #expect(try send(Zstd().compress(batch(1, source: "order")), world, context).status == 200)
        #expect(try requests(world) == 0)
        #expect(world.plane.counts.malformedPoints == 1)
    }

    @Test("The page shows every pair and the control plane itself, each family once")
    func page() throws {
        let world = try PlaneWorld()
        let context = try world.identity("order")
        #expect(try send(Zstd().compress(batch(1)), world, context).status == 200)
        let page = try world.metricsPage()
        let lines = page.split(separator: "\n").map(String.init)
        let pair = #"reporter="source",source="order",destination="payment",version="v1",route="all",code="200",answered_by="service""#
        #expect(lines.contains("weft_requests_total{\(pair)} 10"), "\(page)")
        #expect(lines.contains("weft_request_duration_seconds_count{\(pair)} 10"))
        #expect(lines.contains("weft_control_plane_joins_total 1"))
        #expect(lines.contains { $0.hasPrefix("weft_build_info{") })
        let types = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
        #expect(Set(types).count == types.count)
    }

    private func connections(_ sequence: UInt64, _ open: Int64, incarnation: String = "i1", source: String = "order") -> OTLP.Resource {
        var point = OTLP.NumberPoint()
        point.value = .int(open)
        point.attributes = ConnectionSeries.labels(reporter: .source, source: source, destination: "payment", version: "v1")
            .map { .init($0.name, $0.value) }
        return OTLP.Resource(
            service: source, id: BatchID(incarnation: incarnation, sequence: sequence), metrics: [.init(name: ConnectionSeries.name, data: .gauge([point]))])
    }

    @Test("Open connections of a pair are in its row and on the page, and are learnt again after a restart")
    func openConnections() throws {
        let world = try PlaneWorld()
        let context = try world.identity("order")
        let line = #"weft_connections{reporter="source",source="order",destination="payment",version="v1"} "#
        func row() throws -> Int64? { try world.view("/v1/stat", "window=60s").list().first?["connections"]?.integer }
        #expect(try send(Zstd().compress(batch(1)), world, context).status == 200)
        #expect(try row() == nil, "not said yet is not none")
        #expect(try send(Zstd().compress(OTLP.encode([connections(2, 3)])), world, context).status == 200)
        #expect(try send(Zstd().compress(OTLP.encode([connections(1, 4, incarnation: "i2")])), world, context).status == 200)
        #expect(try row() == 7)
        #expect(try world.metricsPage().contains(line + "7\n"))
        world.stop()
        try world.start()
        #expect(try !world.metricsPage().contains(line))
        #expect(try send(Zstd().compress(OTLP.encode([connections(3, 2)])), world, context).status == 200)
        #expect(try world.metricsPage().contains(line + "2\n"))
        #expect(try send(Zstd().compress(OTLP.encode([connections(4, 9, source: "analytics")])), world, context).status == 200)
        #expect(try !world.metricsPage().contains("analytics"), "nobody speaks for another")
    }

    @Test("The largest batch that a sidecar cuts is counted whole")
    func largest() throws {
        let world = try PlaneWorld()
        let context = try world.identity("order")
        var latency = LatencySnapshot()
        for index in 0..<LatencyBuckets.count { latency.counts[index] = 1 }
        let points = (0..<BatchLimits.pointsMax + 1).map { number in
            var point = OTLP.HistogramPoint(fine: number < 2_000 ? latency : LatencySnapshot())
            point.attributes = [
                .init("reporter", "source"), .init("source", "order"), .init("destination", "d\(number)"), .init("version", "v1"),
                .init("route", "all"), .init("code", .int(200)),
            ]
            return point
        }
        let cut = BatchLimits.split([OTLP.Metric(name: DeltaTracker.requestDuration, unit: "s", data: .histogram(points, .delta))])
        #expect(cut.count >= 2)
        for (index, metrics) in cut.enumerated() {
            let id = BatchID(incarnation: "i1", sequence: UInt64(index + 1))
            #expect(try send(Zstd().compress(OTLP.encode([OTLP.Resource(service: "order", id: id, metrics: metrics)])), world, context).status == 200)
        }
        #expect(try requests(world) == 2_000 * Int64(LatencyBuckets.count))
    }

    @Test("The page answers to loopback names only", arguments: [
        ("127.0.0.1:9090", 200), ("127.0.0.1", 200), ("localhost:9090", 200), ("[::1]:9090", 200), ("127.0.0.1.evil.example:9090", 421),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.evil.example", 421),
    ] as [(String, UInt16)])
    func rebinding(_ host: String, _ status: UInt16) throws {
        let world = try PlaneWorld()
        let target = ServiceTarget(world.plane.addresses.metrics, host: host)
        #expect(try world.call(ServiceRequest("GET", "/livez"), at: target).status == status)
        #expect(try world.call(ServiceRequest("POST", "/metrics"), at: target).status == 405)
    }
}
