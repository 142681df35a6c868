import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 3.
    @Suite("Canary")
    struct CanaryTests {
        let mesh: LoopbackMesh
        let order: MeshSidecar
        let v1: MeshSidecar
        let v2: MeshSidecar

        init() throws {
            mesh = try LoopbackMesh(Shop.mesh)
            order = try mesh.add("order", outbound: ["payment"], seed: 3)
            v1 = try mesh.add("payment", version: "v1")
            v2 = try mesh.add("payment", version: "v2")
            try mesh.waitUntilSynced()
            let client = order.client(for: "payment")
            #expect(eventually(within: .seconds(10)) { (try? client.get("/ready").status) == 200 })
            v1.application.forget()
            v2.application.forget()
        }

        /// The share is binomial: ± 100 of 1,000 is 3.3 standard deviations, ± 200 of 5,000 is 4. The caller's draws are
        /// seeded, so a run repeats another but for the few requests that wait for payment to be ready.
        @Test("Of 10,000 requests v2 gets its share, over 1 and over 100 connections", arguments: [1, 100])
        func share(connections: Int) throws {
            for (weights, bounds) in [((90, 10), 900...1_100), ((50, 50), 4_800...5_200)] {
                try mesh.apply(Shop.canary(weights.0, weights.1))
                let synced = try mesh.waitUntilSynced()
                #expect(synced < .seconds(1))
                let report = LoadGenerator(.init(rate: 50_000, connections: connections, total: 10_000), to: order.address(for: "payment")).finish()
                #expect(report.ok == 10_000, "\(report)")
                let count = report.byService["payment-v2", default: 0]
                #expect(bounds.contains(count), "\(weights) over \(connections): v2 got \(count)")
                print("canary \(weights) over \(connections) connections: v2 got \(count)")
            }
        }

        @Test("0/100 and back under load: zero failed, and once SYNCED nothing new reaches the retired version")
        func shift() throws {
            #expect(v2.application.count == 0)
            let load = LoadGenerator(.init(), to: order.address(for: "payment"))
            for (weights, retired) in [((0, 100), v1), ((100, 0), v2), ((0, 100), v1)] {
                pause(.milliseconds(700))
                let start = ContinuousClock.now
                try mesh.apply(Shop.canary(weights.0, weights.1))
                let applied = ContinuousClock.now - start
                let synced = try mesh.waitUntilSynced()
                let mark = load.issued
                #expect(synced < .seconds(1))
                pause(.milliseconds(700))
                let late = retired.application.numbers(of: "a").filter { $0 >= mark }
                #expect(late.isEmpty, "\(late.count) new requests at the retired version")
                print("shift to \(weights): apply took \(applied), SYNCED after another \(synced)")
            }
            let report = load.stop()
            #expect(failures(of: report, in: v1.application, v2.application) == nil)
            #expect(report.sent > 1_500 && !v2.application.log.isEmpty)
            print("shift: \(report)")
        }

        @Test("v2 beside a defaultVersion gets nothing, and weft stat splits versions once a Route says so")
        func defaultVersion() throws {
            for number in 0..<200 { #expect(try order.client(for: "payment").get("/default/\(number)").status == 200) }
            #expect(v1.application.count == 200)
            #expect(v2.application.count == 0)
            try mesh.apply(Shop.canary(50, 50))
            try mesh.waitUntilSynced()
            let report = LoadGenerator(.init(rate: 1_000, total: 1_000), to: order.address(for: "payment")).finish()
            #expect(report.ok == 1_000, "\(report)")
            let expected = ["v1": v1.application.count, "v2": v2.application.count]
            var seen: [String: Int] = [:]
            let equal = try eventually(within: .seconds(20)) {
                seen = try mesh.totals(reporter: "source", source: "order", destination: "payment", key: "version")
                return seen["v2"] == expected["v2"] && (seen["v1"] ?? 0) >= expected["v1"]!
            }
            #expect(equal, "weft stat says \(seen), the logs \(expected)")
            let table = try mesh.weft("stat", "--window", "60s")
            #expect(table.code == 0 && table.output.contains("v1") && table.output.contains("v2"), "\(table)")
        }
    }
}
