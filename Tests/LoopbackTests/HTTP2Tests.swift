import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// HTTP/2 and gRPC with other people's clients and servers, through two sidecars.
    @Suite("HTTP/2")
    struct HTTP2Tests {
        private static func script(_ name: String) -> String { Programs.packageFolder + "/Tests/LoopbackSupport/HTTP2/" + name }

        /// A Python that has these modules: the first in the path, or Debian's. Nil, and a line that says so, if there is none.
        private static func python(with modules: String, in folder: WorkFolder) throws -> String? {
            for candidate in [Programs.find("python3"), "/usr/bin/python3"].compactMap({ $0 }) {
                if let result = try? CommandResult.run([candidate, "-c", "import \(modules)"], in: folder), result.code == 0 { return candidate }
            }
            print("SKIPPED: python3 with \(modules) is not installed")
            return nil
        }

        /// order calls payment, which answers by path.
        private static func pair(_ settings: String = Shop.mesh) throws -> (mesh: LoopbackMesh, order: MeshSidecar, payment: MeshSidecar) {
            let mesh = try LoopbackMesh(settings)
            let order = try mesh.add("order", outbound: ["payment"])
            let payment = try mesh.add("payment", version: "v1")
            payment.application.run { request in
                switch request.path {
                case "/long": .bytes(1 << 20)
                case "/count": .count
                default: .answer(200)
                }
            }
            try mesh.waitUntilSynced()
            let client = order.client(for: "payment")
            guard eventually(within: .seconds(10), { (try? client.get("/").status) == 200 }) else { throw LoopbackMesh.Failure(mesh.diary) }
            return (mesh, order, payment)
        }

        @Test("A strict client finds nothing wrong: bodies, windows, trailers, cancelled streams, refused fields")
        func strictClient() throws {
            let (mesh, order, payment) = try Self.pair()
            guard let python = try Self.python(with: "h2", in: mesh.folder) else { return }
            let result = try CommandResult.run(
                [python, Self.script("h2_peer.py"), "\(order.address(for: "payment"))", "/", "/long", "/count"], in: mesh.folder, within: .seconds(120))
            #expect(result.code == 0, "\(result)\n\(mesh.diary)")
            withExtendedLifetime(payment) {}
        }

        @Test("Hostile callers are stopped at a bounded price, while others are served")
        func abuse() throws {
            let (mesh, order, payment) = try Self.pair()
            guard let python = try Self.python(with: "socket", in: mesh.folder) else { return }
            let result = try CommandResult.run(
                [python, Self.script("abuse.py"), "\(order.address(for: "payment"))", "/", "/long", "\(order.process.pid)"], in: mesh.folder,
                within: .seconds(180))
            #expect(result.code == 0, "\(result)\n\(mesh.diary)")
            withExtendedLifetime(payment) {}
        }

        @Test("Either version on either side: the same answers, trailers included")
        func translation() throws {
            guard let curl = Programs.find("curl"), let nghttpd = Programs.find("nghttpd") else {
                return print("SKIPPED: curl and nghttpd are not both installed: no translation was tried")
            }
            let mesh = try LoopbackMesh(Shop.mesh, #"{"kind":"Service","name":"inventory","ports":[{"port":8080,"protocol":"http2"}]}"#)
            let root = try mesh.folder.makeFolder("www")
            let page = String(repeating: "hello by streams ", count: 20_000)
            try mesh.folder.write(page, to: "www/page", mode: 0o644)
            let port = try BlockingListener.freePort()
            let server = try MeshProcess(
                "nghttpd", [nghttpd, "--no-tls", "-a", "127.0.0.1", "-d", root, "--trailer", "x-checksum: abc", "\(port)"], in: mesh.folder)
            let order = try mesh.add("order", outbound: ["inventory", "payment"])
            try mesh.add("inventory", at: SocketAddress("127.0.0.1:\(port)")!)
            let payment = try mesh.add("payment", version: "v1")
            payment.application.run { $0.path == "/count" ? .count : .bytes(300_000) }
            try mesh.waitUntilSynced()
            for (service, path) in [("inventory", "/page"), ("payment", "/page")] {
                let client = order.client(for: service)
                guard eventually(within: .seconds(15), { (try? client.get(path).status) == 200 }) else { throw LoopbackMesh.Failure("\(server)\n\(mesh.diary)") }
            }
            for version in ["--http1.1", "--http2-prior-knowledge"] {
                func ask(_ service: String, _ path: String, _ more: [String] = []) throws -> String {
                    let words = [curl, "-s", "-S", "-m", "20", version, "-D", mesh.folder("head")] + more
                    let result = try CommandResult.run(words + ["http://\(order.address(for: service))\(path)"], in: mesh.folder)
                    #expect(result.code == 0, "\(result)\n\(mesh.diary)")
                    return result.output
                }
                #expect(try ask("inventory", "/page") == page)
                #expect(try ask("payment", "/page").utf8.count == 300_000)
                #expect(try ask("payment", "/count", ["--data-binary", "@" + root + "/page"]).hasPrefix("\(page.utf8.count)"))
                #expect(try ask("inventory", "/nowhere", ["-w", "%{http_code}"]).hasSuffix("404"))
            }
            // What came by HTTP/2 goes on by it from end to end, with what stands behind the body.
            if let nghttp = Programs.find("nghttp") {
                let result = try CommandResult.run([nghttp, "-v", "http://\(order.address(for: "inventory"))/page"], in: mesh.folder)
                #expect(result.output.contains("x-checksum: abc"), "\(result)")
            }
        }

        @Test("A service that leaves tells its callers, and none of their calls is lost")
        func draining() throws {
            guard let h2load = Programs.find("h2load") else { return print("SKIPPED: h2load is not installed: nobody left under load") }
            let mesh = try LoopbackMesh(Shop.mesh.replacing(#""retry":{"maxRetries":0}"#, with: #""retry":{"maxRetries":3,"budget":{"percent":"100%"}}"#))
            let order = try mesh.add("order", outbound: ["payment"])
            let first = try mesh.add("payment", version: "v1")
            try mesh.add("payment", version: "v1")
            try mesh.waitUntilSynced()
            let client = order.client(for: "payment")
            guard eventually(within: .seconds(10), { (try? client.get("/").status) == 200 }) else { throw LoopbackMesh.Failure(mesh.diary) }
            let load = try MeshProcess(
                "h2load", [h2load, "-D", "5", "-c", "4", "-m", "4", "http://\(order.address(for: "payment"))/"], in: mesh.folder)
            pause(.seconds(2))
            _ = first.process.terminate(within: .seconds(30))
            #expect(load.waitForExit(within: .seconds(30)) == 0)
            #expect(load.output.contains(" 0 failed, 0 errored, 0 timeout"), "\(load.output)\n\(mesh.diary)")
            #expect(load.output.contains(" 0 4xx, 0 5xx"), "\(load.output)\n\(mesh.diary)")
        }

        // MARK: gRPC

        private static let grpc = #"{"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"grpc"}],"defaultVersion":"v1"}"#

        private final class Calls {
            let mesh: LoopbackMesh
            let order: MeshSidecar
            let python: String
            private let server: MeshProcess

            /// Nil, and a line that says so, without grpcio.
            init?(_ service: String = HTTP2Tests.grpc) throws {
                mesh = try LoopbackMesh(Shop.mesh, service)
                guard let python = try HTTP2Tests.python(with: "grpc", in: mesh.folder) else { return nil }
                self.python = python
                let port = mesh.folder("port")
                server = try MeshProcess("grpc", [python, HTTP2Tests.script("grpc_peer.py"), "serve", port], in: mesh.folder)
                var address: SocketAddress?
                _ = eventually(within: .seconds(20)) {
                    address = (try? Files.read(port)).flatMap { SocketAddress("127.0.0.1:" + String(decoding: $0, as: UTF8.self)) }
                    return address != nil
                }
                guard let address else { throw LoopbackMesh.Failure("the service did not start: \(server)") }
                order = try mesh.add("order", outbound: ["payment"])
                try mesh.add("payment", version: "v1", at: address)
                try mesh.waitUntilSynced()
                guard try eventually(within: .seconds(20), { try run("expect", "OK").code == 0 }) else { throw LoopbackMesh.Failure("\(server)\n\(mesh.diary)") }
            }

            func run(_ command: String, _ more: String...) throws -> CommandResult {
                try CommandResult.run(
                    [python, HTTP2Tests.script("grpc_peer.py"), command, "\(order.address(for: "payment"))"] + more, in: mesh.folder, within: .seconds(120))
            }
        }

        @Test("gRPC: all kinds of calls, metadata, every status, deadlines, cancellation, health checks")
        func calls() throws {
            guard let calls = try Calls() else { return }
            let result = try calls.run("call")
            #expect(result.code == 0, "\(result)\n\(calls.mesh.diary)")
            // They are counted under what gRPC says of them.
            #expect(
                try eventually(within: .seconds(10)) {
                    let metrics = try calls.order.metrics()
                    return metrics.contains(#"code="200",destination="payment",grpc_status="0""#) && metrics.contains(#"grpc_status="15""#)
                }, "\((try? calls.order.metrics()) ?? "")")
        }

        @Test("gRPC: what the mesh answers in the service's place is a status")
        func replies() throws {
            guard let calls = try Calls() else { return }
            try calls.mesh.apply(Shop.denyOrder)
            #expect(try eventually(within: .seconds(5), { try calls.run("expect", "PERMISSION_DENIED").code == 0 }), "\(calls.mesh.diary)")
            var table = ""
            _ = try eventually(within: .seconds(15)) {
                table = try calls.mesh.weft("stat").output
                return table.contains("PERMISSION_DENIED")
            }
            #expect(table.contains("PERMISSION_DENIED"), "\(table)")
        }

        @Test("gRPC: a status that the operator named is tried again")
        func retries() throws {
            guard
                let calls = try Calls(
                    Self.grpc.replacing(#""defaultVersion":"v1""#, with: #""defaultVersion":"v1","settings":{"retry":{"maxRetries":3,"grpcStatuses":["unavailable"]}}"#))
            else { return }
            let result = try calls.run("retried", "Flaky", "Flaky", "Flaky")
            #expect(result.output == "Flaky OK\nFlaky OK\nFlaky OK\n", "\(result)\n\(calls.mesh.diary)")
        }
    }
}

