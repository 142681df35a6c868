/// Writes protobuf's wire format: tags, varints, fixed words, nested messages.
package struct ProtobufWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func varint(_ field: Int, _ value: UInt64) {
        tag(field, 0)
        raw(value)
    }

    package mutating func fixed64(_ field: Int, _ value: UInt64) {
        tag(field, 1)
        word(value)
    }

    package mutating func double(_ field: Int, _ value: Double) { fixed64(field, value.bitPattern) }

    package mutating func string(_ field: Int, _ text: String) {
        tag(field, 2)
        raw(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// A packed list of 64-bit words; nothing if it is empty.
    package mutating func packed64(_ field: Int, _ values: some Collection<UInt64>) {
        guard !values.isEmpty else { return }
        tag(field, 2)
        raw(UInt64(values.count * 8))
        for value in values { word(value) }
    }

    /// A nested message: its length is known only afterwards, so it is put in front then.
    package mutating func message(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
        tag(field, 2)
        let start = bytes.count
        body(&self)
        var length = ProtobufWriter()
        length.raw(UInt64(bytes.count - start))
        bytes.insert(contentsOf: length.bytes, at: start)
    }

    private mutating func tag(_ field: Int, _ wire: UInt64) { raw(UInt64(field) << 3 | wire) }

    private mutating func raw(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func word(_ value: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}

/// Why bytes are no message we take.
package enum ProtobufError: Error, Equatable, Sendable {
    /// It ends in the middle of a value, or a length points past the end.
    case truncated
    /// More than ten bytes, or more than 64 bits.
    case varint
    /// A group, an unknown wire type, or field number 0.
    case tag
    /// A known field has another wire type than it should.
    case wireType
    /// More than a named limit allows.
    case tooLarge
}

/// Reads protobuf's wire format; total on any bytes. Unknown fields are for the caller to ignore.
package struct ProtobufReader: Sendable {
    package enum Value: Sendable, Equatable {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        /// Where it stands in the whole input.
        case bytes(Range<Int>)
    }

    private let input: [UInt8]
    private var position: Int
    private let end: Int

    package init(_ input: [UInt8]) {
        self.input = input
        position = 0
        end = input.count
    }

    private init(_ input: [UInt8], _ range: Range<Int>) {
        self.input = input
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field; nil at the end.
    package mutating func next() throws(ProtobufError) -> (field: Int, value: Value)? {
        guard position < end else { return nil }
        let tag = try rawVarint()
        guard tag >> 3 > 0, tag >> 3 < 1 << 29 else { throw .tag }
        let field = Int(tag >> 3)
        switch tag & 7 {
        case 0: return (field, .varint(try rawVarint()))
        case 1: return (field, .fixed64(try rawWord(8)))
        case 2:
            let length = try rawVarint()
            guard length <= UInt64(end - position) else { throw .truncated }
            let range = position..<(position + Int(length))
            position = range.upperBound
            return (field, .bytes(range))
        case 5: return (field, .fixed32(UInt32(truncatingIfNeeded: try rawWord(4))))
        default: throw .tag
        }
    }

    package func message(_ value: Value) throws(ProtobufError) -> ProtobufReader {
        guard case .bytes(let range) = value else { throw .wireType }
        return ProtobufReader(input, range)
    }

    /// Invalid UTF-8 is repaired.
    package func string(_ value: Value, bytesMax: Int) throws(ProtobufError) -> String {
        guard case .bytes(let range) = value else { throw .wireType }
        guard range.count <= bytesMax else { throw .tooLarge }
        return String(decoding: input[range], as: UTF8.self)
    }

    package func varint(_ value: Value) throws(ProtobufError) -> UInt64 {
        guard case .varint(let number) = value else { throw .wireType }
        return number
    }

    package func fixed64(_ value: Value) throws(ProtobufError) -> UInt64 {
        guard case .fixed64(let number) = value else { throw .wireType }
        return number
    }

    /// Appends one value or a packed list of them, as both forms are legal.
    package func append64(_ value: Value, to list: inout [UInt64], countMax: Int) throws(ProtobufError) {
        switch value {
        case .fixed64(let number):
            guard list.count < countMax else { throw .tooLarge }
            list.append(number)
        case .bytes(let range):
            guard range.count % 8 == 0 else { throw .truncated }
            guard list.count + range.count / 8 <= countMax else { throw .tooLarge }
            var reader = ProtobufReader(input, range)
            while reader.position < reader.end { list.append(try reader.rawWord(8)) }
        case .varint, .fixed32:
            throw .wireType
        }
    }

    private mutating func rawVarint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 70 {
            guard position < end else { throw .truncated }
            let byte = input[position]
            position += 1
            if shift == 63, byte > 1 { throw .varint }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw .varint
    }

    private mutating func rawWord(_ count: Int) throws(ProtobufError) -> UInt64 {
        guard end - position >= count else { throw .truncated }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(input[position + index]) << UInt64(index * 8) }
        position += count
        return value
    }
}
