import Pipeline

/// What a reader makes of a stream of bytes, with the pieces of a DATA frame put together, so that cuts can be compared.
struct FrameStream: Equatable {
    enum Item: Equatable {
        case frame(Frame)
        case data(stream: UInt32, [UInt8], windowBytes: Int, endsStream: Bool)
        case block(stream: UInt32, [UInt8], isFirst: Bool, isLast: Bool, endsStream: Bool)
        case settings([UInt8])
        case reject(HTTP2Fault)
    }

    var items: [Item] = []
    /// Bytes of an unfinished frame that wait.
    var waiting = 0
    private var data: [UInt8] = []
    private var windowBytes = 0

    /// Reads come in the sizes given, over and over; whole if there are none.
    init(_ bytes: [UInt8], reads: [Int] = [], expectsPreface: Bool = false, afterSettings: Bool = true) {
        var reader = FrameReader(expectsPreface: expectsPreface)
        if afterSettings { _ = FrameBytes.settings().withUnsafeBytes { reader.next(Bytes($0)) } }
        var buffer: [UInt8] = []
        var start = 0
        var turn = 0
        repeat {
            let size = reads.isEmpty ? bytes.count : reads[turn % reads.count]
            buffer += bytes[start..<min(bytes.count, start + size)]
            start = min(bytes.count, start + size)
            turn += 1
            if take(&buffer, &reader) { return }
        } while start < bytes.count
        waiting = buffer.count
    }

    /// True when the connection is over.
    private mutating func take(_ buffer: inout [UInt8], _ reader: inout FrameReader) -> Bool {
        while true {
            let step = buffer.withUnsafeBytes { reader.next(Bytes($0)) }
            switch step {
            case .needMore(let consumed):
                buffer.removeFirst(consumed)
                return false
            case .reject(let fault, let consumed):
                items.append(.reject(fault))
                buffer.removeFirst(consumed)
                if fault.scope == .connection { return true }
            case .frame(let frame, let consumed):
                take(frame, buffer)
                buffer.removeFirst(consumed)
            }
        }
    }

    private mutating func take(_ frame: Frame, _ buffer: [UInt8]) {
        switch frame {
        case .data(let piece):
            if piece.isFirst { (data, windowBytes) = ([], piece.windowBytes) }
            data += buffer[piece.offset..<piece.offset + piece.count]
            if piece.isLast { items.append(.data(stream: piece.stream, data, windowBytes: windowBytes, endsStream: piece.endsStream)) }
        case .headers(let stream, let block, let endsStream):
            let bytes = Array(buffer[block.offset..<block.offset + block.count])
            items.append(.block(stream: stream, bytes, isFirst: true, isLast: block.isLast, endsStream: endsStream))
        case .continuation(let stream, let block):
            let bytes = Array(buffer[block.offset..<block.offset + block.count])
            items.append(.block(stream: stream, bytes, isFirst: false, isLast: block.isLast, endsStream: false))
        case .settings(let offset, let count):
            items.append(.settings(Array(buffer[offset..<offset + count])))
        default:
            items.append(.frame(frame))
        }
    }
}

/// Frames as a peer would write them, right or wrong: nothing here is shared with the writer under test.
enum FrameBytes {
    static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = [], length: Int? = nil) -> [UInt8] {
        let length = length ?? payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), kind, flags] + word(stream) + payload
    }

    static func word(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
        frame(4, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + word($0.1) })
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
}
