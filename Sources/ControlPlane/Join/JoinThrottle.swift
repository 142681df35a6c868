internal import Pipeline

/// How many refused joins are told why: a handful at once, then one a second. Pure.
struct JoinThrottle {
    static let burst = 20
    static let interval = Nanoseconds.seconds(1)

    /// When the bucket will be full again (GCRA).
    private var full = Instant.zero

    mutating func admits(at now: Instant) -> Bool {
        let next = max(full, now) + Self.interval
        guard next - now <= Nanoseconds(Self.interval.count * Int64(Self.burst)) else { return false }
        full = next
        return true
    }
}
