import Pipeline

/// The push stream: one sequence of messages however reads cut it, a reader that holds no more than one frame and one read,
/// and messages that mean the same when they are written again.
///
/// The first byte behind the cuts says what the payload is: `j` the JSON of one message, which is framed here; else frames.
enum PushOracle {
    private static let frameBytesMax = 900

    private enum Item: Equatable {
        case message(PushMessage, session: UInt64)
        case failure(PushFrame.Failure)
    }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        guard let kind = cuts.payload.first else { return }
        var stream = Array(cuts.payload.dropFirst())
        if kind == UInt8(ascii: "j") {
            stream = [0, 0, UInt8(stream.count >> 8), UInt8(stream.count & 0xFF)] + stream
        }
        let whole = try read(stream, [stream.count])
        if !cuts.sizes.isEmpty {
            let pieces = try read(stream, cuts.sizes)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
        for case .message(let message, let session) in whole {
            let frame: [UInt8]
            do { frame = try PushFrame.encode(message, session: session) } catch { throw Violation("read, and cannot be written: \(error)") }
            var reader = PushFrame.Reader(bytesMax: PushLimits.frameBytesMax)
            reader.append(frame)
            let again: (message: PushMessage, session: UInt64)?
            do { again = try reader.next() } catch {
                throw Violation("written as \(String(decoding: frame, as: UTF8.self)), which is refused: \(error)")
            }
            try expect(again?.message == message && again?.session == session, "written as \(String(decoding: frame, as: UTF8.self)), which is another message")
        }
    }

    private static func read(_ stream: [UInt8], _ sizes: [Int]) throws -> [Item] {
        var reader = PushFrame.Reader(bytesMax: frameBytesMax)
        var items: [Item] = []
        var position = 0
        var turn = 0
        while position < stream.count {
            let size = max(1, sizes[turn % sizes.count])
            turn += 1
            let end = min(stream.count, position + size)
            reader.append(stream[position..<end])
            position = end
            do {
                while let (message, session) = try reader.next() { items.append(.message(message, session: session)) }
            } catch {
                // Nothing after it can be trusted.
                try expect(!error.description.isEmpty, "a failure without words")
                return items + [.failure(error)]
            }
            try expect(reader.bytesBuffered < 4 + frameBytesMax, "\(reader.bytesBuffered) bytes of a frame held")
        }
        return items
    }
}
