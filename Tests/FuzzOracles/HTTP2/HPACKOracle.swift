import Pipeline

/// Field blocks of one connection, one after the other, each behind a byte with its length: one meaning however they are cut, inside of
/// the bounds, and encoded anew they decode to the same fields.
enum HPACKOracle {
    struct Field: Equatable {
        var name: [UInt8]
        var value: [UInt8]
        var isSensitive: Bool
    }

    struct Block: Equatable {
        var fields: [Field] = []
        var fault: HPACKFault?
        var isOverLimit = false
    }

    private static let listBytesMax = 2_000, fieldsMax = 40

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        var rest = Array(cuts.payload)[...]
        let (whole, pieces, again) = (Decoding(), Decoding(), Decoding())
        let encoding = Encoding()
        while let length = rest.popFirst() {
            let bytes = Array(rest.prefix(Int(length)))
            rest = rest.dropFirst(Int(length))
            let block = try whole.decode(bytes, sizes: [])
            try expect(block.fields.count <= fieldsMax, "\(block.fields.count) fields")
            let size = block.fields.reduce(0) { $0 + $1.name.count + $1.value.count + 32 }
            try expect(size <= listBytesMax, "a list of \(size) bytes")
            if !cuts.sizes.isEmpty {
                let other = try pieces.decode(bytes, sizes: cuts.sizes)
                try expect(other == block, "cut into \(cuts.sizes): \(other)\nwhole: \(block)")
            }
            // The table is lost with the connection.
            guard block.fault == nil else { return }
            let back = try again.decode(encoding.encode(block.fields), sizes: [])
            try expect(back.fault == nil && back.fields.map { [$0.name, $0.value] } == block.fields.map { [$0.name, $0.value] }, "encoded as \(back)")
            try expect(zip(block.fields, back.fields).allSatisfy { !$0.isSensitive || $1.isSensitive }, "a secret may be indexed")
        }
    }

    private final class Decoding {
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: DynamicTable.memoryBytes(capacity: HPACKLimits.tableBytesDefault), alignment: 8)
        private let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HPACKDecoder.textBytesMin)
        private var decoder: HPACKDecoder

        init() {
            decoder = HPACKDecoder(memory: memory, tableBytes: HPACKLimits.tableBytesDefault, listBytesMax: listBytesMax, fieldsMax: fieldsMax)
        }

        deinit {
            memory.deallocate()
            text.deallocate()
        }

        func decode(_ bytes: [UInt8], sizes: [Int]) throws -> Block {
            var block = Block()
            var output = OutputSpace(text)
            decoder.beginBlock()
            var (waiting, start, turn) = ([UInt8](), 0, 0)
            repeat {
                let end = min(bytes.count, start + (sizes.isEmpty ? bytes.count : sizes[turn % sizes.count]))
                turn += 1
                waiting += bytes[start..<end]
                start = end
                var position = 0
                // An array's own memory may be longer than it: what is read behind it is to be seen.
                let exact = UnsafeMutableRawBufferPointer.allocate(byteCount: waiting.count, alignment: 1)
                defer { exact.deallocate() }
                exact.copyBytes(from: waiting)
                stepping: while true {
                    switch decoder.next(in: Bytes(UnsafeRawBufferPointer(exact)), at: &position, isLast: start == bytes.count, into: &output) {
                    case .needMore: break stepping
                    case .end:
                        block.isOverLimit = decoder.isOverLimit
                        return block
                    case .reject(let fault):
                        block.fault = fault
                        return block
                    case .field(let field, let isSensitive):
                        let name = Int(field.nameOffset)..<Int(field.nameOffset) + Int(field.nameCount)
                        let value = Int(field.valueOffset)..<Int(field.valueOffset) + Int(field.valueCount)
                        try expect(name.upperBound <= output.count && value.upperBound <= output.count, "a field outside of the text")
                        block.fields.append(Field(name: Array(text[name]), value: Array(text[value]), isSensitive: isSensitive))
                    }
                }
                try expect(position >= 0 && position <= waiting.count, "at \(position) of \(waiting.count)")
                waiting.removeFirst(position)
            } while start < bytes.count
            throw Violation("a block that does not end")
        }
    }

    private final class Encoding {
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: HPACKEncoder.memoryBytes(tableBytes: HPACKLimits.tableBytesDefault), alignment: 8)
        private let space = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16 * 1024)
        private var encoder: HPACKEncoder

        init() { encoder = HPACKEncoder(memory: memory, tableBytes: HPACKLimits.tableBytesDefault) }

        deinit {
            memory.deallocate()
            space.deallocate()
        }

        func encode(_ fields: [Field]) throws -> [UInt8] {
            var output = OutputSpace(space)
            var isWritten = encoder.beginBlock(into: &output)
            for field in fields {
                field.name.withUnsafeBytes { name in
                    field.value.withUnsafeBytes { value in
                        isWritten = encoder.encode(name: Bytes(name), value: Bytes(value), isSensitive: field.isSensitive, into: &output) && isWritten
                    }
                }
            }
            try expect(isWritten, "no room for \(fields.count) fields")
            return output.bytes.array
        }
    }
}
