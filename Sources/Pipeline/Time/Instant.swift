/// A moment on a monotonic clock, in nanoseconds since an origin that only its owner knows.
///
/// Pipeline never reads a clock: the event loop does so once per turn and passes the instant in. Tests and the simulator
/// make their own.
@frozen
public struct Instant: Hashable, Comparable, Sendable, BitwiseCopyable {
    public let nanoseconds: Int64

    @inlinable
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Before everything else; the clock's origin.
    public static let zero = Instant(nanoseconds: 0)
    /// Never.
    public static let distantFuture = Instant(nanoseconds: .max)

    @inlinable
    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Saturates, so that "now plus a very long time" is never in the past.
    @inlinable
    public static func + (instant: Instant, nanoseconds: Nanoseconds) -> Instant {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(nanoseconds.count)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    /// The time from `earlier` to `later`; negative if they are the other way round.
    @inlinable
    public static func - (later: Instant, earlier: Instant) -> Nanoseconds {
        let (difference, overflow) = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return Nanoseconds(overflow ? .max : difference)
    }
}

/// A length of time in nanoseconds: one word, where the standard library's `Duration` is two.
@frozen
public struct Nanoseconds: Hashable, Comparable, Sendable, BitwiseCopyable {
    public let count: Int64

    @inlinable
    public init(_ count: Int64) { self.count = count }

    public static let zero = Nanoseconds(0)
    @inlinable
    public static func nanoseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count) }
    @inlinable
    public static func microseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000) }
    @inlinable
    public static func milliseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000_000) }
    @inlinable
    public static func seconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000_000_000) }

    @inlinable
    public static func < (a: Nanoseconds, b: Nanoseconds) -> Bool { a.count < b.count }
    @inlinable
    public static func + (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
        let (sum, overflow) = a.count.addingReportingOverflow(b.count)
        return Nanoseconds(overflow ? .max : sum)
    }
    @inlinable
    public static func - (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds { Nanoseconds(a.count &- b.count) }
    @inlinable
    public static func * (a: Nanoseconds, factor: Int64) -> Nanoseconds {
        let (product, overflow) = a.count.multipliedReportingOverflow(by: factor)
        return Nanoseconds(overflow ? .max : product)
    }

    /// In seconds, for people and for Prometheus.
    public var seconds: Double { Double(count) / 1e9 }
}
