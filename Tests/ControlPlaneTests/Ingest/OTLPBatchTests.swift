import ControlPlane
import Pipeline
import Testing

struct OTLPBatchTests {
    private func resource(_ change: (inout OTLP.HistogramPoint) -> Void = { _ in }, temporality: OTLP.Temporality = .delta) -> OTLP.Resource {
        var latency = LatencySnapshot()
        for milliseconds in [1, 5, 5, 20_000] { latency.record(.milliseconds(Int64(milliseconds))) }
        var point = OTLP.HistogramPoint(fine: latency)
        point.attributes = [
            .init("reporter", "source"), .init("source", "order"), .init("destination", "payment"), .init("version", "v2"),
            .init("route", "all"), .init("code", .int(503)),
        ]
        change(&point)
        return OTLP.Resource(
            attributes: [.init(BatchID.incarnationKey, "i"), .init(BatchID.sequenceKey, .int(4))],
            metrics: [.init(name: DeltaTracker.requestDuration, unit: "s", data: .histogram([point], temporality)), .init(name: "else", data: .other)])
    }

    @Test("What a sidecar encodes is counted under its labels with every bucket kept, through protobuf and back")
    func roundTrip() throws {
        let decoded = try OTLP.decode(OTLP.encode([resource()]))
        let received = try #require(decoded.first)
        let (batch, malformed) = try #require(MetricTotals.Batch.read(received))
        #expect(malformed == 0)
        #expect(batch.incarnation == "i" && batch.sequence == 4)
        let point = try #require(batch.points.first)
        #expect(point.series == CallSeries(reporter: .source, source: "order", destination: "payment", version: "v2", route: "all", code: 503))
        var expected = LatencySnapshot()
        for milliseconds in [1, 5, 5, 20_000] { expected.record(.milliseconds(Int64(milliseconds))) }
        #expect(point.latency == expected)
    }

    @Test("Gauges of open connections are read; negative or fractional ones, sums, and labels missing or twice are malformed")
    func connections() throws {
        var good = OTLP.NumberPoint()
        good.attributes = ConnectionSeries.labels(reporter: .destination, source: "order", destination: "payment", version: "v2").map { .init($0.name, $0.value) }
        good.value = .int(5)
        var negative = good, fraction = good, twice = good, short = good
        negative.value = .int(-1)
        fraction.value = .double(1.5)
        twice.attributes.append(.init("source", "x"))
        short.attributes.removeLast()
        func read(_ data: OTLP.Metric.Data) throws -> (batch: MetricTotals.Batch, malformed: Int) {
            let resource = OTLP.Resource(service: "payment", id: BatchID(incarnation: "i", sequence: 1), metrics: [.init(name: ConnectionSeries.name, data: data)])
            let received = try OTLP.decode(OTLP.encode([resource]))
            return try #require(received.first.flatMap(MetricTotals.Batch.read))
        }
        let (batch, malformed) = try read(.gauge([good, negative, fraction, twice, short]))
        #expect(malformed == 4 && batch.points.isEmpty)
        #expect(batch.connections.map(\.open) == [5])
        #expect(batch.connections.first?.pair == .init(reporter: .destination, source: "order", destination: "payment", version: "v2"))
        #expect(try read(.sum([good], .delta, isMonotonic: false)).malformed == 1)
    }

    @Test("NaN, negative or contradictory figures, labels missing or twice, and cumulative points are malformed")
    func malformed() throws {
        let changes: [(inout OTLP.HistogramPoint) -> Void] = [
            { $0.sum = .nan }, { $0.sum = -1 }, { $0.sum = .infinity }, { $0.bounds[0] = .nan }, { $0.bounds[0] = -1 },
            { $0.bounds.swapAt(0, 1) }, { $0.count += 1 }, { $0.bucketCounts[0] = .max }, { $0.bucketCounts.removeLast() },
            { $0.attributes.removeFirst() }, { $0.attributes.removeLast() }, { $0.attributes.append(.init("source", "x")) },
            { $0.attributes.append(.init("code", .int(200))) }, { $0.attributes[5] = .init("code", .int(700)) },
            { $0.attributes[5] = .init("code", .int(-1)) }, { $0.attributes[0] = .init("reporter", "me") },
            { $0.attributes.append(.init(CallKey.Answerer.key, "me")) },
        ]
        for (index, change) in changes.enumerated() {
            let (batch, malformed) = try #require(MetricTotals.Batch.read(resource(change)))
            #expect(malformed == 1 && batch.points.isEmpty, "change \(index)")
        }
        #expect(MetricTotals.Batch.read(resource(temporality: .cumulative))?.malformed == 1)
        #expect(MetricTotals.Batch.read(OTLP.Resource()) == nil)
    }
}
