import Pipeline
import TenantGateFilter
import Testing
import WeftTesting

@Suite("tenant-gate")
struct TenantGateTests {
    private func harness() throws -> ChainHarness {
        try ChainHarness(#"[{"filter": "tenant-gate", "config": {"allow": ["acme", "globex"]}}]"#, inbound: true, adding: [TenantGate.self])
    }

    @Test("A request of a listed tenant passes")
    func listed() throws {
        let harness = try harness()
        #expect(harness.send(.get("/", headers: ["x-tenant": "acme"])).reachedUpstream)
        #expect(harness.stat("weft_tenant_gate_denied_total") == 0)
    }

    @Test("Without a tenant, with another, or with two, it is answered 403 and counted")
    func others() throws {
        let harness = try harness()
        var twice = HarnessRequest.get("/")
        twice.headers = [("X-Tenant", "acme"), ("x-tenant", "acme")]
        for request in [.get("/"), .get("/", headers: ["x-tenant": "Acme"]), twice] {
            let answer = harness.send(request)
            #expect(answer.status == 403)
            #expect(answer.body == "unknown tenant\n")
            #expect(answer.reason == "tenant not listed")
            #expect(!answer.reachedUpstream)
        }
        #expect(harness.stat("weft_tenant_gate_denied_total") == 3)
    }

    @Test("An empty list is refused when the chain is built")
    func emptyList() {
        #expect(throws: ChainHarness.Refused.self) {
            try ChainHarness(#"[{"filter": "tenant-gate", "config": {"allow": []}}]"#, adding: [TenantGate.self])
        }
    }
}
