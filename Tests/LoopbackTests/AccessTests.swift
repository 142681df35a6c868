import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 2.
    @Suite("Access")
    struct AccessTests {
        @Test("A deny alone: analytics gets a 403 that names the rule, payment sees nothing, order goes on working")
        func deny() throws {
            let pair = try Pair(also: Shop.denyAnalytics)
            let analytics = try pair.mesh.add("analytics", outbound: ["payment"])
            try pair.mesh.waitUntilSynced()
            let client = analytics.client(for: "payment")
            for method in ["GET", "POST", "DELETE"] {
                let answer = try client.send(method, "/accounts", body: method == "POST" ? "x" : nil)
                #expect(answer.status == 403)
                #expect(answer.body.contains("no-analytics") && answer.body.contains("rule 1"), "\(answer)")
            }
            #expect(client.connections == 1, "a refusal keeps the caller's connection")
            #expect(pair.payment.application.log.isEmpty)
            #expect(pair.payment.application.heads == 0)
            #expect(try pair.order.client(for: "payment").get("/price").status == 200)
            // The flag is for mesh peers, so a peer it is who asks.
            let authority = try pair.mesh.stolenAuthority()
            let peer = try TLSProbe.send(
                "GET /accounts HTTP/1.1\r\nhost: payment\r\nconnection: close\r\n\r\n", to: pair.payment.inbound,
                as: authority.issue("spiffe://shop.internal/ns/default/sa/analytics"))
            #expect(peer.text.hasPrefix("HTTP/1.1 403"), "\(peer)")
            #expect(peer.text.lowercased().contains("x-weft-reason: az"), "\(peer.text)")
            #expect(pair.payment.application.count == 1, "order's call and no other")
        }

        @Test("A change of policy bites within a second of apply returning, on kept-alive connections too")
        func bites() throws {
            let pair = try Pair()
            let client = pair.order.client(for: "payment")
            #expect(try client.get("/1").status == 200)
            try pair.mesh.apply(Shop.denyOrder)
            let denied = try Self.elapsed(until: 403, client)
            #expect(denied < .seconds(1))
            for _ in 0..<20 { #expect(try client.get("/2").status == 403) }
            #expect(try pair.mesh.weft("delete", "accesspolicy", "no-order").code == 0)
            let allowed = try Self.elapsed(until: 200, client)
            #expect(allowed < .seconds(1))
            #expect(client.connections == 1, "one connection through it all")
            print("policy: denied after \(denied), allowed after \(allowed)")
        }

        @Test("authz in the caller's chain: a denied call ends there, without a connection; it comes and goes live")
        func outbound() throws {
            let pair = try Pair(also: Shop.denyAnalytics)
            let analytics = try pair.mesh.add("analytics", outbound: ["payment", "inventory"])
            try pair.mesh.waitUntilSynced()
            let client = analytics.client(for: "payment")
            func opened() throws -> Double { MetricsPage(try analytics.metrics()).sum("weft_upstream_connections_total") }
            func set(_ stages: String) throws {
                try pair.mesh.apply(Shop.chain(stages).replacing("\"order\"", with: "\"analytics\""))
                #expect(try pair.mesh.waitUntilSynced() < .seconds(1))
            }
            #expect(try client.get("/1").status == 403)
            let before = try opened()
            #expect(before == 1, "the called side refuses over a connection")
            try set(#""stats","authz","router","tls""#)
            for method in ["GET", "POST", "DELETE"] {
                let answer = try analytics.client(for: "payment").send(method, "/accounts", body: method == "POST" ? "x" : nil)
                #expect(answer.status == 403)
                #expect(answer.body == "denied by AccessPolicy no-analytics, rule 1\n", "\(answer)")
                #expect(answer["x-weft-reason"] == nil, "applications get none")
            }
            let page = MetricsPage(try analytics.metrics())
            #expect(page.sum("weft_authz_denied_total", "direction=\"outbound\"") == 3)
            #expect(try opened() == before)
            let called = MetricsPage(try pair.payment.metrics())
            #expect(called.sum("weft_authz_denied_total", "direction=\"inbound\"") == 1, "the first one, and none since")
            #expect(pair.payment.application.heads == 0)
            // A new policy reaches the caller's side as quickly.
            #expect(try pair.mesh.weft("delete", "accesspolicy", "no-analytics").code == 0)
            #expect(try Self.elapsed(until: 200, client) < .seconds(1))
            try pair.mesh.apply(Shop.denyAnalytics)
            #expect(try Self.elapsed(until: 403, client) < .seconds(1))
            try set(#""stats","router","tls""#)
            #expect(try client.get("/2").status == 403, "the called side has the last word")
        }

        private static func elapsed(until status: Int, _ client: HTTPClient) throws -> Duration {
            let start = ContinuousClock.now
            while ContinuousClock.now - start < .seconds(5) {
                if try client.get("/poll").status == status { return ContinuousClock.now - start }
                pause(.milliseconds(2))
            }
            return .seconds(5)
        }
    }
}
