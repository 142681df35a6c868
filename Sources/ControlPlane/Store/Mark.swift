internal import Pipeline

/// How far the log was known to be durable: a note beside it, written after each commit's sync and not synced itself.
///
/// The log alone cannot tell a last commit that was torn (forget it, nobody was promised anything) from one that rotted
/// after it was acknowledged. A mark is only ever written once the log is on disk, so it is always a lower bound: if the
/// log ends before it, acknowledged data is missing. Being unsynced it costs a microsecond and survives everything but a
/// loss of power in the same half minute. Two slots take turns, so that a torn one leaves the other.
struct Mark: Equatable {
    static let fileName = "mark"
    static let slotSize = 64
    private static let magic: UInt64 = 0x314B_5241_4D54_4657  // "WFTMARK1"

    let generation: UInt64
    /// The checksum of the log's header, so that a mark of another log says nothing about this one.
    let file: UInt32
    /// Bytes of the log known to be durable.
    let end: Int

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Mark.magic)
        writer.write(generation)
        writer.write(file)
        writer.write(UInt64(end))
        writer.write(CRC32C.checksum(writer.bytes))
        return writer.bytes + [UInt8](repeating: 0, count: Mark.slotSize - writer.bytes.count)
    }

    /// The furthest mark about this log; a broken slot says nothing.
    static func furthest(in bytes: [UInt8], generation: UInt64, file: UInt32) -> Mark? {
        var furthest: Mark?
        for slot in 0..<2 {
            let start = slot * slotSize
            guard bytes.count >= start + 32 else { break }
            var reader = ByteReader(bytes[start..<start + 32])
            guard reader.read(UInt64.self) == magic, let foundGeneration = reader.read(UInt64.self),
                let foundFile = reader.read(UInt32.self), let end = reader.read(UInt64.self),
                reader.read(UInt32.self) == CRC32C.checksum(bytes[start..<start + 28]),
                foundGeneration == generation, foundFile == file
            else { continue }
            if end > UInt64(furthest?.end ?? 0) { furthest = Mark(generation: generation, file: file, end: Int(clamping: end)) }
        }
        return furthest
    }
}
