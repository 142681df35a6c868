import ControlPlane
import Pipeline
import Testing

struct OpenConnectionsTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)
    private let pair = OpenConnections.Pair(reporter: .source, source: "order", destination: "payment", version: "v1")

    private func batch(_ sequence: UInt64, _ points: [(OpenConnections.Pair, Int64)], of incarnation: String = "i") -> MetricTotals.Batch {
        MetricTotals.Batch(incarnation: incarnation, sequence: sequence, points: [], connections: points.map { .init(pair: $0, open: $1) })
    }

    @Test("Sidecars of a pair add up, each counts as it said last, and a batch that comes again late changes nothing")
    func last() {
        var totals = MetricTotals(at: start)
        _ = totals.count(batch(1, [(pair, 3)]), at: start)
        _ = totals.count(batch(1, [(pair, 4)], of: "other"), at: start)
        #expect(totals.connections.open(at: start) == [pair: 7])
        _ = totals.count(batch(2, [(pair, 1)]), at: start)
        #expect(totals.count(batch(1, [(pair, 3)]), at: start) == .duplicate)
        #expect(totals.connections.open(at: start) == [pair: 5])
        totals.ended("other")
        #expect(totals.connections.open(at: start) == [pair: 1])
        // Nothing of it is stored but that the batches were counted.
        let changes = totals.drain()
        #expect(!changes.isEmpty && changes.allSatisfy { $0.table != MetricTotals.table })
    }

    @Test("Who is no longer heard of no longer counts; who is heard of and no longer names a pair has none of it open")
    func lapses() {
        var totals = MetricTotals(at: start)
        _ = totals.count(batch(1, [(pair, 3)]), at: start)
        let just = start + OpenConnections.lapse + .nanoseconds(-1)
        #expect(totals.connections.open(at: just) == [pair: 3])
        #expect(totals.connections.open(at: start + OpenConnections.lapse) == [:])
        _ = totals.count(batch(2, []), at: just)
        #expect(totals.connections.open(at: start + OpenConnections.lapse) == [pair: 0])
    }

    @Test("Impossible points, those of others and those past the limit are refused one by one")
    func refused() {
        var totals = MetricTotals(at: start)
        let other = OpenConnections.Pair(reporter: .destination, source: "order", destination: "payment", version: "v1")
        let control = OpenConnections.Pair(reporter: .source, source: "order", destination: "a\u{1F}b", version: "v1")
        let points = [(pair, Int64(2)), (pair, -1), (pair, OpenConnections.countMax + 1), (other, 1), (control, 1)]
        #expect(totals.count(batch(1, points), from: "order", at: start) == .counted(rejectedPoints: 4))
        #expect(totals.connections.open(at: start) == [pair: 2])
        let flood = (0..<2 * OpenConnections.pairsPerIncarnationMax).map {
            (OpenConnections.Pair(reporter: .source, source: "order", destination: "d\($0)", version: "v1"), Int64(1))
        }
        let refused = OpenConnections.pairsPerIncarnationMax + 1
        #expect(totals.count(batch(2, flood), from: "order", at: start) == .counted(rejectedPoints: refused))
        #expect(totals.connections.open(at: start).count == OpenConnections.pairsPerIncarnationMax)
    }
}
