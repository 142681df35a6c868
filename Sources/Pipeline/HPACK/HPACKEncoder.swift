/// Encodes field blocks (RFC 7541 §6) into storage that the caller brings.
///
/// What repeats is indexed: a field that usually stays the same when it is first seen, one that usually changes (a path, a length,
/// a request id) only when the same comes twice, and a secret never. Text is Huffman-coded when that is shorter.
///
/// Look-ups are one slot each by hash. A slot that was overwritten costs a few bytes on the wire and nothing else, because what it
/// names is compared. Plain old data over memory of the connection's.
@safe
package struct HPACKEncoder: BitwiseCopyable {
    private static let slotCount = 256

    private var table: DynamicTable
    private let statics = StaticTable.shared
    private let huffman = Huffman.shared
    /// By hash of name and value, by hash of name: numbers of entries (``DynamicTable/inserted``).
    private let fieldSlots: UnsafeMutablePointer<UInt32>
    private let nameSlots: UnsafeMutablePointer<UInt32>
    /// Hashes of fields that were sent without being indexed.
    private let seenSlots: UnsafeMutablePointer<UInt32>
    /// Sizes to announce at the next block: the smallest there was since the last one, and the last; -1 if there is nothing to say.
    private var smallestBytes = -1
    private var finalBytes = -1

    package static func memoryBytes(tableBytes: Int) -> Int {
        3 * slotCount * MemoryLayout<UInt32>.stride + DynamicTable.memoryBytes(capacity: tableBytes)
    }

    /// `memory`, aligned to 8: ``memoryBytes(tableBytes:)`` that outlive the encoder.
    package init(memory: UnsafeMutableRawPointer, tableBytes: Int) {
        let slots = unsafe memory.bindMemory(to: UInt32.self, capacity: 3 * Self.slotCount)
        unsafe slots.initialize(repeating: 0, count: 3 * Self.slotCount)
        unsafe fieldSlots = slots
        unsafe nameSlots = slots + Self.slotCount
        unsafe seenSlots = slots + 2 * Self.slotCount
        unsafe table = DynamicTable(memory: memory + 3 * Self.slotCount * MemoryLayout<UInt32>.stride, capacity: tableBytes)
        table.resize(to: min(tableBytes, HPACKLimits.tableBytesDefault))
        if tableBytes < HPACKLimits.tableBytesDefault {
            smallestBytes = tableBytes
            finalBytes = tableBytes
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. Smaller takes effect at once, and both are said at the next block's start (§4.2).
    package mutating func peerAllows(tableBytes: Int) {
        let bytes = min(max(tableBytes, 0), table.capacity)
        guard bytes != table.bytesMax || finalBytes >= 0 else { return }
        smallestBytes = smallestBytes < 0 ? bytes : min(smallestBytes, bytes)
        finalBytes = bytes
        table.resize(to: bytes)
    }

    /// Says what has changed. False, and nothing is done, if `output` has less room than ``beginBytesMax``.
    package mutating func beginBlock(into output: inout OutputSpace) -> Bool {
        guard finalBytes >= 0 else { return true }
        guard output.room >= Self.beginBytesMax else { return false }
        if smallestBytes < finalBytes { writeSize(smallestBytes, &output) }
        writeSize(finalBytes, &output)
        smallestBytes = -1
        finalBytes = -1
        return true
    }

    package static let beginBytesMax = 2 * HPACKInteger.writtenBytesMax

    /// Bytes that a field takes at most beside its name and value.
    package static let fieldBytesMax = 3 * HPACKInteger.writtenBytesMax

    /// Appends a field. `name` is in lower case, as HTTP/2 wants it; nothing of it is checked. False, and nothing is done, if
    /// `output` has less room than name, value and ``fieldBytesMax``.
    ///
    /// - Parameter isSensitive: it came as never to be indexed, or whoever made it says so.
    package mutating func encode(name: Bytes, value: Bytes, isSensitive: Bool = false, into output: inout OutputSpace) -> Bool {
        guard output.room >= name.count &+ value.count &+ Self.fieldBytesMax else { return false }
        let nameHash = FieldHash.of(name)
        let staticName = statics.firstIndex(of: name, hash: nameHash)
        let nature = isSensitive ? .secret : FieldNature(name: name, value: value, staticIndex: staticName)
        if nature == .secret {
            writeLiteral(
                .never, nameIndex: staticName > 0 ? staticName : dynamicIndex(ofName: name, hash: nameHash), name: name, value: value,
                &output)
            return true
        }
        if staticName > 0 {
            let index = statics.index(of: name, value: value, from: staticName)
            if index > 0 {
                writeInteger(index, .indexed, &output)
                return true
            }
        }
        let hash = FieldHash.of(value, seed: nameHash)
        let slot = Int(hash) & (Self.slotCount &- 1)
        if let age = unsafe age(fieldSlots[slot]) {
            let entry = table.entry(age)
            if entry.name.isSame(as: name), entry.value.isSame(as: value) {
                writeInteger(StaticTable.count &+ 1 &+ age, .indexed, &output)
                return true
            }
        }
        let nameIndex = staticName > 0 ? staticName : dynamicIndex(ofName: name, hash: nameHash)
        let isSeen = unsafe seenSlots[slot] == hash
        // A name that no table has is worth an entry for itself.
        if name.count &+ value.count &+ HPACKLimits.fieldOverheadBytes > table.bytesMax / 4 &* 3
            || nature == .changing && nameIndex > 0 && !isSeen
        {
            unsafe seenSlots[slot] = hash
            writeLiteral(.plain, nameIndex: nameIndex, name: name, value: value, &output)
            return true
        }
        writeLiteral(.indexing, nameIndex: nameIndex, name: name, value: value, &output)
        unsafe fieldSlots[slot] = table.inserted
        if staticName == 0 { unsafe nameSlots[Int(nameHash) & (Self.slotCount &- 1)] = table.inserted }
        table.insert(name: name, value: value)
        return true
    }

    // MARK: Look-ups

    /// The index now of the entry with this number, nil if it is gone.
    @inline(__always)
    private func age(_ number: UInt32) -> Int? {
        let age = table.inserted &- 1 &- number
        return age < UInt32(truncatingIfNeeded: table.count) ? Int(age) : nil
    }

    @inline(__always)
    private func dynamicIndex(ofName name: Bytes, hash: UInt32) -> Int {
        guard let age = unsafe age(nameSlots[Int(hash) & (Self.slotCount &- 1)]), table.entry(age).name.isSame(as: name) else { return 0 }
        return StaticTable.count &+ 1 &+ age
    }

    // MARK: Writing. The room is there.

    private enum Representation {
        case indexed, indexing, sizeUpdate, plain, never

        var prefixBits: Int {
            switch self {
            case .indexed: 7
            case .indexing: 6
            case .sizeUpdate: 5
            case .plain, .never: 4
            }
        }

        var pattern: UInt8 {
            switch self {
            case .indexed: 0x80
            case .indexing: 0x40
            case .sizeUpdate: 0x20
            case .never: 0x10
            case .plain: 0
            }
        }
    }

    @inline(__always)
    private func writeInteger(_ value: Int, _ representation: Representation, _ output: inout OutputSpace) {
        output.count &+= unsafe HPACKInteger.write(
            value, prefixBits: representation.prefixBits, pattern: representation.pattern, to: output.end)
    }

    private func writeSize(_ bytes: Int, _ output: inout OutputSpace) { writeInteger(bytes, .sizeUpdate, &output) }

    private func writeLiteral(
        _ representation: Representation, nameIndex: Int, name: Bytes, value: Bytes, _ output: inout OutputSpace
    ) {
        writeInteger(nameIndex, representation, &output)
        if nameIndex == 0 { writeText(name, &output) }
        writeText(value, &output)
    }

    private func writeText(_ text: Bytes, _ output: inout OutputSpace) {
        let coded = huffman.encodedCount(text)
        if coded < text.count {
            output.count &+= unsafe HPACKInteger.write(coded, prefixBits: 7, pattern: 0x80, to: output.end)
            unsafe huffman.encode(text, to: output.end)
            output.count &+= coded
        } else {
            output.count &+= unsafe HPACKInteger.write(text.count, prefixBits: 7, pattern: 0, to: output.end)
            if let base = unsafe text.base { unsafe output.end.update(from: base, count: text.count) }
            output.count &+= text.count
        }
    }
}
