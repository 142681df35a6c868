import Pipeline
import Testing

@Suite("HPACK by seed")
struct HPACKSeededTests {
    private static let names = [
        ":path", ":authority", "content-type", "cookie", "set-cookie", "x-request-id", "x-a", "x-b", "accept", "authorization", "grpc-timeout",
        "x-a-name-that-is-rather-long-and-comes-again", "etag",
    ]

    private static func field(_ random: inout Random) -> HPACKField {
        let name =
            Int.random(in: 0..<8, using: &random) == 0
            ? (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            : Array(names.randomElement(using: &random)!.utf8)
        let value: [UInt8] =
            switch Int.random(in: 0..<6, using: &random) {
            case 0: []
            case 1: (0..<Int.random(in: 0...600, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            default: Array("value-\(Int.random(in: 0..<6, using: &random))".utf8)
            }
        return HPACKField(name: name, value: value, isSensitive: Int.random(in: 0..<10, using: &random) == 0)
    }

    @Test("What is encoded decodes to itself, whatever the table sizes and the cuts", arguments: 1...12 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) {
        var random = Random(seed: seed)
        let encoder = EncodingPeer(tableBytes: [0, 64, 333, 4096, 65_536].randomElement(using: &random)!)
        let decoder = DecodingPeer(tableBytes: 65_536, fieldsMax: 1_000)
        let cut = DecodingPeer(tableBytes: 65_536, fieldsMax: 1_000)
        var blockBytes = 0
        var plainBytes = 0
        for round in 0..<150 {
            if Int.random(in: 0..<10, using: &random) == 0 {
                // Settings may change more than once between two blocks.
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let bytes = [0, 40, 100, 1_000, 4_096, 65_536].randomElement(using: &random)!
                    encoder.encoder.peerAllows(tableBytes: bytes)
                    decoder.decoder.peerAcknowledged(tableBytes: bytes)
                    cut.decoder.peerAcknowledged(tableBytes: bytes)
                }
            }
            let fields = (0..<Int.random(in: 0...30, using: &random)).map { _ in Self.field(&random) }
            let block = encoder.encode(fields)!
            let read = decoder.decode(block)
            #expect(read.fault == nil && !read.isOverLimit, "SEED=\(seed) round \(round)")
            #expect(read.fields.map(\.name) == fields.map(\.name) && read.fields.map(\.value) == fields.map(\.value), "SEED=\(seed) round \(round)")
            #expect(zip(fields, read.fields).allSatisfy { !$0.isSensitive || $1.isSensitive }, "SEED=\(seed) round \(round)")
            #expect(cut.decode(block, piece: Int.random(in: 1...9, using: &random)) == read, "SEED=\(seed) round \(round)")
            blockBytes += block.count
            plainBytes += fields.reduce(0) { $0 + $1.name.count + $1.value.count }
        }
        #expect(blockBytes < plainBytes, "\(blockBytes) of \(plainBytes)")
    }

    @Test("Any bytes are decoded or refused, the same however they are cut", arguments: 1...6 as ClosedRange<UInt64>)
    func noise(seed: UInt64) {
        var random = Random(seed: seed)
        var faults: Set<HPACKFault> = []
        for _ in 0..<400 {
            let whole = DecodingPeer(listBytesMax: 2_000)
            let cut = DecodingPeer(listBytesMax: 2_000)
            for _ in 0..<4 {
                let block = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                    // Small numbers make lengths and indices that mean something.
                    Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : [0x40, 0x01, 0x61, 0xBE, 0x82, 0x00].randomElement(using: &random)!
                }
                let result = whole.decode(block)
                #expect(cut.decode(block, piece: 1) == result, "SEED=\(seed): \(block)")
                guard let fault = result.fault else { continue }
                faults.insert(fault)
                break
            }
        }
        #expect(faults.count >= 4, "\(faults)")
    }

    @Test("A table is what a list with eviction is, through every wrap of its memory", arguments: 1...6 as ClosedRange<UInt64>)
    func table(seed: UInt64) {
        var random = Random(seed: seed)
        let capacity = [64, 100, 512, 4_096].randomElement(using: &random)!
        let memory = UnsafeMutableRawPointer.allocate(byteCount: DynamicTable.memoryBytes(capacity: capacity), alignment: 8)
        defer { memory.deallocate() }
        var table = DynamicTable(memory: memory, capacity: capacity)
        var model: [HPACKField] = []
        var bytesMax = capacity
        func evict() { while model.reduce(0, { $0 + $1.name.count + $1.value.count + 32 }) > bytesMax { model.removeLast() } }
        for _ in 0..<500 {
            if Int.random(in: 0..<20, using: &random) == 0 {
                bytesMax = Int.random(in: 0...capacity, using: &random)
                table.resize(to: bytesMax)
            } else {
                let byte = UInt8.random(in: 0...255, using: &random)
                let field = HPACKField(
                    name: Array(repeating: byte, count: Int.random(in: 0...capacity / 3, using: &random)),
                    value: Array(repeating: ~byte, count: Int.random(in: 0...capacity / 3, using: &random)))
                field.name.withUnsafeBytes { name in
                    field.value.withUnsafeBytes { _ = table.insert(name: Bytes(name), value: Bytes($0)) }
                }
                model.insert(field, at: 0)
            }
            evict()
            #expect(table.count == model.count, "SEED=\(seed)")
            for index in 0..<min(table.count, model.count) {
                let entry = table.entry(index)
                let isSame = equal(entry.name, model[index].name) && equal(entry.value, model[index].value)
                #expect(isSame, "SEED=\(seed) entry \(index)")
            }
        }
    }
}

private func equal(_ bytes: Bytes, _ array: [UInt8]) -> Bool {
    bytes.count == array.count && array.indices.allSatisfy { bytes[$0] == array[$0] }
}
