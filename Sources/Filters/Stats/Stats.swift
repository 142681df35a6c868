package import Pipeline

/// Counts what passes it. The topmost one of a chain also counts every call by source, destination, version, route, status and who
/// answered.
package final class Stats: RequestHeadFilter, StreamFilter {
    package static let name: FilterName = "stats"
    package static let summary = "counts every call with its status and latency"

    package struct Config: FilterConfig {
        package init(_ fields: inout ConfigFields) {}
    }

    private static let reason: HeaderName = "x-weft-reason"

    private let began: Slot<Instant>
    private let inFlight: Gauge
    private let passes: Counter
    private let failures: Counter
    private let cancelled: Counter
    private let duration: Histogram
    private let tunnels: Counter
    private let tunnelRequestBytes: Counter
    private let tunnelResponseBytes: Counter
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
        duration = stage.histogram("duration_seconds", "Time from the request's head to the end; for a tunnel, until it opened.")
        tunnels = stage.counter("tunnels_total", "Tunnels (WebSocket and other upgrades) and TCP connections that have ended.")
        tunnelRequestBytes = stage.counter("tunnel_request_bytes_total", "Bytes that they carried from the caller to the service.")
        tunnelResponseBytes = stage.counter("tunnel_response_bytes_total", "Bytes that they carried from the service to the caller.")
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

    package func onStream(_ exchange: borrowing Exchange) -> StreamVerdict {
        exchange[began] = exchange.now
        inFlight.increment()
        return .next
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        if exchange.isStream { return streamEnded(exchange, outcome) }
        let isTunnel = outcome.status == 101
        // How long a tunnel lives says nothing about how quickly the service answers.
        let elapsed = (isTunnel ? exchange.storage.pointee.responseStartedAt : exchange.now) - exchange[began]
        inFlight.decrement()
        passes.increment()
        duration.record(elapsed)
        switch outcome.kind {
        case .cancelled: cancelled.increment()
        case .failed: failures.increment()
        case .completed, .replied, .superseded: if outcome.status >= 500 || outcome.status == 0 || outcome.grpcStatus?.isFailure == true { failures.increment() }
        }
        if isTunnel {
            tunnels.increment()
            tunnelRequestBytes.add(exchange.storage.pointee.requestBytes)
            tunnelResponseBytes.add(exchange.storage.pointee.responseBytes)
        }
        guard let calls else { return }
        let destination = exchange.storage.pointee.destination
        let source = isInbound ? exchange.source.peer.map(\.pointee.serviceLabel) ?? .unknown : ownService
        calls.record(
            CallKey(
                reporter: isInbound ? .destination : .source, source: source, destination: destination.serviceLabel,
                version: destination.versionLabel, route: destination.routeLabel,
                status: outcome.grpcStatus.map(CallCode.of) ?? outcome.status, answeredBy: answerer(exchange, outcome)),
            latency: elapsed)
    }

    /// A stream has no latency and no success: how long it lasted is what is told, and why it ended if not by its own ends.
    private func streamEnded(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        passes.increment()
        if outcome.kind == .cancelled { cancelled.increment() }
        if outcome.kind == .failed { failures.increment() }
        tunnels.increment()
        tunnelRequestBytes.add(exchange.storage.pointee.requestBytes)
        tunnelResponseBytes.add(exchange.storage.pointee.responseBytes)
        defer { inFlight.decrement() }
        guard let calls else { return }
        let destination = exchange.storage.pointee.destination
        let source = isInbound ? exchange.source.peer.map(\.pointee.serviceLabel) ?? .unknown : ownService
        calls.record(
            CallKey(
                reporter: isInbound ? .destination : .source, source: source, destination: destination.serviceLabel,
                version: destination.versionLabel, route: destination.routeLabel, status: outcome.error?.status ?? 0, answeredBy: .stream),
            latency: exchange.now - exchange[began])
    }

    /// A sidecar's answer carries a flag: here, or as the word of the peer in front of the service. What a filter answers without one
    /// is part of what the service says.
    private func answerer(_ exchange: borrowing Exchange, _ outcome: Outcome) -> CallKey.Answerer {
        if exchange.response.isLocalReply { return exchange.storage.pointee.flag == .none ? .service : .mesh }
        // Only of an answer that came to its end are the headers certain to be there still.
        guard outcome.kind == .completed, outcome.status >= 400 || (outcome.grpcStatus ?? .ok) != .ok, exchange.storage.pointee.endpointIsPeer else { return .service }
        return exchange.response.headers[Self.reason] == nil ? .service : .mesh
    }
}
