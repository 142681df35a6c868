import Pipeline
import Testing

@Suite("Stages")
struct StageTests {
    private func read(_ files: [String: String], _ direction: ChainDirection = .outbound) -> StageFolder.Result {
        let sources = files.map { ConfigSource(name: "filters.d/outbound/\($0.key)", text: $0.value) }
        return StageFolder.read(folder: "filters.d/outbound", files: sources, direction: direction, filters: SampleFilters.schemas)
    }

    @Test("A folder is a chain: numbers are the order, names are ids and filters")
    func folder() {
        let result = read([
            "90-tls.json": "{}", "20-request-timeout.json": #"{"filter":"timeout","required":true,"config":{"after":"2s"}}"#,
            "10-stats.json": "{} // counts", "80-router.json": "{}", "README.md": "# stages", "30-retry.json": "{}",
        ])
        #expect(result.problems.isEmpty)
        #expect(result.stages.map(\.entry.id) == ["stats", "request-timeout", "retry", "router", "tls"])
        #expect(result.stages.map(\.entry.filter) == ["stats", "timeout", "retry", "router", "tls"])
        #expect(result.stages.map(\.isRequired) == [false, true, false, false, false])
        #expect(result.stages[1].entry.config?["after"]?.string == "2s")
    }

    @Test("A wrong file is reported with its name and line, an empty folder is an error")
    func wrong() {
        func said(_ files: [String: String]) -> [String] { read(files).problems.map { "\($0.file.split(separator: "/").last ?? ""):\($0.line) \($0.message)" } }
        #expect(said([:]) == ["outbound:1 filters.d/outbound holds no stage"])
        #expect(said(["30-retry.json": "{\n\"config\": {\"maxRetrys\": 1}}"]) == ["30-retry.json:2 unknown key \"maxRetrys\" in filter \"retry\""])
        #expect(said(["30-retry.json": ""]) == ["30-retry.json:1 the text is empty"])
        #expect(said(["retry.json": "{}"]) == ["retry.json:1 retry.json is not how a stage file is named"])
        #expect(said(["10-tenant-gate.json": "{}"]) == ["10-tenant-gate.json:1 filter \"tenant-gate\" lacks \"allow\""])
        #expect(
            said(["10-stats.json": "{}", "20-router.json": "{}", "30-tls.json": "{}", "30-tls.json.bak": ""])
                == ["30-tls.json.bak:1 30-tls.json.bak is ignored: it is no stage file"])
        #expect(
            said(["10-stats.json": "{}", "20-router.json": "{}", "30-retyr.json": "{}", "40-tls.json": "{}"]).sorted()
                == [
                    "30-retyr.json:1 \"retyr\" stands below the router, where no request comes by",
                    "30-retyr.json:1 no sidecar has a filter \"retyr\"",
                ])
    }

    @Test("Settings reach a stage in the order mesh, stage, service, rule, each with its name and line")
    func settings() throws {
        let text = """
            [{"kind":"Mesh","name":"m","settings":{"retry":{"maxRetries":1}}},
            {"kind":"Service","name":"s","ports":[{"port":80}],"settings":{"retry":{"maxRetries":3}}},
            {"kind":"Route","name":"s","service":"s","rules":[{"name":"all","backends":[{}],"settings":{"retry":{"maxRetries":4}}}]}]
            """
        let set = ResourceSet().applying([ConfigSource(name: "r.json", text: text)], filters: SampleFilters.schemas).result
        guard case .mesh(let mesh) = set[ResourceKey(.mesh, "m")], case .service(let service) = set[ResourceKey(.service, "s")],
            case .route(let route) = set[ResourceKey(.route, "s")]
        else {
            Issue.record("not read")
            return
        }
        let stage = StageEntry(filter: "retry", config: ConfigReader.read(#"{"maxRetries":2}"#, name: "c").root)
        let all = StageSettings.outbound(stage, chain: "Chain c", mesh: mesh, service: service, rule: (route, 0))
        #expect(all.map(\.label) == ["Mesh m", "Chain c stage retry", "Service s", "Route s rule all"])
        let schema = try #require(SampleFilters.schemas["retry"])
        #expect(schema.merge(all)["maxRetries"]?.integer == 4)
        #expect(schema.origins(all).map { "\($0.key) = \($0.value) (\($0.label), \($0.file ?? ""):\($0.line ?? 0))" } == ["maxRetries = 4 (Route s rule all, r.json:3)"])
        #expect(schema.origins(StageSettings.outbound(StageEntry(filter: "retry"), chain: "c", mesh: nil, service: nil)).first?.label == "default")
        #expect(StageSettings.inbound(stage, chain: "c", mesh: mesh, service: service).count == 1)
    }
}
