import Host
import Pipeline
import Testing

@testable import ControlPlane

/// A mesh of two services for the tests of this target.
enum Shop {
    static let services = """
        [
        {"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"strict","settings":{"retry":{"maxRetries":3}}},
        {"kind":"Service","name":"order","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],
         "settings":{"attempt-timeout":{"after":"500ms"}}}
        ]
        """

    static func policy(_ callers: String...) -> String {
        let from = callers.map { "{\"service\":\"\($0)\"}" }.joined(separator: ",")
        return "{\"kind\":\"AccessPolicy\",\"name\":\"callers\",\"target\":{\"service\":\"payment\"},\"action\":\"allow\",\"rules\":[{\"from\":[\(from)]}]}"
    }
}

@Suite struct APITests {
    @Test("What is applied is created, then unchanged, then configured, and each change counts one generation")
    func apply() throws {
        let world = try PlaneWorld()
        func actions(_ text: String) throws -> (generation: Int64?, Set<String>) {
            let answer = try world.apply(text)
            try #require(answer.status == 200, "\(answer.text)")
            return (try answer.root["generation"]?.integer, Set(try answer.root.list("results").map { $0.text("action") }))
        }
        #expect(try actions(Shop.services) == (1, ["created"]))
        #expect(try actions(Shop.services) == (1, ["unchanged"]))
        #expect(try actions(Shop.services.replacing("500ms", with: "600ms")) == (2, ["unchanged", "configured"]))
        #expect(try world.view("/v1/resources").list().count == 3)
        #expect(try world.view("/v1/resources", "kind=Service&name=payment").list().map { $0.text("name") } == ["payment"])
        #expect(try world.view("/v1/services").list().map { $0.text("name") } == ["order", "payment"])
    }

    @Test("Wrong config is refused whole, with every problem and where it stands, and nothing changes")
    func refused() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let wrong = """
            [
            {"kind":"Service","name":"inventory","ports":[{"port":8080,"protocol":"http"}]},
            {"kind":"Route","name":"payment","service":"paymant","rules":[{"backends":[{"version":"v1","weight":1}]}]},
            {"kind":"Service","name":"order","ports":[{"port":99999,"protocol":"http"}],"settings":{"retry":{"maxRetrys":1}}}
            ]
            """
        let answer = try world.apply(wrong, name: "wrong.json")
        #expect(answer.status == 422)
        let problems = try answer.root.list("problems")
        let lines = Set(problems.compactMap { $0["line"]?.integer })
        #expect(lines.isSuperset(of: [3, 4]), "\(answer.text)")
        #expect(problems.allSatisfy { $0.text("file") == "wrong.json" && $0["column"]?.integer ?? 0 > 0 })
        #expect(problems.contains { $0.json.contains("payment") && $0.text("message").contains("paymant") })
        #expect(try world.view("/v1/resources").list().count == 3)
        #expect(try world.view("/v1/version")["generation"]?.integer == 1)
    }

    @Test("A dry run answers as the real one would and changes nothing")
    func dryRun() throws {
        let world = try PlaneWorld()
        #expect(try world.apply(Shop.services, dryRun: true).root.list("results").count == 3)
        #expect(try world.apply("{\"kind\":\"Service\"}", dryRun: true).status == 422)
        #expect(try world.view("/v1/resources").list().isEmpty)
        #expect(try world.view("/v1/version")["generation"]?.integer == 0)
    }

    @Test("A filter that nobody has, and a field that it has not, are refused with what was meant")
    func unknownFilter() throws {
        let world = try PlaneWorld()
        let chain = #"{"kind":"Chain","name":"in","direction":"inbound","stages":["tls","stats","authz","ratelimti","router"]}"#
        let answer = try world.apply(chain)
        #expect(answer.status == 422 && answer.text.contains("ratelimit"), "\(answer.text)")
        let mesh = #"{"kind":"Mesh","name":"shop","settings":{"retry":{"maxRetrees":1}}}"#
        let second = try world.apply(mesh)
        #expect(second.status == 422 && second.text.contains("maxRetries"), "\(second.text)")
    }

    @Test("A mesh of another trust domain than the authority's is refused")
    func otherDomain() throws {
        let answer = try PlaneWorld().apply(Shop.services.replacing("shop.internal", with: "else.internal"))
        #expect(answer.status == 422 && answer.text.contains("--trust-domain else.internal"), "\(answer.text)")
    }

    @Test("What is deleted is gone; what others need stays; what is not there is 404")
    func delete() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        try world.applied(Shop.policy("order"))
        #expect(try world.api("DELETE", "/v1/resources", "kind=Service&name=order").status == 422)
        #expect(try world.api("DELETE", "/v1/resources", "kind=Service&name=nobody").status == 404)
        #expect(try world.api("DELETE", "/v1/resources", "kind=Service").status == 400)
        #expect(try world.api("DELETE", "/v1/resources", "kind=AccessPolicy&name=callers").status == 200)
        #expect(try world.view("/v1/resources").list().count == 3)
        #expect(try world.view("/v1/version")["generation"]?.integer == 3)
    }

    @Test("Requests that make no sense are refused in words", arguments: [
        ("POST", "/v1/apply", "", "no json", 400), ("POST", "/v1/apply", "", "{}", 400), ("POST", "/v1/apply", "", "[]", 400),
        ("POST", "/v1/apply", "", #"{"files":[{"name":"a"}]}"#, 400), ("POST", "/v1/apply", "", #"{"files":[],"force":true}"#, 400),
        ("GET", "/v1/apply", "", "", 405), ("PUT", "/v1/resources", "", "", 405), ("POST", "/v1/stat", "", "", 405),
        ("GET", "/v1/nothing", "", "", 404), ("POST", "/nothing", "", "", 404),
        ("GET", "/v1/stat", "window=1h", "", 400), ("GET", "/v1/stat", "window=2s", "", 400), ("GET", "/v1/stat", "reporter=me", "", 400),
        ("GET", "/v1/explain", "", "", 400), ("GET", "/v1/explain", "service=nobody", "", 404),
        ("POST", "/v1/tokens", "", "{}", 400), ("POST", "/v1/tokens", "", #"{"service":"Pay ment"}"#, 400),
        ("POST", "/v1/tokens", "", #"{"service":"payment","ttl":5}"#, 400), ("POST", "/v1/tokens", "", #"{"service":"payment","ttl":"800000h"}"#, 400),
        ("POST", "/v1/tokens", "", #"{"service":"payment","uses":-1}"#, 400), ("POST", "/v1/tokens", "", #"{"service":"payment","use":1}"#, 400),
        ("POST", "/v1/tokens", "", #"{"service":"control-plane","namespace":"weft-system"}"#, 422),
    ] as [(String, String, String, String, UInt16)])
    func nonsense(_ method: String, _ path: String, _ query: String, _ body: String, _ status: UInt16) throws {
        let answer = try PlaneWorld().api(method, path, query, body)
        #expect(answer.status == status, "\(answer.text)")
        #expect(try answer.root["error"]?.string?.isEmpty == false)
        #expect((answer.header("allow") != nil) == (status == 405))
    }

    @Test("A body beyond the limit is 413 and changes nothing")
    func tooLarge() throws {
        let world = try PlaneWorld()
        #expect(try world.apply(String(repeating: " ", count: 9 << 20)).status == 413)
        #expect(try world.apply(Shop.services + String(repeating: "\n", count: 1 << 16)).status == 200)
    }

    @Test("An explanation names the value in force, who said it, and file and line, also after a restart")
    func explain() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        for _ in 0..<2 {
            let rows = try world.view("/v1/explain", "service=payment&caller=order").list("rows")
            let row = try #require(rows.first { $0.text("stage") == "attempt-timeout" && $0.text("key") == "after" })
            #expect(row.text("value") == "500ms" && row.text("source") == "Service payment")
            #expect(row.text("file") == "shop.json" && row["line"]?.integer == 5)
            #expect(rows.first { $0.text("stage") == "retry" && $0.text("key") == "maxRetries" }?["value"]?.integer == 3)
            world.stop()
            try world.start()
        }
    }

    @Test("A restart keeps resources, generation, authority and tokens")
    func restart() throws {
        let world = try PlaneWorld()
        try world.applied(Shop.services)
        let (used, fresh) = (try world.token("order"), try world.token("payment"))
        let root = world.plane.authority.rotation.issuer
        #expect(try world.join(used, .generate()).status == 200)
        world.stop()
        try world.start()
        #expect(world.plane.authority.rotation.issuer == root)
        #expect(try world.view("/v1/version")["generation"]?.integer == 1)
        #expect(try world.view("/v1/resources").list().count == 3)
        #expect(try world.join(used, .generate()).status == 403)
        #expect(try world.join(fresh, .generate()).status == 200)
    }

    @Test("A directory is one control plane's: a second one is told whose")
    func locked() throws {
        let world = try PlaneWorld()
        let settings = PlaneSettings(stateDirectory: world.directory, mesh: SocketAddress("127.0.0.1:0")!, metrics: SocketAddress("127.0.0.1:0")!)
        #expect { try Plane(settings, filters: PlaneWorld.filters, on: world.loop) { _ in } } throws: { "\($0)".contains("another process") }
    }
}

extension String {
    func replacing(_ text: String, with other: String) -> String { split(separator: text, omittingEmptySubsequences: false).joined(separator: other) }
}
