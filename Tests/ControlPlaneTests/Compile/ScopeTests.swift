import ControlPlane
import Pipeline
import Testing

/// Who is told what: all that concerns a workload, and nothing else.
@Suite("Scope of a snapshot")
struct ScopeTests {
    private static let services = #"[{"kind":"Service","name":"a","ports":[{"port":80}]},{"kind":"Service","name":"b","ports":[{"port":80}]},{"kind":"Service","name":"c","ports":[{"port":80}]}]"#

    private func mesh(_ more: String = "[]", a: String = "") -> Compiling {
        var mesh = Compiling([
            ("services.json", Self.services),
            ("a.json", #"{"kind":"Service","name":"a","ports":[{"port":80}]\#(a)}"#),
            ("more.json", more),
        ])
        mesh.endpoints = [.of("a", "v1"), .of("b", "v1"), .of("c", "v1")]
        return mesh
    }

    /// The parts of `a` that a change makes new.
    private func renewed(_ before: Compiling, _ change: (inout Compiling) -> Void) -> Set<Snapshot.Part> {
        var after = before
        change(&after)
        let (old, new) = (before.versions("a"), after.versions("a"))
        return Set(Snapshot.Part.allCases.filter { old[$0] != new[$0] })
    }

    private static let onlyB = #","reachableServices":["b"]"#

    @Test("Another workload's policies, limits, chains and inbound settings leave every part as it is", arguments: [
        #"{"kind":"AccessPolicy","name":"p","target":{"service":"b"},"action":"allow","rules":[{"from":[{"service":"a"}]}]}"#,
        #"{"kind":"AccessPolicy","name":"p","target":{"service":"b"},"action":"deny","rules":[{"from":[{"service":"a"}]}]}"#,
        #"{"kind":"RateLimit","name":"l","target":{"service":"b"},"rules":[{"key":"total","rate":"1/s"}]}"#,
        #"{"kind":"Chain","name":"x","direction":"outbound","target":{"service":"b"},"stages":["stats","router","tls"]}"#,
        #"{"kind":"Service","name":"b","ports":[{"port":80}],"inboundSettings":{"request-timeout":{"after":"1s"}}}"#,
    ])
    func unrelated(_ resource: String) {
        #expect(renewed(mesh()) { $0.apply(resource, name: "other.json") } == [])
    }

    @Test("What a workload cannot reach changes without its noticing", arguments: [
        #"{"kind":"Route","name":"c","service":"c","rules":[{"backends":[{"version":"v2"}]}]}"#,
        #"{"kind":"Route","name":"c","service":"c","rules":[{"backends":[{"service":"b","version":"v9"}]}]}"#,
        #"{"kind":"Service","name":"c","ports":[{"port":81}],"settings":{"retry":{"maxRetries":1}}}"#,
        #"{"kind":"Service","name":"d","ports":[{"port":80}]}"#,
    ])
    func unreachable(_ resource: String) {
        #expect(renewed(mesh(a: Self.onlyB)) { $0.apply(resource, name: "other.json") } == [])
        #expect(renewed(mesh()) { $0.apply(resource, name: "other.json") } == [.traffic], "the same change, where it is reachable")
    }

    @Test("An endpoint that comes, goes or falls ill renews the traffic part of those who can call it, and of nobody else")
    func endpoints() {
        let changes: [(inout Compiling) -> Void] = [
            { $0.endpoints.append(.of("c", "v1", 1)) }, { $0.endpoints.removeLast() },
            { $0.endpoints[2].isHealthy = false }, { $0.endpoints[2].isDraining = true }, { $0.endpoints[2].address = "10.9.9.9:1" },
            { $0.endpoints[2].weight = 7 },
        ]
        for change in changes {
            #expect(renewed(mesh(), change) == [.traffic])
            #expect(renewed(mesh(a: Self.onlyB), change) == [])
        }
    }

    @Test("The order in which endpoints registered and resources were applied does not show")
    func order() {
        var one = mesh()
        one.endpoints += (1..<9).map { .of("b", "v1", $0) }
        var other = one
        other.endpoints.reverse()
        #expect(one.versions("a") == other.versions("a"))
        let b = #"{"kind":"AccessPolicy","name":"b","action":"deny","rules":[]}"#, c = b.replacing(#""b""#, with: #""c""#)
        one.apply(b, name: "b.json")
        one.apply(c, name: "c.json")
        other.apply(c, name: "c.json")
        other.apply(b, name: "b.json")
        #expect(one.versions("a") == other.versions("a"))
    }

    @Test("A change that does concern it renews just the part that it is about", arguments: [
        (#"{"kind":"Mesh","name":"m","settings":{"retry":{"maxRetries":1}}}"#, Snapshot.Part.chain),
        (#"{"kind":"Mesh","name":"m","mtls":"permissive"}"#, .access),
        (#"{"kind":"Mesh","name":"m","defaultAccess":"deny"}"#, .access),
        (#"{"kind":"Chain","name":"x","direction":"inbound","target":{"service":"a"},"stages":["tls","authz","stats","router"]}"#, .chain),
        (#"{"kind":"AccessPolicy","name":"p","target":{"service":"a"},"action":"deny","rules":[{}]}"#, .access),
        (#"{"kind":"RateLimit","name":"l","rules":[{"key":"total","rate":"1/s"}]}"#, .access),
        (#"{"kind":"Route","name":"b","service":"b","rules":[{"backends":[{"version":"v1"}]}]}"#, .traffic),
    ])
    func related(_ resource: String, _ part: Snapshot.Part) {
        #expect(renewed(mesh()) { $0.apply(resource, name: "other.json") } == [part])
    }

    @Test("Reachable is what is listed and what routes of it lead to; a policy never narrows it")
    func reachable() {
        let route = #"{"kind":"Route","name":"b","service":"b","rules":[{"backends":[{"weight":9},{"service":"c","weight":1}]}]}"#
        func names(_ mesh: Compiling) -> [String] { mesh.snapshot("a").traffic.services.map(\.name) }
        #expect(names(mesh()) == ["a", "b", "c"])
        #expect(names(mesh(a: Self.onlyB)) == ["b"])
        #expect(names(mesh(route, a: Self.onlyB)) == ["b", "c"])
        #expect(names(mesh(a: #","reachableServices":[]"#)) == [])
        #expect(names(mesh(#"{"kind":"AccessPolicy","name":"p","action":"deny","rules":[{}]}"#)) == ["a", "b", "c"])
    }

    @Test("Plain names are of the same namespace, names with a dot of another")
    func namespaces() {
        let mesh = Compiling(#"""
            [{"kind":"Service","name":"a","namespace":"shop","ports":[{"port":80}],"reachableServices":["b","b.bank"]},
            {"kind":"Service","name":"b","namespace":"shop","ports":[{"port":80}]},
            {"kind":"Service","name":"b","namespace":"bank","ports":[{"port":80}]},
            {"kind":"Service","name":"b","ports":[{"port":80}]},
            {"kind":"Route","name":"b","namespace":"shop","service":"b","rules":[{"backends":[{"service":"b.bank"}]}]},
            {"kind":"AccessPolicy","name":"p","namespace":"shop","target":{"service":"a"},"action":"allow","rules":[{"from":[{"service":"b"},{"service":"b.bank"}]}]},
            {"kind":"AccessPolicy","name":"q","target":{"labels":{"x":"y"}},"action":"deny","rules":[{}]}]
            """#)
        let snapshot = mesh.snapshot("a", namespace: "shop")
        #expect(snapshot.traffic.services.map { "\($0.name).\($0.namespace)" } == ["b.bank", "b.shop"])
        #expect(snapshot.service("b", namespace: "shop")?.route?[0].backends == [TrafficPart.BackendEntry(service: "b", namespace: "bank")])
        #expect(snapshot.service("b", namespace: "bank")?.route == nil)
        #expect(snapshot.access.policies.map(\.name) == ["p.shop"])
        #expect(snapshot.access.policies[0].rules[0].from == [.service(namespace: "shop", name: "b"), .service(namespace: "bank", name: "b")])
        #expect(mesh.snapshot("a").access.policies.isEmpty, "another a, in the default namespace")
    }
}
