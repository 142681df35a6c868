/// Resumes suspended exchanges from any thread: `stage.resumer`, kept by whatever work the filter started.
///
/// The decision travels through the loop's mailbox; a token that comes too late changes nothing and is counted.
public final class Resumer: Sendable {
    package typealias Sink = @Sendable (ResumeToken, RequestVerdict) -> Void
    private let sink = Lock<Sink?>(nil)

    package init() {}

    /// Set once by the host, when its loops run.
    package func connect(_ sink: @escaping Sink) { self.sink.withLock { $0 = sink } }

    /// Lets the exchange go on (`.next`), or ends it (`.reply`, `.fail`).
    public func resume(_ token: ResumeToken, with verdict: RequestVerdict = .next) {
        let deliver = sink.withLock { $0 }
        deliver?(token, verdict)
    }
}

/// For authors who would rather write `async`: the request is suspended while ``decide(_:)`` runs on a task, over an owned
/// copy of what the filter names, and resumed with its answer. Costs some allocations per request, for this filter alone.
///
///     final class Quota: AsyncFilter {
///         func copy(_ exchange: borrowing Exchange) -> String { exchange.request.path.string }
///         func decide(_ path: String) async -> RequestVerdict { await ask(path) ? .next : .reply(402, because: "quota") }
///     }
public protocol AsyncFilter: RequestHeadFilter, Sendable {
    associatedtype Copied: Sendable
    var resumer: Resumer { get }
    /// How long `decide` may take.
    var patience: Nanoseconds { get }
    /// What `decide` needs to know, copied out of the exchange.
    func copy(_ exchange: borrowing Exchange) -> Copied
    func decide(_ copied: Copied) async -> RequestVerdict
}

extension AsyncFilter {
    public var patience: Nanoseconds { .seconds(5) }

    public func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        let copied = copy(exchange)
        let token = exchange.resumeToken
        let resumer = resumer
        Task { resumer.resume(token, with: await self.decide(copied)) }
        return .suspend(within: patience)
    }
}
