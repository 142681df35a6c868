public import Pipeline

/// What became of one exchange.
public struct HarnessAnswer: Sendable {
    /// 0: no answer reached the caller.
    public var status = 0
    public var body = ""
    /// With every edit of the chain, names in lower case.
    public var headers: [String] = []
    public var flag = ResponseFlag.none
    public var reason = ""
    /// The answer was made by a stage, not by the service.
    public var isLocal = false
    /// The service agreed to another protocol, and bytes went both ways.
    public var isTunnel = false
    /// The answer began and was cut off.
    public var isCut = false
    /// Every pass has ended.
    public var isFinished = false
    public var startedAt = Instant.zero
    public var finishedAt = Instant.zero
    /// One per attempt, in order.
    public var forwarded: [ForwardedRequest] = []

    public var attempts: Int { forwarded.count }
    public var reachedUpstream: Bool { !forwarded.isEmpty }
    public var elapsed: Nanoseconds { finishedAt - startedAt }

    /// The sole value of a header.
    public subscript(name: String) -> String? {
        let found = headers.filter { $0.hasPrefix(name + ": ") }
        return found.count == 1 ? String(found[0].dropFirst(name.count + 2)) : nil
    }
}
