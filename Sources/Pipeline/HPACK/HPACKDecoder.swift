/// Decodes field blocks (RFC 7541 §3, §6), field by field, into storage that the caller brings.
///
/// Text is laid out as HTTP/1 writes it, `name: value CRLF` one after the other, so that a head from HTTP/2 goes on to HTTP/1 as
/// one copy (``HeaderTable/isWireFormat``). Nothing is judged here but HPACK: names may be any bytes.
///
/// Plain old data, but for the table's memory. A list over a bound is still decoded to its end, because the table must follow; its
/// fields are dropped and cost no copy, so a block of a thousand references to one long entry is a thousand look-ups.
package struct HPACKDecoder: BitwiseCopyable {
    package enum Step {
        /// A field, its offsets counted from the text's first byte. A sensitive one must stay out of every table, on every later
        /// hop as well (§6.2.3).
        case field(HeaderField, isSensitive: Bool)
        /// A part of a block ends within a field: call again with what is behind the position, and more.
        case needMore
        /// The block is over. Look at ``isOverLimit``.
        case end
        case reject(HPACKFault)
    }

    /// The text's capacity is at least this, so that an entry for the table fits in it always.
    package static let textBytesMin = HPACKLimits.tableBytesMax - 1

    private var table: DynamicTable
    private let statics = StaticTable.shared
    private let huffman = Huffman.shared
    private let listBytesMax: Int
    private let fieldsMax: Int
    /// What the settings that the peer acknowledged allow the table.
    private var allowedBytes = HPACKLimits.tableBytesDefault
    /// The settings went below what the table may hold, and the peer has not said yet that it holds less: how far. Otherwise -1.
    private var owedBytes = -1
    private var hasField = false
    /// Of this block's list, counted as SETTINGS_MAX_HEADER_LIST_SIZE does.
    package private(set) var listBytes = 0
    private var fields = 0
    /// The list is larger than the bounds or the text; its fields are incomplete. The block's message is refused, the connection lives.
    package private(set) var isOverLimit = false

    /// `memory`: `DynamicTable.memoryBytes(capacity: tableBytes)`. The table holds at least the default, because the peer may fill
    /// that much before it sees any settings.
    package init(memory: UnsafeMutableRawPointer, tableBytes: Int, listBytesMax: Int, fieldsMax: Int) {
        precondition(tableBytes >= HPACKLimits.tableBytesDefault)
        unsafe table = DynamicTable(memory: memory, capacity: tableBytes)
        table.resize(to: HPACKLimits.tableBytesDefault)
        self.listBytesMax = listBytesMax
        self.fieldsMax = fieldsMax
    }

    /// The peer acknowledged a SETTINGS_HEADER_TABLE_SIZE of ours, of at most the `tableBytes` that the decoder was made for.
    package mutating func peerAcknowledged(tableBytes: Int) {
        allowedBytes = min(tableBytes, table.capacity)
        if allowedBytes < table.bytesMax { owedBytes = owedBytes < 0 ? allowedBytes : min(owedBytes, allowedBytes) }
    }

    package mutating func beginBlock() {
        hasField = false
        listBytes = 0
        fields = 0
        isOverLimit = false
    }

    /// The next field of `block` from `position` on. `isLast`: nothing of the block comes behind these bytes.
    ///
    /// - Parameter text: 64 KiB less one byte, what 16-bit offsets reach; the same for the whole block.
    package mutating func next(in block: Bytes, at position: inout Int, isLast: Bool, into text: inout OutputSpace) -> Step {
        assert(text.capacity == Self.textBytesMin)
        while position < block.count {
            var cursor = position
            let first = block[position]
            let step: Step?
            if first & 0x80 != 0 {
                step = indexed(block, &cursor, &text)
            } else if first & 0xE0 == 0x20 {
                step = sizeUpdate(block, &cursor)
            } else {
                step = literal(block, &cursor, &text)
            }
            switch step {
            case nil: position = cursor
            case .needMore: return isLast ? .reject(.truncated) : .needMore
            case .reject(let fault): return .reject(fault)
            case .some(let field):
                position = cursor
                return field
            }
        }
        return isLast ? .end : .needMore
    }

    // MARK: Representations. Nil: done, and there is no field to hand out.

    @inline(__always)
    private mutating func indexed(_ block: Bytes, _ cursor: inout Int, _ text: inout OutputSpace) -> Step? {
        switch HPACKInteger.read(block, at: &cursor, prefixBits: 7) {
        case .needMore: return .needMore
        case .tooLarge: return .reject(.integerTooLarge)
        case .value(let index):
            if let fault = beginField() { return .reject(fault) }
            guard index > 0 else { return .reject(.zeroIndex) }
            guard let entry = entry(index) else { return .reject(.indexOutOfRange) }
            guard admits(entry.name.count &+ entry.value.count, &text) else { return nil }
            let written = store(.plain(entry.name), .plain(entry.value), at: text.count, in: text)
            guard case .success(let counts) = written, counts.fits else { return nil }
            return finish(counts, isSensitive: false, &text)
        }
    }

    private mutating func sizeUpdate(_ block: Bytes, _ cursor: inout Int) -> Step? {
        switch HPACKInteger.read(block, at: &cursor, prefixBits: 5) {
        case .needMore: return .needMore
        case .tooLarge: return .reject(.integerTooLarge)
        case .value(let bytes):
            if hasField { return .reject(.lateSizeUpdate) }
            guard bytes <= allowedBytes else { return .reject(.sizeUpdateTooLarge) }
            // The smallest size there was comes first (§4.2); then it may grow again.
            if owedBytes >= 0, bytes > owedBytes { return .reject(.missingSizeUpdate) }
            owedBytes = -1
            table.resize(to: bytes)
            return nil
        }
    }

    private mutating func literal(_ block: Bytes, _ cursor: inout Int, _ text: inout OutputSpace) -> Step? {
        let first = block[cursor]
        let isIndexing = first & 0x40 != 0
        let index: Int
        switch HPACKInteger.read(block, at: &cursor, prefixBits: isIndexing ? 6 : 4) {
        case .needMore: return .needMore
        case .tooLarge: return .reject(.integerTooLarge)
        case .value(let value): index = value
        }
        let name: Text
        if index == 0 {
            switch readText(block, &cursor) {
            case .success(let text): name = text
            case .failure(let stop): return stop.step
            }
        } else {
            guard let entry = entry(index) else { return .reject(.indexOutOfRange) }
            name = .plain(entry.name)
        }
        let value: Text
        switch readText(block, &cursor) {
        case .success(let text): value = text
        case .failure(let stop): return stop.step
        }
        if let fault = beginField() { return .reject(fault) }
        var counts: Counts
        switch store(name, value, at: text.count, in: text) {
        case .failure(let fault): return .reject(fault)
        case .success(let written): counts = written
        }
        if !admits(counts.name &+ counts.value, &text), isIndexing, !counts.fits {
            // The list is over; its text serves to build the entry.
            guard case .success(let written) = store(name, value, at: 0, in: text) else { return nil }
            counts = written
        }
        if isIndexing {
            if counts.fits, let base = unsafe text.tail(from: counts.start).baseAddress {
                unsafe table.insert(
                    name: Bytes(UnsafePointer(base), count: counts.name),
                    value: Bytes(UnsafePointer(base + counts.name + 2), count: counts.value))
            } else {
                // Longer than the text, so longer than any table: it empties this one.
                table.removeAll()
            }
        }
        return isOverLimit ? nil : finish(counts, isSensitive: first & 0xF0 == 0x10, &text)
    }

    // MARK: Parts

    /// A field comes: what has to come before it is no longer possible.
    @inline(__always)
    private mutating func beginField() -> HPACKFault? {
        hasField = true
        return owedBytes >= 0 ? .missingSizeUpdate : nil
    }

    @inline(__always)
    private func entry(_ index: Int) -> HPACKEntry? {
        if index <= StaticTable.count { return index > 0 ? statics.entry(index) : nil }
        let dynamic = index &- StaticTable.count &- 1
        return dynamic < table.count ? table.entry(dynamic) : nil
    }

    /// Counts a field of so many bytes; false if it is one too many.
    @inline(__always)
    private mutating func admits(_ count: Int, _ text: inout OutputSpace) -> Bool {
        if !isOverLimit {
            listBytes &+= count &+ HPACKLimits.fieldOverheadBytes
            fields &+= 1
            isOverLimit = listBytes > listBytesMax || fields > fieldsMax || count &+ 4 > text.room
        }
        return !isOverLimit
    }

    private enum Text {
        case plain(Bytes)
        case coded(Bytes)
    }

    private enum Stop: Error {
        case needMore
        case reject(HPACKFault)

        var step: Step {
            switch self {
            case .needMore: .needMore
            case .reject(let fault): .reject(fault)
            }
        }
    }

    /// A string literal (§5.2), not decoded yet.
    @inline(__always)
    private func readText(_ block: Bytes, _ cursor: inout Int) -> Result<Text, Stop> {
        guard cursor < block.count else { return .failure(.needMore) }
        let isCoded = block[cursor] & 0x80 != 0
        switch HPACKInteger.read(block, at: &cursor, prefixBits: 7) {
        case .needMore: return .failure(.needMore)
        case .tooLarge: return .failure(.reject(.integerTooLarge))
        case .value(let count):
            guard count <= block.count &- cursor else { return .failure(.needMore) }
            let bytes = block.slice(cursor, cursor &+ count)
            cursor &+= count
            return .success(isCoded ? .coded(bytes) : .plain(bytes))
        }
    }

    /// Where a field's text begins, its lengths, and whether all of it is there.
    private struct Counts {
        let start: Int
        let name: Int
        let value: Int
        let fits: Bool
    }

    /// Writes the field behind `start`, as far as there is room.
    @inline(__always)
    private func store(_ name: Text, _ value: Text, at start: Int, in text: OutputSpace) -> Result<Counts, HPACKFault> {
        let nameCount: Int
        switch unsafe write(name, to: text.tail(from: start)) {
        case .failure(let fault): return .failure(fault)
        case .success(let count): nameCount = count
        }
        let valueStart = start &+ nameCount &+ 2
        let valueCount: Int
        switch unsafe write(value, to: text.tail(from: valueStart)) {
        case .failure(let fault): return .failure(fault)
        case .success(let count): valueCount = count
        }
        let end = valueStart &+ valueCount &+ 2
        let fits = end <= text.capacity
        if fits, let base = unsafe text.base {
            unsafe base[valueStart &- 2] = UInt8(ascii: ":")
            unsafe base[valueStart &- 1] = UInt8(ascii: " ")
            unsafe base[end &- 2] = UInt8(ascii: "\r")
            unsafe base[end &- 1] = UInt8(ascii: "\n")
        }
        return .success(Counts(start: start, name: nameCount, value: valueCount, fits: fits))
    }

    @inline(__always)
    private func write(_ text: Text, to target: UnsafeMutableBufferPointer<UInt8>) -> Result<Int, HPACKFault> {
        switch text {
        case .coded(let bytes): return unsafe huffman.decode(bytes, into: target)
        case .plain(let bytes):
            if let base = target.baseAddress, let source = unsafe bytes.base {
                unsafe base.update(from: source, count: min(bytes.count, target.count))
            }
            return .success(bytes.count)
        }
    }

    @inline(__always)
    private func finish(_ counts: Counts, isSensitive: Bool, _ text: inout OutputSpace) -> Step {
        let valueStart = counts.start &+ counts.name &+ 2
        text.count = valueStart &+ counts.value &+ 2
        let name = unsafe Bytes(UnsafePointer(text.base.unsafelyUnwrapped + counts.start), count: counts.name)
        return .field(
            HeaderField(
                nameOffset: UInt16(truncatingIfNeeded: counts.start), nameCount: UInt16(truncatingIfNeeded: counts.name),
                valueOffset: UInt16(truncatingIfNeeded: valueStart), valueCount: UInt16(truncatingIfNeeded: counts.value),
                tag: HeaderName.tag(of: name)),
            isSensitive: isSensitive)
    }
}
