import Pipeline
import Testing

@Suite("Resources")
struct ResourceTests {
    @Test("The mission's story reads and validates without a word")
    func shop() throws {
        let change = ResourceSet().applying([ConfigSource(name: "shop.json", text: try fixture("shop.json"))], filters: SampleFilters.schemas)
        #expect(change.problems.map(\.message) == [])
        #expect(change.written.count == 13)
        #expect(change.result.resources.count == 13)
        guard case .route(let route) = change.result[ResourceKey(.route, "payment")] else {
            Issue.record("no route")
            return
        }
        #expect(route.rules[0].backends.map(\.weight) == [90, 10])
        #expect(route.rules[0].backends.map(\.version) == ["v1", "v2"])
        #expect(route.rules[0].matches[0].path?.prefix == "/")
        guard case .chain(let chain) = change.result[ResourceKey(.chain, "outbound")] else {
            Issue.record("no chain")
            return
        }
        #expect(chain.stages.map(\.id) == ["stats", "request-timeout", "retry", "breaker", "attempt-timeout", "router", "tls"])
        #expect(chain.stages.map(\.filter) == ["stats", "timeout", "retry", "breaker", "timeout", "router", "tls"])
        guard case .mesh(let mesh) = change.result[ResourceKey(.mesh, "shop")] else {
            Issue.record("no mesh")
            return
        }
        #expect(mesh.settings["retry"]?["maxRetries"]?.integer == 3)
        #expect(mesh.trustDomain == "shop.internal")
    }

    @Test("A port that declares no protocol is looked at, unless servers speak first there by custom; a declared one never is")
    func protocols() throws {
        let text = #"{"kind":"Service","name":"x","ports":[{"port":8080},{"port":5432},{"port":6379,"protocol":"http"},{"port":81,"protocol":"grpc"}]}"#
        guard case .service(let service)? = ResourceReader.read(text, name: "x").resources.first else { throw CancellationError() }
        #expect(service.ports.map(\.protocol) == [.auto, .tcp, .http, .grpc])
        #expect(service.httpProtocol == .auto && service.tcpPorts == [5432])
    }

    @Test("Canonical JSON reads back to the same resource and stays what it is")
    func canonical() throws {
        let read = ResourceReader.read(try fixture("shop.json"), name: "shop.json")
        for resource in read.resources {
            for pretty in [false, true] {
                let text = resource.json(pretty: pretty)
                let again = ResourceReader.read(text, name: "again")
                #expect(again.problems.filter { $0.severity == .error }.isEmpty)
                let back = try #require(again.resources.first)
                #expect(back.key == resource.key)
                #expect(back.node == resource.node)
                #expect(back.json(pretty: pretty) == text)
            }
        }
        let messy = ResourceReader.read(#"{"ports":[{"port":1}], "labels":{"b":"2","a":"1"}, "name":"x", /* c */ "kind":"Service",}"#, name: "x")
        #expect(messy.resources.first?.json() == #"{"kind":"Service","name":"x","ports":[{"port":1}],"labels":{"a":"1","b":"2"}}"#)
    }

    @Test("A reference may name a namespace, and is by default in its own")
    func namespaces() {
        let text = """
            [{"kind":"Service","name":"a","namespace":"one","ports":[{"port":80}]},
             {"kind":"Route","name":"r","namespace":"two","service":"a.one","rules":[{"backends":[{"weight":1}]}]},
             {"kind":"Route","name":"s","namespace":"two","service":"a","rules":[{"backends":[{"weight":1}]}]}]
            """
        #expect(problems(text) == ["3 there is no service \"a\""])
    }

    @Test("A broken resource is reported once: what refers to it is not called dangling")
    func cascades() {
        let text = """
            [{"kind":"Service","name":"a","ports":[{"port":80,"protocl":"http"}]},
             {"kind":"Route","name":"r","service":"a","rules":[{"backends":[{"weight":1}]}]}]
            """
        #expect(problems(text) == ["1 unknown key \"protocl\" in \"ports[0]\" of Service \"a\" → protocol"])
    }

    @Test("An apply is all or nothing, replaces by key, and refuses to leave a reference dangling")
    func sets() throws {
        let base = ResourceSet().applying([ConfigSource(name: "shop.json", text: try fixture("shop.json"))], filters: nil).result
        let bad = base.applying([ConfigSource(name: "x", text: #"[{"kind":"Service","name":"new","ports":[{"port":1}]},{"kind":"Servic"}]"#)], filters: nil)
        #expect(bad.isRefused && bad.result.resources.count == 13)
        let shifted = base.applying(
            [ConfigSource(name: "x", text: #"{"kind":"Route","name":"payment","service":"payment","rules":[{"backends":[{"version":"v2","weight":1}]}]}"#)],
            filters: nil)
        #expect(!shifted.isRefused && shifted.result.resources.count == 13)
        guard case .route(let route) = shifted.result[ResourceKey(.route, "payment")] else {
            Issue.record("no route")
            return
        }
        #expect(route.rules[0].backends.map(\.version) == ["v2"])
        let removed = base.removing([ResourceKey(.service, "analytics")], filters: nil)
        #expect(removed.problems.filter { $0.severity == .error }.map(\.message) == ["there is no service \"analytics\""])
        #expect(removed.problems.first { $0.severity == .error }?.file == "shop.json")
        #expect(base.removing([ResourceKey(.route, "payment")], filters: nil).result.resources.count == 12)
    }

    @Test("A hundred problems are told, errors first, and the rest is counted")
    func many() {
        let service = (0..<150).map { #"{"kind":"Service","name":"s\#($0)","ports":[{"port":1},{"port":2}]}"# }
        let text = "[" + service.joined(separator: ",\n") + ",{\"kind\":\"Rout\"}]"
        let change = ResourceSet().applying([ConfigSource(name: "x", text: text)], filters: nil)
        #expect(change.isRefused && change.problems.count == ResourceSet.problemsMax)
        #expect(change.problems.contains { $0.severity == .error })
        #expect(change.problems.last?.notes.last == "and 51 more problems")
    }
}
