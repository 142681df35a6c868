/// The last batch counted of each sidecar incarnation, so that one sent again is acknowledged and not counted.
struct BatchLedger: Sendable {
    static let table = "batch"
    /// Incarnations remembered; beyond it those quiet the longest go, a sixteenth at a time. One that comes back after
    /// that with a batch already counted would be counted twice, after 65,536 other restarts.
    static let incarnationsMax = 65_536

    private struct Entry {
        var last: UInt64
        var order: UInt64
    }

    private var entries: [String: Entry] = [:]
    private var order: UInt64 = 0

    init() {}

    /// Nil if an entry is of another version.
    init?(_ stored: [(key: String, entry: Tables.Entry)]) {
        for (key, entry) in stored {
            var reader = ByteReader(entry.value)
            guard let last = reader.read(UInt64.self), reader.isAtEnd else { return nil }
            // The store's revisions rise with every batch, which is all that an order is for.
            entries[key] = Entry(last: last, order: entry.revision)
            order = max(order, entry.revision)
        }
    }

    func isCounted(_ incarnation: String, _ sequence: UInt64) -> Bool { sequence <= entries[incarnation]?.last ?? 0 }

    mutating func count(_ incarnation: String, _ sequence: UInt64) -> [Change] {
        order += 1
        entries[incarnation] = Entry(last: sequence, order: order)
        var writer = ByteWriter()
        writer.write(sequence)
        var changes = [Change.set(BatchLedger.table, incarnation, writer.bytes)]
        if entries.count > BatchLedger.incarnationsMax {
            let quiet = entries.sorted { $0.value.order < $1.value.order }.prefix(BatchLedger.incarnationsMax / 16)
            for (name, _) in quiet {
                entries[name] = nil
                changes.append(.delete(BatchLedger.table, name))
            }
        }
        return changes
    }
}
