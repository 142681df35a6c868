package import Pipeline

/// Counts what passes it. The topmost one of a chain also counts every call by source, destination, version, route and status.
package final class Stats: RequestHeadFilter, OutcomeFilter {
    package static let name: FilterName = "stats"
    package static let summary = "counts every call with its status and latency"

    package struct Config: FilterConfig {
        package init(_ fields: inout ConfigFields) {}
    }

    private let began: Slot<Instant>
    private let inFlight: Gauge
    private let passes: Counter
    private let failures: Counter
    private let cancelled: Counter
    private let duration: Histogram
    /// Nil below another `stats`: every call is counted once.
    private let calls: CallStats?
    private let isInbound: Bool
    private let ownService: LabelID

    package init(_ config: Config, _ stage: inout StageSetup) {
        began = stage.slot(Instant.self)
        inFlight = stage.gauge("in_flight", "Exchanges (below retry: attempts) that are under way.")
        passes = stage.counter("passes_total", "Exchanges (below retry: attempts) that have ended.")
        failures = stage.counter("failures_total", "Of these, how many failed or were answered 500 and above.")
        cancelled = stage.counter("cancelled_total", "Of these, how many ended because the caller went away or a deadline above passed.")
        duration = stage.histogram("duration_seconds", "Time from the request's head to the end.")
        isInbound = stage.isInbound
        let chain = stage.isInbound ? stage.snapshot?.chain.inbound : stage.snapshot?.chain.outbound
        let topmost = chain?.first { $0.filter == "stats" }?.id
        calls = topmost == stage.id ? stage.context.calls[stage.loop] : nil
        let own = stage.snapshot?.traffic.workload
        ownService = own.map { stage.context.labels.service($0.service, namespace: $0.namespace) } ?? .unknown
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange[began] = exchange.now
        inFlight.increment()
        return .next
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        let elapsed = exchange.now - exchange[began]
        inFlight.decrement()
        passes.increment()
        duration.record(elapsed)
        switch outcome.kind {
        case .cancelled: cancelled.increment()
        case .failed: failures.increment()
        case .completed, .replied, .superseded: if outcome.status >= 500 || outcome.status == 0 { failures.increment() }
        }
        guard let calls else { return }
        let destination = exchange.storage.pointee.destination
        let source = isInbound ? exchange.source.peer.map(\.pointee.serviceLabel) ?? .unknown : ownService
        calls.record(
            CallKey(
                reporter: isInbound ? .destination : .source, source: source, destination: destination.serviceLabel,
                version: destination.versionLabel, route: destination.routeLabel, status: outcome.status),
            latency: elapsed)
    }
}
