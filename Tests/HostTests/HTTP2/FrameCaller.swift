import Pipeline

@testable import Host

/// A caller that speaks HTTP/2 in the clear, frame by frame; it keeps to the windows that it is given.
final class FrameCaller {
    enum Event: Equatable {
        case head(UInt32, [String: String], ends: Bool)
        case data(UInt32, [UInt8], ends: Bool)
        case reset(UInt32, UInt32)
        case goAway(UInt32)
        case closed
    }

    let connection: RawConnection
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: DynamicTable.memoryBytes(capacity: HPACKLimits.tableBytesDefault), alignment: 16)
    private let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HPACKDecoder.textBytesMin)
    private var decoder: HPACKDecoder
    private var waiting: [Event] = []
    private var room = 65_535
    private var streamRoom: [UInt32: Int] = [:]
    private var streamWindow = 65_535
    /// What it was told about extended CONNECT (RFC 8441 §3).
    private(set) var mayConnect = false

    /// - Parameter window: that its streams have for answers; the connection's is out of the way.
    init(_ connection: RawConnection, window: UInt32 = 65_535) {
        self.connection = connection
        decoder = HPACKDecoder(memory: memory, tableBytes: HPACKLimits.tableBytesDefault, listBytesMax: 64 * 1024, fieldsMax: 200)
        connection.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(4, [0, 4] + Self.word(window)) + Self.frame(8, Self.word(1 << 30)))
    }

    deinit {
        memory.deallocate()
        text.deallocate()
    }

    static func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }

    static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), kind, flags] + word(stream) + payload
    }

    // MARK: Saying

    /// Every field as a literal that no table keeps; names and values are shorter than 127 bytes.
    func request(_ stream: UInt32, _ fields: [(String, String)], ends: Bool = true) {
        var block: [UInt8] = []
        for (name, value) in fields { block += [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8) }
        connection.send(Self.frame(1, flags: ends ? 5 : 4, stream: stream, block))
    }

    func get(_ stream: UInt32, _ path: String) { request(stream, Self.fields("GET", path)) }
    func post(_ stream: UInt32, _ path: String) { request(stream, Self.fields("POST", path), ends: false) }

    func webSocket(_ stream: UInt32, _ path: String = "/chat", named name: String = "websocket", _ more: [(String, String)] = []) {
        request(stream, Self.fields("CONNECT", path) + [(":protocol", name), ("sec-websocket-version", "13")] + more, ends: false)
    }

    private static func fields(_ method: String, _ path: String) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
    }

    /// As fast as the windows allow; false: the connection is over, or the stream is.
    @discardableResult
    func data(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = false) -> Bool {
        var rest = bytes[...]
        repeat {
            while min(room, streamRoom[stream, default: streamWindow]) <= 0, !rest.isEmpty {
                guard let event = step() else { continue }
                waiting.append(event)
                if event == .closed { return false }
                if case .reset(stream, _) = event { return false }
            }
            let piece = rest.prefix(min(16_384, room, streamRoom[stream, default: streamWindow]))
            rest = rest.dropFirst(piece.count)
            room -= piece.count
            streamRoom[stream, default: streamWindow] -= piece.count
            guard connection.send(Self.frame(0, flags: ends && rest.isEmpty ? 1 : 0, stream: stream, Array(piece))) else { return false }
        } while !rest.isEmpty
        return true
    }

    func reset(_ stream: UInt32) { connection.send(Self.frame(3, stream: stream, Self.word(8))) }

    // MARK: Hearing

    /// Whatever comes next; windows and settings are kept by themselves.
    func next() -> Event {
        if !waiting.isEmpty { return waiting.removeFirst() }
        while true {
            if let event = step() { return event }
        }
    }

    /// The answer to one stream: its head, and its body as far as its end; what other streams say stays for later. Nil: it has none.
    func answer(_ stream: UInt32) -> (fields: [String: String], body: [UInt8])? {
        var fields: [String: String]?
        var body: [UInt8] = []
        var others: [Event] = []
        defer { waiting = others + waiting }
        while true {
            let event = next()
            switch event {
            case .head(stream, let found, let ends):
                if fields == nil { fields = found }
                if ends { return (fields!, body) }
            case .data(stream, let piece, let ends):
                body += piece
                if ends { return fields.map { ($0, body) } }
            case .reset(stream, _), .closed: return nil
            default: others.append(event)
            }
        }
    }

    /// So many bytes of a stream that goes on; nil: it ended before.
    func bytes(_ stream: UInt32, _ count: Int) -> [UInt8]? {
        var seen: [UInt8] = []
        while seen.count < count {
            guard case .data(stream, let piece, let ends) = next(), !ends || seen.count + piece.count == count else { return nil }
            seen += piece
        }
        return seen
    }

    private func step() -> Event? {
        let header = exactly(9)
        guard header.count == 9 else { return .closed }
        let payload = exactly(Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2]))
        let flags = header[4], stream = Self.number(header[5...]) & 0x7FFF_FFFF
        switch header[3] {
        case 0:
            if !payload.isEmpty { connection.send(Self.frame(8, stream: stream, Self.word(UInt32(payload.count)))) }
            return .data(stream, payload, ends: flags & 1 != 0)
        case 1: return .head(stream, decode(payload), ends: flags & 1 != 0)
        case 3: return .reset(stream, Self.number(payload[...]))
        case 4 where flags & 1 == 0:
            for start in stride(from: 0, to: payload.count, by: 6) {
                let value = Self.number(payload[(start + 2)...].prefix(4))
                switch payload[start + 1] {
                case 4: streamWindow = Int(value)
                case 8: mayConnect = value == 1
                default: break
                }
            }
            connection.send(Self.frame(4, flags: 1))
        case 6 where flags & 1 == 0: connection.send(Self.frame(6, flags: 1, payload))
        case 7: return .goAway(Self.number(payload[4...].prefix(4)))
        case 8:
            let more = Int(Self.number(payload[...]))
            if stream == 0 { room += more } else { streamRoom[stream, default: streamWindow] += more }
        default: break
        }
        return nil
    }

    private func exactly(_ count: Int) -> [UInt8] {
        var seen: [UInt8] = []
        while seen.count < count {
            let early = connection.takeBuffered(atMost: count - seen.count)
            if !early.isEmpty {
                seen += early
                continue
            }
            var piece = [UInt8](repeating: 0, count: count - seen.count)
            let received = connection.receive(&piece, piece.count)
            guard received > 0 else { return seen }
            seen += piece[..<received]
        }
        return seen
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

    private func decode(_ block: [UInt8]) -> [String: String] {
        block.withUnsafeBytes { raw in
            var out = OutputSpace(text), fields: [String: String] = [:], position = 0
            decoder.beginBlock()
            while case .field(let field, _) = decoder.next(in: Bytes(raw), at: &position, isLast: true, into: &out) {
                let part = { (start: UInt16, count: UInt16) in out.bytes.slice(Int(start), Int(start) + Int(count)).string }
                fields[part(field.nameOffset, field.nameCount)] = part(field.valueOffset, field.valueCount)
            }
            return fields
        }
    }
}
