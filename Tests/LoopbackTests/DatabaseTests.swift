import Glibc
import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Databases behind sidecars, with the clients that people use.
    @Suite("Databases")
    struct DatabaseTests {
        /// The architecture's own fixture, word for word.
        static let database = #"{"kind":"Service","name":"orders-db","labels":{"tier":"database"},"ports":[{"port":5432,"protocol":"tcp"}]}"#
        static let noExternal =
            #"{"kind":"AccessPolicy","name":"no-external-db","target":{"labels":{"tier":"database"}},"action":"deny","rules":[{"from":[{"external":true}]}]}"#

        static func mesh(_ mtls: String) -> String {
            #"{"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"\#(mtls)","defaultAccess":"allow","egress":"deny"}"#
        }

        static func deny(_ service: String) -> String {
            #"{"kind":"AccessPolicy","name":"no-\#(service)-db","target":{"service":"orders-db"},"action":"deny","rules":[{"from":[{"service":"\#(service)"}],"to":[{"ports":[5432]}]}]}"#
        }

        /// orders-db is PostgreSQL on port 5432 beside an http port of its own; order and analytics call it.
        private final class World {
            let mesh: LoopbackMesh
            let postgres: PostgresServer
            let order: MeshSidecar
            let analytics: MeshSidecar
            let database: MeshSidecar

            /// Nil, and a line that says so, without PostgreSQL.
            init?(_ mtls: String) throws {
                mesh = try LoopbackMesh(Shop.mesh)
                guard let postgres = try PostgresServer(in: mesh.folder) else { return nil }
                self.postgres = postgres
                for text in [
                    DatabaseTests.mesh(mtls),
                    #"{"kind":"Service","name":"orders-db","labels":{"tier":"database"},"ports":[{"port":5432,"protocol":"tcp"},{"port":8080}]}"#,
                    DatabaseTests.noExternal,
                ] { try mesh.apply(text) }
                order = try mesh.add("order", outbound: ["orders-db:5432", "orders-db"])
                analytics = try mesh.add("analytics", outbound: ["orders-db:5432"])
                database = try mesh.add("orders-db", tcp: [5432: postgres.socket])
                try mesh.waitUntilSynced()
                guard try eventually(within: .seconds(10), { try ask(order).code == 0 }) else {
                    throw LoopbackMesh.Failure("order cannot reach orders-db: \(try ask(order))\n\(mesh.diary)\n\(postgres.log)")
                }
            }

            func arguments(_ address: SocketAddress, _ query: String) -> [String] {
                [Programs.find("psql")!, "-w", "-At", "-h", "127.0.0.1", "-p", "\(address.port)", "-U", "postgres", "-c", query]
            }

            func address(_ sidecar: MeshSidecar) -> SocketAddress { sidecar.address(for: "orders-db:5432") }

            /// Through both sidecars.
            func ask(_ sidecar: MeshSidecar, _ query: String = "select 40 + 2") throws -> CommandResult {
                try CommandResult.run(arguments(address(sidecar), query), environment: ["PGCONNECT_TIMEOUT": "5"], in: mesh.folder)
            }

            /// Past the calling sidecar, at the port of the called one.
            func askDirectly() throws -> CommandResult {
                try CommandResult.run(arguments(database.tcp[5432]!, "select 1"), environment: ["PGCONNECT_TIMEOUT": "5"], in: mesh.folder)
            }

            /// A session that holds its connection until it is cut.
            func sleeper(_ sidecar: MeshSidecar) throws -> MeshProcess {
                let before = postgres.connections
                let process = try MeshProcess("psql", arguments(address(sidecar), "select pg_sleep(60)"), in: mesh.folder)
                guard eventually(within: .seconds(10), { postgres.connections > before }) else { throw LoopbackMesh.Failure("\(process)") }
                return process
            }
        }

        @Test("no-external-db: not one byte of a caller without an identity reaches PostgreSQL, while order's do", arguments: ["strict", "permissive"])
        func external(mtls: String) throws {
            guard let world = try World(mtls) else { return }
            #expect(try world.ask(world.order).output == "42\n")
            // The same workload's http port goes on beside it.
            #expect(try world.order.client(for: "orders-db").get("/").status == 200)
            let received = world.postgres.connections
            for _ in 0..<3 {
                let answer = try world.askDirectly()
                #expect(answer.code != 0, "\(answer)")
            }
            // An SSLRequest, a start-up message, a password, HTTP, TLS, nothing at all: to the port, and to the http port too.
            for bytes in [[0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F], [0, 0, 0, 9, 0, 3, 0, 0, 0], Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [0x16, 3, 1, 0, 4, 1, 0, 0, 0], []] as [[UInt8]] {
                let socket = try BlockingSocket(to: world.database.tcp[5432]!, timeout: .seconds(15))
                try? socket.write(bytes)
                var answer = [UInt8](repeating: 0, count: 64)
                let count = (try? answer.withUnsafeMutableBytes { try socket.read(into: $0) }) ?? 0
                // At most a TLS alert, which is the sidecar's own.
                #expect(count == 0 || answer[0] == 0x15, "\(bytes): \(answer[..<count])")
            }
            #expect(world.postgres.connections == received, "\(world.postgres.log)")
            #expect(try world.ask(world.order).output == "42\n")
            let log = world.database.process.errors
            #expect(log.contains(mtls == "strict" ? "plaintext, and mtls is strict" : "denied by AccessPolicy no-external-db, rule 1"), "\(log)")
            guard mtls == "permissive" else { return }
            // It is the policy that keeps them out.
            #expect(try world.mesh.weft("delete", "accesspolicy", "no-external-db").code == 0)
            try world.mesh.waitUntilSynced()
            #expect(try eventually(within: .seconds(5)) { try world.askDirectly().output == "1\n" })
        }

        @Test("pgbench runs through two sidecars, and what it did is on the figures: connections and bytes, no success")
        func figures() throws {
            guard let world = try World("strict") else { return }
            guard let pgbench = Programs.find("pgbench") else { return print("SKIPPED: pgbench is not installed") }
            let place = ["-h", "127.0.0.1", "-p", "\(world.address(world.order).port)", "-U", "postgres", "postgres"]
            let made = try CommandResult.run([pgbench, "-i", "-q"] + place, in: world.mesh.folder)
            #expect(made.code == 0, "\(made)")
            // A connection per transaction, then four that stay.
            for flags in [["-C", "-c", "2", "-t", "50"], ["-c", "4", "-j", "2", "-t", "500", "-S"]] {
                let run = try CommandResult.run([pgbench, "-n"] + flags + place, in: world.mesh.folder, within: .seconds(60))
                #expect(run.code == 0 && run.output.contains("number of failed transactions: 0"), "\(run)")
            }
            let page = MetricsPage(try world.database.metrics())
            let pair = [#"source="order""#, #"destination="orders-db""#]
            #expect(page.sum("weft_tcp_connections_opened_total", pair[0], pair[1]) >= 104)
            #expect(page.sum("weft_tcp_received_bytes_total", pair[0], pair[1]) > 50_000)
            #expect(page.sum("weft_tcp_sent_bytes_total", pair[0], pair[1]) > 50_000)
            let isTold = try eventually(within: .seconds(10)) {
                let rows = try world.mesh.get("/v1/stat", query: "window=60s")["items"]?.elements ?? []
                let row = rows.first { $0["source"]?.string == "order" && $0["destination"]?.string == "orders-db" && $0["protocol"]?.string == "tcp" }
                return (row?["requests"]?.integer ?? 0) >= 104 && row?["success"] == nil
            }
            let told = try world.mesh.get("/v1/stat", query: "window=60s").json
            #expect(isTold, "\(told)")
            let table = try world.mesh.weft("stat", "--window", "60s")
            #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("order") && $0.contains("orders-db") && $0.contains("ended: ") && !$0.contains("%") }, "\(table)")
        }

        @Test("A policy that is applied while sessions are open cuts within a second whom it refuses, and nobody else")
        func policy() throws {
            guard let world = try World("strict") else { return }
            let order = try world.sleeper(world.order), analytics = try world.sleeper(world.analytics)
            try world.mesh.apply(Self.deny("analytics"))
            let code = analytics.waitForExit(within: .seconds(1))
            #expect(code != nil && code != 0, "\(analytics)")
            #expect(order.isRunning)
            #expect(try world.ask(world.analytics).code != 0)
            #expect(try world.ask(world.order).output == "42\n")
            #expect(MetricsPage(try world.database.metrics()).sum("weft_authz_revoked_total") == 1)
        }

        @Test("A draining sidecar lets sessions end, and cuts those that do not")
        func drain() throws {
            guard let world = try World("strict") else { return }
            let short = try MeshProcess("psql", world.arguments(world.address(world.order), "select pg_sleep(3), 'whole'"), in: world.mesh.folder)
            pause(.milliseconds(500))
            world.database.stop()
            #expect(short.waitForExit(within: .seconds(8)) == 0 && short.output.contains("whole"), "\(short)")
            #expect(eventually(within: .seconds(12)) { !world.database.process.isRunning })
        }

        @Test("Redis: every answer of its benchmark comes through two sidecars, pipelined or not")
        func redis() throws {
            let mesh = try LoopbackMesh(Shop.mesh, #"{"kind":"Service","name":"cache","ports":[{"port":6379,"protocol":"tcp"}]}"#)
            guard let server = try RedisServer(in: mesh.folder), let client = Programs.find("redis-cli"), let bench = Programs.find("redis-benchmark")
            else { return }
            let order = try mesh.add("order", outbound: ["cache:6379"])
            try mesh.add("cache", tcp: [6379: server.socket])
            try mesh.waitUntilSynced()
            let place = ["-h", "127.0.0.1", "-p", "\(order.address(for: "cache:6379").port)"]
            let isThere = try eventually(within: .seconds(10)) { try CommandResult.run([client] + place + ["set", "a", "1"], in: mesh.folder).output == "OK\n" }
            #expect(isThere, "\(mesh.diary)")
            #expect(try CommandResult.run([client] + place + ["get", "a"], in: mesh.folder).output == "1\n")
            let big = String(repeating: "x", count: 100_000)
            #expect(try CommandResult.run([client] + place + ["echo", big], in: mesh.folder).output == big + "\n")
            for flags in [["-c", "20"], ["-c", "5", "-P", "16", "-d", "4000"]] {
                let run = try CommandResult.run([bench] + place + ["-q", "-n", "20000", "-t", "set,get"] + flags, in: mesh.folder, within: .seconds(60))
                #expect(run.code == 0 && run.output.contains("requests per second"), "\(run)")
            }
            #expect(try eventually(within: .seconds(5)) { MetricsPage(try order.metrics()).sum("weft_tunnels") == 0 })
        }
    }
}
