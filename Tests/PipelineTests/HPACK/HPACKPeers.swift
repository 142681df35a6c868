import Pipeline

/// A field in owned text.
struct HPACKField: Equatable, CustomStringConvertible {
    var name: [UInt8]
    var value: [UInt8]
    var isSensitive = false

    init(_ name: String, _ value: String, isSensitive: Bool = false) {
        self.init(name: Array(name.utf8), value: Array(value.utf8), isSensitive: isSensitive)
    }

    init(name: [UInt8], value: [UInt8], isSensitive: Bool = false) {
        self.name = name
        self.value = value
        self.isSensitive = isSensitive
    }

    var description: String { "\(String(decoding: name, as: UTF8.self)): \(String(decoding: value, as: UTF8.self))" }
}

/// What a decoder made of a block.
struct DecodedBlock: Equatable {
    var fields: [HPACKField] = []
    var fault: HPACKFault?
    var isOverLimit = false
    /// The text as it lies in memory.
    var text: [UInt8] = []
}

/// A decoder with its memory.
final class DecodingPeer {
    private let memory: UnsafeMutableRawPointer
    private let fields = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HPACKDecoder.textBytesMin)
    var decoder: HPACKDecoder

    init(tableBytes: Int = 4096, listBytesMax: Int = 60 * 1024, fieldsMax: Int = 100) {
        memory = .allocate(byteCount: DynamicTable.memoryBytes(capacity: tableBytes), alignment: 8)
        decoder = HPACKDecoder(memory: memory, tableBytes: tableBytes, listBytesMax: listBytesMax, fieldsMax: fieldsMax)
    }

    deinit {
        memory.deallocate()
        fields.deallocate()
    }

    /// Decodes a block that comes in pieces of at most `piece` bytes; what a step leaves is carried over to the next.
    func decode(_ block: [UInt8], piece: Int = .max) -> DecodedBlock {
        var result = DecodedBlock()
        var text = OutputSpace(fields)
        var waiting: [UInt8] = []
        var start = 0
        decoder.beginBlock()
        repeat {
            let end = start + min(piece, block.count - start)
            waiting += block[start..<end]
            start = end
            var position = 0
            // The bytes of each step in memory of exactly their size: a read past it is seen by the address sanitizer.
            let isOver = waiting.withUnsafeBytes { bytes in
                step(Bytes(bytes), &position, isLast: start == block.count, &text, &result)
            }
            waiting.removeFirst(position)
            if isOver { break }
        } while start < block.count
        result.isOverLimit = decoder.isOverLimit
        result.text = Array(fields[..<text.count])
        return result
    }

    private func step(
        _ bytes: Bytes, _ position: inout Int, isLast: Bool, _ text: inout OutputSpace, _ result: inout DecodedBlock
    ) -> Bool {
        while true {
            switch decoder.next(in: bytes, at: &position, isLast: isLast, into: &text) {
            case .needMore: return false
            case .end: return true
            case .reject(let fault):
                result.fault = fault
                return true
            case .field(let field, let isSensitive):
                let name = Int(field.nameOffset)..<Int(field.nameOffset) + Int(field.nameCount)
                let value = Int(field.valueOffset)..<Int(field.valueOffset) + Int(field.valueCount)
                result.fields.append(HPACKField(name: Array(fields[name]), value: Array(fields[value]), isSensitive: isSensitive))
            }
        }
    }
}

/// An encoder with its memory.
final class EncodingPeer {
    private let memory: UnsafeMutableRawPointer
    private let space = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1 << 20)
    var encoder: HPACKEncoder

    init(tableBytes: Int = 4096) {
        memory = .allocate(byteCount: HPACKEncoder.memoryBytes(tableBytes: tableBytes), alignment: 8)
        encoder = HPACKEncoder(memory: memory, tableBytes: tableBytes)
    }

    deinit {
        memory.deallocate()
        space.deallocate()
    }

    /// Nil if the block did not fit `room`.
    func encode(_ fields: [HPACKField], room: Int = 1 << 20) -> [UInt8]? {
        var output = OutputSpace(UnsafeMutableBufferPointer(rebasing: space[..<room]))
        guard encoder.beginBlock(into: &output) else { return nil }
        for field in fields {
            let isWritten = field.name.withUnsafeBytes { name in
                field.value.withUnsafeBytes { value in
                    encoder.encode(name: Bytes(name), value: Bytes(value), isSensitive: field.isSensitive, into: &output)
                }
            }
            guard isWritten else { return nil }
        }
        return Array(space[..<output.count])
    }
}

/// Bytes of hexadecimal digits; spaces are skipped.
func hex(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap(ASCII.hexValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
