import Pipeline
import Testing

@testable import Weft

@Suite("Problems that come back from the control plane")
struct ReportedProblemTests {
    /// What is printed after a round trip through the API's JSON must be what `config check` prints on the spot.
    @Test("They are shown exactly as they would be on the spot", arguments: [
        "{\"kind\":\"Mesch\",\"name\":\"shop\"}", "[\n  {\"kind\": \"Service\", \"nam\": \"payment\"},\n  {\"kind\": \"Route\"}\n]",
        "{\"kind\":\"Service\",\"name\":\"ä\",\"ports\":[{\"port\":\"8080\"}],\"name\":\"b\"}", "{\"kind\":\"Service\"", "", "{\"name\":\"x\"}",
        "// öäü\n{\"kind\":\"Route\",\"name\":\"r\",\"service\":\"nobody\",\"rules\":[{\"name\":\"all\",\"backends\":[{\"wieght\":1}]}]}",
    ])
    func roundTrip(text: String) throws {
        let source = ConfigSource(name: "mesh/shop.json", text: text)
        let problems = ResourceSet().applying([source], filters: nil).problems
        #expect(!problems.isEmpty)
        for problem in problems {
            let sent = try #require(ConfigReader.read(problem.json, name: "answer").root)
            #expect(ReportedProblem.read(sent, [source]).rendered() == problem.rendered())
        }
    }

    @Test("One in a text that we did not send is told without an excerpt")
    func elsewhere() throws {
        let node = try #require(ConfigReader.read("{\"message\":\"no such service\",\"file\":\"other.json\",\"line\":3,\"column\":9}", name: "a").root)
        let text = ReportedProblem.read(node, []).rendered()
        #expect(text.contains("error: no such service"))
        #expect(text.contains("in other.json:3"))
    }

    @Test("Places that the text does not have are taken for the nearest", arguments: [
        "{}", "{\"line\":99,\"column\":-4}", "{\"line\":1,\"column\":9999,\"endColumn\":3}", "{\"line\":-1,\"column\":9223372036854775807}",
    ])
    func nonsense(json: String) throws {
        let source = ConfigSource(name: "", text: "{}\n")
        let node = try #require(ConfigReader.read(json, name: "a").root)
        #expect(!ReportedProblem.read(node, [source]).rendered().isEmpty)
    }
}

@Suite("Calls of the API")
struct ControlPlaneAPITests {
    @Test("Query values are encoded; absent ones are left out")
    func query() {
        #expect(ControlPlaneAPI.encoded(["kind": "Service", "namespace": nil, "name": "a b/ü&="]) == "kind=Service&name=a%20b%2F%C3%BC%26%3D")
    }

    @Test("The default state directory follows XDG, relative values do not count", arguments: [
        (["XDG_STATE_HOME": "/x", "HOME": "/h"], "/x/weft/control-plane"), (["XDG_STATE_HOME": "x", "HOME": "/h"], "/h/.local/state/weft/control-plane"),
        ([:], "/var/lib/weft/control-plane"),
    ] as [([String: String], String)])
    func state(environment: [String: String], path: String) { #expect(StateDirectory.controlPlane(environment: { environment[$0] }) == path) }
}
