import Pipeline
import Testing

@testable import Host

@Suite("Admin", .serialized)
struct AdminTests {
    @Test("It tells liveness, readiness with the reason, config with its sources, and metrics, over TCP and the unix socket")
    func pages() throws {
        let world = try SidecarWorld()
        try world.start()
        #expect(try world.admin("/livez").status == 200)
        let unready = try world.admin("/readyz")
        #expect(unready.status == 503 && unready.text.contains("no config yet"))
        world.turn { world.plane!.hello != nil }
        world.plane!.push(world.snapshot())
        world.turn { world.plane!.acked.count == 4 }
        #expect(try world.admin("/readyz").status == 200)
        _ = try world.call()
        let config = try #require(ConfigReader.read(bytes: try world.admin("/config", tcp: false).body, name: "config").root)
        #expect(config["identity"]?.string == TestAuthority.id("payment"))
        #expect(config["parts"]?.elements?.allSatisfy { $0["source"]?.string == "the control plane" && $0["version"]?.string?.count == 16 } == true)
        #expect(config["chains"]?["inbound"]?.elements?.map { $0["id"]?.string } == ["tls", "stats", "authz", "router"])
        let metrics = try world.admin("/metrics").text
        for name in ["weft_requests_total{", "weft_config_info{", "weft_certificate_expiry_timestamp_seconds ", "weft_export_bytes_total "] {
            #expect(metrics.contains("\n" + name), "\(name)")
        }
    }

    @Test("A name that is not local gets nothing over TCP, and nothing but GET is done")
    func refusals() throws {
        let world = try SidecarWorld()
        try world.start()
        #expect(try world.admin("/config", host: "evil.example").status == 421)
        #expect(try world.admin("/config", host: "evil.example:9000").status == 421)
        #expect(try world.admin("/livez", host: "localhost:1234").status == 200)
        #expect(try world.admin("/livez", method: "POST").status == 405)
        #expect(try world.admin("/else").status == 404)
    }
}
