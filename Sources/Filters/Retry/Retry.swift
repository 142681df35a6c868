package import Pipeline

/// Tries again what failed below it, if that is safe and the upstream's budget pays for it.
///
/// What is safe is decided by `RetryPolicy`; here the exchange is put into its words.
package final class Retry: RequestHeadFilter, ResponseHeadFilter, FailureFilter {
    package static let name: FilterName = "retry"
    package static let summary = "tries again what is safe to try again, under a budget"
    package typealias Config = RetryConfig

    private struct Pass: BitwiseCopyable {
        /// Whose budget pays.
        var upstream = LabelID(number: 0)
        var retries: UInt8 = 0
    }

    private static let reason: HeaderName = "x-weft-reason"

    private let reason: HeaderName
    private let policy: RetryPolicy
    private let backoff: Backoff
    private let budget: RetryBudget.Policy
    private let bodyLimit: Int
    private let budgets: KeyedTable<RetryBudget>
    private let pass: Slot<Pass>
    private let retries: Counter
    private let successes: Counter
    private let budgetExhausted: Counter
    private let limitExceeded: Counter
    private let untracked: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        reason = Self.reason
        policy = config.policy
        backoff = Backoff(base: config.backoff.base, max: config.backoff.max)
        budget = RetryBudget.Policy(
            ratioPercent: config.budget.percent.fraction * 100, minPerSecond: UInt32(clamping: config.budget.minPerSecond))
        bodyLimit = Int(config.bodyLimit.count)
        budgets = stage.table(RetryBudget(), subject: "upstream")
        pass = stage.slot(Pass.self)
        retries = stage.counter("retries_total", "Tries beyond the first.")
        successes = stage.counter("retry_successes_total", "Requests that a retry saved.")
        budgetExhausted = stage.counter("budget_exhausted_total", "Retries not made because the upstream's budget was spent.")
        limitExceeded = stage.counter("limit_exceeded_total", "Requests given up after maxRetries, flag URX.")
        untracked = stage.counter("untracked_total", "Retries not made because 4,096 upstreams have a budget already.")
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        guard policy.maxRetries > 0 else { return .next }
        exchange.keepBody(upTo: bodyLimit)
        let upstream = exchange.storage.pointee.destination.upstreamLabel
        exchange[pass] = Pass(upstream: upstream)
        budgets.state(for: UInt64(upstream.number))?.deposit(budget, at: exchange.now)
        return .next
    }

    package func onResponseHead(_ exchange: borrowing Exchange) -> ResponseVerdict {
        guard policy.maxRetries > 0 else { return .next }
        if let delay = delayBeforeRetry(after: failure(of: exchange), exchange) { return .retry(after: delay) }
        return .next
    }

    package func onFailure(_ exchange: borrowing Exchange, _ error: ProxyError) -> FailureVerdict {
        guard policy.maxRetries > 0 else { return .pass }
        if let delay = delayBeforeRetry(after: failure(of: error), exchange) { return .retry(after: delay) }
        return .pass
    }

    /// Nil: let it climb as it is.
    private func delayBeforeRetry(after failure: RetryPolicy.Failure, _ exchange: borrowing Exchange) -> Nanoseconds? {
        var current = exchange[pass]
        switch policy.decide(failure, method: exchange.request.method, retries: current.retries, bodyKept: exchange.canRetry) {
        case .giveUp(.exhausted):
            limitExceeded.increment()
            exchange.storage.pointee.flag = .URX
            return nil
        case .giveUp:
            if current.retries > 0, case .status(let status) = failure, status < 500 { successes.increment() }
            return nil
        case .retry:
            guard let purse = budgets.state(for: UInt64(current.upstream.number)) else {
                untracked.increment()
                return nil
            }
            guard purse.withdraw(budget, at: exchange.now) else {
                budgetExhausted.increment()
                return nil
            }
            current.retries += 1
            exchange[pass] = current
            retries.increment()
            var random = exchange.random
            let delay = backoff.delay(beforeRetry: Int(current.retries), using: &random)
            exchange.random = random
            return delay
        }
    }

    // MARK: In the policy's words

    private func failure(of exchange: borrowing Exchange) -> RetryPolicy.Failure {
        let status = UInt16(clamping: exchange.response.status)
        if exchange.response.isLocalReply { return status == 403 || status == 429 ? .denied : .status(status) }
        let answer = exchange.storage.pointee.grpcStatus.map { RetryPolicy.Failure.grpcStatus($0.rawValue) } ?? .status(status)
        // An application may send such a header too; only a sidecar's word counts.
        guard exchange.storage.pointee.endpointIsPeer, let word = exchange.response.headers[reason] else { return answer }
        if word.equals("UF") || word.equals("UH") || word.equals("UO") || word.equals("OM") { return .peerUnsent }
        if word.equals("RL") || word.equals("AZ") { return .denied }
        return answer
    }

    private func failure(of error: ProxyError) -> RetryPolicy.Failure {
        switch error.kind {
        case .connectFailed, .connectTimedOut, .tlsFailed: .connect
        case .upstreamReset, .upstreamProtocol: error.isProvablyUnsent ? .closedUnsent : .resetBeforeHead
        case .responseCut: .resetAfterHead
        case .timedOut: .timeout
        case .overflow: .breaker
        case .noEndpoint: .noEndpoint
        case .noRoute, .unknownDestination, .editsTooLarge, .suspendedTooLong, .filterFailed, .overloaded, .downstreamProtocol,
            .downstreamTimedOut, .downstreamGone, .tunnelIdle, .accessRevoked, .shuttingDown:
            .denied
        }
    }
}
