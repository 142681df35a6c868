import Synchronization

/// All series of the process. A series is a name and labels; it has one cell per event loop, and its value is their sum.
///
/// Registering is for start-up and config changes (a lock, allocations); counting goes through the handles, without either.
/// A series lives
/// as long as the process: a chain that is swapped finds its old cells again, and counters never step back.
package final class StatsRegistry: Sendable {
    package enum Kind: Sendable, Hashable { case counter, gauge, histogram }

    /// A label: its name and its value. Values come from config and identities, never from a client's text.
    package struct Label: Sendable, Hashable, Comparable {
        package let name: String
        package let value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }

        package static func < (a: Label, b: Label) -> Bool { (a.name, a.value) < (b.name, b.value) }
    }

    /// Past it, new series of a family share one whose label values are all `other`; counted by `weft_series_folded_total`.
    package static let seriesMax = 10_000
    /// Event loops that may count.
    package static let loopsMax = 256

    private struct SeriesKey: Hashable {
        let family: String
        let labels: [Label]
    }

    @safe
    private struct Series: @unchecked Sendable {
        /// By loop; nil until that loop asked for a handle.
        var cells: [UnsafeMutablePointer<Atomic<UInt64>>?]

        init() { unsafe cells = [] }
    }

    private struct Family: Sendable {
        let kind: Kind
        let help: String
    }

    private struct Contents: Sendable {
        var families: [String: Family] = [:]
        var series: [SeriesKey: Series] = [:]
        var arenas: [Arena] = []
        var folded: UInt64 = 0
    }

    private let contents = Lock(Contents())
    private let seriesMax: Int

    package init(seriesMax: Int = StatsRegistry.seriesMax) { self.seriesMax = seriesMax }

    /// The handle of `loop` to a series; counters' names end in `_total`, histograms' in `_seconds`.
    package func counter(_ name: String, _ help: String, labels: [Label] = [], loop: Int) -> Counter {
        unsafe Counter(cell: cells(name, help, .counter, labels, loop, count: 1))
    }

    package func gauge(_ name: String, _ help: String, labels: [Label] = [], loop: Int) -> Gauge {
        unsafe Gauge(cell: cells(name, help, .gauge, labels, loop, count: 1))
    }

    package func histogram(_ name: String, _ help: String, labels: [Label] = [], loop: Int) -> Histogram {
        unsafe Histogram(cells: cells(name, help, .histogram, labels, loop, count: Histogram.cellCount))
    }

    /// How many distinct asks were folded into `other`.
    package var folded: UInt64 { contents.withLock { $0.folded } }
    package var seriesCount: Int { contents.withLock { $0.series.count } }

    /// All series, summed over loops, sorted by name and labels. May be called from any thread.
    package func read() -> [StatsSeries] {
        var result = contents.withLock { contents in
            contents.series.compactMap { key, series -> StatsSeries? in
                guard let family = contents.families[key.family] else { return nil }
                let value: StatsSeries.Value
                switch family.kind {
                case .counter:
                    value = .counter(unsafe series.cells.reduce(0) { unsafe $0 &+ ($1?.pointee.load(ordering: .relaxed) ?? 0) })
                case .gauge:
                    let sum = unsafe series.cells.reduce(UInt64(0)) { unsafe $0 &+ ($1?.pointee.load(ordering: .relaxed) ?? 0) }
                    value = .gauge(Int64(bitPattern: sum))
                case .histogram:
                    var snapshot = LatencySnapshot()
                    for unsafe cell in unsafe series.cells {
                        if let cell = unsafe cell { unsafe Histogram(cells: cell).add(to: &snapshot) }
                    }
                    value = .histogram(snapshot)
                }
                return StatsSeries(name: key.family, help: family.help, labels: key.labels, value: value)
            }
        }
        result.append(
            StatsSeries(
                name: "weft_series_folded_total", help: "Series folded into `other` because there were too many.", labels: [],
                value: .counter(folded)))
        result.sort { ($0.name, $0.labels) < ($1.name, $1.labels) }
        return result
    }

    private func cells(
        _ name: String, _ help: String, _ kind: Kind, _ labels: [Label], _ loop: Int, count: Int
    ) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(loop >= 0 && loop < Self.loopsMax, "there are at most 256 loops")
        return unsafe contents.withLock { contents in
            if let family = contents.families[name] {
                precondition(family.kind == kind, "one metric name has one kind")
            } else {
                contents.families[name] = Family(kind: kind, help: help)
            }
            var key = SeriesKey(family: name, labels: labels.sorted())
            if contents.series[key] == nil, contents.series.count >= seriesMax, !labels.isEmpty {
                contents.folded += 1
                key = SeriesKey(family: name, labels: key.labels.map { Label($0.name, "other") })
            }
            var series = contents.series[key] ?? Series()
            while unsafe series.cells.count <= loop { unsafe series.cells.append(nil) }
            if let known = unsafe series.cells[loop] { return unsafe known }
            while contents.arenas.count <= loop { contents.arenas.append(Arena()) }
            let fresh = unsafe contents.arenas[loop].take(count)
            unsafe series.cells[loop] = fresh
            contents.series[key] = series
            return unsafe fresh
        }
    }

    /// Cells of one loop, side by side and apart from other loops' cells, so that loops do not fight over cache lines.
    @safe
    private struct Arena: @unchecked Sendable {
        private var next: UnsafeMutablePointer<Atomic<UInt64>>?
        private var left = 0
        private static var chunkCells: Int { 512 }

        mutating func take(_ count: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
            if left < count {
                let size = max(count, Self.chunkCells)
                let memory = UnsafeMutableRawPointer.allocate(byteCount: (size * 8 + 63) / 64 * 64, alignment: 64)
                let chunk = unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: size)
                for index in 0..<size { unsafe (chunk + index).initialize(to: Atomic(0)) }
                unsafe next = chunk
                left = size
            }
            // Never nil here: `left` is positive only if a chunk was made.
            let taken = unsafe next.unsafelyUnwrapped
            unsafe next = taken + count
            left -= count
            return unsafe taken
        }
    }
}

/// A series' value as it was read.
package struct StatsSeries: Sendable, Equatable {
    package enum Value: Sendable, Equatable {
        case counter(UInt64)
        case gauge(Int64)
        case histogram(LatencySnapshot)
    }

    package var name: String
    package var help: String
    package var labels: [StatsRegistry.Label]
    package var value: Value

    package init(name: String, help: String, labels: [StatsRegistry.Label], value: Value) {
        self.name = name
        self.help = help
        self.labels = labels
        self.value = value
    }
}

private func < (a: (String, [StatsRegistry.Label]), b: (String, [StatsRegistry.Label])) -> Bool {
    if a.0 != b.0 { return a.0 < b.0 }
    return a.1.lexicographicallyPrecedes(b.1)
}
