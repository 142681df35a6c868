package import Pipeline

/// Limits how often: per source, per route, in total. 429, flag RL, with `Retry-After`; a raw stream takes one token, and is closed.
package final class RateLimit: ConnectionFilter, RequestHeadFilter {
    package static let name: FilterName = "ratelimit"
    package static let summary = "limits how often: per source, per route, in total (429)"
    package typealias Config = RateLimitConfig

    /// One rule, ready to run. Plain old data.
    private struct Limit: BitwiseCopyable {
        let key: AccessPart.Key
        let matches: TableRange
        /// Its matches ask for nothing that only a request has.
        let takesStreams: Bool
        let policy: TokenBucket.Policy
        /// For `source` and `route`.
        let buckets: KeyedTable<TokenBucket>?
        /// For `total`.
        let bucket: Shared<TokenBucket>?
        let reason: Reason
        /// For a stream that it should have counted by what only a request has.
        let streamReason: Reason
        let body: Bytes
    }

    private static let retryAfter: HeaderName = "retry-after"
    /// The one bucket of all callers without identity.
    private static let external: UInt64 = 1 << 40

    /// Holds what `limits` and `patterns` point to.
    private let memory: PinnedMemory
    private let limits: PinnedTable<Limit>
    private let patterns: PinnedTable<RequestPattern>
    private let isShadow: Bool
    private let allowed: Counter
    private let limited: Counter
    private let shadowLimited: Counter
    private let untracked: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        let memory = PinnedMemory()
        self.memory = memory
        isShadow = config.mode == .shadow
        allowed = stage.counter("allowed_total", "Requests, and TCP connections, within every limit.")
        limited = stage.counter("limited_total", "Requests answered 429, and TCP connections closed.")
        shadowLimited = stage.counter("shadow_limited_total", "Requests that mode enforce would have answered 429.")
        untracked = stage.counter("untracked_total", "Requests of sources or routes that found no room among 4,096 buckets; the total alone limits them.")
        var patterns: [RequestPattern] = []
        var limits: [Limit] = []
        var seen: [String: Int] = [:]
        // The identity's limit comes first, so that one caller cannot use up what all share.
        let order: [AccessPart.Key] = [.source, .route, .total]
        let rules = RateRule.all(config, stage)
        for rule in order.flatMap({ key in rules.filter { $0.key == key } }) {
            let start = patterns.count
            patterns += rule.matches.map { RequestPattern($0, in: memory) }
            let repetition = seen[rule.subject, default: 0]
            seen[rule.subject] = repetition + 1
            let subject = repetition == 0 ? rule.subject : "\(rule.subject) #\(repetition + 1)"
            limits.append(
                Limit(
                    key: rule.key, matches: TableRange(start: start, count: rule.matches.count),
                    takesStreams: rule.matches.isEmpty || rule.matches.contains(where: \.takesStreams),
                    policy: TokenBucket.Policy(tokens: rule.rate.count, per: rule.rate.period, burst: Int64(rule.burst)),
                    buckets: rule.key == .total ? nil : stage.table(TokenBucket(), subject: subject),
                    bucket: rule.key == .total ? stage.shared(TokenBucket(), subject: subject) : nil,
                    reason: memory.reason("\(rule.description): more than \(rule.limit)"),
                    streamReason: memory.reason("\(rule.description) asks for what only HTTP has, which this is not: declare the port's protocol as tcp, or leave its matches out"),
                    body: memory.text("too many requests: \(rule.description) allows \(rule.limit)\n")))
        }
        self.patterns = memory.table(patterns)
        self.limits = memory.table(limits)
    }

    /// A stream counts when it comes, not again when the config changes.
    package func onConnection(_ connection: borrowing Connection) -> ConnectionVerdict {
        guard connection.isStream, !connection.isAskedAgain else { return .next }
        var index = 0
        while index < limits.count {
            let limit = limits[index]
            index &+= 1
            if !limit.takesStreams, connection.storage.pointee.isUndeclared, !isShadow { return .refuse(because: limit.streamReason) }
            guard limit.takesStreams, let bucket = bucket(of: limit, source: connection.source.peer, route: 0),
                case let answer = bucket.update({ $0.take(limit.policy, at: connection.now) }), answer != .taken
            else { continue }
            guard !isShadow else {
                shadowLimited.increment()
                return .next
            }
            limited.increment()
            return .refuse(because: limit.reason)
        }
        allowed.increment()
        return .next
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        var index = 0
        while index < limits.count {
            let limit = limits[index]
            let match = patterns.firstMatch(in: limit.matches, exchange)
            // Outbound a rule of the Route; inbound, where there is none, an entry of `matches`.
            let route = UInt64(exchange.storage.pointee.destination.routeLabel.number) << 32 | UInt64(UInt32(truncatingIfNeeded: match))
            if match >= 0, let bucket = bucket(of: limit, source: exchange.source.peer, route: route) {
                switch bucket.update({ $0.take(limit.policy, at: exchange.now) }) {
                case .taken: break
                case .refused(let wait): return refuse(exchange, limit, retryAfter: wait)
                case .refusedForGood: return refuse(exchange, limit, retryAfter: nil)
                }
            }
            index &+= 1
        }
        allowed.increment()
        return .next
    }

    private func bucket(of limit: Limit, source: UnsafePointer<PeerRecord>?, route: UInt64) -> Shared<TokenBucket>? {
        guard let buckets = limit.buckets else { return limit.bucket }
        let key: UInt64 =
            switch limit.key {
            case .source: source.map { UInt64($0.pointee.id) } ?? Self.external
            case .route: route
            case .total: 0
            }
        if let bucket = buckets.state(for: key) { return bucket }
        untracked.increment()
        return nil
    }

    private func refuse(_ exchange: borrowing Exchange, _ limit: Limit, retryAfter: Nanoseconds?) -> RequestVerdict {
        if isShadow {
            shadowLimited.increment()
            return .next
        }
        limited.increment()
        if let wait = retryAfter {
            let seconds = wait.count / 1_000_000_000 + (wait.count % 1_000_000_000 > 0 ? 1 : 0)
            exchange.setResponseHeader(Self.retryAfter, "\(max(1, seconds))")
        }
        return .reply(429, pinned: limit.body, because: limit.reason, flag: .RL)
    }
}
