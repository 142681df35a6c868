/// Whether an attempt that failed may be made again: a total function of what happened, what was asked, and what was configured.
///
/// The rule (ARCHITECTURE §9): a request that provably never reached the application may be sent again whatever its method;
/// one that
/// may have reached it only if its method is idempotent, or the operator vouches with `retryNonIdempotent`. What our own
/// stages refuse
/// on purpose (403, 429) is an answer, not a failure: never. Whether the budget pays for it is ``RetryBudget``'s matter.
@frozen
public struct RetryPolicy: BitwiseCopyable, Sendable, Equatable {
    /// What became of an attempt.
    @frozen
    public enum Failure: BitwiseCopyable, Sendable, Equatable {
        /// No connection, or no TLS session: not a byte of the request went out.
        case connect
        /// A connection was had, and closed before a byte of the request went out on it.
        case closedUnsent
        /// A peer sidecar answered and says by `x-weft-reason` that its application never saw the request.
        case peerUnsent
        /// The breaker below refused it.
        case breaker
        /// No endpoint could be picked.
        case noEndpoint
        /// The connection broke after bytes went out and before a final response head.
        case resetBeforeHead
        /// The connection broke after a final response head arrived.
        case resetAfterHead
        /// The attempt's deadline passed before a final response head.
        case timeout
        /// A final response head with this status, from the application.
        case status(UInt16)
        /// The application answered a gRPC call with this status (0…16), and with nothing before it.
        case grpcStatus(UInt8)
        /// This sidecar, or the peer's, refused on purpose: authz, rate limit, a policy.
        case denied

        /// Whether the application provably never saw the request.
        public var isUnsent: Bool {
            switch self {
            case .connect, .closedUnsent, .peerUnsent, .breaker, .noEndpoint: true
            case .resetBeforeHead, .resetAfterHead, .timeout, .status, .grpcStatus, .denied: false
            }
        }
    }

    /// What the operator wants retried.
    @frozen
    public struct Conditions: OptionSet, BitwiseCopyable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `connect`, `closedUnsent`, `peerUnsent`, `noEndpoint`.
        public static let connectFailure = Conditions(rawValue: 1)
        /// `resetBeforeHead`.
        public static let reset = Conditions(rawValue: 2)
        public static let timeout = Conditions(rawValue: 4)
        /// The statuses listed.
        public static let status = Conditions(rawValue: 8)
        public static let breaker = Conditions(rawValue: 16)
        public static let all: Conditions = [.connectFailure, .reset, .timeout, .status, .breaker]
    }

    @frozen
    public enum Decision: BitwiseCopyable, Sendable, Equatable {
        case retry
        case giveUp(Reason)
    }

    /// Why not, for the log; the first that applies.
    @frozen
    public enum Reason: UInt8, BitwiseCopyable, Sendable, CaseIterable {
        /// A refusal on purpose, or a failure nothing can undo.
        case notRetriable
        /// The response has begun to go out to the caller.
        case responseStarted
        /// More of the body was forwarded than was kept.
        case bodyGone
        /// The operator does not want this kind retried.
        case notConfigured
        /// It may have reached the application, and its method is not idempotent.
        case notIdempotent
        /// `maxRetries` were made.
        case exhausted

        public var text: StaticString {
            switch self {
            case .notRetriable: "not retriable"
            case .responseStarted: "response started"
            case .bodyGone: "request body not kept"
            case .notConfigured: "condition not configured"
            case .notIdempotent: "method not idempotent"
            case .exhausted: "retries exhausted"
            }
        }
    }

    /// Tries beyond the first.
    public var maxRetries: UInt8
    public var conditions: Conditions
    public var statuses: StatusSet
    public var retryNonIdempotent: Bool
    /// Statuses of gRPC, a bit each, with which a service says that it has done nothing: whatever the call, it may be made again.
    public var grpcStatuses: UInt32 = 0

    public init(
        maxRetries: UInt8 = 2, conditions: Conditions = .all, statuses: StatusSet = .gatewayErrors, retryNonIdempotent: Bool = false
    ) {
        self.maxRetries = maxRetries
        self.conditions = conditions
        self.statuses = statuses
        self.retryNonIdempotent = retryNonIdempotent
    }

    /// - Parameters:
    ///   - retries: retries made so far for this exchange.
    ///   - responseStarted: a final response head has gone out to the caller.
    ///   - bodyKept: the request's body can be sent again in full.
    public func decide(
        _ failure: Failure, method: Method, retries: UInt8, responseStarted: Bool = false, bodyKept: Bool = true
    ) -> Decision {
        switch failure {
        case .denied, .resetAfterHead: return .giveUp(.notRetriable)
        default: break
        }
        if responseStarted { return .giveUp(.responseStarted) }
        guard wants(failure) else { return .giveUp(.notConfigured) }
        // All of gRPC is POST; by listing a status the operator vouches for it.
        let isVouchedFor = if case .grpcStatus = failure { true } else { retryNonIdempotent }
        guard failure.isUnsent || method.isIdempotent || isVouchedFor else { return .giveUp(.notIdempotent) }
        guard bodyKept else { return .giveUp(.bodyGone) }
        guard retries < maxRetries else { return .giveUp(.exhausted) }
        return .retry
    }

    private func wants(_ failure: Failure) -> Bool {
        switch failure {
        case .connect, .closedUnsent, .peerUnsent, .noEndpoint: conditions.contains(.connectFailure)
        case .breaker: conditions.contains(.breaker)
        case .resetBeforeHead: conditions.contains(.reset)
        case .timeout: conditions.contains(.timeout)
        case .status(let code): conditions.contains(.status) && statuses.contains(code)
        case .grpcStatus(let status): conditions.contains(.status) && grpcStatuses >> UInt32(status) & 1 == 1
        case .denied, .resetAfterHead: false
        }
    }
}
