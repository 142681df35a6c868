/// Where a length of time is counted: log-linear buckets with decimal bounds.
///
/// From 0.1 ms to 100 s, six decades of 32 buckets each: in a decade [1, 10) steps of 0.1 up to 2, of 0.25 up to 5, of 0.5 up to 10. A
/// bucket's middle is at most 5.9 % from anything in it. Because the bounds are decimal, each bound of the coarse scale for
/// Prometheus (0.5 ms … 10 s) is one of them, and turning fine into coarse loses nothing.
///
/// A bucket is (lower, upper], as Prometheus' `le` and OTLP's explicit bounds have it. Bucket 0 ends at 0.1 ms, the last has no end.
package enum LatencyBuckets {
    private static let decades = 6
    private static let perDecade = 32
    /// The upper bound of bucket 0, in nanoseconds.
    private static let smallest: UInt64 = 100_000
    /// One below 0.1 ms, 192 between, one above 100 s.
    package static let count = decades * perDecade + 2

    package static func index(of length: Nanoseconds) -> Int {
        guard length.count > Int64(smallest) else { return 0 }
        // (lower, upper] of lengths is [lower, upper) of length − 1.
        let value = UInt64(length.count) &- 1
        var unit = smallest
        var decade = 0
        while value >= unit &* 10 {
            unit &*= 10
            decade &+= 1
            if decade == decades { return count - 1 }
        }
        let hundredths = Int(truncatingIfNeeded: value / (unit / 100))
        let step =
            if hundredths < 200 { (hundredths &- 100) / 10 } else if hundredths < 500 { 10 &+ (hundredths &- 200) / 25 } else {
                22 &+ (hundredths &- 500) / 50
            }
        return 1 &+ decade &* perDecade &+ step
    }

    /// The longest length that bucket `index` counts; nil for the last.
    package static func upperBound(_ index: Int) -> Nanoseconds? {
        guard index < count - 1 else { return nil }
        guard index > 0 else { return Nanoseconds(Int64(smallest)) }
        var unit = Int64(smallest)
        for _ in 0..<((index - 1) / perDecade) { unit *= 10 }
        let step = Int64((index - 1) % perDecade)
        let hundredths = if step < 10 { 110 + step * 10 } else if step < 22 { 225 + (step - 10) * 25 } else { 550 + (step - 22) * 50 }
        return Nanoseconds(unit / 100 * hundredths)
    }

    /// The bucket that ends exactly there; nil if none does.
    package static func index(endingAt bound: Nanoseconds) -> Int? {
        let index = index(of: bound)
        return upperBound(index) == bound ? index : nil
    }

    /// Bounds of the coarse scale, as Prometheus shows it.
    package static let coarse: [Nanoseconds] = [
        .microseconds(500), .milliseconds(1), .microseconds(2_500), .milliseconds(5), .milliseconds(10), .milliseconds(25),
        .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1), .milliseconds(2_500),
        .seconds(5), .seconds(10),
    ]
}

/// A distribution as it was at one moment; what loops, sidecars and intervals are merged into.
package struct LatencySnapshot: Sendable, Equatable {
    /// One per bucket of ``LatencyBuckets``.
    package var counts: [UInt64]
    /// Of all lengths, in nanoseconds.
    package var sum: UInt64

    package init() {
        counts = Array(repeating: 0, count: LatencyBuckets.count)
        sum = 0
    }

    package var count: UInt64 { counts.reduce(0, &+) }

    package mutating func record(_ length: Nanoseconds) {
        counts[LatencyBuckets.index(of: length)] &+= 1
        sum &+= UInt64(max(0, length.count))
    }

    package mutating func merge(_ other: LatencySnapshot) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        sum &+= other.sum
    }

    /// What was recorded since `earlier`, a snapshot of the same series.
    package func since(_ earlier: LatencySnapshot) -> LatencySnapshot {
        var delta = self
        for index in counts.indices { delta.counts[index] &-= earlier.counts[index] }
        delta.sum &-= earlier.sum
        return delta
    }

    /// The length that `share` (0…1) of all records do not exceed, within a bucket's width; nil if there are none.
    ///
    /// The middle of the bucket that holds it; beyond the last bound, that bound.
    package func quantile(_ share: Double) -> Nanoseconds? {
        let total = count
        guard total > 0 else { return nil }
        let rank = max(1, UInt64((min(max(share, 0), 1) * Double(total)).rounded(.up)))
        var seen: UInt64 = 0
        for index in counts.indices {
            seen &+= counts[index]
            guard seen >= rank else { continue }
            let lower = index == 0 ? Nanoseconds.zero : LatencyBuckets.upperBound(index - 1) ?? .zero
            guard let upper = LatencyBuckets.upperBound(index) else { return lower }
            return Nanoseconds((lower.count + upper.count) / 2)
        }
        return nil
    }

    /// How many lengths are at most each bound of the coarse scale: exact, because each is also a fine bound.
    package func cumulativeCoarse() -> [UInt64] {
        var result: [UInt64] = []
        var seen: UInt64 = 0
        var next = 0
        for bound in LatencyBuckets.coarse {
            let last = LatencyBuckets.index(of: bound)
            while next <= last {
                seen &+= counts[next]
                next += 1
            }
            result.append(seen)
        }
        return result
    }
}
