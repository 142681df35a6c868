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
