import Pipeline
import Testing

struct LeaseTableTests {
    private func table(_ count: Int, service: String = "payment") -> LeaseTable {
        var table = LeaseTable()
        for index in 0..<count { _ = table.register("s\(index)", registration(service), at: .zero) }
        return table
    }

    private func registration(_ service: String = "payment", healthy: Bool = true) -> LeaseTable.Registration {
        .init(namespace: "default", service: service, endpoints: [.init(port: 80, address: "10.0.0.1:15006")], isHealthy: healthy)
    }

    private func second(_ seconds: Int64) -> Instant { .zero + .seconds(seconds) }

    /// Everybody but `silent` renews, once a second from `from` to `to`; who was removed, and when.
    private func run(_ table: inout LeaseTable, from: Int64, to: Int64, silent: Set<String>) -> [Int64: [String]] {
        var removed: [Int64: [String]] = [:]
        for time in from...to {
            for (sidecar, _) in table.all where !silent.contains(sidecar) { #expect(table.renew(sidecar, at: second(time)) == true) }
            let gone = table.expire(at: second(time))
            if !gone.isEmpty { removed[time] = gone }
        }
        return removed
    }

    @Test("A minority that is silent for 30 s of uptime goes, all at once")
    func minority() {
        var table = table(5)
        #expect(run(&table, from: 1, to: 120, silent: ["s1", "s3"]) == [30: ["s1", "s3"]])
        #expect(table.count == 3)
        #expect(table.renew("s1", at: second(121)) == false, "it must say hello again")
    }

    @Test("When half a service falls silent at once they stay, then go one per lease, but not the last that is heard of")
    func half() {
        var table = table(4)
        #expect(run(&table, from: 1, to: 200, silent: ["s0", "s1"]) == [60: ["s0"], 90: ["s1"]])
        var pair = self.table(2)
        #expect(run(&pair, from: 1, to: 200, silent: ["s1"]) == [60: ["s1"]])
    }

    @Test("A service of which nobody is heard keeps all")
    func nobody() {
        var table = table(3)
        #expect(run(&table, from: 1, to: 1000, silent: ["s0", "s1", "s2"]).isEmpty)
        #expect(table.isSilent("s0", at: second(1000)))
        #expect(run(&table, from: 1001, to: 1100, silent: []).isEmpty, "they came back")
        #expect(!table.isSilent("s0", at: second(1100)))
    }

    @Test("Whatever falls silent and comes back, no sweep takes half a service or more, unless one of two", arguments: 0..<20)
    func neverHalf(seed: UInt64) {
        var random = Random(seed: seed)
        var table = table(Int.random(in: 3...12, using: &random))
        var silent: Set<String> = []
        for time in 1...400 {
            for (sidecar, _) in table.all {
                if Int.random(in: 0..<60, using: &random) == 0 { silent.formSymmetricDifference([sidecar]) }
                if !silent.contains(sidecar) { _ = table.renew(sidecar, at: second(Int64(time))) }
            }
            let before = table.count
            let gone = table.expire(at: second(Int64(time))).count
            #expect(gone == 0 || gone * 2 < before || (gone == 1 && before == 2))
            #expect(table.count >= 1)
        }
    }

    @Test("A restart of the control plane gives everybody a whole lease on the new clock")
    func restart() {
        var table = table(5)
        _ = run(&table, from: 1, to: 29, silent: ["s0"])
        var successor = LeaseTable()
        for (sidecar, registration) in table.all { successor.restore(sidecar, registration, at: .zero) }
        #expect(successor.count == 5)
        #expect(successor.expire(at: second(29)).isEmpty)
        #expect(run(&successor, from: 1, to: 60, silent: ["s0"]) == [30: ["s0"]])
    }

    @Test("Leaving in good order needs no cap, and services are counted apart")
    func leaving() {
        var table = table(2)
        _ = table.register("o", registration("order"), at: .zero)
        #expect(table.remove("s0") == true)
        #expect(table.remove("s1") == true)
        #expect(table.remove("s1") == false)
        #expect(table.registrations(namespace: "default", service: "payment").isEmpty)
        #expect(table.registrations(namespace: "default", service: "order").map(\.sidecar) == ["o"])
    }

    @Test("Only news is reported, so that heartbeats and repeated words cost no write and no push")
    func news() {
        var table = table(1)
        #expect(table.register("s0", registration(), at: second(1)) == false)
        #expect(table.register("s0", registration("other"), at: second(1)) == true, "moved to another service")
        #expect(table.registrations(namespace: "default", service: "payment").isEmpty)
        #expect(table.setHealth("s0", isHealthy: true, at: second(2)) == nil)
        #expect(table.setHealth("s0", isHealthy: false, at: second(2))?.isHealthy == false)
        #expect(table.setDraining("s0", at: second(2))?.isDraining == true)
        #expect(table.setDraining("s0", at: second(2)) == nil)
        #expect(table.setHealth("unknown", isHealthy: true, at: second(2)) == nil)
    }
}
