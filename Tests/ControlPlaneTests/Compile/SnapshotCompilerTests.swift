import ControlPlane
import Pipeline
import Testing

@Suite("Snapshot compiler")
struct SnapshotCompilerTests {
    private static func shop() throws -> Compiling {
        Compiling(
            try repositoryText("Tests/Fixtures/shop.json"),
            endpoints: [.of("payment", "v1", 0), .of("payment", "v1", 1), .of("payment", "v2", 2), .of("inventory"), .of("order")])
    }

    // MARK: Chains

    @Test("Without a Chain every sidecar runs the default chains of ARCHITECTURE §4")
    func defaults() throws {
        let chain = try Self.shop().snapshot("payment").chain
        #expect(chain.inbound.map(\.id) == ["tls", "stats", "authz", "ratelimit", "request-timeout", "router"])
        #expect(chain.outbound.map(\.id) == ["stats", "request-timeout", "retry", "breaker", "attempt-timeout", "router", "tls"])
        #expect(chain.outbound.map(\.filter) == ["stats", "timeout", "retry", "breaker", "timeout", "router", "tls"])
    }

    @Test("A Chain that names the service goes before one by labels, that before one for all; each stage knows its line")
    func chains() throws {
        var mesh = try Self.shop()
        let plain = #""direction":"inbound","stages":["tls","stats","authz","router"]}"#
        mesh.apply(#"{"kind":"Chain","name":"all",\#(plain)"#, name: "all.json")
        #expect(mesh.snapshot("payment").chain.inbound.map(\.id) == ["tls", "stats", "authz", "router"])
        #expect(mesh.snapshot("nobody").chain.inbound.map(\.id) == ["tls", "stats", "authz", "router"], "a workload without a Service too")
        mesh.apply(#"{"kind":"Chain","name":"db","target":{"labels":{"tier":"database"}},"direction":"inbound","stages":["tls","authz","stats","router"]}"#, name: "db.json")
        #expect(mesh.snapshot("orders-db").chain.inbound.map(\.id) == ["tls", "authz", "stats", "router"])
        mesh.apply(
            "{\"kind\":\"Chain\",\"name\":\"one\",\"target\":{\"service\":\"orders-db\"},\"direction\":\"inbound\",\n\"stages\":[\"tls\",\n"
                + "{\"filter\":\"timeout\",\"name\":\"limit\",\"config\":{ \"after\": \"3s\" }},\"stats\",\"authz\",\"router\"]}", name: "one.json")
        let stage = try #require(mesh.snapshot("orders-db").chain.inbound.first { $0.id == "limit" })
        #expect(stage.config == #"{"after":"3s"}"#)
        #expect(stage.origin == Origin(resource: "Chain one", file: "one.json", line: 3))
        #expect(mesh.snapshot("payment").chain.inbound.map(\.id) == ["tls", "stats", "authz", "router"])
    }

    @Test("Both chains of every workload of the story build with the standard filters")
    func builds() throws {
        let mesh = try Self.shop()
        for service in ["order", "analytics", "inventory", "payment", "orders-db", "nobody"] {
            #expect(ChainBuilder(registry: StandardStages.registry, context: BuildContext(loops: 1)).check(mesh.snapshot(service)) == [])
        }
    }

    // MARK: Traffic

    @Test("The story: payment's route, settings, default and endpoints as its callers get them")
    func story() throws {
        let snapshot = try Self.shop().snapshot("order")
        let payment = try #require(snapshot.service("payment"))
        #expect(payment.port == 8080 && payment.defaultVersion == "v1" && payment.routeName == "payment")
        #expect(payment.route?.map(\.name) == ["all"])
        #expect(payment.route?[0].matches == [TrafficPart.MatchEntry(path: .prefix("/"))])
        #expect(payment.route?[0].backends == [.init(version: "v1", weight: 90), .init(version: "v2", weight: 10)])
        #expect(payment.versions.map { "\($0.name):\($0.endpoints.count)" } == ["v1:2", "v2:1"])
        #expect(payment.settings.map(\.origin) == [Origin(resource: "Service payment", file: "mesh.json", line: 6)])
        #expect(payment.settings[0].stages == ["attempt-timeout": #"{"after":"500ms"}"#, "breaker": #"{"maxRequests":200,"consecutiveFailures":5}"#])
        #expect(snapshot.chain.outboundSettings.map(\.origin) == [Origin(resource: "Mesh shop", file: "mesh.json", line: 2)])
        #expect(snapshot.traffic.services.map(\.name) == ["analytics", "inventory", "order", "orders-db", "payment"])
        #expect(snapshot.traffic.services.map(\.isStream) == [false, false, false, true, false])
        #expect(snapshot.traffic.deniesEgress)
    }

    @Test("A version that only a default or a route names is there without endpoints; unversioned endpoints have the empty version")
    func versions() throws {
        var mesh = try Self.shop()
        mesh.endpoints = [.of("payment", "v1"), .of("inventory")]
        #expect(mesh.snapshot("order").service("payment")?.versions.map { "\($0.name):\($0.endpoints.count)" } == ["v1:1", "v2:0"])
        #expect(mesh.snapshot("order").service("inventory")?.versions.map { "\($0.name):\($0.endpoints.count)" } == [":1"])
    }

    @Test("Health, draining, weight and the sidecar of an endpoint reach its callers; endpoints of no Service reach nobody")
    func endpoints() throws {
        var mesh = try Self.shop()
        var ill = RegisteredEndpoint.of("inventory", "", 1)
        (ill.isHealthy, ill.isDraining, ill.weight) = (false, true, 5)
        mesh.endpoints = [.of("inventory", "", 0), ill, .of("ghost")]
        let entries = mesh.snapshot("order").service("inventory")?.versions[0].endpoints ?? []
        #expect(entries == [
            TrafficPart.EndpointEntry(id: "inventory--0", address: "10.0.0.1:15006"),
            TrafficPart.EndpointEntry(id: "inventory--1", address: "10.0.0.2:15006", weight: 5, isHealthy: false, isDraining: true),
        ])
        #expect(!mesh.snapshot("order").traffic.services.contains { $0.name == "ghost" })
    }

    private static func legacy(_ mtls: String, _ workload: String, ports: String = #"[{"port":8080}]"#) -> TrafficPart.ServiceEntry? {
        Compiling(#"""
            [{"kind":"Service","name":"legacy","ports":\#(ports)\#(mtls)},
            {"kind":"Workload","name":"old-1","service":"legacy","sidecar":false,\#(workload)}]
            """#).snapshot("order").service("legacy")
    }

    private static let permissive = #","mtls":"permissive""#

    @Test("A workload by hand is a plaintext endpoint, at its own port if it says so, in brackets if it is IPv6")
    func byHand() {
        func addresses(_ workload: String) -> [String] { (Self.legacy(Self.permissive, workload)?.versions ?? []).flatMap(\.endpoints).map(\.address) }
        #expect(addresses(#""address":"10.0.0.9""#) == ["10.0.0.9:8080"])
        #expect(addresses(#""address":"10.0.0.9","ports":[{"port":8080,"targetPort":9000}]"#) == ["10.0.0.9:9000"])
        #expect(addresses(#""address":"fd00::9""#) == ["[fd00::9]:8080"])
        let entry = Self.legacy(Self.permissive, #""address":"10.0.0.9","version":"v1","health":"draining""#)?.versions
        #expect(entry == [.init(name: "v1", endpoints: [.init(id: "old-1", address: "10.0.0.9:8080", isDraining: true, hasSidecar: false)])])
        #expect(Self.legacy(Self.permissive, #""address":"10.0.0.9","health":"unhealthy""#)?.versions[0].endpoints[0].isHealthy == false)
    }

    @Test("Under strict mTLS nobody is told of an endpoint without a sidecar: plaintext is never spoken to it")
    func strict() {
        #expect(Self.legacy("", #""address":"10.0.0.9","version":"v1""#)?.versions.flatMap(\.endpoints) == [])
        #expect(Self.legacy(#","mtls":"strict""#, #""address":"10.0.0.9""#)?.versions.flatMap(\.endpoints) == [])
        #expect(Self.legacy(Self.permissive, #""address":"10.0.0.9""#)?.versions.flatMap(\.endpoints).count == 1)
    }

    @Test("A workload that lists other ports than the one served is no endpoint of it")
    func otherPort() {
        let ports = #"[{"port":8080},{"port":5432,"protocol":"tcp"}]"#
        #expect(Self.legacy(Self.permissive, #""address":"10.0.0.9","ports":[{"port":5432}]"#, ports: ports)?.versions.flatMap(\.endpoints) == [])
    }

    @Test("A service with a port for http and two for tcp is three entries, each with the endpoints that serve it")
    func streams() throws {
        var mesh = Compiling(#"""
            [{"kind":"Service","name":"db","mtls":"permissive","ports":[{"port":5432,"protocol":"tcp"},{"port":8080},{"port":6432,"protocol":"tcp"}]},
            {"kind":"Workload","name":"old","service":"db","address":"10.0.0.9","sidecar":false,"ports":[{"port":5432,"targetPort":15432}]}]
            """#)
        var both = RegisteredEndpoint.of("db"), http = RegisteredEndpoint.of("db", "", 1)
        both.streams = [5432: "10.0.0.1:7001", 6432: "10.0.0.1:7002"]
        http.streams = [:]
        mesh.endpoints = [both, http]
        let entries = mesh.snapshot("order").traffic.services
        #expect(entries.map { "\($0.port) \($0.isStream)" } == ["8080 false", "5432 true", "6432 true"])
        #expect(entries.map { $0.versions.flatMap(\.endpoints).map(\.address) } == [["10.0.0.1:15006", "10.0.0.2:15006"], ["10.0.0.1:7001", "10.0.0.9:15432"], ["10.0.0.1:7002"]])
    }

    @Test("Matches, header values and rule settings of a Route arrive as written; a rule without a name has its number")
    func route() throws {
        let mesh = Compiling(#"""
            [{"kind":"Service","name":"p","ports":[{"port":80}]},
            {"kind":"Route","name":"r","service":"p","rules":[
            {"matches":[{"path":{"exact":"/a"},"method":"GET","headers":[{"name":"X-A","exact":"1"},{"name":"x-b","prefix":"2"},{"name":"x-c","present":false}]}],"backends":[{"version":"v2"}],
            "settings":{"retry":{"maxRetries":0}}},
            {"name":"rest","backends":[{"weight":3}]}]}]
            """#)
        let rules = try #require(mesh.snapshot("order").service("p")?.route)
        #expect(rules.map(\.name) == ["1", "rest"])
        let match = try #require(rules[0].matches.first)
        #expect(match.path == .exact("/a") && match.method == "GET")
        #expect(match.headers == [.init(name: "x-a", value: .exact("1")), .init(name: "x-b", value: .prefix("2")), .init(name: "x-c", value: .present(false))])
        #expect(rules[0].settings == [SettingsLayer(origin: Origin(resource: "Route r rule 1", file: "mesh.json", line: 4), stages: ["retry": #"{"maxRetries":0}"#])])
        #expect(rules[1].matches.isEmpty && rules[1].backends == [.init(weight: 3)])
    }

    // MARK: Access

    @Test("The story: who may call payment, how often, and nobody else's policies")
    func access() throws {
        let access = try Self.shop().snapshot("payment").access
        #expect(access.mtls == .strict && access.allowsByDefault)
        #expect(access.policies.map(\.name) == ["no-analytics", "payment-callers"])
        #expect(access.policies.map(\.action) == [.deny, .allow])
        #expect(access.policies[1].rules == [.init(from: [.service(namespace: "default", name: "order")])])
        #expect(access.policies.allSatisfy { $0.targetsService && !$0.isShadow && $0.origin.file == "mesh.json" })
        #expect(access.rateLimits.map(\.name) == ["payment"])
        #expect(access.rateLimits[0].rules == [.init(key: .source, rate: "100/s", burst: 200)])
        #expect(try Self.shop().snapshot("orders-db").access.policies.map(\.name) == ["no-external-db"], "by its labels")
        #expect(try Self.shop().snapshot("order").access.policies.isEmpty)
    }

    @Test("mtls is the Service's, else the Mesh's, else strict")
    func mtls() {
        func mode(_ mesh: String, _ service: String) -> AccessPart.MTLS {
            Compiling(#"[{"kind":"Mesh","name":"m"\#(mesh)},{"kind":"Service","name":"s","ports":[{"port":80}]\#(service)}]"#).snapshot("s").access.mtls
        }
        let strict = #","mtls":"strict""#
        #expect(mode("", "") == .strict && mode(Self.permissive, "") == .permissive)
        #expect(mode(Self.permissive, strict) == .strict && mode(strict, Self.permissive) == .permissive)
        #expect(Compiling("[]").snapshot("s").access.mtls == .strict, "an empty mesh")
    }

    @Test("What protects the whole mesh protects a workload whose Service nobody wrote, or somebody deleted")
    func unknownService() {
        var mesh = Compiling(#"""
            [{"kind":"Mesh","name":"m","defaultAccess":"allow"},{"kind":"Service","name":"s","ports":[{"port":80}]},
            {"kind":"AccessPolicy","name":"no-strangers","action":"deny","rules":[{"from":[{"external":true}]}]},
            {"kind":"RateLimit","name":"all","rules":[{"key":"total","rate":"10/s"}]}]
            """#)
        let before = mesh.snapshot("s").access
        #expect(before.policies.map(\.name) == ["no-strangers"] && before.policies.map(\.targetsService) == [false])
        #expect(before.rateLimits.map(\.name) == ["all"])
        mesh.remove(ResourceKey(.service, "s"))
        #expect(mesh.snapshot("s").access == before)
    }

    @Test("Operations: ports and methods as written, a prefix ends at a segment, a shadow stays one")
    func operations() {
        let mesh = Compiling(#"""
            [{"kind":"Service","name":"s","ports":[{"port":80}]},
            {"kind":"AccessPolicy","name":"p","target":{"service":"s"},"action":"deny","shadow":true,"rules":[
            {"from":[{"prefix":"spiffe://x/"},{"namespace":"n"},{"external":true}],
            "to":[{"ports":[80],"methods":["GET"],"paths":[{"exact":"/a"},{"prefix":"/b"},{"prefix":"/c/"},{"prefix":"/"}]}]},{}]}]
            """#)
        let policy = mesh.snapshot("s").access.policies[0]
        #expect(policy.isShadow)
        #expect(policy.rules == [
            .init(
                from: [.prefix("spiffe://x/"), .namespace("n"), .external],
                to: [.init(ports: [80], methods: ["GET"], paths: ["/a", "/b/*", "/c/*", "/*"])]),
            .init(),
        ])
    }

    @Test("A burst that nobody wrote is a second's worth, at least 1")
    func burst() {
        func burst(_ rate: String) -> Int {
            Compiling(#"[{"kind":"RateLimit","name":"l","rules":[{"key":"total","rate":"\#(rate)"}]}]"#).snapshot("s").access.rateLimits[0].rules[0].burst
        }
        #expect(burst("100/s") == 100 && burst("60/m") == 1 && burst("1/h") == 1)
    }
}
