import Pipeline
import Testing

struct LatencyBucketsTests {
    @Test("Bounds rise, and each is in the bucket it ends; one nanosecond more is in the next")
    func bounds() throws {
        var previous = Nanoseconds.zero
        for index in 0..<(LatencyBuckets.count - 1) {
            let bound = try #require(LatencyBuckets.upperBound(index))
            #expect(bound > previous)
            #expect(LatencyBuckets.index(of: bound) == index)
            #expect(LatencyBuckets.index(of: bound + .nanoseconds(1)) == index + 1)
            #expect(LatencyBuckets.index(endingAt: bound) == index)
            previous = bound
        }
        #expect(previous == .seconds(100))
        #expect(LatencyBuckets.upperBound(LatencyBuckets.count - 1) == nil)
    }

    @Test("Any length finds a bucket", arguments: [Int64.min, -1, 0, 1, 99_999, 100_000, 100_001, 100_000_000_000, .max])
    func total(count: Int64) {
        #expect((0..<LatencyBuckets.count).contains(LatencyBuckets.index(of: Nanoseconds(count))))
    }

    @Test("Quantiles from 0.1 ms to 60 s are within 6 % of the exact ones")
    func error() throws {
        var random = Random(seed: 5)
        for _ in 0..<50 {
            let lengths = (0..<1_000).map { _ in
                Nanoseconds(Int64.random(in: 1...600_000, using: &random) * Int64.random(in: 100...100_000, using: &random) + 100_000)
            }.sorted()
            var snapshot = LatencySnapshot()
            lengths.forEach { snapshot.record($0) }
            for share in [0.01, 0.5, 0.95, 0.99, 1] {
                let exact = Double(lengths[Int((share * 1_000).rounded(.up)) - 1].count)
                let found = Double(try #require(snapshot.quantile(share)).count)
                #expect(abs(found - exact) / exact < 0.06)
            }
        }
    }

    @Test("The coarse scale is exact: it counts every length at most its bound")
    func coarse() {
        var random = Random(seed: 6)
        let lengths = (0..<2_000).map { _ in Nanoseconds(Int64.random(in: 0...20_000, using: &random) * 1_000_000) }
            + LatencyBuckets.coarse
        var snapshot = LatencySnapshot()
        lengths.forEach { snapshot.record($0) }
        #expect(snapshot.cumulativeCoarse() == LatencyBuckets.coarse.map { bound in UInt64(lengths.filter { $0 <= bound }.count) })
    }

    @Test("Merging is adding, and since() takes away what was there")
    func merge() {
        var a = LatencySnapshot(), b = LatencySnapshot()
        a.record(.milliseconds(3))
        b.record(.milliseconds(700))
        let before = a
        a.merge(b)
        #expect(a.count == 2 && a.sum == 703_000_000)
        #expect(a.since(before) == b)
        #expect(LatencySnapshot().quantile(0.5) == nil)
    }
}

struct StatsRegistryTests {
    @Test("Loops count in cells of their own and the series is their sum")
    func sum() async {
        let registry = StatsRegistry()
        await concurrently { loop in
            let counter = registry.counter("weft_calls_total", "Calls.", labels: [.init("route", "all")], loop: loop)
            let gauge = registry.gauge("weft_open", "Open.", loop: loop)
            let histogram = registry.histogram("weft_call_seconds", "Time.", loop: loop)
            for _ in 0..<10_000 {
                counter.increment()
                gauge.increment()
                histogram.record(.milliseconds(2))
            }
            gauge.add(-9_990)
        }
        let read = registry.read()
        #expect(read.map(\.name) == ["weft_call_seconds", "weft_calls_total", "weft_open", "weft_series_folded_total"])
        guard case .histogram(let snapshot) = read[0].value else { Issue.record("kind"); return }
        #expect(snapshot.count == 40_000 && snapshot.sum == 80_000_000_000)
        #expect(read[1].value == .counter(40_000))
        #expect(read[2].value == .gauge(40))
    }

    @Test("A gauge that rises on one loop and falls on another is zero in sum")
    func gaugeAcrossLoops() {
        let registry = StatsRegistry()
        registry.gauge("weft_open", "Open.", loop: 0).increment()
        registry.gauge("weft_open", "Open.", loop: 3).decrement()
        #expect(registry.read()[0].value == .gauge(0))
    }

    @Test("Asking again finds the same cell: a series outlives the chain that registered it")
    func lasts() {
        let registry = StatsRegistry()
        registry.counter("a_total", "A.", labels: [.init("x", "1"), .init("y", "2")], loop: 0).add(5)
        let again = registry.counter("a_total", "A.", labels: [.init("y", "2"), .init("x", "1")], loop: 0)
        #expect(again.value == 5)
    }

    @Test("Past the limit new series fold into `other` of their family, counted; unlabelled ones never do")
    func folds() {
        let registry = StatsRegistry(seriesMax: 3)
        for index in 0..<10 { registry.counter("a_total", "A.", labels: [.init("peer", "p\(index)")], loop: 0).increment() }
        registry.counter("b_total", "B.", loop: 0).increment()
        let read = registry.read().filter { $0.name == "a_total" }
        #expect(read.map { $0.labels[0].value } == ["other", "p0", "p1", "p2"])
        #expect(read[0].value == .counter(7))
        #expect(registry.folded == 7)
        #expect(registry.read().contains { $0.name == "b_total" && $0.value == .counter(1) })
    }

    @Test("A reader on another thread sees a counter only grow, up to its final value")
    func concurrentRead() async {
        let registry = StatsRegistry()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                let counter = registry.counter("a_total", "A.", loop: 0)
                for _ in 0..<50_000 { counter.increment() }
            }
            group.addTask {
                var last: UInt64 = 0
                for _ in 0..<200 {
                    if case .counter(let value)? = registry.read().first(where: { $0.name == "a_total" })?.value {
                        #expect(value >= last)
                        last = value
                    }
                }
            }
        }
        #expect(registry.read().first { $0.name == "a_total" }?.value == .counter(50_000))
    }
}
