import Pipeline
import Testing
import WeftTesting

/// ARCHITECTURE §6, word for word.
final class TenantGate: RequestHeadFilter {
    static let name: FilterName = "tenant-gate"

    struct Config: FilterConfig {
        let header: HeaderName
        let allow: WordSet
        init(_ fields: inout ConfigFields) {
            header = fields.read("header", default: "x-tenant", "Request header that names the tenant.")
            allow = fields.read("allow", "Tenants that may pass.", .nonEmpty)
        }
    }

    let config: Config
    let denied: Counter

    init(_ config: Config, _ stage: inout StageSetup) {
        self.config = config
        denied = stage.counter("denied_total", "Requests answered 403 for want of a listed tenant.")
    }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if let tenant = exchange.request.headers[config.header], config.allow.contains(tenant) { return .next }
        denied.increment()
        return .reply(403, "unknown tenant\n", because: "tenant not listed")
    }
}

@Suite("The example of ARCHITECTURE §6")
struct ExampleTests {
    @Test("It compiles as it stands there, and works")
    func works() throws {
        let harness = try ChainHarness(#"[{"filter":"tenant-gate","config":{"allow":["acme"]}}]"#, adding: [TenantGate.self])
        #expect(harness.send(.get("/", headers: ["x-tenant": "acme"])).status == 200)
        #expect(harness.send(.get("/")).status == 403)
    }
}
