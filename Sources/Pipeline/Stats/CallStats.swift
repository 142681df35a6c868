private import Synchronization

/// Which calls are counted together.
package struct CallKey: BitwiseCopyable, Hashable, Sendable {
    /// Who counted: the caller's sidecar or the called one's.
    package enum Reporter: UInt8, BitwiseCopyable, Sendable { case source, destination }

    /// Who made the answer: the service, or a sidecar in its place (denied, limited, no endpoint, too late). Nobody answers on a raw
    /// stream: there a call is a connection that has ended, its latency how long it lasted, and its status why it ended other than by
    /// its own ends (0).
    package enum Answerer: UInt8, BitwiseCopyable, Sendable {
        case service, mesh, stream

        /// In metrics, under this key.
        package static let key = "answered_by"
        package var text: String {
            switch self {
            case .service: "service"
            case .mesh: "mesh"
            case .stream: "stream"
            }
        }

        package init?(text: String) {
            switch text {
            case "service": self = .service
            case "mesh": self = .mesh
            case "stream": self = .stream
            default: return nil
            }
        }
    }

    package var source: LabelID
    package var destination: LabelID
    package var version: LabelID
    package var route: LabelID
    /// The status the caller saw, or `CallCode` of a gRPC status; 0 if it went away before there was one.
    package var status: UInt16
    package var reporter: Reporter
    package var answeredBy: Answerer

    package init(
        reporter: Reporter, source: LabelID, destination: LabelID, version: LabelID = .none, route: LabelID = .none, status: UInt16,
        answeredBy: Answerer = .service
    ) {
        self.reporter = reporter
        self.source = source
        self.destination = destination
        self.version = version
        self.route = route
        self.status = status
        self.answeredBy = answeredBy
    }

    /// Where calls go that have no row of their own: everything but the reporter, the class of the status and
    /// who answered is given up.
    package var folded: CallKey {
        CallKey(
            reporter: reporter, source: .other, destination: .other, version: .other, route: .other,
            status: CallCode.folded(status), answeredBy: answeredBy)
    }

    fileprivate var hash: UInt64 {
        var z = UInt64(source.number) << 32 | UInt64(destination.number)
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z ^= UInt64(version.number) << 32 | UInt64(route.number)
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= UInt64(status) << 8 | UInt64(answeredBy.rawValue) << 1 | UInt64(reporter.rawValue)
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        return z ^ (z >> 31)
    }
}

/// Counts every call of one event loop by ``CallKey``, with its latency.
///
/// One thread records; any thread reads at the same time. Rows are only ever added: a row is filled, then published by a
/// releasing store of
/// the row count, so a reader that sees the count sees the row. A known key costs a hash, a few probes and three plain
/// stores; only a new key
/// allocates, and after ``CallStatsLimits/rowsMax`` of them new keys are folded, counted.
@safe
package struct CallStats: BitwiseCopyable, @unchecked Sendable {
    private let storage: UnsafeMutablePointer<CallStatsStorage>

    /// An empty table, for the life of the process: its loop and the exporter share it.
    package static func allocate(rowsMax: Int = CallStatsLimits.rowsMax) -> CallStats {
        unsafe CallStats(storage: CallStatsStorage.allocate(rowsMax: rowsMax))
    }

    private init(storage: UnsafeMutablePointer<CallStatsStorage>) { unsafe self.storage = storage }

    /// Counts one call. Only the loop that owns the table may ask.
    package func record(_ key: CallKey, latency: Nanoseconds) {
        unsafe storage.pointee.histogram(for: key).record(latency)
    }

    /// All rows, with what was counted so far. From any thread.
    package func read() -> [CallRow] {
        var rows: [CallRow] = []
        let count = unsafe storage.pointee.published.load(ordering: .acquiring)
        for index in 0..<count {
            let row = unsafe storage.pointee.rows[index]
            var latency = LatencySnapshot()
            unsafe Histogram(cells: row.cells).add(to: &latency)
            rows.append(CallRow(key: unsafe row.key, latency: latency))
        }
        return rows
    }

    /// Calls that were counted in a folded row.
    package var folded: UInt64 { unsafe storage.pointee.folded.load(ordering: .relaxed) }

    /// For tests; a process never gives a table up.
    package func deallocate() { unsafe CallStatsStorage.deallocate(storage) }
}

/// What a ``CallStats`` says about one key.
package struct CallRow: Sendable, Equatable {
    package var key: CallKey
    package var latency: LatencySnapshot

    package init(key: CallKey, latency: LatencySnapshot) {
        self.key = key
        self.latency = latency
    }

    package var calls: UInt64 { latency.count }
}

package enum CallStatsLimits {
    /// Rows with a key of their own, per loop: 6.4 MB if all are used.
    package static let rowsMax = 4_096
    /// Two reporters, six classes of status (none, 1xx … 5xx) and three of gRPC's, two that may have answered and streams.
    fileprivate static let foldedRows = 54
}

@unsafe
private struct CallStatsRow {
    let key: CallKey
    let cells: UnsafeMutablePointer<Atomic<UInt64>>
}

@safe
private struct CallStatsStorage: ~Copyable {
    /// Rows in the order of their arrival; room for all there can ever be.
    let rows: UnsafeMutablePointer<CallStatsRow>
    /// Open addressing, row number + 1 or 0; only the owning loop looks here.
    let slots: UnsafeMutablePointer<UInt32>
    let mask: Int
    let rowsMax: Int
    /// How many rows others may look at.
    let published = Atomic<Int>(0)
    let folded = Atomic<UInt64>(0)
    /// The writer's view of it. Nothing else is stored that changes: a `mutating` call would claim what others read meanwhile.
    private var count: Int { published.load(ordering: .relaxed) }

    static func allocate(rowsMax: Int) -> UnsafeMutablePointer<CallStatsStorage> {
        let rowsMax = min(max(rowsMax, 1), 1 << 20)
        var slotCount = 16
        while slotCount < 2 * (rowsMax + CallStatsLimits.foldedRows) { slotCount *= 2 }
        let memory = UnsafeMutablePointer<CallStatsStorage>.allocate(capacity: 1)
        unsafe memory.initialize(to: CallStatsStorage(rowsMax: rowsMax, slotCount: slotCount))
        return unsafe memory
    }

    private init(rowsMax: Int, slotCount: Int) {
        unsafe rows = .allocate(capacity: rowsMax + CallStatsLimits.foldedRows)
        unsafe slots = .allocate(capacity: slotCount)
        unsafe slots.initialize(repeating: 0, count: slotCount)
        mask = slotCount - 1
        self.rowsMax = rowsMax
    }

    static func deallocate(_ storage: UnsafeMutablePointer<CallStatsStorage>) {
        for index in 0..<(unsafe storage.pointee.count) { unsafe storage.pointee.rows[index].cells.deallocate() }
        unsafe storage.pointee.rows.deallocate()
        unsafe storage.pointee.slots.deallocate()
        unsafe storage.deinitialize(count: 1)
        unsafe storage.deallocate()
    }

    func histogram(for key: CallKey) -> Histogram {
        if let known = find(key) { return known }
        if count < rowsMax { return insert(key) }
        folded.store(folded.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        return find(key.folded) ?? insert(key.folded)
    }

    /// Ends because half of the slots are always free.
    private func find(_ key: CallKey) -> Histogram? {
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while true {
            let number = unsafe slots[slot]
            if number == 0 { return nil }
            let row = unsafe rows[Int(number) - 1]
            if unsafe row.key == key { return unsafe Histogram(cells: row.cells) }
            slot = (slot &+ 1) & mask
        }
    }

    /// There is room: `rowsMax` own keys, and the folded keys are ``CallStatsLimits/foldedRows`` at most.
    private func insert(_ key: CallKey) -> Histogram {
        precondition(count < rowsMax + CallStatsLimits.foldedRows, "there are fifty-four folded keys")
        let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Histogram.cellCount)
        for index in 0..<Histogram.cellCount { unsafe (cells + index).initialize(to: Atomic(0)) }
        unsafe (rows + count).initialize(to: unsafe CallStatsRow(key: key, cells: cells))
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while unsafe slots[slot] != 0 { slot = (slot &+ 1) & mask }
        unsafe slots[slot] = UInt32(count + 1)
        published.store(count + 1, ordering: .releasing)
        return unsafe Histogram(cells: cells)
    }
}
