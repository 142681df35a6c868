internal import Filters
package import Pipeline

/// The filters that every sidecar has; `Weft.main(adding:)` puts others beside them.
package enum StandardFilters {
    package static let all: [any Filter.Type] = [
        TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
    ]
}
