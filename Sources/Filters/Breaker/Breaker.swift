package import Pipeline

/// Guards each upstream: at most so many calls at once, and none for a while after so many failures in a row. 503, flag UO.
package final class Breaker: RequestHeadFilter, OutcomeFilter {
    package static let name: FilterName = "breaker"
    package static let summary = "limits calls to an upstream, and shuts it off while it fails (503)"

    package struct Config: FilterConfig {
        package struct Wait: ConfigRecord {
            let base: Nanoseconds
            let max: Nanoseconds
            package init(_ fields: inout ConfigFields) {
                base = fields.read("base", default: .seconds(1), "The first wait; it doubles with each failed probe.", .atLeast(.milliseconds(1)))
                max = fields.read("max", default: .seconds(60), "No wait is longer, the random part of up to half included.", .atLeast(.milliseconds(1)))
            }
        }

        let maxRequests: Int
        let consecutiveFailures: Int
        let backoff: Wait
        let probeDeadline: Nanoseconds

        package init(_ fields: inout ConfigFields) {
            maxRequests = fields.read(
                "maxRequests", default: 1024, "Calls to one upstream at once, over all threads of the sidecar; 0 refuses all.", .in(0...1_000_000))
            consecutiveFailures = fields.read(
                "consecutiveFailures", default: 5, "Failures in a row that trip it; 0: never.", .in(0...1000))
            backoff = fields.read("backoff", "How long nothing goes once it has tripped.")
            probeDeadline = fields.read(
                "probeDeadline", default: .seconds(10), "A probe that has said nothing by then no longer counts, and another may go.",
                .in(.milliseconds(1) ... .seconds(3600)))
        }
    }

    /// What a pass took, and of which upstream. All zero: nothing.
    private struct Held: BitwiseCopyable {
        var permit = CircuitBreaker.Permit()
        var upstream = LabelID(number: 0)
    }

    private let policy: CircuitBreaker.Policy
    private let breakers: KeyedTable<CircuitBreaker>
    private let held: Slot<Held>
    private let active: Gauge
    private let tripped: Gauge
    private let trippedTotal: Counter
    private let recovered: Counter
    private let refused: Counter
    private let untracked: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        policy = CircuitBreaker.Policy(
            maxRequests: UInt32(clamping: config.maxRequests),
            accrual: FailureAccrual.Policy(
                consecutiveFailures: UInt16(clamping: config.consecutiveFailures), backoffBase: config.backoff.base,
                backoffMax: config.backoff.max, probeDeadline: config.probeDeadline))
        breakers = stage.table(CircuitBreaker(), subject: "upstream")
        held = stage.slot(Held.self)
        active = stage.gauge("active", "Calls that hold a permit.")
        tripped = stage.gauge("state", "Upstreams that are shut off: 0 means that all flow.")
        trippedTotal = stage.counter("tripped_total", "Times an upstream was shut off.")
        recovered = stage.counter("recovered_total", "Times a probe succeeded and calls flowed again.")
        refused = stage.counter("refused_total", "Calls refused with 503, flag UO.")
        untracked = stage.counter("untracked_total", "Calls let through unguarded because 4,096 upstreams are guarded already.")
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        let destination = exchange.storage.pointee.destination
        // Bound nowhere: the router will say so.
        guard destination.upstream >= 0 else { return .next }
        guard let breaker = breakers.state(for: UInt64(destination.upstreamLabel.number)) else {
            untracked.increment()
            return .next
        }
        switch breaker.admit(policy, at: exchange.now) {
        case .admit(let permit):
            exchange[held] = Held(permit: permit, upstream: destination.upstreamLabel)
            active.increment()
            return .next
        case .refuse(let refusal):
            refused.increment()
            let error = ProxyError(.overflow, isProvablyUnsent: true)
            switch refusal {
            case .tooManyRequests: return .fail(error, because: "maxRequests of the breaker are out")
            case .tripped: return .fail(error, because: "the upstream failed too often in a row")
            case .probing: return .fail(error, because: "a probe of the upstream is out")
            }
        }
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        var taken = exchange[held]
        guard taken.permit.kind != .none, let breaker = breakers.state(for: UInt64(taken.upstream.number)) else { return }
        let wasProbe = taken.permit.kind == .probe
        var random = exchange.random
        let report = outcome.report(isLocalReply: exchange.response.isLocalReply)
        let effect = breaker.finish(&taken.permit, report, policy, at: exchange.now, using: &random)
        exchange.random = random
        exchange[held] = taken
        active.decrement()
        switch effect {
        case .none: break
        case .tripped:
            // A probe that fails leaves it as it was: shut off.
            if !wasProbe {
                tripped.increment()
                trippedTotal.increment()
            }
        case .recovered:
            tripped.decrement()
            recovered.increment()
        }
    }
}
