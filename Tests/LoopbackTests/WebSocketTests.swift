import Host
import LoopbackTesting
import Testing

extension Loopback {
    /// WebSockets between programs that others could have written, through two sidecars.
    @Suite("WebSocket")
    struct WebSocketTests {
        /// order calls payment, which is a WebSocket service in Python.
        private final class World {
            let mesh: LoopbackMesh
            let order: MeshSidecar
            let payment: MeshSidecar
            private let python: String
            private let server: MeshProcess

            /// Nil, and a line that says so, without Python.
            init?() throws {
                guard let python = Programs.find("python3") else {
                    print("SKIPPED: python3 is not installed: no WebSocket was tried")
                    return nil
                }
                self.python = python
                mesh = try LoopbackMesh(Shop.mesh)
                let port = mesh.folder("port")
                server = try MeshProcess("websocket", [python, Self.program, "serve", port], in: mesh.folder)
                var address: SocketAddress?
                _ = eventually(within: .seconds(10)) {
                    address = (try? Files.read(port)).flatMap { SocketAddress("127.0.0.1:" + String(decoding: $0, as: UTF8.self)) }
                    return address != nil
                }
                guard let address else { throw LoopbackMesh.Failure("the service did not start: \(server)") }
                order = try mesh.add("order", outbound: ["payment"])
                payment = try mesh.add("payment", version: "v1", at: address)
                try mesh.waitUntilSynced()
                let client = order.client(for: "payment")
                guard eventually(within: .seconds(10), { (try? client.get("/").status) == 200 }) else { throw LoopbackMesh.Failure(mesh.diary) }
            }

            private static var program: String { Programs.packageFolder + "/Tests/LoopbackSupport/WebSocket/websocket.py" }

            func arguments(_ scenario: String, from sidecar: MeshSidecar? = nil) -> [String] {
                [python, Self.program, "talk", (sidecar ?? order).address(for: "payment").description, "payment.weft", scenario]
            }

            func talk(_ scenario: String, from sidecar: MeshSidecar? = nil) throws -> CommandResult {
                try CommandResult.run(arguments(scenario, from: sidecar), in: mesh.folder)
            }

            func holding() throws -> MeshProcess {
                let process = try MeshProcess("client", arguments("hold"), in: mesh.folder)
                guard eventually(within: .seconds(10), { process.output.contains("open") }) else { throw LoopbackMesh.Failure("\(process)") }
                return process
            }

            func gauge(_ name: String, _ sidecar: MeshSidecar) throws -> Double { MetricsPage(try sidecar.metrics()).sum(name) }

            func ended(_ why: String, _ sidecar: MeshSidecar) throws -> Double {
                MetricsPage(try sidecar.metrics()).sum("weft_tunnels_ended_total", "why=\"\(why)\"")
            }

            /// What a failure shows.
            func endings(_ sidecar: MeshSidecar) throws -> String {
                try sidecar.metrics().split(separator: "\n").filter { $0.hasPrefix("weft_tunnels_ended") && !$0.hasSuffix(" 0") }.joined(separator: "\n")
            }

            func expectNoneOpen(sourceLocation: SourceLocation = #_sourceLocation) throws {
                for sidecar in [order, payment] {
                    let isZero = try eventually(within: .seconds(5)) { try gauge("weft_tunnels", sidecar) == 0 && gauge("weft_breaker_active", sidecar) == 0 }
                    #expect(isZero, "\(sidecar.name)", sourceLocation: sourceLocation)
                }
            }
        }

        @Test("Messages of every size, fragments, pings and the closing handshake pass; so do ten megabytes to a reader that is slow")
        func messages() throws {
            guard let world = try World() else { return }
            for scenario in ["echo", "big", "echo"] {
                let result = try world.talk(scenario)
                #expect(result.code == 0 && result.output.contains("done"), "\(scenario): \(result)")
            }
            try world.expectNoneOpen()
            let endings = try "\(world.endings(world.order))\n\(world.endings(world.payment))"
            #expect(try world.ended("finished", world.payment) == 3, "\(endings)")
            #expect(try world.gauge("weft_tunnel_sent_bytes_total", world.payment) > 10 * 1_048_576)
        }

        @Test("Refused by the application or by a policy it is an answer, and the connection goes on")
        func refused() throws {
            guard let world = try World() else { return }
            for status in [404, 200] {
                let result = try world.talk("refused-\(status)")
                #expect(result.code == 0, "\(result)")
            }
            try world.mesh.apply(Shop.denyAnalytics)
            let analytics = try world.mesh.add("analytics", outbound: ["payment"])
            try world.mesh.waitUntilSynced()
            let result = try world.talk("refused-403", from: analytics)
            #expect(result.code == 0, "\(result)")
            try world.expectNoneOpen()
        }

        @Test("A policy that is applied while a WebSocket is open cuts it within a second, through both sidecars")
        func policy() throws {
            guard let world = try World() else { return }
            let client = try world.holding()
            #expect(try world.gauge("weft_tunnels", world.payment) == 1)
            // What does not concern it leaves it alone.
            try world.mesh.apply(Shop.denyAnalytics)
            pause(.seconds(1))
            #expect(try world.gauge("weft_tunnels", world.payment) == 1)
            try world.mesh.apply(Shop.denyOrder)
            let code = client.waitForExit(within: .seconds(1))
            #expect(code == 0 && client.output.contains("reset"), "\(client)")
            #expect(try world.ended("policy", world.payment) == 1)
            #expect(try world.gauge("weft_authz_revoked_total", world.payment) == 1)
            try world.expectNoneOpen()
        }
    }
}
