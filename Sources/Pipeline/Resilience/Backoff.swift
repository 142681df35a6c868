/// How long to wait before a retry: exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
///
/// The wait before the nth retry is uniform in [0, min(base × 2^(n−1), max)), so that callers which failed together do not come back together.
@frozen
public struct Backoff: BitwiseCopyable, Sendable, Equatable {
    public let base: Nanoseconds
    public let max: Nanoseconds

    /// Negative lengths count as none; a `max` below `base` counts as `base`.
    public init(base: Nanoseconds = .milliseconds(25), max: Nanoseconds = .milliseconds(250)) {
        self.base = Swift.max(base, .zero)
        self.max = Swift.max(max, self.base)
    }

    /// The wait before the `retry`th retry; the first is 1.
    public func delay(beforeRetry retry: Int, using random: inout Random) -> Nanoseconds {
        let ceiling = ceiling(beforeRetry: retry)
        return Nanoseconds(Int64(random.next().multipliedFullWidth(by: UInt64(ceiling.count)).high))
    }

    /// What the wait stays below.
    public func ceiling(beforeRetry retry: Int) -> Nanoseconds {
        let doublings = Int64(1) << Int64(Swift.min(Swift.max(retry, 1) - 1, 40))
        return Swift.min(base * doublings, max)
    }
}
