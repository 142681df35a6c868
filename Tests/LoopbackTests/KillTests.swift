import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 7. What kill -9 cannot show (lost writes, torn tails, failed fsync) is in ControlPlaneTests/Store.
    @Suite("Kills")
    struct KillTests {
        @Test("kill -9 of the control plane changes nothing for traffic; a restarted sidecar serves from its last good snapshot")
        func planeAway() throws {
            let pair = try Pair(also: Shop.denyAnalytics)
            let load = pair.load()
            pause(.milliseconds(500))
            pair.mesh.killPlane()
            pause(.seconds(1))
            // Not part of the load: another order, and it comes back while nobody can tell it anything.
            try pair.payment.application.expectServing(pair.order)
            let report = load.stop()
            #expect(failures(of: report, in: pair.payment.application) == nil)
            #expect(report.sent > 500)
            print("control plane killed: \(report)")

            try pair.order.restart()
            let answer = try pair.order.client(for: "payment").get("/after-restart")
            #expect(answer.status == 200, "\(answer)\n\(pair.order.process)")
            try pair.payment.restart()
            let again = try eventually(within: .seconds(10)) { try pair.order.client(for: "payment").get("/both").status == 200 }
            #expect(again, "\(pair.payment.process)")
            // Its policies too are from the last good snapshot, and it never was without them.
            let peer = try TLSProbe.send(
                "GET /x HTTP/1.1\r\nhost: payment\r\nconnection: close\r\n\r\n", to: pair.payment.inbound,
                as: pair.mesh.stolenAuthority().issue("spiffe://shop.internal/ns/default/sa/analytics"))
            #expect(peer.text.hasPrefix("HTTP/1.1 403"), "\(peer) \(peer.text)")
        }

        @Test("A restart under load never shrinks an endpoint set, and zero requests fail")
        func restart() throws {
            let pair = try Pair()
            let second = try pair.mesh.add("payment", version: "v1")
            try pair.mesh.waitUntilSynced()
            #expect(try eventually(within: .seconds(5)) { try pair.mesh.endpoints(of: "payment") == 2 })
            let load = pair.load()
            for _ in 0..<3 {
                pause(.milliseconds(300))
                // Frozen, payment cannot renew anything: what the control plane knows, it knows from its store.
                pair.mesh.killPlane()
                try pair.mesh.restartPlane()
                #expect(try pair.mesh.endpoints(of: "payment") == 2)
                try pair.mesh.waitUntilSynced()
                #expect(try pair.mesh.endpoints(of: "payment") == 2)
            }
            let report = load.stop()
            #expect(failures(of: report, in: pair.payment.application, second.application) == nil)
            #expect(!second.application.numbers(of: "a").isEmpty, "both endpoints are used")
            print("restarts: \(report)")
        }

        @Test("100 kills during writes lose nothing that was acknowledged")
        func kills() throws {
            let mesh = try LoopbackMesh(Shop.mesh)
            var random = Random(seed: 7)
            var acknowledged: Set<String> = []
            var attempts = 0
            var kills = 0
            let end = ContinuousClock.now + .seconds(90)
            while kills < 100, ContinuousClock.now < end {
                let api = mesh.api
                let first = attempts
                let writer = WriterLog()
                let thread = Background("writer") {
                    // Writes one after the other until the door is slammed in its face.
                    for number in first..<first + 200 {
                        let file = JSONWriter.quoted("[\(Self.policy(number))]")
                        var request = ServiceRequest("POST", "/v1/apply", headers: [("content-type", "application/json")])
                        request.body = Array(#"{"files":[{"name":"p.json","text":\#(file)}]}"#.utf8)
                        writer.began(number)
                        guard let answer = try? ServiceClient.fetch(request, from: ServiceTarget(api), timeout: .seconds(5)), answer.status == 200 else { return }
                        writer.acknowledge("p\(number % 50)", number)
                    }
                }
                pause(.milliseconds(Int(random.next() % 40) + 2))
                mesh.killPlane()
                thread.join()
                kills += 1
                attempts = writer.last + 1
                try mesh.restartPlane()
                let found = try mesh.get("/v1/resources", query: "kind=AccessPolicy")["items"]?.elements ?? []
                let values = Dictionary(uniqueKeysWithValues: found.map { ($0["name"]?.string ?? "", Self.value(of: $0)) })
                for (name, number) in writer.acknowledged {
                    acknowledged.insert(name)
                    // The one write that was under way may be there or not; what was acknowledged may only be newer.
                    #expect((values[name] ?? -1) >= number, "kill \(kills): \(name) was acknowledged as \(number), found \(String(describing: values[name]))")
                }
                #expect(acknowledged.isSubset(of: values.keys), "kill \(kills) lost \(acknowledged.subtracting(values.keys))")
            }
            #expect(kills == 100, "only \(kills) kills in 90 s")
            #expect(attempts > 200, "\(attempts) writes")
            print("kills: \(kills) kills, \(attempts) writes, \(acknowledged.count) names")
        }

        private static func policy(_ number: Int) -> String {
            #"{"kind":"AccessPolicy","name":"p\#(number % 50)","target":{"service":"payment"},"action":"deny","rules":[{"from":[{"prefix":"spiffe://shop.internal/ns/n\#(number)/"}]}]}"#
        }

        /// The number in a policy's only prefix.
        private static func value(of policy: ConfigNode) -> Int {
            let text = policy.json
            guard let start = text.firstRange(of: "/ns/n") else { return -1 }
            return Int(text[start.upperBound...].prefix { $0.isNumber }) ?? -1
        }
    }
}

extension FaultService {
    fileprivate func expectServing(_ order: MeshSidecar) throws {
        #expect(try order.client(for: "payment").get("/while-away").status == 200)
    }
}
