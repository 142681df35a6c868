package import Pipeline

/// Knows where a request is bound, and picks the endpoint that gets it.
///
/// Outbound: the way in names the service, its Route the version, least load the endpoint. Inbound: the application.
package final class Router: DestinationResolver, StreamFilter {
    package static let name: FilterName = "router"
    package static let summary = "finds where a request is bound and picks the endpoint; last in every chain"
    package typealias Config = RouterConfig

    /// The endpoint of this pass, to be given back. All zero: none.
    private struct Held: BitwiseCopyable {
        var choice = Balancer.Choice()
        var upstream: Int32 = 0
    }

    private let memory = PinnedMemory()
    private let table: RouteTable
    /// Keeps alive what the table's balancers point to.
    private let sets: [EndpointSet]
    private let isInbound: Bool
    private let application: Destination
    private let held: Slot<Held>
    private let ejected: Counter
    private let recovered: Counter
    private let panics: Counter
    private let redrawn: Counter
    private let noEndpoint: Counter
    private let noRoute: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        held = stage.slot(Held.self)
        ejected = stage.counter("ejected_total", "Times an endpoint was put aside because it failed.")
        recovered = stage.counter("recovered_total", "Times an endpoint came back.")
        panics = stage.counter("panic_total", "Requests sent to an endpoint that was put aside, for want of others.")
        redrawn = stage.counter("redrawn_total", "Retries sent to another version because theirs had no endpoint.")
        noEndpoint = stage.counter("no_endpoint_total", "Tries that failed for want of an endpoint, flag UH.")
        noRoute = stage.counter("no_route_total", "Requests that no rule or no service takes, flag NR.")
        isInbound = stage.isInbound
        let traffic = stage.snapshot?.traffic
        application = traffic.map { Self.application($0.workload, stage.context) } ?? Destination()
        let reachable = stage.isInbound ? nil : traffic
        (table, sets) = RouteTable.compile(
            reachable ?? TrafficPart(workload: .init(service: "", namespace: "", version: ""), services: []),
            trustDomain: stage.snapshot?.trust.trustDomain ?? "", scopes: stage.scopes, policy: config.policy, context: stage.context,
            in: memory)
    }

    private static func application(_ own: TrafficPart.WorkloadRef, _ context: BuildContext) -> Destination {
        var destination = Destination()
        destination.upstream = 0
        destination.serviceLabel = context.labels.service(own.service, namespace: own.namespace)
        destination.versionLabel = own.version.isEmpty ? .none : context.labels.id(own.version)
        destination.upstreamLabel = context.upstreams.id("application")
        return destination
    }

    package func resolve(_ exchange: borrowing Exchange) -> Destination {
        let service: Int
        switch exchange.storage.pointee.wayIn {
        case .inbound: return application
        case .servicePort(let index): service = Int(index) < table.services.count ? Int(index) : -1
        case .proxy: service = table.names.value(of: exchange.storage.authorityNow)
        }
        return service >= 0 ? table.destination(service, exchange) : Destination()
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        guard let refusal = handOver(exchange) else { return .next }
        return .fail(refusal.error, because: refusal.reason)
    }

    package func onStream(_ exchange: borrowing Exchange) -> StreamVerdict {
        guard let refusal = handOver(exchange) else { return .next }
        return .refuse(refusal.error, because: refusal.reason)
    }

    /// The endpoint took the connection: that is all that a stream says about it.
    package func onStreamOpen(_ exchange: borrowing Exchange) {
        if isInbound { return }
        var taken = exchange[held]
        guard !taken.choice.isNone else { return }
        var random = exchange.random
        let wasProbe = taken.choice.isProbe
        count(table.upstreams[Int(taken.upstream)].balancer.judge(&taken.choice, .success, at: exchange.now, using: &random), wasProbe)
        exchange.random = random
        exchange[held] = taken
    }

    private struct Refusal {
        let error: ProxyError
        let reason: Reason
    }

    /// Picks the endpoint; why it cannot, if so.
    @inline(__always)
    private func handOver(_ exchange: borrowing Exchange) -> Refusal? {
        if isInbound {
            exchange.storage.pointee.endpoint = exchange.storage.pointee.connection.pointee.application
            return nil
        }
        let destination = exchange.storage.pointee.destination
        guard destination.service >= 0 else {
            noRoute.increment()
            return Refusal(error: ProxyError(.unknownDestination, isProvablyUnsent: true), reason: "no service of the mesh has this name")
        }
        var upstream = destination.upstream
        if upstream < 0, destination.rule < 0 {
            noRoute.increment()
            let service = table.services[Int(destination.service)]
            let reason = exchange.isStream ? service.noStreamRoute : service.noRoute
            return Refusal(error: ProxyError(.noRoute, isProvablyUnsent: true), reason: reason)
        }
        var random = exchange.random
        defer { exchange.random = random }
        if exchange.attempt > 0, upstream < 0 || table.upstreams[Int(upstream)].balancer.isEmpty {
            let other = table.redraw(destination, using: &random)
            if other >= 0 {
                redrawn.increment()
                upstream = other
                table.bind(&exchange.storage.pointee.destination, to: other)
            }
        }
        guard upstream >= 0 else { return fail("the rule has no backend that can be reached") }
        let row = table.upstreams[Int(upstream)]
        guard let choice = row.balancer.pick(avoiding: exchange.storage.pointee.tried, at: exchange.now, using: &random) else {
            return fail(row.noEndpoint)
        }
        if exchange.isStream, exchange.attempt > 0, exchange.storage.pointee.tried.contains(choice.endpoint.id) {
            // There is no other, and this one has just failed.
            var none = choice
            row.balancer.finish(&none, .noWord, at: exchange.now, using: &random)
            let error = exchange.storage.pointee.error ?? ProxyError(.noEndpoint, isProvablyUnsent: true)
            return Refusal(error: error, reason: Reason(pinned: Bytes(error.text)))
        }
        if choice.isPanic { panics.increment() }
        exchange[held] = Held(choice: choice, upstream: upstream)
        let endpoint = choice.endpoint
        exchange.storage.pointee.tried.insert(endpoint.id)
        exchange.storage.pointee.endpoint = Int32(truncatingIfNeeded: endpoint.id & (RouteTable.peerBit - 1))
        exchange.storage.pointee.endpointIsPeer = endpoint.id & RouteTable.peerBit != 0
        exchange.storage.pointee.destination.versionLabel = endpoint.version
        return nil
    }

    private func fail(_ reason: Reason) -> Refusal {
        noEndpoint.increment()
        return Refusal(error: ProxyError(.noEndpoint, isProvablyUnsent: true), reason: reason)
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        if isInbound { return }
        var taken = exchange[held]
        guard !taken.choice.isNone else { return }
        var random = exchange.random
        let report = outcome.report(isLocalReply: exchange.response.isLocalReply)
        let wasProbe = taken.choice.isProbe
        let balancer = table.upstreams[Int(taken.upstream)].balancer
        count(balancer.finish(&taken.choice, report, at: exchange.now, using: &random), wasProbe)
        exchange.random = random
        exchange[held] = taken
    }

    private func count(_ effect: FailureAccrual.Effect, _ wasProbe: Bool) {
        switch effect {
        case .none: break
        case .tripped: if !wasProbe { ejected.increment() }
        case .recovered: recovered.increment()
        }
    }
}
