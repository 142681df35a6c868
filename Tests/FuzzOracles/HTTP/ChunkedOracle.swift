import Pipeline

/// A chunked body: one meaning however reads cut it, what a naive reader makes of it, and what we would send in its place.
enum ChunkedOracle {
    struct Reading: Equatable {
        var body: [UInt8] = []
        var trailers: [[UInt8]] = []
        var end = End.cut
    }

    enum End: Equatable { case cut, complete(at: Int), rejected(HTTP1Fault) }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        let whole = try read(cuts, cut: false)
        if !cuts.sizes.isEmpty {
            let pieces = try read(cuts, cut: true)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
        let bytes = Array(cuts.payload)
        let naive: NaiveHTTP.Chunks?
        do { naive = try NaiveHTTP.chunks(bytes[...]) } catch { naive = nil }
        switch whole.end {
        case .complete(let end):
            guard let naive else { throw Violation("accepted, but not chunks to a strict reader") }
            try expect(naive.end == end && naive.body == whole.body, "body of \(whole.body.count) up to \(end), strictly \(naive)")
            let written = chunked(whole.body)
            let back = try written.withUnsafeBytes { try read(Cuts(whole: $0), cut: false) }
            try expect(back == Reading(body: whole.body, end: .complete(at: written.count)), "sent on as another body")
        case .cut:
            if let naive { try expect(naive.end == nil, "the body is whole, and we wait") }
        case .rejected(let fault):
            // What only we refuse: our limits, and trailers that are about something else.
            let ours: [HTTP1Fault] = [.forbiddenTrailer, .trailersTooLarge, .extensionsTooLarge, .malformedChunkSize, .nameTooLong]
            if naive?.end != nil { try expect(ours.contains(fault), "well formed, refused as \(fault)") }
        }
    }

    static func read(_ cuts: Cuts, cut: Bool) throws -> Reading {
        var decoder = BodyDecoder(.chunked)
        var reading = Reading()
        var base = 0
        try cuts.drive(cut: cut) { memory in
            let input = Bytes(memory)
            var position = 0
            while true {
                let rest = input.slice(position, input.count)
                switch decoder.decode(rest) {
                case .data(let offset, let count):
                    try expect(offset >= 0 && count > 0 && offset + count <= rest.count, "data at \(offset), \(count) in \(rest.count) bytes")
                    reading.body += rest.slice(offset, offset + count).array
                    position += offset + count
                case .trailer(let trailer):
                    reading.trailers.append(try RequestOracle.line(trailer, rest))
                    position += trailer.byteCount
                case .end(let consumed):
                    reading.end = .complete(at: base + position + consumed)
                    return nil
                case .needMore(let consumed):
                    base += position + consumed
                    return position + consumed
                case .reject(let fault):
                    reading.end = .rejected(fault)
                    return nil
                }
            }
        }
        if reading.end == .cut { try expect(!decoder.end(), "a cut body passes for a whole one") }
        return reading
    }

    /// As the sender writes it, in two chunks if there is enough.
    static func chunked(_ body: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        let half = body.count > 20 ? body.count / 2 : body.count
        for piece in [body[..<half], body[half...]] where !piece.isEmpty {
            var head = [UInt8](repeating: 0, count: ChunkWriter.headBytesMax)
            let count = head.withUnsafeMutableBytes { ChunkWriter.head(of: piece.count, into: $0) } ?? 0
            out += head[..<count] + piece + Bytes(ChunkWriter.tail).array
        }
        return out + Bytes(ChunkWriter.end).array
    }
}
