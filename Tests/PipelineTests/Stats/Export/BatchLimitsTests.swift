import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

/// What a batch counts, by the labels of each point.
private func calls(_ metrics: [OTLP.Metric]) -> [[OTLP.Attribute]: UInt64] {
    var result: [[OTLP.Attribute]: UInt64] = [:]
    for metric in metrics {
        guard case .histogram(let points, .delta) = metric.data else { continue }
        for point in points { result[point.attributes, default: 0] += point.count }
    }
    return result
}

struct BatchLimitsTests {
    /// A distribution that is in use from end to end: the largest a point can be.
    private static let wide: LatencySnapshot = {
        var latency = LatencySnapshot()
        for index in 0..<LatencyBuckets.count { latency.counts[index] = .max / UInt64(2 * LatencyBuckets.count) }
        return latency
    }()

    private static func points(_ count: Int, textBytes: Int) -> [OTLP.HistogramPoint] {
        (0..<count).map { number in
            var point = OTLP.HistogramPoint(fine: wide)
            let text = String(repeating: "x", count: max(0, textBytes - 8))
            point.attributes = ["reporter", "source", "destination", "version", "route"].map { .init($0, "\(text)\(number)") }
            point.attributes.append(.init("code", .int(503)))
            (point.start, point.time) = (.max, .max)
            return point
        }
    }

    @Test("Every batch of a split is within bytes and points once it is encoded, and together they are all of it", arguments: [
        (20_000, 8), (3_000, 255), (1, 255), (0, 0),
    ])
    func bounds(_ count: Int, _ textBytes: Int) throws {
        let histogram = OTLP.Metric(name: "h", description: "H.", unit: "s", data: .histogram(Self.points(count, textBytes: textBytes), .delta))
        var number = OTLP.NumberPoint()
        number.value = .int(.min)
        let numbers = [OTLP.NumberPoint](repeating: number, count: count / 2)
        let metrics = [
            histogram, OTLP.Metric(name: "s", data: .sum(numbers, .delta, isMonotonic: true)), OTLP.Metric(name: "g", data: .gauge(numbers)),
        ]
        let batches = BatchLimits.split(metrics)
        #expect(batches.isEmpty == (count == 0))
        var sums = 0, gauges = 0
        var histograms: [OTLP.HistogramPoint] = []
        for batch in batches {
            let id = BatchID(incarnation: String(repeating: "i", count: 255), sequence: .max)
            let bytes = OTLP.encode([OTLP.Resource(service: String(repeating: "s", count: 255), id: id, metrics: batch)])
            #expect(bytes.count <= BatchLimits.bytesMax)
            // The receiver's own limits take it.
            let decoded = try #require(try OTLP.decode(bytes).first)
            #expect(decoded.metrics == batch)
            for metric in batch {
                switch metric.data {
                case .histogram(let points, let temporality):
                    histograms += points
                    #expect(temporality == .delta && metric.name == "h" && metric.unit == "s" && metric.description == "H.")
                case .sum(let points, let temporality, let isMonotonic):
                    sums += points.count
                    #expect(temporality == .delta && isMonotonic)
                case .gauge(let points): gauges += points.count
                case .other: Issue.record("kind")
                }
            }
        }
        #expect(histograms == Self.points(count, textBytes: textBytes) && sums == count / 2 && gauges == count / 2)
    }

    @Test("A split wastes no room: but for the last, every batch is full")
    func full() {
        let metric = OTLP.Metric(name: "h", data: .histogram(Self.points(25, textBytes: 8), .delta))
        #expect(BatchLimits.split([metric, metric], pointsMax: 10).map { $0.reduce(0) { $0 + calls([$1]).count } } == [10, 10, 10, 10, 10])
        #expect(BatchLimits.split([metric], bytesMax: 1).count == 25, "a point alone is sent in any case")
    }

    @Test("A cut of several batches is counted exactly once over lost batches, lost acknowledgements and restarts", arguments: UInt64(0)..<40)
    func exactlyOnce(seed: UInt64) {
        var random = Random(seed: seed)
        let labels = LabelTable(), stats = CallStats.allocate()
        defer { stats.deallocate() }
        let keys = (0..<40).map { number in
            CallKey(reporter: .source, source: labels.id("order"), destination: labels.id("d\(number)"), status: 200)
        }
        var machine = ExportMachine(at: start), tracker = DeltaTracker(labels: labels, startedAt: 0), now = start
        var waiting: [[OTLP.Metric]] = [], kept: (sequence: UInt64, calls: [[OTLP.Attribute]: UInt64]) = (0, [:])
        var ledger = IngestLedger(), counted: [[OTLP.Attribute]: UInt64] = [:]
        var disk = (ledger.stored, counted)
        var recorded: UInt64 = 0, mostInOneCut = 0
        for step in 0..<800 {
            let isQuiet = step > 600
            now = now + .milliseconds(isQuiet ? 6_000 : Int64.random(in: 0...3_000, using: &random))
            if !isQuiet {
                for key in keys where Bool.random(using: &random) {
                    stats.record(key, latency: .milliseconds(1))
                    recorded += 1
                }
            }
            switch machine.poll(at: now, using: &random) {
            case .wait: continue
            case .cut(let sequence):
                if waiting.isEmpty { waiting = BatchLimits.split(tracker.cut(series: [], calls: stats.read(), at: 1), pointsMax: 7) }
                mostInOneCut = max(mostInOneCut, waiting.count)
                guard !waiting.isEmpty else {
                    machine.nothingToSend(at: now)
                    continue
                }
                kept = (sequence, calls(waiting.removeFirst()))
                #expect(kept.calls.count <= 7)
            case .resend(let sequence): #expect(sequence == kept.sequence)
            }
            let fate = isQuiet ? 0 : Int.random(in: 0..<4, using: &random)
            if fate == 1 {
                machine.failed(sequence: kept.sequence, at: now, using: &random)
                continue
            }
            if ledger.received(BatchID(incarnation: "one", sequence: kept.sequence)) != .duplicate {
                counted.merge(kept.calls, uniquingKeysWith: +)
            }
            if fate == 3 {
                (ledger, counted) = (IngestLedger(restoring: disk.0), disk.1)
                continue
            }
            disk = (ledger.stored, counted)
            if fate == 2 { continue }
            let isKnown = machine.acknowledged(sequence: kept.sequence, more: !waiting.isEmpty, at: now)
            #expect(isKnown)
            // What else was cut with it does not wait for the interval.
            if !waiting.isEmpty {
                var copy = machine
                let next = copy.poll(at: now, using: &random)
                #expect(next == .cut(sequence: kept.sequence + 1))
            }
        }
        #expect(mostInOneCut >= 3)
        #expect(counted.values.reduce(0, +) == recorded && counted.count == 40 && ledger.missing == 0)
    }
}
