package import Pipeline

/// Lets a call through only if the access policies of the called service say so; otherwise 403, flag AZ, naming policy and
/// rule; a raw stream is closed. Inbound it protects its own service; outbound it spares callers the way to one that would refuse them.
package final class Authz: ConnectionFilter, RequestHeadFilter, StreamFilter, ReviewFilter {
    package static let name: FilterName = "authz"
    package static let summary = "refuses calls that access policies do not allow (403)"

    package struct Config: FilterConfig {
        package enum Mode: String, CaseIterable, ConfigValue { case enforce, shadow }

        let mode: Mode

        package init(_ fields: inout ConfigFields) {
            mode = fields.read("mode", default: .enforce, "Refuse what the policies deny, or only count it.")
        }
    }

    private let memory = PinnedMemory()
    private let table: AccessTable
    /// Outbound; there `table` is not asked.
    private let callees: CalleeTables
    private let isInbound: Bool
    private let isShadow: Bool
    /// Of this service for http, where it has but one; 0: not known.
    private let ownPort: UInt16
    private let allowed: Counter
    private let denied: Counter
    private let shadowDenied: Counter
    private let revoked: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        isShadow = config.mode == .shadow
        allowed = stage.counter("allowed_total", "Requests, and TCP connections, let through.")
        denied = stage.counter("denied_total", "Requests answered 403, and TCP connections closed.")
        shadowDenied = stage.counter(
            "shadow_denied_total", "Requests let through that mode enforce, or enforcing the policies in shadow, would have answered 403.")
        revoked = stage.counter("revoked_total", "Tunnels and TCP connections cut because the policies changed and no longer allow them.")
        let traffic = stage.snapshot?.traffic
        let own = traffic?.services.filter { $0.name == traffic?.workload.service && $0.namespace == traffic?.workload.namespace } ?? []
        let http = own.filter { !$0.isStream }
        ownPort = http.count == 1 ? UInt16(clamping: http[0].port) : 0
        // While it is only being described there is nothing to protect.
        table = AccessTable(
            stage.snapshot?.access ?? AccessPart(allowsByDefault: false), trustDomain: stage.snapshot?.trust.trustDomain ?? "",
            in: memory)
        isInbound = stage.isInbound
        callees = CalleeTables(stage.isInbound ? nil : stage.snapshot, in: memory)
    }

    /// On an HTTP listener every request is decided by itself, and answered; a connection is let through. A raw stream is decided
    /// here, by who calls which port, before a byte of it is read.
    package func onConnection(_ connection: borrowing Connection) -> ConnectionVerdict {
        guard isInbound, connection.isStream else { return .next }
        let decision = table.decide(
            AccessTable.Call(peer: connection.source.peer, port: port(of: connection.storage), method: nil, path: nil))
        return decide(decision, again: connection.isAskedAgain)
    }

    /// Outbound, where the destination is known only now.
    package func onStream(_ exchange: borrowing Exchange) -> StreamVerdict {
        guard !isInbound, let decision = callees.decide(exchange), case .refuse(let reason) = decide(decision, again: false) else { return .next }
        return .refuse(ProxyError(.accessRevoked, isProvablyUnsent: true), because: reason)
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {}

    private func decide(_ decision: AccessTable.Decision, again: Bool) -> ConnectionVerdict {
        guard decision.isAllowed || isShadow else {
            (again ? revoked : denied).increment()
            return .refuse(because: decision.reason)
        }
        if again { return .next }
        allowed.increment()
        if !decision.isAllowed || !decision.isAllowedWithShadow { shadowDenied.increment() }
        return .next
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        guard let decision = decision(on: exchange) else { return .next }
        if decision.isAllowed || isShadow {
            allowed.increment()
            if !decision.isAllowed || !decision.isAllowedWithShadow { shadowDenied.increment() }
            return .next
        }
        denied.increment()
        return .reply(403, pinned: decision.body, because: decision.reason, flag: .AZ)
    }

    package func onReview(_ exchange: borrowing Exchange) -> ConnectionVerdict {
        // The connection phase has just been asked the same.
        if isInbound, exchange.isStream { return .next }
        guard let decision = decision(on: exchange), !decision.isAllowed, !isShadow else { return .next }
        revoked.increment()
        return .refuse(because: decision.reason)
    }

    private func decision(on exchange: borrowing Exchange) -> AccessTable.Decision? {
        isInbound ? decide(exchange) : callees.decide(exchange)
    }

    private func decide(_ exchange: borrowing Exchange) -> AccessTable.Decision {
        table.decide(
            AccessTable.Call(
                peer: exchange.source.peer, port: port(of: exchange.storage.pointee.connection), method: exchange.storage.pointee.request.methodText,
                path: exchange.storage.pathNow))
    }

    private func port(of connection: UnsafeMutablePointer<ConnectionStorage>) -> UInt16 {
        connection.pointee.servicePort > 0 ? connection.pointee.servicePort : ownPort
    }
}
