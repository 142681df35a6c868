import ControlPlane
import ControlPlaneTesting
import Pipeline
import Testing

struct MetricTotalsTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func series(
        _ destination: String = "payment", source: String = "order", route: String = "none", code: UInt16 = 200
    ) -> CallSeries {
        CallSeries(reporter: .source, source: source, destination: destination, route: route, code: code)
    }

    private func calls(_ count: Int, of milliseconds: Int64 = 5) -> LatencySnapshot {
        var snapshot = LatencySnapshot()
        for _ in 0..<count { snapshot.record(.milliseconds(milliseconds)) }
        return snapshot
    }

    private func batch(_ sequence: UInt64, _ points: [MetricTotals.Point], incarnation: String = "i") -> MetricTotals.Batch {
        MetricTotals.Batch(incarnation: incarnation, sequence: sequence, points: points)
    }

    @Test("Deltas add up per series, and a batch that comes again is acknowledged and not counted")
    func addsUp() {
        var totals = MetricTotals(at: start)
        let first = batch(1, [.init(series: series(), latency: calls(3)), .init(series: series(code: 500), latency: calls(1))])
        #expect(totals.count(first, at: start) == .counted(rejectedPoints: 0))
        #expect(totals.count(first, at: start) == .duplicate)
        #expect(totals.count(batch(2, [.init(series: series(), latency: calls(4, of: 50))]), at: start) == .counted(rejectedPoints: 0))
        #expect(totals.count(batch(1, []), at: start) == .duplicate, "older than the last")
        #expect(totals.count(batch(1, [.init(series: series(), latency: calls(5))], incarnation: "other"), at: start) == .counted(rejectedPoints: 0))
        #expect(totals.total(series())?.count == 12)
        let sum: UInt64 = (3 + 5) * 5_000_000 + 4 * 50_000_000
        #expect(totals.total(series())?.sum == sum)
        #expect(totals.total(series(code: 500))?.count == 1)
    }

    @Test("Wherever the power fails, every batch is counted exactly once in the end", arguments: 0..<20)
    func exactlyOnce(seed: UInt64) throws {
        var random = Random(seed: seed)
        var files = FaultyFiles(seed: seed)
        /// Per sidecar: the batch to be acknowledged next, resent until it is.
        var next: [UInt64] = [1, 1, 1]
        var acknowledged: UInt64 = 0
        for _ in 0..<8 {
            files.callsUntilCrash = Int.random(in: 5..<60, using: &random)
            do {
                let store = try Store(files, limits: .small)
                var totals = try #require(MetricTotals(restoring: store, at: start))
                while true {
                    // A turn: some sidecars send; what is out may be there twice.
                    var turn: [Int] = []
                    for sidecar in next.indices where Bool.random(using: &random) {
                        for _ in 0..<Int.random(in: 1...2, using: &random) {
                            let points = [MetricTotals.Point(series: series(), latency: calls(1)), .init(series: series("s\(sidecar)"), latency: calls(2))]
                            _ = totals.count(batch(next[sidecar], points, incarnation: "i\(sidecar)"), at: start)
                        }
                        turn.append(sidecar)
                    }
                    try store.append(totals.drain())
                    try store.commit()
                    for sidecar in turn {
                        next[sidecar] += 1
                        acknowledged += 1
                    }
                }
            } catch {
                files = files.crash()
            }
        }
        files.callsUntilCrash = nil
        let store = try Store(files, limits: .small)
        var totals = try #require(MetricTotals(restoring: store, at: start))
        // What was not acknowledged comes once more.
        for sidecar in next.indices {
            let points = [MetricTotals.Point(series: series(), latency: calls(1)), .init(series: series("s\(sidecar)"), latency: calls(2))]
            _ = totals.count(batch(next[sidecar], points, incarnation: "i\(sidecar)"), at: start)
        }
        #expect(acknowledged > 5)
        #expect(totals.total(series())?.count == acknowledged + 3)
        for sidecar in next.indices { #expect(totals.total(series("s\(sidecar)"))?.count == next[sidecar] * 2) }
    }

    @Test("A turn of many batches is one transaction, and nothing is left to store after it")
    func oneTransaction() {
        var totals = MetricTotals(at: start)
        for sequence in 1...20 { _ = totals.count(batch(UInt64(sequence), [.init(series: series(), latency: calls(1))]), at: start) }
        #expect(totals.drain().filter { $0.table == MetricTotals.table }.count == 1)
        let rest = totals.drain()
        #expect(rest.isEmpty)
    }

    @Test("A source with too many series has the rest counted under other, by class, and nothing lost")
    func cardinality() {
        var limits = MetricTotals.Limits()
        limits.seriesPerSourceMax = 10
        limits.seriesMax = 25
        var totals = MetricTotals(limits: limits, at: start)
        let bomb = (0..<1000).map { MetricTotals.Point(series: series("d\($0)"), latency: calls(1)) }
        #expect(totals.count(batch(1, bomb), at: start) == .counted(rejectedPoints: 0))
        #expect(totals.seriesCount == 11)
        #expect(totals.overflowed == 990)
        let other = CallSeries(reporter: .source, source: "order", destination: "other", version: "other", route: "other", code: 200)
        #expect(totals.total(other)?.count == 990)
        // Another source is not harmed, until all are taken.
        #expect(totals.count(batch(2, [.init(series: series(source: "a"), latency: calls(1))]), at: start) == .counted(rejectedPoints: 0))
        let sources = (0..<100).map { MetricTotals.Point(series: series(source: "s\($0)"), latency: calls(1)) }
        #expect(totals.count(batch(3, sources), at: start) == .counted(rejectedPoints: 87))
        #expect(totals.seriesCount == 25)
        #expect(totals.rejected == 87)
    }

    @Test("Impossible labels, numbers and reporters are rejected point by point, impossible batches as a whole")
    func impossible() {
        var totals = MetricTotals(at: start)
        var huge = LatencySnapshot()
        huge.counts[3] = 1 << 33
        var wrapping = LatencySnapshot()
        wrapping.counts[1] = .max
        wrapping.counts[2] = 2
        let points: [MetricTotals.Point] = [
            .init(series: series("a\u{1F}b"), latency: calls(1)), .init(series: series(""), latency: calls(1)),
            .init(series: series(String(repeating: "x", count: 201)), latency: calls(1)), .init(series: series(code: 600), latency: calls(1)),
            .init(series: series(), latency: huge), .init(series: series(), latency: wrapping),
            .init(series: series(source: "analytics"), latency: calls(1)), .init(series: series(), latency: calls(1)),
        ]
        #expect(totals.count(batch(1, points), from: "order", at: start) == .counted(rejectedPoints: 7))
        #expect(totals.seriesCount == 1)
        for bad in [batch(0, []), batch(1, [], incarnation: ""), batch(2, Array(repeating: points[7], count: 8193))] {
            guard case .invalid = totals.count(bad, at: start) else {
                Issue.record("counted")
                continue
            }
        }
    }

    @Test("A service's own 4xx is no failure, what the mesh refused is, and both are told apart also after a restart")
    func refusals() throws {
        let store = try Store(FaultyFiles(seed: 1), limits: .small)
        var totals = try #require(MetricTotals(restoring: store, at: start))
        func points(_ code: UInt16, _ who: CallKey.Answerer, _ count: Int, _ destination: String) -> MetricTotals.Point {
            var series = series(destination, code: code)
            series.answeredBy = who
            return .init(series: series, latency: calls(count))
        }
        let all = [
            points(403, .mesh, 10, "denied"), points(404, .service, 3, "own"), points(200, .service, 1, "own"), points(503, .service, 1, "broken"),
            points(503, .mesh, 2, "broken"), points(429, .mesh, 1, "limited"), points(200, .service, 3, "limited"), points(302, .mesh, 1, "limited"),
        ]
        #expect(totals.count(batch(1, all), at: start) == .counted(rejectedPoints: 0))
        let shares = totals.figures(over: .seconds(10), at: start) { $0.destination }.mapValues(\.successShare)
        #expect(shares == ["denied": 0, "own": 1, "broken": 0, "limited": 0.8])
        try store.append(totals.drain())
        try store.commit()
        let again = try #require(MetricTotals(restoring: store, at: start))
        for point in all { #expect(again.total(point.series)?.count == point.latency.count) }
        #expect(again.seriesCount == all.count)
    }

    @Test("Whatever their timing, a pair that is reported every two seconds is in the shortest window, at about its rate", arguments: 0..<40)
    func shortest(phase: Int64) throws {
        var totals = MetricTotals(at: start)
        var now = start + .milliseconds(50 * phase)
        for sequence in 1...60 {
            now = now + .milliseconds(2_030)
            _ = totals.count(batch(UInt64(sequence), [.init(series: series(), latency: calls(200))]), at: now)
        }
        for late in stride(from: Int64(0), to: 2_030, by: 70) {
            let asked = now + .milliseconds(late)
            for (length, tolerance) in [(MetricTotals.windowMin, 70.0), (.seconds(10), 27), (.seconds(60), 5)] {
                let span = totals.span(of: length, at: asked)
                #expect(span <= length && span > length - CallWindowFacts.slot)
                let figure = try #require(totals.figures(over: length, at: asked) { $0.destination }["payment"])
                #expect(abs(figure.callsPerSecond - 200 / 2.03) <= tolerance, "\(length) \(late) \(figure)")
            }
        }
    }

    private enum CallWindowFacts { static let slot = Nanoseconds.seconds(2) }

    @Test("The window gives rates, success and percentiles of the last seconds, and forgets what is older")
    func window() throws {
        var totals = MetricTotals(at: start)
        // One batch a second for two minutes: 100 calls, of which 10 are 503s and 5 never got an answer.
        for second in 1...120 {
            let now = start + .seconds(Int64(second))
            let latency = Int64(second <= 60 ? 500 : 10)
            _ = totals.count(
                batch(
                    UInt64(second),
                    [
                        .init(series: series(), latency: calls(85, of: latency)), .init(series: series(code: 500), latency: calls(10, of: latency)),
                        .init(series: series(code: 0), latency: calls(5, of: latency)),
                    ]), at: now)
        }
        let now = start + .seconds(120) + .milliseconds(1900)
        for length in [Nanoseconds.seconds(10), .seconds(60)] {
            let figures = totals.figures(over: length, at: now) { $0.destination }
            let payment = try #require(figures["payment"])
            #expect(abs(payment.callsPerSecond - 100) <= 11, "\(payment)")
            #expect(abs(try #require(payment.successShare) - 85.0 / 95) < 1e-9)
            for quantile in [payment.p50, payment.p95, payment.p99] {
                #expect(abs(try #require(quantile).seconds - 0.010) < 0.001, "the slow minute is over")
            }
        }
        #expect(totals.figures(over: .seconds(60), at: now + .seconds(70)) { $0.destination }.isEmpty)
        let whole: UInt64 = 120 * 85
        #expect(totals.total(series())?.count == whole, "totals do not forget")
        #expect(totals.figures(over: .seconds(60), at: now) { $0.destination == "x" ? 1 : nil }.isEmpty)
    }

    @Test("A distribution kept sparse loses nothing", arguments: 0..<20)
    func sparse(seed: UInt64) {
        var random = Random(seed: seed)
        var (dense, kept) = (LatencySnapshot(), SparseLatency())
        for _ in 0..<5 {
            var delta = LatencySnapshot()
            for _ in 0..<Int.random(in: 0..<30, using: &random) {
                delta.record(.nanoseconds(Int64.random(in: 0...(1 << Int64.random(in: 10...40, using: &random)), using: &random)))
            }
            dense.merge(delta)
            kept.merge(SparseLatency(delta))
        }
        #expect(kept.snapshot == dense)
        #expect(kept.count == dense.count)
    }
}
