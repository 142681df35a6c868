/// Divides exchanges among backends by weight.
///
/// The exchange's one random draw picks a place in [0, sum of weights); backend i owns the half-open interval from the sum of the weights
/// before it to that sum plus its own. A weight of 0 is an empty interval and is never chosen. The draw stays with the exchange, so that its
/// retries keep their backend.
package struct WeightedSplit: Sendable, Equatable {
    /// Ends of the intervals, rising; equal neighbours are empty intervals.
    private let ends: [UInt64]

    package static let backendsMax = 1_024

    /// Nil unless there is a backend, at most 1,024 of them, and some weight is positive.
    package init?(weights: [UInt32]) {
        guard !weights.isEmpty, weights.count <= Self.backendsMax else { return nil }
        var sum: UInt64 = 0
        ends = weights.map {
            sum += UInt64($0)
            return sum
        }
        guard sum > 0 else { return nil }
    }

    /// The backend for a draw of 64 random bits.
    package func index(draw: UInt64) -> Int {
        unsafe ends.withUnsafeBufferPointer { ends in
            // Multiply-shift instead of a remainder: no bias worth a loop, no division.
            let sum = unsafe ends[ends.count - 1]
            let place = draw.multipliedFullWidth(by: sum).high
            return unsafe Self.firstEnd(above: place, in: ends.baseAddress.unsafelyUnwrapped, count: ends.count)
        }
    }

    /// The same over ends that somebody else stores: the last must be positive, `place` below it.
    @unsafe
    package static func firstEnd(above place: UInt64, in ends: UnsafePointer<UInt64>, count: Int) -> Int {
        var low = 0
        var high = count - 1
        while low < high {
            let middle = (low + high) / 2
            if unsafe ends[middle] > place { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
