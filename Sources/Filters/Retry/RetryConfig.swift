package import Pipeline

package struct RetryConfig: FilterConfig {
    package enum Condition: String, CaseIterable, ConfigValue {
        case connectFailure = "connect-failure"
        case reset, timeout, status, overflow
    }

    /// Envoy's list: what may befall a service that has done nothing.
    package enum GRPCCondition: String, CaseIterable, ConfigValue {
        case cancelled, `internal`, unavailable
        case deadlineExceeded = "deadline-exceeded"
        case resourceExhausted = "resource-exhausted"

        var status: GRPCStatus {
            switch self {
            case .cancelled: .cancelled
            case .internal: .internal
            case .unavailable: .unavailable
            case .deadlineExceeded: .deadlineExceeded
            case .resourceExhausted: .resourceExhausted
            }
        }
    }

    package struct Wait: ConfigRecord {
        let base: Nanoseconds
        let max: Nanoseconds
        package init(_ fields: inout ConfigFields) {
            base = fields.read(
                "base", default: .milliseconds(25), "Upper bound of the first wait; it doubles with each retry, the wait is random below it.",
                .in(.zero ... .seconds(60)))
            max = fields.read("max", default: .milliseconds(250), "No upper bound is longer.", .in(.zero ... .seconds(60)))
        }
    }

    package struct Budget: ConfigRecord {
        let percent: Percentage
        let minPerSecond: Int
        package init(_ fields: inout ConfigFields) {
            percent = fields.read("percent", default: .percent(20), "Retries allowed as a share of the requests.")
            minPerSecond = fields.read(
                "minPerSecond", default: 10, "Retries allowed each second however little traffic there is.", .in(0...1_000_000))
        }
    }

    /// Tries of one exchange beyond the first.
    static let retriesMax = 25

    let maxRetries: Int
    let on: [Condition]
    let statuses: StatusSet
    let grpcStatuses: [GRPCCondition]
    let retryNonIdempotent: Bool
    let backoff: Wait
    let budget: Budget
    let bodyLimit: ByteCount

    package init(_ fields: inout ConfigFields) {
        maxRetries = fields.read("maxRetries", default: 2, "Tries beyond the first; 0: none.", .in(0...Self.retriesMax))
        on = fields.read(
            "on", default: Condition.allCases,
            "What is retried: no connection, a connection lost before the answer, a deadline below, one of `statuses`, a breaker's refusal.")
        statuses = fields.read("statuses", default: .gatewayErrors, "Answers of the service that are retried.")
        grpcStatuses = fields.read(
            "grpcStatuses", default: [],
            "Statuses of gRPC calls that are retried, whatever the call, if nothing of the answer has gone out: those with which the service says it did nothing.")
        retryNonIdempotent = fields.read(
            "retryNonIdempotent", default: false,
            "Also retry POST and PATCH that may have reached the service; only where it recognises repeats.")
        backoff = fields.read("backoff", "How long to wait before a retry.")
        budget = fields.read("budget", "How many retries one upstream gets from this sidecar.")
        bodyLimit = fields.read(
            "bodyLimit", default: .kibibytes(64), "Bytes of a request's body kept for a retry; a longer one is not retried once it is gone.",
            .in(ByteCount(0)...ByteCount.mebibytes(16)))
    }

    var policy: RetryPolicy {
        var conditions: RetryPolicy.Conditions = []
        for condition in on {
            switch condition {
            case .connectFailure: conditions.insert(.connectFailure)
            case .reset: conditions.insert(.reset)
            case .timeout: conditions.insert(.timeout)
            case .status: conditions.insert(.status)
            case .overflow: conditions.insert(.breaker)
            }
        }
        var policy = RetryPolicy(
            maxRetries: UInt8(clamping: maxRetries), conditions: conditions, statuses: statuses, retryNonIdempotent: retryNonIdempotent)
        for condition in grpcStatuses { policy.grpcStatuses |= 1 << UInt32(condition.status.rawValue) }
        return policy
    }
}
