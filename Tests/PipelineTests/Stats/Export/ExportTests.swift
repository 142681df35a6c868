import Pipeline
import Testing

private let start = Instant(nanoseconds: 5_000_000_000)

private func key(_ status: UInt16, _ labels: LabelTable) -> CallKey {
    CallKey(reporter: .source, source: labels.id("order"), destination: labels.id("payment"), version: labels.id("v1"), status: status)
}

struct DeltaTrackerTests {
    @Test("A cut holds what changed since the last, and nothing if nothing did")
    func deltas() {
        let labels = LabelTable(), registry = StatsRegistry(), stats = CallStats.allocate()
        defer { stats.deallocate() }
        var tracker = DeltaTracker(labels: labels, startedAt: 100)
        let counter = registry.counter("a_total", "A.", loop: 0), gauge = registry.gauge("g", "G.", loop: 0)
        counter.add(5)
        gauge.set(3)
        stats.record(key(200, labels), latency: .milliseconds(1))
        let first = tracker.cut(series: registry.read(), calls: stats.read(), at: 200)
        #expect(first.map(\.name) == ["a_total", "g", DeltaTracker.requestDuration])
        #expect(tracker.cut(series: registry.read(), calls: stats.read(), at: 300).isEmpty)
        counter.add(2)
        let third = tracker.cut(series: registry.read(), calls: stats.read(), at: 400)
        guard case .sum(let points, .delta, isMonotonic: true)? = third.first?.data else { Issue.record("kind"); return }
        #expect(third.count == 1 && points.map(\.value) == [.int(2)] && points[0].start == 300 && points[0].time == 400)
    }

    @Test("Rows of several loops under one key become one point with all labels")
    func merges() {
        let labels = LabelTable(), loops = [CallStats.allocate(), CallStats.allocate()]
        defer { loops.forEach { $0.deallocate() } }
        var tracker = DeltaTracker(labels: labels, startedAt: 0)
        loops.forEach { $0.record(key(503, labels), latency: .milliseconds(4)) }
        let metrics = tracker.cut(series: [], calls: loops.flatMap { $0.read() }, at: 1)
        guard case .histogram(let points, .delta)? = metrics.first?.data else { Issue.record("kind"); return }
        #expect(points.count == 1 && points[0].count == 2)
        #expect(points[0].attributes.contains(.init("code", .int(503))) && points[0].attributes.contains(.init("route", "none")))
    }
}

struct ConnectionSeriesTests {
    @Test("Open connections are said again in every cut, none at all once, and then no more")
    func repeated() {
        let registry = StatsRegistry()
        var tracker = DeltaTracker(labels: LabelTable(), startedAt: 0)
        let labels = ConnectionSeries.labels(reporter: .source, source: "order", destination: "payment", version: "v1")
        let loops = (0..<2).map { registry.gauge(ConnectionSeries.name, ConnectionSeries.help, labels: labels, loop: $0) }
        func cut() -> [OTLP.NumberPoint.Value] {
            guard let metric = tracker.cut(series: registry.read(), calls: [], at: 1).first(where: { $0.name == ConnectionSeries.name }) else { return [] }
            guard case .gauge(let points) = metric.data else { return [.none] }
            return points.map(\.value)
        }
        loops.forEach { $0.increment() }
        #expect(cut() == [.int(2)])
        #expect(cut() == [.int(2)])
        loops[0].decrement()
        #expect(cut() == [.int(1)])
        loops[1].decrement()
        #expect(cut() == [.int(0)])
        #expect(cut() == [])
    }
}

struct ExportMachineTests {
    @Test("Cuts at its interval, resends the same number after a failure, goes on after the acknowledgement")
    func cycle() {
        var random = Random(seed: 1)
        var machine = ExportMachine(at: start)
        #expect(machine.poll(at: start, using: &random) == .wait(until: start + .seconds(5)))
        #expect(machine.poll(at: start + .seconds(5), using: &random) == .cut(sequence: 1))
        machine.failed(sequence: 1, at: start + .seconds(6), using: &random)
        #expect(machine.poll(at: start + .seconds(7), using: &random) == .resend(sequence: 1))
        // No answer at all counts as a failure too.
        #expect(machine.poll(at: start + .seconds(17), using: &random) != .resend(sequence: 2))
        #expect(machine.poll(at: start + .seconds(20), using: &random) == .resend(sequence: 1))
        #expect(machine.acknowledged(sequence: 9, at: start + .seconds(20)) == false)
        #expect(machine.acknowledged(sequence: 1, at: start + .seconds(20)) == true)
        #expect(machine.acknowledged(sequence: 1, at: start + .seconds(20)) == false)
        #expect(machine.poll(at: start + .seconds(25), using: &random) == .cut(sequence: 2))
    }

    @Test("An empty cut uses no number; a flush sends at once")
    func emptyAndFlush() {
        var random = Random(seed: 2)
        var machine = ExportMachine(at: start)
        machine.flush(at: start)
        #expect(machine.poll(at: start, using: &random) == .cut(sequence: 1))
        machine.nothingToSend(at: start)
        #expect(!machine.isUnderWay)
        machine.flush(at: start)
        #expect(machine.poll(at: start, using: &random) == .cut(sequence: 1))
        machine.failed(sequence: 1, at: start, using: &random)
        machine.flush(at: start)
        #expect(machine.poll(at: start, using: &random) == .resend(sequence: 1))
    }

    @Test("Over a lossy, restarting world the receiver's totals equal the sender's", arguments: UInt64(0)..<100)
    func neverDoubleNeverLost(seed: UInt64) {
        var random = Random(seed: seed)
        var machine = ExportMachine(at: start), now = start
        var total: UInt64 = 0, cut: UInt64 = 0
        var kept: (sequence: UInt64, amount: UInt64)?
        // The receiver: what it holds, and what of that is on disk.
        var ledger = IngestLedger(), sum: UInt64 = 0
        var disk = (ledger.stored, sum)
        for step in 0..<600 {
            now = now + .milliseconds(Int64.random(in: 0...3_000, using: &random))
            let isQuiet = step > 500
            if !isQuiet { total += UInt64.random(in: 0...20, using: &random) }
            var outgoing: (sequence: UInt64, amount: UInt64)?
            switch machine.poll(at: now, using: &random) {
            case .wait: break
            case .cut(let sequence):
                if total == cut {
                    machine.nothingToSend(at: now)
                } else {
                    kept = (sequence, total - cut)
                    cut = total
                    outgoing = kept
                }
            case .resend(let sequence):
                #expect(kept?.sequence == sequence)
                outgoing = kept
            }
            guard let batch = outgoing else { continue }
            let fate = isQuiet ? 0 : Int.random(in: 0..<4, using: &random)
            if fate == 1 { machine.failed(sequence: batch.sequence, at: now, using: &random); continue }
            switch ledger.received(BatchID(incarnation: "one", sequence: batch.sequence)) {
            case .count: sum += batch.amount
            case .duplicate: break
            case .countAfterGap: Issue.record("the sender leaves no gaps")
            }
            if fate == 3 {
                // Killed before the fsync: it comes back with what the disk has, and has acknowledged nothing.
                (ledger, sum) = (IngestLedger(restoring: disk.0), disk.1)
                continue
            }
            disk = (ledger.stored, sum)
            if fate == 2 { continue }
            #expect(machine.acknowledged(sequence: batch.sequence, at: now) == true)
        }
        #expect(total == cut && sum == total)
        #expect(ledger.missing == 0)
    }
}

struct IngestLedgerTests {
    @Test("Duplicates are known, gaps are measured, incarnations are apart")
    func verdicts() {
        var ledger = IngestLedger()
        func take(_ who: String, _ sequence: UInt64) -> IngestLedger.Verdict { ledger.received(BatchID(incarnation: who, sequence: sequence)) }
        #expect(take("a", 1) == .count)
        #expect(take("a", 1) == .duplicate)
        #expect(take("b", 1) == .count)
        #expect(take("a", 5) == .countAfterGap(missing: 3))
        #expect(take("a", 4) == .duplicate)
        #expect(take("a", 0) == .duplicate)
        #expect(take("c", .max) == .countAfterGap(missing: .max - 1))
        #expect(ledger.missing == .max, "it saturates")
    }

    @Test("It forgets the incarnations that were quiet the longest, never the busy ones, and says which")
    func bounded() {
        var ledger = IngestLedger(incarnationsMax: 32)
        var gone: Set<String> = []
        for number in 0..<1_000 {
            _ = ledger.received(BatchID(incarnation: "busy", sequence: UInt64(number + 1)))
            _ = ledger.received(BatchID(incarnation: "i\(number)", sequence: 1)) { gone.insert($0) }
            #expect(ledger.stored.count <= 32)
            #expect(gone.count + ledger.stored.count == number + 2 && gone.isDisjoint(with: ledger.stored.map(\.incarnation)))
        }
        #expect(ledger.received(BatchID(incarnation: "busy", sequence: 1_000)) == .duplicate)
        #expect(IngestLedger(restoring: ledger.stored, incarnationsMax: 32).stored == ledger.stored)
    }
}
