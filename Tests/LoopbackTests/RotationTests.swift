import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// A new root for the whole mesh while traffic goes on.
    @Suite("Rotation")
    struct RotationTests {
        private func phase(_ mesh: LoopbackMesh) throws -> String {
            let result = try mesh.weft("ca", "status", "-o", "json")
            return ConfigReader.read(result.output, name: "status").root?["phase"]?.string ?? "\(result)"
        }

        @Test("The root is rotated under load with weft ca rotate alone, through kill -9 of the control plane: zero failed")
        func whole() throws {
            let pair = try Pair(planeFlags: ["--renewal-window", "2s"])
            let (first, ends) = (try pair.mesh.get("/v1/ca"), try pair.mesh.state(of: pair.payment)?["certificateExpires"]?.string ?? "")
            let oldToken = try pair.mesh.token(for: "inventory")
            let load = pair.load()
            pause(.milliseconds(500))
            #expect(try pair.mesh.weft("ca", "rotate").code == 0)
            #expect(try pair.mesh.weft("ca", "rotate").code == 1, "one at a time")
            #expect(eventually(within: .seconds(20)) { (try? phase(pair.mesh)) == "retiring" }, "\(pair.mesh.diary)")
            // In the middle the control plane is killed; the rotation goes on with the next one.
            pair.mesh.killPlane()
            try pair.mesh.restartPlane()
            #expect(eventually(within: .seconds(60)) { (try? phase(pair.mesh)) == "steady" }, "\(pair.mesh.diary)")
            try pair.mesh.waitUntilSynced()
            pause(.milliseconds(500))
            let report = load.stop()
            #expect(failures(of: report, in: pair.payment.application) == nil, "\(pair.mesh.diary)")
            #expect(report.sent > 800)
            print("rotation: \(report)")

            let last = try pair.mesh.get("/v1/ca")
            let roots = { (answer: ConfigNode) in answer["roots"]?.elements?.compactMap { $0["sha256"]?.string } ?? [] }
            #expect(roots(last).count == 1 && roots(first).count == 1 && roots(last) != roots(first))
            #expect(try pair.mesh.state(of: pair.payment)?["certificateExpires"]?.string ?? "" > ends)
            // Nobody needs a token again, not even to start anew with the token file of before.
            try pair.order.restart()
            try pair.payment.restart()
            try pair.mesh.waitUntilSynced()
            try pair.reachable()
            #expect(!oldToken.isEmpty)
        }
    }
}
