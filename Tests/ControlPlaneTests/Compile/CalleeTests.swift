import ControlPlane
import Pipeline
import Testing

/// Policies as callers get them, for authz in their outbound chains.
@Suite("Policies for callers")
struct CalleeTests {
    private static func mesh(_ analytics: String = "") -> Compiling {
        Compiling(#"""
            [{"kind":"Service","name":"analytics","ports":[{"port":80}]\#(analytics)},
            {"kind":"Service","name":"payment","ports":[{"port":80}]},
            {"kind":"Service","name":"db","labels":{"tier":"database"},"ports":[{"port":80}]},
            {"kind":"AccessPolicy","name":"callers","target":{"service":"payment"},"action":"allow","rules":[{"from":[{"service":"order"}]}]},
            {"kind":"AccessPolicy","name":"data","target":{"labels":{"tier":"database"}},"action":"deny","rules":[{}]},
            {"kind":"AccessPolicy","name":"mesh","action":"deny","shadow":true,"rules":[{}]},
            {"kind":"AccessPolicy","name":"own","target":{"service":"analytics"},"action":"deny","rules":[{}]},
            {"kind":"Service","name":"order","ports":[{"port":80}]}]
            """#)
    }

    private static let asking =
        #"{"kind":"Chain","name":"asking","direction":"outbound","target":{"service":"analytics"},"stages":["stats","authz","router","tls"]}"#

    private func names(_ mesh: Compiling, _ service: String = "analytics") -> [String]? {
        mesh.snapshot(service).access.callees?.map { callee in
            "\(callee.policy.name): \(callee.policy.targetsService ? callee.services.map(\.name).joined(separator: " ") : "all")"
        }
    }

    @Test("Only a sidecar whose outbound chain asks gets them, of all it can reach")
    func reach() {
        var mesh = Self.mesh()
        let before = mesh.versions("order")
        #expect(names(mesh) == nil)
        mesh.apply(Self.asking, name: "asking.json")
        #expect(names(mesh) == ["callers: payment", "data: db", "mesh: all", "own: analytics"])
        #expect(names(mesh, "order") == nil)
        #expect(mesh.versions("order") == before)
        mesh.remove(ResourceKey(.chain, "asking"))
        #expect(names(mesh) == nil)
    }

    @Test("What is out of reach is not told")
    func outOfReach() {
        var mesh = Self.mesh(#","reachableServices":["payment"]"#)
        mesh.apply(Self.asking, name: "asking.json")
        #expect(names(mesh) == ["callers: payment", "mesh: all"])
    }

    @Test("A policy of what it calls renews its access part, and nothing else")
    func renews() {
        var mesh = Self.mesh()
        mesh.apply(Self.asking, name: "asking.json")
        let before = mesh.versions("analytics")
        mesh.apply(
            #"{"kind":"AccessPolicy","name":"more","target":{"service":"db"},"action":"allow","rules":[{"from":[{"service":"order"}]}]}"#, name: "more.json")
        let after = mesh.versions("analytics")
        #expect(Snapshot.Part.allCases.filter { before[$0] != after[$0] } == [.access])
        #expect(names(mesh)?.contains("more: db") == true)
    }

    @Test("Whoever is revoked is denied at his own side too")
    func revoked() {
        var mesh = Self.mesh()
        mesh.apply(Self.asking, name: "asking.json")
        let snapshot = SnapshotCompiler(mesh.resources, endpoints: [], revoked: [("default", "analytics")]).compile(
            for: .init(service: "analytics", namespace: "default", version: ""), trust: TrustPart(trustDomain: "shop.internal", roots: ""))
        #expect(snapshot.access.callees?.first?.policy.name == "weft-system/revoked")
    }

    @Test("The part comes back as it went, with and without them")
    func codec() throws {
        for asks in [true, false] {
            var mesh = Self.mesh()
            if asks { mesh.apply(Self.asking, name: "asking.json") }
            let snapshot = mesh.snapshot("analytics")
            let text = SnapshotCodec.encode(.access, of: snapshot)
            #expect(text.contains("callees") == asks)
            var read = mesh.snapshot("order")
            try SnapshotCodec.decode(.access, text, into: &read)
            #expect(read.access == snapshot.access)
        }
    }
}
