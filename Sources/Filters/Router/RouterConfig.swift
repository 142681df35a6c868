package import Pipeline

package struct RouterConfig: FilterConfig {
    package struct Wait: ConfigRecord {
        let base: Nanoseconds
        let max: Nanoseconds
        package init(_ fields: inout ConfigFields) {
            base = fields.read("base", default: .seconds(1), "The first wait; it doubles with each failed probe.", .atLeast(.milliseconds(1)))
            max = fields.read("max", default: .seconds(60), "No wait is longer, the random part of up to half included.", .atLeast(.milliseconds(1)))
        }
    }

    package struct Ejection: ConfigRecord {
        let consecutiveFailures: Int
        let backoff: Wait
        let maxEjectionPercent: Percentage

        package init(_ fields: inout ConfigFields) {
            consecutiveFailures = fields.read(
                "consecutiveFailures", default: 5, "Failures in a row that put an endpoint aside; 0: never.", .in(0...1000))
            backoff = fields.read("backoff", "How long it gets nothing before one request probes it.")
            maxEjectionPercent = fields.read(
                "maxEjectionPercent", default: .percent(50), "Of a version's endpoints, at most this share is put aside at once; one always may, the last never.")
        }
    }

    let ejection: Ejection
    let panicThreshold: Percentage

    package init(_ fields: inout ConfigFields) {
        ejection = fields.read("ejection", "When an endpoint that fails is put aside.")
        panicThreshold = fields.read(
            "panicThreshold", default: .percent(50), "With fewer healthy endpoints than this share, health is ignored: rather all than too few.")
    }

    var policy: EndpointSet.Policy {
        EndpointSet.Policy(
            accrual: FailureAccrual.Policy(
                consecutiveFailures: UInt16(clamping: ejection.consecutiveFailures), backoffBase: ejection.backoff.base,
                backoffMax: ejection.backoff.max),
            maxEjectionPercent: Int(ejection.maxEjectionPercent.millionths / 10_000), panicPercent: Int(panicThreshold.millionths / 10_000))
    }
}
