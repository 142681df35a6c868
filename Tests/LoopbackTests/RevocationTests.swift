import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// A workload's identity taken back while its certificate is still valid.
    @Suite("Revocation")
    struct RevocationTests {
        @Test("A revoked caller gets 403 within a second on kept-alive connections too, its sidecar says why; restored, it calls again")
        func bites() throws {
            let pair = try Pair()
            let client = pair.order.client(for: "payment")
            #expect(try client.get("/before").status == 200)
            #expect(try pair.mesh.weft("identity", "revoke", "order", "--reason", "stolen-key").code == 0)
            pause(.seconds(1))
            pair.payment.application.forget()
            for number in 0..<10 { #expect(try client.get("/\(number)").status == 403) }
            #expect(pair.payment.application.count == 0)
            #expect(eventually(within: .seconds(5)) { pair.order.process.description.contains("revoked: stolen-key") }, "\(pair.mesh.diary)")
            #expect(try pair.mesh.weft("ps").output.contains("revoked: stolen-key"))
            #expect(try pair.mesh.weft("identity", "restore", "order").code == 0)
            #expect(eventually(within: .seconds(2)) { (try? client.get("/after").status) == 200 })
            #expect(eventually(within: .seconds(35)) { (try? pair.mesh.state(of: pair.order)?["connected"]?.bool) == true })
        }
    }
}
