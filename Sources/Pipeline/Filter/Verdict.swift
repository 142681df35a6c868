/// Where the reason of a verdict stands: a literal of the filter, or text that the snapshot keeps alive.
///
/// Logs, metrics and replies carry it, so that every decision can be traced to a rule of a file.
@frozen
public struct Reason: BitwiseCopyable, Sendable, ExpressibleByStringLiteral {
    package let text: Bytes

    public init(stringLiteral text: StaticString) { self.text = Bytes(text) }

    /// `text` must live as long as the chain that the filter belongs to.
    package init(pinned text: Bytes) { self.text = text }

    public var string: String { text.string }
}

/// What a filter answers in a request phase.
public struct RequestVerdict: BitwiseCopyable, Sendable {
    package enum Kind: UInt8, BitwiseCopyable { case next, reply, fail, suspend }

    package let kind: Kind
    package let status: UInt16
    package let flag: ResponseFlag
    package let error: ProxyError
    package let body: Bytes
    package let reason: Reason
    package let within: Nanoseconds

    package init(
        kind: Kind, status: UInt16 = 0, flag: ResponseFlag = .none, error: ProxyError = ProxyError(.filterFailed),
        body: Bytes = .empty, reason: Reason = "", within: Nanoseconds = .zero
    ) {
        self.kind = kind
        self.status = status
        self.flag = flag
        self.error = error
        self.body = body
        self.reason = reason
        self.within = within
    }

    /// Go on to the stage below.
    public static let next = RequestVerdict(kind: .next)

    /// Answer in place of the service. The reply climbs through the response phases of the stages above.
    public static func reply(_ status: Int, _ body: StaticString = "", because reason: Reason, flag: ResponseFlag = .none)
        -> RequestVerdict
    {
        RequestVerdict(kind: .reply, status: UInt16(clamping: status), flag: flag, body: Bytes(body), reason: reason)
    }

    /// `body` must live as long as the chain.
    package static func reply(_ status: Int, pinned body: Bytes, because reason: Reason, flag: ResponseFlag) -> RequestVerdict {
        RequestVerdict(kind: .reply, status: UInt16(clamping: status), flag: flag, body: body, reason: reason)
    }

    /// Fail the exchange (below `retry`: this attempt). The error climbs through the failure phases of the stages above.
    public static func fail(_ error: ProxyError, because reason: Reason) -> RequestVerdict {
        RequestVerdict(kind: .fail, error: error, reason: reason)
    }

    /// Wait for ``Exchange/resumeToken`` to be resumed from elsewhere; after `within` the exchange fails. Reading stops
    /// meanwhile. Ask for the token before answering this.
    public static func suspend(within: Nanoseconds = .seconds(5)) -> RequestVerdict {
        RequestVerdict(kind: .suspend, within: within)
    }
}

/// What a filter answers to a final response head.
public struct ResponseVerdict: BitwiseCopyable, Sendable {
    package enum Kind: UInt8, BitwiseCopyable { case next, reply, retry }

    package let kind: Kind
    package let status: UInt16
    package let flag: ResponseFlag
    package let body: Bytes
    package let reason: Reason
    package let delay: Nanoseconds

    package init(
        kind: Kind, status: UInt16 = 0, flag: ResponseFlag = .none, body: Bytes = .empty, reason: Reason = "",
        delay: Nanoseconds = .zero
    ) {
        self.kind = kind
        self.status = status
        self.flag = flag
        self.body = body
        self.reason = reason
        self.delay = delay
    }

    /// Let it climb on.
    public static let next = ResponseVerdict(kind: .next)

    /// Answer this in its place; the service's answer is dropped.
    public static func reply(_ status: Int, _ body: StaticString = "", because reason: Reason, flag: ResponseFlag = .none)
        -> ResponseVerdict
    {
        ResponseVerdict(kind: .reply, status: UInt16(clamping: status), flag: flag, body: Bytes(body), reason: reason)
    }

    /// Drop it and enter the stages below once more, after `delay`. Counts as `next` where the body can no longer be
    /// replayed (``Exchange/canRetry``).
    public static func retry(after delay: Nanoseconds) -> ResponseVerdict {
        ResponseVerdict(kind: .retry, delay: delay)
    }
}

/// What a filter answers to a failure below it.
public struct FailureVerdict: BitwiseCopyable, Sendable {
    package enum Kind: UInt8, BitwiseCopyable { case pass, reply, retry }

    package let kind: Kind
    package let status: UInt16
    package let flag: ResponseFlag
    package let body: Bytes
    package let reason: Reason
    package let delay: Nanoseconds

    package init(
        kind: Kind, status: UInt16 = 0, flag: ResponseFlag = .none, body: Bytes = .empty, reason: Reason = "",
        delay: Nanoseconds = .zero
    ) {
        self.kind = kind
        self.status = status
        self.flag = flag
        self.body = body
        self.reason = reason
        self.delay = delay
    }

    /// Let it climb on.
    public static let pass = FailureVerdict(kind: .pass)

    /// Answer this instead of failing.
    public static func reply(_ status: Int, _ body: StaticString = "", because reason: Reason, flag: ResponseFlag = .none)
        -> FailureVerdict
    {
        FailureVerdict(kind: .reply, status: UInt16(clamping: status), flag: flag, body: Bytes(body), reason: reason)
    }

    /// Enter the stages below once more, after `delay`. Counts as `pass` where the body can no longer be replayed.
    public static func retry(after delay: Nanoseconds) -> FailureVerdict {
        FailureVerdict(kind: .retry, delay: delay)
    }
}

/// What a filter answers to a connection.
@frozen
public enum ConnectionVerdict: BitwiseCopyable, Sendable {
    case next
    /// Close it. On an HTTP listener a filter rather lets it pass and answers each request.
    case refuse(because: Reason)
}

/// What a filter answers to a raw stream.
@frozen
public enum StreamVerdict: BitwiseCopyable, Sendable {
    case next
    /// Close it with a reset. The router's refusals of an endpoint are tried again elsewhere, as long as not one byte went out.
    case refuse(ProxyError, because: Reason)
}

/// How a pass ended.
@frozen
public struct Outcome: BitwiseCopyable, Sendable {
    @frozen
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// The service's response went through, to its end.
        case completed
        /// A stage of this sidecar answered in its place.
        case replied
        case failed
        /// The caller went away, or a deadline above ended it.
        case cancelled
        /// A retry above started over, or a reply above took its place.
        case superseded
    }

    public let kind: Kind
    /// Of the response this pass saw; 0 if there was none.
    public let status: UInt16
    /// Why it failed, where it did.
    public let error: ProxyError?
    /// Of a call of gRPC.
    public let grpcStatus: GRPCStatus?

    package init(kind: Kind, status: UInt16, error: ProxyError?, grpcStatus: GRPCStatus? = nil) {
        self.kind = kind
        self.status = status
        self.error = error
        self.grpcStatus = grpcStatus
    }
}
