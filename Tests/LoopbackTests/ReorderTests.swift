import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 4. What a position means is told in virtual time by FiltersTests/Order.
    @Suite("Reordering")
    struct ReorderTests {
        @Test("Chains are reordered under load with weft apply alone, zero failed")
        func live() throws {
            let pair = try Pair()
            let orders = [
                #""stats","breaker","retry","request-timeout","router","tls""#,
                #""request-timeout","stats","retry","breaker","router","tls""#,
                #""stats","request-timeout","retry","breaker","router","tls""#,
            ].map { $0.replacing("\"request-timeout\"", with: #"{"filter":"timeout","name":"request-timeout"}"#) }
            let load = pair.load()
            for order in orders + orders {
                pause(.milliseconds(300))
                try pair.mesh.apply(Shop.chain(order))
                #expect(try pair.mesh.waitUntilSynced() < .seconds(1))
            }
            let report = load.stop()
            #expect(failures(of: report, in: pair.payment.application) == nil)
            #expect(report.sent > 800)
            print("reorder: \(report)")
        }

        private static let bucket = #"{"filter":"ratelimit","config":{"rules":[{"key":"total","rate":"0/s","burst":10}]}}"#
        private static let retry =
            #"{"filter":"retry","config":{"maxRetries":3,"backoff":{"base":"0s","max":"0s"},"budget":{"percent":"100%","minPerSecond":1000}}}"#
        private static let settings = Shop.mesh.replacing(#""retry":{"maxRetries":0},"#, with: "")

        @Test("A bucket of 10 above retry lets 40 tries through, below it 10", arguments: [(true, 40), (false, 10)])
        func bucket(isAbove: Bool, tries: Int) throws {
            let stages = isAbove ? [Self.bucket, Self.retry] : [Self.retry, Self.bucket]
            let pair = try Pair(Self.settings, also: Shop.chain(#""stats","router","tls""#))
            pair.payment.application.always(.answer(503))
            try pair.mesh.apply(Shop.chain((stages + [#""router","tls""#]).joined(separator: ",")))
            try pair.mesh.waitUntilSynced()
            let client = pair.order.client(for: "payment")
            let statuses = try (0..<20).map { number in try client.get("/\(number)").status }
            #expect(pair.payment.application.count == tries, "\(statuses)")
        }

        @Test("A bucket survives the reordering: what was taken stays taken")
        func survives() throws {
            let pair = try Pair(Self.settings, also: Shop.chain(#""stats","router","tls""#))
            pair.payment.application.always(.answer(503))
            try pair.mesh.apply(Shop.chain("\(Self.retry),\(Self.bucket),\"router\",\"tls\""))
            try pair.mesh.waitUntilSynced()
            let client = pair.order.client(for: "payment")
            #expect(try client.get("/1").status == 503)
            #expect(pair.payment.application.count == 4)
            try pair.mesh.apply(Shop.chain("\(Self.bucket),\(Self.retry),\"router\",\"tls\""))
            try pair.mesh.waitUntilSynced()
            // 6 of 10 tokens are left, one for each exchange now.
            let statuses = try (0..<8).map { number in try client.get("/\(number)").status }
            #expect(statuses == Array(repeating: 503, count: 6) + [429, 429])
            #expect(pair.payment.application.count == 4 + 6 * 4)
        }

        @Test(
            "An impossible chain is refused with file, line and reason, and nothing changes",
            arguments: [
                (#"["stats","retry","tls"]"#, "router"),
                (#"["tls","stats","router"]"#, "tls"),
                (#"["stats","no-such-filter","router","tls"]"#, "no-such-filter"),
                (#"["stats","router"]"#, "tls"),
                (#"["stats","stats","router","tls"]"#, "stats"),
            ])
        func impossible(stages: String, named: String) throws {
            let mesh = try LoopbackMesh(Shop.mesh)
            try mesh.add("order", outbound: ["payment"])
            try mesh.waitUntilSynced()
            let before = try mesh.get("/v1/resources").json
            let text = "[\n" + Shop.mesh.dropFirst().dropLast() + ",\n{\"kind\":\"Chain\",\"name\":\"bad\",\"direction\":\"outbound\",\"target\":{\"service\":\"order\"},\n \"stages\":\(stages)}\n]"
            let result = try mesh.tryApply(text, name: "bad.json")
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let line = 1 + (lines.firstIndex { $0.contains("\"stages\"") } ?? 0)
            #expect(result.code == 78, "\(result)")
            #expect(result.errors.contains("bad.json:\(line):"), "\(result)")
            #expect(result.errors.contains(named), "\(result)")
            #expect(try mesh.get("/v1/resources").json == before)
        }
    }
}
