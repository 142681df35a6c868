extension OTLP.HistogramPoint {
    /// A distribution on our fine scale, in seconds. Only the stretch from the first to the last bucket in use is written;
    /// its bounds say where it lies.
    package init(fine snapshot: LatencySnapshot) {
        self.init()
        count = snapshot.count
        sum = Double(snapshot.sum) / 1e9
        guard let first = snapshot.counts.firstIndex(where: { $0 > 0 }),
            let last = snapshot.counts.lastIndex(where: { $0 > 0 })
        else { return }
        // An empty bucket on the left carries the lower bound of the first in use; the last has no upper bound.
        let low = max(0, first - 1)
        let high = min(last, LatencyBuckets.count - 2)
        for index in low...high {
            bounds.append(LatencyBuckets.upperBound(index)?.seconds ?? 0)
            bucketCounts.append(snapshot.counts[index])
        }
        bucketCounts.append(last == LatencyBuckets.count - 1 ? snapshot.counts[last] : 0)
    }

    /// A distribution on the fixed coarse scale, for collectors that want the same bounds every time.
    package init(coarse snapshot: LatencySnapshot) {
        self.init()
        count = snapshot.count
        sum = Double(snapshot.sum) / 1e9
        bounds = LatencyBuckets.coarse.map(\.seconds)
        var below: UInt64 = 0
        for cumulative in snapshot.cumulativeCoarse() {
            bucketCounts.append(cumulative - below)
            below = cumulative
        }
        bucketCounts.append(count - below)
    }

    /// The distribution on our fine scale: exact for what our sidecars send; of other bounds each bucket is counted at its
    /// upper end.
    /// Nil if the counts do not belong to the bounds, or a bound is no number.
    package var latency: LatencySnapshot? {
        guard bucketCounts.count == bounds.count + 1 || bucketCounts.isEmpty && bounds.isEmpty else { return nil }
        var snapshot = LatencySnapshot()
        let seconds = sum ?? 0
        // NaN fails both comparisons.
        snapshot.sum = seconds > 0 ? (seconds < 1e9 ? UInt64((seconds * 1e9).rounded()) : UInt64(1e18)) : 0
        for (index, amount) in bucketCounts.enumerated() {
            let bound = index < bounds.count ? bounds[index] : .infinity
            guard !bound.isNaN else { return nil }
            let length = bound < 1e9 ? Nanoseconds(Int64((max(bound, 0) * 1e9).rounded())) : Nanoseconds(.max)
            snapshot.counts[LatencyBuckets.index(of: length)] &+= amount
        }
        return snapshot
    }
}
