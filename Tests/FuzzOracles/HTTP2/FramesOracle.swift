import Pipeline

/// Frames of one direction of an HTTP/2 connection: one meaning however reads cut them, what a naive reader makes of their headers, and
/// written anew they are read as the same.
enum FramesOracle {
    enum Event: Equatable {
        /// A whole frame's, its pieces joined.
        case data(stream: UInt32, [UInt8], window: Int, ends: Bool, isWhole: Bool)
        case block(stream: UInt32, [UInt8], isFirst: Bool, isLast: Bool, ends: Bool)
        case settings([UInt8])
        /// What has no bytes of its own.
        case frame(Frame)
        case reject(HTTP2Fault)
    }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        // `0` reads what a server sends, `8` what a client does.
        let isClient = !input.isEmpty && input[0] & 8 != 0
        let whole = try read(cuts, cut: false, isClient)
        if !cuts.sizes.isEmpty {
            let pieces = try read(cuts, cut: true, isClient)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
        try expectAsManyAsNaively(whole, Array(cuts.payload), isClient)
        try expectSameWrittenAnew(whole)
    }

    private static func read(_ cuts: Cuts, cut: Bool, _ isClient: Bool) throws -> [Event] {
        var reader = FrameReader(expectsPreface: isClient)
        var events: [Event] = []
        try cuts.drive(cut: cut) { memory in
            var rest = Bytes(memory)
            while true {
                switch reader.next(rest) {
                case .needMore(let consumed):
                    try expect(consumed >= 0 && consumed <= rest.count, "\(consumed) of \(rest.count) bytes")
                    return memory.count - rest.count + consumed
                case .frame(let frame, let consumed):
                    try expect(consumed > 0 && consumed <= rest.count, "a frame of \(consumed) in \(rest.count) bytes")
                    try take(frame, rest, consumed, &events)
                    rest = rest.slice(consumed, rest.count)
                case .reject(let fault, let consumed):
                    events.append(.reject(fault))
                    guard case .stream = fault.scope else { return nil }
                    try expect(consumed > 0 && consumed <= rest.count, "a fault of \(consumed) in \(rest.count) bytes")
                    rest = rest.slice(consumed, rest.count)
                }
            }
        }
        return events
    }

    private static func take(_ frame: Frame, _ bytes: Bytes, _ consumed: Int, _ events: inout [Event]) throws {
        func part(_ offset: Int, _ count: Int) throws -> [UInt8] {
            try expect(offset >= 0 && count >= 0 && offset + count <= consumed, "\(count) bytes at \(offset) of a frame of \(consumed)")
            return bytes.slice(offset, offset + count).array
        }
        switch frame {
        case .data(let piece):
            var (data, window) = ([UInt8](), piece.windowBytes)
            if !piece.isFirst {
                guard case .data(piece.stream, let before, let all, false, false) = events.popLast() else { throw Violation("a piece of no frame") }
                try expect(piece.windowBytes == 0, "counted twice")
                (data, window) = (before, all)
            }
            data += try part(piece.offset, piece.count)
            try expect(data.count <= window && window <= HTTP2Limits.frameBytesMax, "\(data.count) bytes take \(window) of the window")
            events.append(.data(stream: piece.stream, data, window: window, ends: piece.endsStream, isWhole: piece.isLast))
        case .headers(let stream, let block, let ends):
            events.append(.block(stream: stream, try part(block.offset, block.count), isFirst: true, isLast: block.isLast, ends: ends))
        case .continuation(let stream, let block):
            events.append(.block(stream: stream, try part(block.offset, block.count), isFirst: false, isLast: block.isLast, ends: false))
        case .settings(let offset, let count): events.append(.settings(try part(offset, count)))
        default: events.append(.frame(frame))
        }
    }

    /// RFC 9113 §4.1 alone: the length says where the next one begins, whatever it is.
    private static func expectAsManyAsNaively(_ events: [Event], _ bytes: [UInt8], _ isClient: Bool) throws {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        var position = isClient ? preface.count : 0
        if isClient, !bytes.starts(with: preface) {
            let isBegun = bytes.count < preface.count && preface.starts(with: bytes)
            return try expect(events == (isBegun ? [] : [.reject(HTTP2Fault(.protocolError))]), "another preface: \(events)")
        }
        var streams: [UInt32] = []
        while position + 9 <= bytes.count {
            let length = Int(bytes[position]) << 16 | Int(bytes[position + 1]) << 8 | Int(bytes[position + 2])
            streams.append((5..<9).reduce(0) { $0 << 8 | UInt32(bytes[position + $1]) } & 0x7FFF_FFFF)
            position += 9 + length
        }
        try expect(events.count <= streams.count, "\(events.count) of \(streams.count) frames")
        for (event, stream) in zip(events, streams) {
            switch event {
            case .data(let of, _, _, _, _), .block(let of, _, _, _, _), .frame(.reset(let of, _)), .frame(.windowUpdate(let of, _)):
                try expect(of == stream, "\(event) on stream \(stream)")
            case .reject(let fault):
                if case .stream(let of) = fault.scope { try expect(of == stream, "\(event) on stream \(stream)") }
            case .settings, .frame(.settingsAcknowledged), .frame(.ping), .frame(.pingAcknowledged), .frame(.goAway):
                try expect(stream == 0, "\(event) on stream \(stream)")
            case .frame: break
            }
        }
    }

    private static func expectSameWrittenAnew(_ events: [Event]) throws {
        let space = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 64 * 1024)
        defer { space.deallocate() }
        for event in events {
            var output = OutputSpace(space)
            let isWritten: Bool
            switch event {
            case .frame(.reset(let stream, let code)): isWritten = FrameWriter.reset(stream: stream, code, into: &output)
            case .frame(.settingsAcknowledged): isWritten = FrameWriter.settingsAcknowledgement(into: &output)
            case .frame(.ping(let data)): isWritten = FrameWriter.ping(data, isAcknowledgement: false, into: &output)
            case .frame(.pingAcknowledged(let data)): isWritten = FrameWriter.ping(data, isAcknowledgement: true, into: &output)
            case .frame(.goAway(let last, let code)): isWritten = FrameWriter.goAway(lastStream: last, code, into: &output)
            case .frame(.windowUpdate(let stream, let increment)):
                isWritten = FrameWriter.windowUpdate(stream: stream, increment: increment, into: &output)
            default: continue
            }
            try expect(isWritten, "no room for \(event)")
            // A connection begins with SETTINGS.
            let bytes = [UInt8](repeating: 0, count: 3) + [4] + [UInt8](repeating: 0, count: 5) + output.bytes.array
            let back = try bytes.withUnsafeBytes { try read(Cuts(whole: $0), cut: false, false) }
            try expect(back == [.settings([]), event], "\(event) was written as \(back)")
        }
    }
}
