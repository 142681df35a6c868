package import Pipeline

/// A distribution that keeps only the buckets in use: a handful of 194, for most series.
package struct SparseLatency: Equatable, Sendable {
    private struct Bucket: Equatable {
        let index: UInt8
        var count: UInt64
    }

    /// By index, rising.
    private var buckets: [Bucket] = []
    /// Of all lengths, in nanoseconds; stays at the largest number once there.
    private var sum: UInt64 = 0

    package init() {}

    package init(_ snapshot: LatencySnapshot) {
        for (index, count) in snapshot.counts.enumerated() where count > 0 && index <= Int(UInt8.max) {
            buckets.append(Bucket(index: UInt8(index), count: count))
        }
        sum = snapshot.sum
    }

    package var snapshot: LatencySnapshot {
        var snapshot = LatencySnapshot()
        add(to: &snapshot)
        return snapshot
    }

    package func add(to snapshot: inout LatencySnapshot) {
        for bucket in buckets where Int(bucket.index) < snapshot.counts.count {
            snapshot.counts[Int(bucket.index)] = Self.adding(snapshot.counts[Int(bucket.index)], bucket.count)
        }
        snapshot.sum = Self.adding(snapshot.sum, sum)
    }

    package mutating func merge(_ other: SparseLatency) {
        var merged: [Bucket] = []
        merged.reserveCapacity(max(buckets.count, other.buckets.count))
        var (mine, theirs) = (buckets[...], other.buckets[...])
        while let a = mine.first, let b = theirs.first {
            if a.index == b.index { merged.append(Bucket(index: a.index, count: Self.adding(a.count, b.count))) } else {
                merged.append(a.index < b.index ? a : b)
            }
            if a.index <= b.index { mine.removeFirst() }
            if b.index <= a.index { theirs.removeFirst() }
        }
        buckets = merged + mine + theirs
        sum = Self.adding(sum, other.sum)
    }

    package var count: UInt64 { buckets.reduce(0) { Self.adding($0, $1.count) } }

    /// A sender's numbers may not make ours wrap round.
    private static func adding(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }

    // === on disk ===

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(sum)
        writer.write(UInt8(buckets.count))
        for bucket in buckets {
            writer.write(bucket.index)
            writer.write(bucket.count)
        }
        return writer.bytes
    }

    init?(encoded: [UInt8]) {
        var reader = ByteReader(encoded)
        guard reader.read(UInt8.self) == 1, let sum = reader.read(UInt64.self), let count = reader.read(UInt8.self) else { return nil }
        self.sum = sum
        for _ in 0..<count {
            guard let index = reader.read(UInt8.self), let amount = reader.read(UInt64.self), buckets.last.map({ $0.index < index }) ?? true
            else { return nil }
            buckets.append(Bucket(index: index, count: amount))
        }
        guard reader.isAtEnd else { return nil }
    }
}
