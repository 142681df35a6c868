import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 6.
    @Suite("Figures")
    struct FigureTests {
        /// A service that answers with all kinds of statuses, in a fixed pattern.
        private static let mixture: FaultService.Script = { entry in
            switch entry.number % 10 {
            case 0: .answer(404)
            case 1: .answer(500)
            case 2: .answer(503)
            case 3: .answer(201)
            default: .answer(200)
            }
        }

        @Test("The source's figures equal the load's per status, the destination's the application's log plus its own replies")
        func equal() throws {
            let pair = try Pair(also: Shop.denyAnalytics)
            let analytics = try pair.mesh.add("analytics", outbound: ["payment"])
            try pair.mesh.waitUntilSynced()
            let base = try pair.baseline()
            pair.payment.application.run(Self.mixture)
            let report = pair.load(.init(total: 2_000)).finish()
            let denied = LoadGenerator(.init("denied", total: 300), to: analytics.address(for: "payment")).finish()
            #expect(report.answered == 2_000 && report.statuses[500] == 200, "\(report)")
            #expect(denied.statuses == [403: 300], "\(denied)")
            try pair.expectFigures(report.statuses, base: base)
            var seen: [String: Int] = [:]
            for reporter in ["source", "destination"] {
                let equal = try eventually(within: .seconds(20)) {
                    seen = try pair.mesh.totals(reporter: reporter, source: "analytics", destination: "payment", key: "status")
                    return seen == ["403": 300]
                }
                #expect(equal, "\(reporter) says \(seen) of analytics")
            }
            #expect(pair.payment.application.count == 2_000)
            let refused = try pair.mesh.get("/v1/stat", query: "window=60s")["items"]?.elements?.first { $0["source"]?.string == "analytics" }
            #expect(refused?["success"]?.json == "0.0", "whose every call is denied has no success: \(refused?.json ?? "no row")")
            try pair.expectRows()
            try pair.expectGoodPages()
        }

        @Test("Nothing is lost or counted twice when acknowledgements of batches are lost and the control plane restarts")
        func lostAcknowledgements() throws {
            // The sidecars reach the control plane through a relay that can lose its answers.
            let mesh = try LoopbackMesh(Shop.mesh)
            let relay = try RecordingRelay(to: mesh.meshAddress)
            let order = try mesh.add("order", outbound: ["payment"], via: relay.address)
            let payment = try mesh.add("payment", version: "v1", via: relay.address)
            try mesh.waitUntilSynced()
            let pair = Pair(mesh, order, payment)
            try pair.reachable()
            let base = try pair.baseline()
            payment.application.run(Self.mixture)
            let load = pair.load(.init(total: 6_000))
            pause(.seconds(2))
            relay.dropAnswers(true)
            let lost = eventually(within: .seconds(30)) { relay.dropped >= 2 }
            #expect(lost, "no batch was sent while answers were dropped")
            mesh.killPlane()
            relay.dropAnswers(false)
            pause(.milliseconds(300))
            try mesh.restartPlane()
            let report = load.finish()
            #expect(report.answered == 6_000, "\(report)")
            #expect(report.errors.isEmpty)
            try pair.expectFigures(report.statuses, base: base)
            let duplicates = try mesh.get("/v1/stat", query: "window=10s")["ingest"]?["duplicates"]?.integer ?? 0
            print("figures: \(relay.dropped) answers lost, \(duplicates) duplicates told apart since the restart")
        }

        @Test("The connections of a pair are counted too")
        func connections() throws {
            let pair = try Pair()
            let load = pair.load()
            var seen = ""
            let counted = try eventually(within: .seconds(10)) {
                let rows = try pair.mesh.get("/v1/stat", query: "window=10s")["items"]?.elements ?? []
                seen = "\(rows.map(\.json))"
                return rows.contains { ($0["connections"]?.integer ?? 0) >= 1 }
            }
            _ = load.stop()
            #expect(counted, "\(seen)")
        }

        @Test("Batches are compressed, and bytes before and after are on the page")
        func compressed() throws {
            let pair = try Pair()
            _ = pair.load(.init(total: 500)).finish()
            var ingest = ""
            let good = try eventually(within: .seconds(20)) {
                let node = try pair.mesh.get("/v1/stat", query: "window=10s")["ingest"]
                ingest = node?.json ?? ""
                let (packed, open) = (node?["bytesCompressed"]?.integer ?? 0, node?["bytesDecompressed"]?.integer ?? 0)
                return packed > 0 && packed < open
            }
            #expect(good, "\(ingest)")
        }
    }
}

extension Pair {
    init(_ mesh: LoopbackMesh, _ order: MeshSidecar, _ payment: MeshSidecar) {
        (self.mesh, self.order, self.payment) = (mesh, order, payment)
    }

    struct Baseline {
        var source: [String: Int]
        var destination: [String: Int]
    }

    /// What is counted already, once it stands still.
    func baseline() throws -> Baseline {
        var last: Baseline?
        let still = try eventually(within: .seconds(20)) {
            let now = Baseline(
                source: try mesh.totals(reporter: "source", source: "order", destination: "payment", key: "status"),
                destination: try mesh.totals(reporter: "destination", source: "order", destination: "payment", key: "status"))
            defer { last = now }
            let answered = now.source["200", default: 0]
            if answered >= 1, answered == now.destination["200", default: 0], last?.source == now.source, last?.destination == now.destination { return true }
            pause(.milliseconds(700))
            return false
        }
        guard still, let last else { throw LoopbackMesh.Failure("figures never stood still: \(String(describing: last))\n\(mesh.diary)") }
        return last
    }

    /// Both reporters' figures, since `base`, become those of the load.
    func expectFigures(_ statuses: [Int: Int], base: Baseline, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let wanted = Dictionary(uniqueKeysWithValues: statuses.map { ("\($0.key)", $0.value) })
        for (reporter, base) in [("source", base.source), ("destination", base.destination)] {
            var seen: [String: Int] = [:]
            let equal = try eventually(within: .seconds(30)) {
                seen = try mesh.totals(reporter: reporter, source: "order", destination: "payment", key: "status")
                for (status, count) in base {
                    seen[status, default: 0] -= count
                    if seen[status] == 0 { seen[status] = nil }
                }
                return seen == wanted
            }
            #expect(equal, "\(reporter) counts \(seen), the load \(wanted)", sourceLocation: sourceLocation)
        }
        // Still so after another flush or two: nothing comes in twice.
        pause(.seconds(2))
        let after = try mesh.totals(reporter: "source", source: "order", destination: "payment", key: "status")
        let total: Int = after.values.reduce(0, +)
        let wantedTotal: Int = base.source.values.reduce(0, +) + statuses.values.reduce(0, +)
        #expect(total == wantedTotal, sourceLocation: sourceLocation)
    }

    /// Rate, errors, percentiles and connections are there for the pair.
    func expectRows(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let items = try mesh.get("/v1/stat", query: "window=60s")["items"]?.elements ?? []
        let row = items.first { $0["source"]?.string?.hasPrefix("order") == true && $0["destination"]?.string?.hasPrefix("payment") == true }
        let text = row?.json ?? "no row in \(items.map(\.json))"
        func number(_ key: String) -> Double { MetricsPage("x \(row?[key]?.json ?? "0")").samples.first?.value ?? 0 }
        #expect(number("rps") > 0 && number("success") > 0 && number("success") < 1, "\(text)", sourceLocation: sourceLocation)
        #expect(number("p50Seconds") > 0 && number("p50Seconds") <= number("p95Seconds") && number("p95Seconds") <= number("p99Seconds"), "\(text)", sourceLocation: sourceLocation)
    }

    /// promtool finds no fault in the pages of the control plane and the sidecars.
    func expectGoodPages(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let page = try HTTPClient(mesh.metricsAddress, host: mesh.metricsAddress.description).get("/metrics")
        #expect(page.status == 200 && page.body.contains("weft_requests_total"), "\(page.body.prefix(500))", sourceLocation: sourceLocation)
        guard let promtool = Programs.find("promtool") else {
            print("SKIPPED: promtool is not installed (apt install prometheus): the pages were not checked by it")
            return
        }
        for (name, text) in [("plane", page.body), ("order", try order.metrics()), ("payment", try payment.metrics())] {
            let path = try mesh.folder.write(text, to: "\(name).prom")
            let result = try CommandResult.run(["/bin/sh", "-c", "'\(promtool)' check metrics < '\(path)'"], in: mesh.folder)
            #expect(result.code == 0, "\(name): \(result)", sourceLocation: sourceLocation)
        }
    }
}
