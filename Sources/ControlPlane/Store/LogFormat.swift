internal import Pipeline

/// The bytes of a log file: a header, then one frame per commit.
///
///     header   magic 8 · generation u64 · salt u64 · crc u32
///     frame    magic u32 · sequence u64 · length u32 · crc of the payload u32 · crc of this header u32 · payload
///     payload  transactions, each: count u32, changes
///
/// The payload's checksum continues the one before it, so frames cannot be left out or swapped; the frame header's own
/// starts from the file's, so that a frame of another file is not taken for one of this. One commit is one frame and is
/// synced before the next is written: only the last frame can be torn, and a frame *after* a broken one proves that the
/// broken one had been acknowledged.
enum LogFormat {
    static let headerSize = 28
    static let frameHeaderSize = 24
    private static let magic = Array("weftlog1".utf8)
    private static let frameMagic: UInt32 = 0x7466_6557  // "Weft"

    static func header(generation: UInt64, salt: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(raw: magic)
        writer.write(generation)
        writer.write(salt)
        writer.write(CRC32C.checksum(writer.bytes))
        return writer.bytes
    }

    /// The checksum that all others in the file start from; nil if these are not the bytes of a header.
    static func readHeader(_ bytes: [UInt8], generation: UInt64) -> UInt32? {
        var reader = ByteReader(bytes)
        guard let found = reader.read(raw: 8), found.elementsEqual(magic),
            let foundGeneration = reader.read(UInt64.self), foundGeneration == generation,
            reader.read(UInt64.self) != nil, let crc = reader.read(UInt32.self),
            crc == CRC32C.checksum(bytes.prefix(headerSize - 4))
        else { return nil }
        return crc
    }

    /// - Parameters:
    ///   - file: the checksum of the file's header.
    ///   - previous: the checksum of the payload before; the file's for the first.
    static func frame(_ payload: [UInt8], sequence: UInt64, file: UInt32, previous: UInt32) -> (bytes: [UInt8], chain: UInt32) {
        let chain = CRC32C.checksum(payload, seed: previous)
        var writer = ByteWriter()
        writer.write(frameMagic)
        writer.write(sequence)
        writer.write(UInt32(payload.count))
        writer.write(chain)
        writer.write(CRC32C.checksum(writer.bytes, seed: file))
        writer.write(raw: payload)
        return (writer.bytes, chain)
    }

    struct FrameHeader: Equatable {
        let sequence: UInt64
        let length: Int
        let chain: UInt32
    }

    /// The frame header at `offset`, if its checksum holds.
    static func readFrameHeader(_ bytes: [UInt8], at offset: Int, file: UInt32) -> FrameHeader? {
        guard offset >= 0, bytes.count - offset >= frameHeaderSize else { return nil }
        var reader = ByteReader(bytes[offset..<offset + frameHeaderSize])
        guard reader.read(UInt32.self) == frameMagic,
            let sequence = reader.read(UInt64.self), let length = reader.read(UInt32.self),
            let chain = reader.read(UInt32.self), let crc = reader.read(UInt32.self),
            crc == CRC32C.checksum(bytes[offset..<offset + frameHeaderSize - 4], seed: file)
        else { return nil }
        return FrameHeader(sequence: sequence, length: Int(length), chain: chain)
    }

    /// What reading a log gave.
    struct Contents: Equatable {
        /// In order; one entry per transaction.
        var transactions: [[Change]] = []
        /// Where the next frame goes; what stands behind it is a torn tail.
        var end: Int
        var sequence: UInt64 = 0
        var chain: UInt32
    }

    /// Where and how a log is broken in a way that no crash explains.
    struct Damage: Error, Equatable {
        let offset: Int
        let found: String
    }

    static func read(_ bytes: [UInt8], generation: UInt64) throws(Damage) -> (Contents, file: UInt32) {
        guard let file = readHeader(bytes, generation: generation) else {
            throw Damage(offset: 0, found: "the log's header is not one of generation \(generation)")
        }
        var contents = Contents(end: headerSize, chain: file)
        while contents.end < bytes.count {
            guard let header = readFrameHeader(bytes, at: contents.end, file: file), header.sequence == contents.sequence + 1 else {
                break
            }
            let start = contents.end + frameHeaderSize
            guard bytes.count - start >= header.length else { break }
            let payload = bytes[start..<start + header.length]
            guard CRC32C.checksum(payload, seed: contents.chain) == header.chain else { break }
            // The checksum holds, so a payload that cannot be read was never torn: it was written wrong.
            var reader = ByteReader(payload)
            while !reader.isAtEnd {
                guard let changes = Change.decode(from: &reader) else {
                    throw Damage(offset: start, found: "a commit whose checksum holds cannot be read: it is of another version of weft")
                }
                contents.transactions.append(changes)
            }
            contents.end = start + header.length
            contents.sequence = header.sequence
            contents.chain = header.chain
        }
        if let later = laterFrame(in: bytes, after: contents.end, file: file) {
            throw Damage(offset: contents.end, found: "commit \(contents.sequence + 1) is damaged, yet a later one follows at byte \(later)")
        }
        return (contents, file)
    }

    /// The offset of an intact frame header behind a broken frame, if there is one.
    private static func laterFrame(in bytes: [UInt8], after broken: Int, file: UInt32) -> Int? {
        var offset = broken + 1
        let first = UInt8(truncatingIfNeeded: frameMagic)
        while bytes.count - offset >= frameHeaderSize {
            if bytes[offset] == first, readFrameHeader(bytes, at: offset, file: file) != nil { return offset }
            offset += 1
        }
        return nil
    }
}
