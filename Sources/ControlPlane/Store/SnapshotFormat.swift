internal import Pipeline

/// The bytes of a snapshot file: all tables as they stood before the log of the same generation.
///
///     magic 8 · generation u64 · revision u64 · entries u64 · { table, key, value, revision u64 } … · crc u32
///
/// It is written aside, synced and renamed, so it is whole or it is damaged; there is no torn snapshot to forgive.
enum SnapshotFormat {
    private static let magic = Array("weftsnp1".utf8)

    static func encode(_ tables: Tables, generation: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(raw: magic)
        writer.write(generation)
        writer.write(tables.revision)
        writer.write(UInt64(tables.entries.values.reduce(0) { $0 + $1.count }))
        for (table, entries) in tables.entries.sorted(by: { $0.key < $1.key }) {
            for (key, entry) in entries.sorted(by: { $0.key < $1.key }) {
                writer.write(counted: table)
                writer.write(counted: key)
                writer.write(counted: entry.value)
                writer.write(entry.revision)
            }
        }
        writer.write(CRC32C.checksum(writer.bytes))
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8], generation: UInt64) throws(LogFormat.Damage) -> Tables {
        guard bytes.count >= 4 else { throw LogFormat.Damage(offset: 0, found: "the snapshot is cut off") }
        let body = bytes.prefix(bytes.count - 4)
        var trailer = ByteReader(bytes.suffix(4))
        guard trailer.read(UInt32.self) == CRC32C.checksum(body) else {
            throw LogFormat.Damage(offset: body.count, found: "the snapshot's checksum does not hold")
        }
        var reader = ByteReader(body)
        func unreadable() -> LogFormat.Damage {
            LogFormat.Damage(offset: body.count - reader.remaining, found: "the snapshot cannot be read: it is of another version of weft")
        }
        guard let found = reader.read(raw: 8), found.elementsEqual(magic),
            reader.read(UInt64.self) == generation, let revision = reader.read(UInt64.self), let count = reader.read(UInt64.self)
        else { throw unreadable() }
        var tables = Tables(revision: revision)
        var index: UInt64 = 0
        while index < count {
            guard let table = reader.readText(), let key = reader.readText(), let value = reader.readCounted(),
                let entryRevision = reader.read(UInt64.self)
            else { throw unreadable() }
            tables.put(table, key, Tables.Entry(value: value, revision: entryRevision))
            index += 1
        }
        guard reader.isAtEnd else { throw unreadable() }
        return tables
    }
}
