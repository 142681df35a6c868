package import Pipeline

/// All calls that sidecars ever reported, counted once each: running totals for Prometheus, the last minute for `weft stat`.
///
/// Batches are known by (incarnation, sequence). A turn counts any number of them, `drain` gives their changes as one
/// transaction (series, totals and last sequences together), and once that is committed the turn's acknowledgements go
/// out. An acknowledgement that is lost brings the batch again, and it is known; also after a restart.
package struct MetricTotals: Sendable {
    package static let table = "calls"

    package struct Limits: Sendable {
        /// Series of one source; more fold into its destination `other`, counted in `overflowed`.
        package var seriesPerSourceMax = 1_000
        /// Series in all; more are dropped, counted in `rejected`.
        package var seriesMax = 100_000
        /// Calls in one point of one batch; more is no number of calls but an attack or a bug.
        package var callsPerPointMax: UInt64 = 1 << 32
        /// A batch with more is invalid. With as many again from the turn's earlier batches the transaction stays below what
        /// the store takes in one commit.
        package var pointsPerBatchMax = BatchLimits.pointsMax

        package init() {}
    }

    /// One batch of one sidecar.
    package struct Batch: Sendable {
        package var incarnation: String
        /// 1, 2, 3 …
        package var sequence: UInt64
        package var points: [Point]
        package var connections: [OpenConnections.Point]

        package init(incarnation: String, sequence: UInt64, points: [Point], connections: [OpenConnections.Point] = []) {
            self.incarnation = incarnation
            self.sequence = sequence
            self.points = points
            self.connections = connections
        }

        var id: BatchID { BatchID(incarnation: incarnation, sequence: sequence) }
        var pointCount: Int { points.count + connections.count }
    }

    /// What was counted in one series since the batch before.
    package struct Point: Sendable {
        package var series: CallSeries
        package var latency: LatencySnapshot

        package init(series: CallSeries, latency: LatencySnapshot) {
            self.series = series
            self.latency = latency
        }
    }

    package enum Outcome: Equatable, Sendable {
        /// Commit what `drain` gives, then acknowledge.
        case counted(rejectedPoints: Int)
        /// Acknowledge after this turn's commit; it is counted already.
        case duplicate
        /// Not a batch of ours; answer 400.
        case invalid(String)
    }

    private let limits: Limits
    private var totals: [CallSeries: SparseLatency] = [:]
    private var seriesOfSource: [String: Int] = [:]
    private var ledger: IngestLedger
    private var window: CallWindow
    package private(set) var connections = OpenConnections()
    private var changed: Set<CallSeries> = []
    private var ledgerChanges: [Change] = []

    /// Points that named impossible labels or numbers, or came when all series were taken.
    package private(set) var rejected: UInt64 = 0
    /// Points that were counted under `other`.
    package private(set) var overflowed: UInt64 = 0

    package init(limits: Limits = Limits(), at now: Instant) {
        self.limits = limits
        ledger = IngestLedger()
        window = CallWindow(at: now)
    }

    /// From the store; nil if an entry is of another version.
    package init?(restoring store: Store, limits: Limits = Limits(), at now: Instant) {
        guard let ledger = IngestLedger(store.entries(IngestLedger.table)) else { return nil }
        self.limits = limits
        self.ledger = ledger
        window = CallWindow(at: now)
        for (key, entry) in store.entries(MetricTotals.table) {
            guard let series = CallSeries(key: key), let total = SparseLatency(encoded: entry.value) else { return nil }
            totals[series] = total
            seriesOfSource[series.source, default: 0] += 1
        }
    }

    // === counting ===

    /// - Parameter reporter: the service whose sidecar sent it, as its labels name it; points in which it is not the
    ///   reporting side are rejected. Nil if the sender may speak for all.
    package mutating func count(_ batch: Batch, from reporter: String? = nil, at now: Instant) -> Outcome {
        guard (1...255).contains(batch.incarnation.utf8.count) else { return .invalid("an incarnation has 1 to 255 bytes") }
        guard batch.sequence > 0 else { return .invalid("sequences begin with 1") }
        guard batch.pointCount <= limits.pointsPerBatchMax else {
            return .invalid("a batch has at most \(limits.pointsPerBatchMax) points, this one \(batch.pointCount)")
        }
        guard let ledgerChanges = ledger.changes(for: batch.id) else { return .duplicate }
        self.ledgerChanges += ledgerChanges
        var rejectedPoints = connections.take(batch.connections, of: batch.incarnation, from: reporter, at: now)
        for point in batch.points {
            guard isPossible(point, from: reporter), let series = admit(point.series) else {
                rejectedPoints += 1
                continue
            }
            let latency = SparseLatency(point.latency)
            totals[series, default: SparseLatency()].merge(latency)
            window.add(latency, to: series, at: now)
            changed.insert(series)
        }
        rejected += UInt64(rejectedPoints)
        return .counted(rejectedPoints: rejectedPoints)
    }

    private func isPossible(_ point: Point, from reporter: String?) -> Bool {
        guard point.series.isValid else { return false }
        var calls: UInt64 = 0
        for count in point.latency.counts {
            let (sum, overflow) = calls.addingReportingOverflow(count)
            guard !overflow, sum <= limits.callsPerPointMax else { return false }
            calls = sum
        }
        guard let reporter else { return true }
        return reporter == (point.series.reporter == .source ? point.series.source : point.series.destination)
    }

    /// The series to count under; nil if there is no room even for its overflow.
    private mutating func admit(_ series: CallSeries) -> CallSeries? {
        if totals[series] != nil { return series }
        if totals.count < limits.seriesMax, seriesOfSource[series.source, default: 0] < limits.seriesPerSourceMax {
            seriesOfSource[series.source, default: 0] += 1
            return series
        }
        // Overflow series are beside the cap: two reporters, six classes, two that may have answered and streams.
        let overflow = series.overflow
        if totals[overflow] == nil && totals.count >= limits.seriesMax { return nil }
        overflowed += 1
        return overflow
    }

    /// The turn changed so much that it should commit before it counts another batch.
    package var isFull: Bool { changed.count >= limits.pointsPerBatchMax }

    /// What the turn changed, to be appended as one transaction; empty if nothing.
    package mutating func drain() -> [Change] {
        let series = changed.map { (key: $0.key, total: totals[$0] ?? SparseLatency()) }.sorted { $0.key < $1.key }
        let changes = ledgerChanges + series.map { .set(MetricTotals.table, $0.key, $0.total.encode()) }
        ledgerChanges = []
        changed = []
        return changes
    }

    /// That process has ended: its connections are closed.
    package mutating func ended(_ incarnation: String) { connections.forget(incarnation) }

    // === reading ===

    /// Batches that somebody else acknowledged, or that a sidecar gave up.
    package var missingBatches: UInt64 { ledger.missing }

    package var seriesCount: Int { totals.count }

    /// Running totals of every series, in no order.
    package var all: [(series: CallSeries, latency: LatencySnapshot)] {
        totals.map { (series: $0.key, latency: $0.value.snapshot) }
    }

    package func total(_ series: CallSeries) -> LatencySnapshot? { totals[series]?.snapshot }

    /// A line of `weft stat`.
    package struct Figures: Equatable, Sendable {
        package var calls: UInt64
        package var callsPerSecond: Double
        /// Of calls with a status, the share that is no failure (`CallSeries.isFailure`); nil if there were none.
        package var successShare: Double?
        /// Nil if there were no calls.
        package var p50, p95, p99: Nanoseconds?
    }

    package static let windowMin = CallWindow.lengthMin
    package static let windowMax = CallWindow.lengthMax

    /// The time that figures over `length` are really of: what is whole of it.
    package func span(of length: Nanoseconds, at now: Instant) -> Nanoseconds { window.span(of: length, at: now) }

    /// Rates and percentiles over the last `length` (``windowMin`` to ``windowMax``), grouped as the caller likes.
    ///
    /// - Parameter group: nil leaves a series out. Count one reporter only, or calls between two sidecars count twice.
    package func figures<Group: Hashable>(
        over length: Nanoseconds, at now: Instant, by group: (CallSeries) -> Group?
    ) -> [Group: Figures] {
        let seconds = window.span(of: length, at: now).seconds
        let all = window.merged(over: length, at: now, by: group)
        let answered = window.merged(over: length, at: now) { $0.code == 0 || $0.answeredBy == .stream ? nil : group($0) }
        let failed = window.merged(over: length, at: now) { $0.isFailure ? group($0) : nil }
        return all.reduce(into: [:]) { result, item in
            let calls = item.value.count
            let answers = answered[item.key]?.count ?? 0
            let failures = failed[item.key]?.count ?? 0
            result[item.key] = Figures(
                calls: calls, callsPerSecond: Double(calls) / seconds,
                successShare: answers == 0 ? nil : 1 - Double(failures) / Double(answers),
                p50: item.value.quantile(0.5), p95: item.value.quantile(0.95), p99: item.value.quantile(0.99))
        }
    }
}
