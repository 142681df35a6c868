import Pipeline
import Testing
import WeftTesting

@testable import Pipeline

/// Reads messages from the fields of their blocks, through HPACK, as a connection does.
final class FieldsPeer {
    enum Outcome: Equatable {
        case request(ParsedMessage)
        case refused(HTTP2Refusal)
    }

    private let storage = HeadStorage()
    private let memory: UnsafeMutableRawPointer
    private let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HPACKDecoder.textBytesMin)
    private var decoder: HPACKDecoder
    private let encoder = EncodingPeer()
    /// The last request as HTTP/1 writes it.
    private(set) var asHTTP1: [UInt8] = []
    /// Names of the lines that must stay out of tables.
    private(set) var sensitive: [String] = []

    init() {
        memory = .allocate(byteCount: DynamicTable.memoryBytes(capacity: 4096), alignment: 8)
        decoder = HPACKDecoder(memory: memory, tableBytes: 4096, listBytesMax: 64 * 1024, fieldsMax: 200)
    }

    deinit {
        memory.deallocate()
        text.deallocate()
    }

    func request(_ fields: [HPACKField], endsStream: Bool = true) -> Outcome {
        var head = storage.requestHead()
        var space = OutputSpace(text)
        var reader = RequestFieldsReader()
        var refusal: HTTP2Refusal?
        decode(fields, into: &space) { field, isSensitive, text in
            if refusal == nil { refusal = reader.take(field, isSensitive: isSensitive, in: text, into: &head.headers) }
        }
        refusal = refusal ?? reader.finish(&space, endsStream: endsStream, scratch: storage.scratch, into: &head)
        if let refusal { return .refused(refusal) }
        sensitive = (0..<Int(head.headers.count)).filter(reader.sensitive.contains).map { head.headers.name($0).string }
        return .request(parsed(head))
    }

    /// Nil: malformed.
    func response(_ fields: [HPACKField], endsStream: Bool = true, isToHead: Bool = false) -> ParsedMessage? {
        var head = storage.responseHead()
        var space = OutputSpace(text)
        var reader = ResponseFieldsReader()
        var isGood = true
        decode(fields, into: &space) { field, isSensitive, text in
            if isGood { isGood = reader.take(field, isSensitive: isSensitive, in: text, into: &head.headers) }
        }
        guard isGood, reader.finish(space.bytes, endsStream: endsStream, isToHead: isToHead, into: &head) else { return nil }
        var message = ParsedMessage()
        message.status = Int(head.status)
        message.framing = head.framing
        message.headers = kept(head.headers, head.dropped)
        return message
    }

    func trailers(_ fields: [HPACKField]) -> HTTP2Refusal? {
        var reader = TrailerFieldsReader()
        for field in fields {
            let refusal = field.name.withUnsafeBytes { name in
                field.value.withUnsafeBytes { reader.take(Bytes(name), Bytes($0), tag: HeaderName.tag(of: Bytes(name))) }
            }
            if let refusal { return refusal }
        }
        return nil
    }

    private func decode(_ fields: [HPACKField], into space: inout OutputSpace, _ take: (HeaderField, Bool, Bytes) -> Void) {
        guard let block = encoder.encode(fields) else { return }
        decoder.beginBlock()
        var position = 0
        block.withUnsafeBytes { bytes in
            while case .field(let field, let isSensitive) = decoder.next(in: Bytes(bytes), at: &position, isLast: true, into: &space) {
                take(field, isSensitive, space.bytes)
            }
        }
    }

    private func parsed(_ head: RequestHead) -> ParsedMessage {
        var message = ParsedMessage()
        message.method = head.methodText.string
        message.target = head.target.string
        message.path = head.path.string
        message.query = head.query.string
        message.authority = head.authority.string
        message.framing = head.framing
        message.headers = kept(head.headers, head.dropped)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 * 1024, alignment: 1)
        defer { room.deallocate() }
        var writer = HeadWriter(into: room)
        writer.requestLine(head)
        writer.copyFields(head.headers, skipping: head.dropped)
        asHTTP1 = writer.finish(head.framing).map { Array(room[..<$0]) } ?? []
        return message
    }

    private func kept(_ table: HeaderTable, _ dropped: FieldMask) -> [ParsedMessage.Field] {
        (0..<Int(table.count)).filter { !dropped.contains($0) }.map { .init(table.name($0).string, table.value($0).string) }
    }
}

/// What every request says, and more behind it.
func getFields(_ more: [HPACKField] = [], method: String = "GET", scheme: String = "https", path: String = "/", authority: String? = "a.test") -> [HPACKField] {
    [.init(":method", method), .init(":scheme", scheme), .init(":path", path)] + (authority.map { [.init(":authority", $0)] } ?? []) + more
}

/// As `#expect`, which cannot call what changes its value.
func check(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) { #expect(holds, sourceLocation: sourceLocation) }
