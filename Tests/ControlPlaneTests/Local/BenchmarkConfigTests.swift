import ControlPlane
import Host
import Pipeline
import Testing

/// `Benchmarks/`: our side of the proxy benchmark, which fills in the placeholders.
@Suite("Benchmark configs")
struct BenchmarkConfigTests {
    private let folder: SidecarFolder
    init() throws { folder = try SidecarFolder() }

    private func read(_ name: String) throws -> LocalConfig {
        try folder.write("certs/ca.pem", "roots")
        let text = try repositoryText("Benchmarks/\(name)").replacing("@ROOT@", with: folder.path).replacing("@RUN@", with: "\(folder.path)/run")
        #expect(!text.contains("@"), "a placeholder that the benchmark does not know")
        return try folder.config(text)
    }

    @Test("Every topology's configs are accepted, build, listen where the benchmark looks, and use one worker")
    func topologies() throws {
        let subject = try #require(ConfigReader.read(try repositoryText("Benchmarks/subject.json"), name: "subject.json").root)
        let topologies = try #require(subject["topologies"]?.members)
        #expect(topologies.map(\.key) == ["plain", "mesh", "policy", "h2", "grpc"])
        for instance in topologies.flatMap({ $0.value.elements ?? [] }) {
            let name = try #require(instance["config"]?.string), port = try #require(instance["port"]?.integer)
            let config = try read(name)
            #expect(config.warnings.filter { $0.severity == .error }.isEmpty)
            #expect(config.settings.workers == 1)
            #expect(ChainBuilder(registry: StandardStages.registry, context: BuildContext(loops: 1)).check(config.snapshot) == [], "\(name)")
            let entrances = [config.settings.entrances.inbound].compactMap { $0 } + config.settings.entrances.outbound.map(\.address)
            #expect(entrances.map { Int64($0.port) } == [port], "\(name)")
            let isAlone = ["plain.json", "h2.json"].contains(name)
            #expect(config.settings.entrances.inboundIsPlain == isAlone)
            #expect((config.settings.certificateFiles == nil) == isAlone)
            #expect(config.snapshot.trust.trustDomain == "mesh.local")
        }
    }

    @Test("The caller's sidecar reaches the other one by mTLS, as order-service in the identity that the benchmark allows", arguments: ["mesh_a.json", "policy_a.json"])
    func caller(_ name: String) throws {
        let config = try read(name)
        #expect(config.settings.workload.service == "order-service" && config.settings.workload.namespace == "default")
        let endpoints = config.snapshot.service("payment-service")?.versions.flatMap(\.endpoints)
        #expect(endpoints == [.init(id: "payment-1", address: "127.0.0.1:23443", hasSidecar: true)])
        #expect(config.snapshot.chain.outbound.map(\.id) == ["stats", "request-timeout", "retry", "breaker", "attempt-timeout", "router", "tls"])
    }

    @Test("The policy topology really has policies: retries, a limit per attempt, a breaker; who may call, /admin, a rate")
    func policies() throws {
        let caller = try read("policy_a.json").snapshot
        #expect(caller.chain.outboundSettings.flatMap(\.stages.keys) == ["retry"])
        #expect(caller.service("payment-service")?.settings.flatMap(\.stages.keys).sorted() == ["attempt-timeout", "breaker"])
        let called = try read("policy_b.json").snapshot.access
        #expect(called.mtls == .strict)
        #expect(called.policies.first { $0.action == .allow }?.rules == [.init(from: [.service(namespace: "default", name: "order-service")])])
        #expect(called.policies.first { $0.action == .deny }?.rules == [.init(to: [.init(paths: ["/admin/*"])])])
        #expect(called.rateLimits.flatMap(\.rules).count == 1)
    }
}
