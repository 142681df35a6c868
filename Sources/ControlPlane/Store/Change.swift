/// One key of one table set to a value, or deleted (`value` nil).
///
/// The store does not look into values: resources, registrations, the CA's state, used tokens and metric totals are all
/// tables to it.
package struct Change: Equatable, Sendable {
    package let table: String
    package let key: String
    package let value: [UInt8]?

    package static func set(_ table: String, _ key: String, _ value: [UInt8]) -> Change {
        Change(table: table, key: key, value: value)
    }

    package static func delete(_ table: String, _ key: String) -> Change {
        Change(table: table, key: key, value: nil)
    }

    // === on disk: changes that belong together ===

    static func encode(_ changes: [Change], into writer: inout ByteWriter) {
        writer.write(UInt32(changes.count))
        for change in changes {
            writer.write(counted: change.table)
            writer.write(counted: change.key)
            writer.write(UInt8(change.value == nil ? 0 : 1))
            if let value = change.value { writer.write(counted: value) }
        }
    }

    /// Nil if the bytes are not what `encode` writes.
    static func decode(from reader: inout ByteReader) -> [Change]? {
        guard let count = reader.read(UInt32.self) else { return nil }
        var changes: [Change] = []
        for _ in 0..<count {
            guard let table = reader.readText(), let key = reader.readText(), let kind = reader.read(UInt8.self) else { return nil }
            switch kind {
            case 0: changes.append(.delete(table, key))
            case 1:
                guard let value = reader.readCounted() else { return nil }
                changes.append(.set(table, key, value))
            default: return nil
            }
        }
        return changes
    }
}

/// All tables in memory.
package struct Tables: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package let value: [UInt8]
        /// Of the transaction that wrote it.
        package let revision: UInt64
    }

    package private(set) var entries: [String: [String: Entry]] = [:]
    /// Of the last transaction applied; counts from 1.
    package private(set) var revision: UInt64 = 0
    /// About what a snapshot of it weighs, in bytes.
    private(set) var weight = 0

    init() {}

    init(revision: UInt64) { self.revision = revision }

    /// Applies one transaction, which is the next revision.
    mutating func apply(_ changes: [Change]) {
        revision += 1
        for change in changes { put(change.table, change.key, change.value.map { Entry(value: $0, revision: revision) }) }
    }

    mutating func put(_ table: String, _ key: String, _ entry: Entry?) {
        let old = entries[table]?[key]
        if let old { weight -= old.value.count + key.utf8.count + Tables.overhead }
        if let entry { weight += entry.value.count + key.utf8.count + Tables.overhead }
        if entry == nil && old == nil { return }
        entries[table, default: [:]][key] = entry
        if entries[table]?.isEmpty == true { entries[table] = nil }
    }

    /// Bytes that a snapshot adds to key and value; the table's name is counted once, roughly.
    private static let overhead = 32
}
