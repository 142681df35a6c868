public import Pipeline

/// Lets a request through only if it names a tenant on the list; answers 403 otherwise.
public final class TenantGate: RequestHeadFilter {
    public static let name: FilterName = "tenant-gate"
    public static let summary = "lets listed tenants through, by a header (403)"

    public struct Config: FilterConfig {
        let header: HeaderName
        let allow: WordSet
        public init(_ fields: inout ConfigFields) {
            header = fields.read("header", default: "x-tenant", "Request header that names the tenant.")
            allow = fields.read("allow", "Tenants that may pass.", .nonEmpty)
        }
    }

    let config: Config
    let denied: Counter

    public init(_ config: Config, _ stage: inout StageSetup) {
        self.config = config
        denied = stage.counter("denied_total", "Requests answered 403 for want of a listed tenant.")
    }

    public func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if let tenant = exchange.request.headers[config.header], config.allow.contains(tenant) { return .next }
        denied.increment()
        return .reply(403, "unknown tenant\n", because: "tenant not listed")
    }
}
