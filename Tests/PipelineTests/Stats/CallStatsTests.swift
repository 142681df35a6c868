import Pipeline
import Testing

private func key(_ number: UInt32, status: UInt16 = 200, reporter: CallKey.Reporter = .source) -> CallKey {
    CallKey(reporter: reporter, source: LabelID(number: number), destination: LabelID(number: 7), status: status)
}

struct CallStatsTests {
    @Test("Calls are counted by key with their latency; keys that differ in one field are apart")
    func keys() {
        let stats = CallStats.allocate()
        defer { stats.deallocate() }
        var other = key(1)
        other.route = LabelID(number: 9)
        for _ in 0..<3 { stats.record(key(1), latency: .milliseconds(2)) }
        stats.record(key(1, status: 503), latency: .seconds(1))
        stats.record(key(1, reporter: .destination), latency: .zero)
        stats.record(other, latency: .zero)
        let rows = Dictionary(uniqueKeysWithValues: stats.read().map { ($0.key, $0) })
        #expect(rows.count == 4)
        #expect(rows[key(1)]?.calls == 3 && rows[key(1)]?.latency.sum == 6_000_000)
        #expect(rows[key(1, status: 503)]?.calls == 1 && rows[other]?.calls == 1)
    }

    @Test("Past the cap new keys fold by reporter and class of status; nothing is lost, known keys go on")
    func folds() {
        let stats = CallStats.allocate(rowsMax: 10)
        defer { stats.deallocate() }
        for number in UInt32(0)..<1_000 {
            stats.record(key(number, status: [0, 204, 302, 404, 503, 65_535][Int(number % 6)], reporter: number % 2 == 0 ? .source : .destination), latency: .zero)
        }
        stats.record(key(0, status: 0), latency: .zero)
        let rows = stats.read()
        #expect(rows.reduce(0) { $0 + $1.calls } == 1_001)
        #expect(stats.folded == 990)
        #expect(rows.count <= 22)
        #expect(rows.first { $0.key == key(0, status: 0) }?.calls == 2)
    }

    @Test("A reader on another thread sees whole rows whose counts only grow")
    func concurrentRead() async {
        let stats = CallStats.allocate()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for step in UInt32(0)..<20_000 { stats.record(key(step % 1_000), latency: .milliseconds(1)) }
            }
            group.addTask {
                var last: UInt64 = 0
                for _ in 0..<20 {
                    let rows = stats.read()
                    #expect(rows.allSatisfy { $0.key.destination.number == 7 })
                    let calls = rows.reduce(0) { $0 + $1.calls }
                    #expect(calls >= last)
                    last = calls
                }
            }
        }
        #expect(stats.read().allSatisfy { $0.calls == 20 })
        stats.deallocate()
    }
}

struct LabelTableTests {
    @Test("A text has one number, and the number leads back; the first three are fixed")
    func roundTrip() {
        let table = LabelTable()
        #expect(table.id("payment") == table.id("payment"))
        #expect(table.text(table.id("payment")) == "payment")
        #expect([LabelID.other, .none, .unknown].map(table.text) == ["other", "none", "unknown"])
        #expect(table.id("none") == .none)
        #expect(table.text(LabelID(number: 4_000_000)) == "other")
    }

    @Test("A full table answers `other`, counted, and keeps what it has; a long text is cut")
    func full() {
        let table = LabelTable(entriesMax: 5)
        let a = table.id("a"), long = table.id(String(repeating: "é", count: 500))
        #expect(table.text(long).utf8.count == 254)
        #expect(table.id("b") == .other && table.id("a") == a && table.refused == 1)
    }
}
