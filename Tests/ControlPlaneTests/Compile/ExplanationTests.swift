import Pipeline
import Testing

@testable import ControlPlane

@Suite("Explanations")
struct ExplanationTests {
    /// A mesh in which every layer says something, one resource a file.
    private static let files = [
        ("mesh.json", #"{"kind":"Mesh","name":"m","settings":{"retry":{"maxRetries":1},"request-timeout":{"after":"9s"}},"inboundSettings":{"request-timeout":{"after":"8s"}}}"#),
        ("order.json", #"{"kind":"Service","name":"order","ports":[{"port":80}]}"#),
        ("payment.json", "{\"kind\":\"Service\",\"name\":\"payment\",\"ports\":[{\"port\":80}],\n\"settings\":{\n\"breaker\":{\"maxRequests\":7}},\"inboundSettings\":{\"request-timeout\":{\"after\":\"4s\"}}}"),
        ("route.json", #"{"kind":"Route","name":"payment","service":"payment","rules":[{"name":"slow","matches":[{"method":"PUT"}],"backends":[{}],"settings":{"attempt-timeout":{"after":"6s"}}},{"backends":[{}],"settings":{"retry":{"maxRetries":0}}}]}"#),
        ("chain.json", "{\"kind\":\"Chain\",\"name\":\"o\",\"direction\":\"outbound\",\"target\":{\"service\":\"order\"},\"stages\":[\"stats\",{\"filter\":\"timeout\",\"name\":\"request-timeout\"},\n{\"filter\":\"retry\",\"config\":{\"maxRetries\":2}},\"breaker\",{\"filter\":\"timeout\",\"name\":\"attempt-timeout\"},\"router\",\"tls\"]}"),
    ]

    private static let mesh = Compiling(files.map { (name: $0.0, text: $0.1) })

    private func rows(caller: String? = nil, rule: String? = nil) throws -> [Explanation.Row] {
        func service(_ name: String) throws -> ServiceResource {
            guard case .service(let service)? = Self.mesh.resources[ResourceKey(.service, name)] else { throw PlaneError("no \(name)") }
            return service
        }
        return Explanation(Self.mesh.resources, filters: StandardStages.schemas).rows(
            for: try service("payment"), caller: try caller.map(service), rule: rule)
    }

    private func said(_ rows: [Explanation.Row], _ stage: String, _ key: String, _ direction: String = "outbound") -> String? {
        rows.first { $0.direction == direction && $0.stage == stage && $0.key == key }.map { "\($0.value) \($0.source) \($0.file):\($0.line ?? 0)" }
    }

    @Test("Each value names who said it, with file and line; a nearer layer wins")
    func sources() throws {
        let any = try rows()
        #expect(said(any, "retry", "maxRetries") == "1 Mesh m mesh.json:1")
        #expect(said(any, "breaker", "maxRequests") == "7 Service payment payment.json:3")
        #expect(said(any, "request-timeout", "after", "inbound") == "\"4s\" Service payment payment.json:3")
        #expect(said(any, "attempt-timeout", "after")?.contains("default :0") == true)
        let order = try rows(caller: "order")
        #expect(said(order, "retry", "maxRetries") == "2 Chain o stage retry chain.json:2")
        #expect(said(try rows(caller: "order", rule: "slow"), "attempt-timeout", "after") == "\"6s\" Route payment rule slow route.json:1")
        #expect(said(try rows(caller: "order", rule: "2"), "retry", "maxRetries") == "0 Route payment rule 2 route.json:1")
    }

    @Test("Every stage of both chains is there, in its order, also one that has nothing to set")
    func complete() throws {
        let rows = try rows(caller: "order")
        func stages(_ direction: String) -> [String] {
            rows.filter { $0.direction == direction }.map(\.stage).reduce(into: []) { if $0.last != $1 { $0.append($1) } }
        }
        #expect(stages("outbound") == ["stats", "request-timeout", "retry", "breaker", "attempt-timeout", "router", "tls"])
        let bare = try #require(rows.first { $0.direction == "outbound" && $0.key.isEmpty })
        #expect([bare.stage, bare.value, bare.source, bare.file, "\(bare.line ?? 0)"] == ["stats", "null", "Chain o", "chain.json", "1"])
        #expect(stages("inbound") == ["tls", "stats", "authz", "ratelimit", "request-timeout", "router"])
    }

    /// The labels a rule's metrics carry are the names that `--rule` takes.
    @Test("What explain says is what the snapshot's layers give", arguments: [nil, "slow", "2"])
    func agrees(_ rule: String?) throws {
        let snapshot = Self.mesh.snapshot("order")
        let payment = try #require(snapshot.service("payment"))
        let explained = try rows(caller: "order", rule: rule).filter { $0.direction == "outbound" }
        let above = payment.settings + (payment.route?.first { $0.name == rule }?.settings ?? [])
        #expect(rule == nil || above.count == 2)
        for stage in snapshot.chain.outbound {
            let schema = try #require(StandardStages.schemas[stage.filter])
            let texts = snapshot.chain.outboundSettings.compactMap { $0.stages[stage.id] } + [stage.config] + above.compactMap { $0.stages[stage.id] }
            let layers = texts.compactMap { ConfigReader.read($0, name: "").root }.map { ConfigLayer(label: "", node: $0) }
            let expected = schema.origins(layers).map { "\($0.key)=\($0.value)" }
            #expect(explained.filter { $0.stage == stage.id && !$0.key.isEmpty }.map { "\($0.key)=\($0.value)" } == expected, "\(stage.id)")
        }
    }
}
