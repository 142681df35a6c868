internal import Pipeline

/// The ledger in the store: the last sequence by incarnation, with the order in which they were heard.
extension IngestLedger {
    static let table = "batch"

    /// Nil if an entry is of another version.
    init?(_ stored: [(key: String, entry: Tables.Entry)]) {
        var entries: [Entry] = []
        for (key, entry) in stored {
            var reader = ByteReader(entry.value)
            guard let last = reader.read(UInt64.self), reader.isAtEnd else { return nil }
            // The store's revisions rise with every batch, which is all that an order is for.
            entries.append(Entry(incarnation: key, last: last, order: entry.revision))
        }
        self.init(restoring: entries)
    }

    /// Takes a batch in, and says what changes in the store; nil if it was counted already.
    mutating func changes(for id: BatchID) -> [Change]? {
        var forgotten: [String] = []
        guard received(id, forgetting: { forgotten.append($0) }) != .duplicate else { return nil }
        var writer = ByteWriter()
        writer.write(id.sequence)
        return [.set(Self.table, id.incarnation, writer.bytes)] + forgotten.map { .delete(Self.table, $0) }
    }
}
