import Pipeline

/// Requests of a downstream connection: one meaning however reads cut them, the meaning a naive reader finds, and forwarded
/// as exactly one request with the same body.
enum RequestOracle {
    struct Request: Equatable {
        var method: [UInt8] = []
        var target: [UInt8] = []
        var path: [UInt8] = []
        var authority: [UInt8] = []
        var framing: BodyFraming = .none
        var keepsAlive = true
        /// Lines that travel on.
        var lines: [[UInt8]] = []
        var body: [UInt8] = []
        var trailers: [[UInt8]] = []
        /// Positions in the stream.
        var headCount = 0
        var start = 0
        var end: Int?
        /// The head as it is sent on, followed by the empty line.
        var forwarded: [UInt8] = []
    }

    enum End: Equatable { case closed, rejected(HTTP1Fault), atEnd(ServerMachine.OnEnd) }

    struct Stream: Equatable {
        var requests: [Request] = []
        var end = End.closed
    }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        let whole = try read(cuts, cut: false)
        if !cuts.sizes.isEmpty {
            let pieces = try read(cuts, cut: true)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
        let bytes = Array(cuts.payload)
        for request in whole.requests {
            try expectHarmless(request)
            try expectAgreement(request, bytes)
            try expectForwardedOnce(request)
        }
    }

    // MARK: Reading

    static func read(_ cuts: Cuts, cut: Bool) throws -> Stream {
        try HeadRoom.borrow { try read(cuts, cut: cut, $0) }
    }

    private static func read(_ cuts: Cuts, cut: Bool, _ room: HeadRoom) throws -> Stream {
        var machine = ServerMachine()
        var head = RequestHead()
        head.headers = room.table
        var stream = Stream()
        var base = 0
        var isOver = false
        var steps = 0
        try cuts.drive(cut: cut) { memory in
            let input = Bytes(memory)
            var position = 0
            while true {
                steps += 1
                try expect(steps < 16 * (cuts.payload.count + 16), "the machine does not come to an end")
                let rest = input.slice(position, input.count)
                switch machine.receive(rest, scratch: room.scratch, into: &head) {
                case .needMore(let consumed):
                    base += position + consumed
                    return position + consumed
                case .head(let count):
                    try expect(count > 0 && count <= rest.count, "a head of \(count) in \(rest.count) bytes")
                    stream.requests.append(request(head, room, start: base + position, count: count))
                    position += count
                case .bodyData(let offset, let count):
                    try expect(offset >= 0 && count > 0 && offset + count <= rest.count, "body at \(offset), \(count) in \(rest.count) bytes")
                    stream.requests[stream.requests.count - 1].body += rest.slice(offset, offset + count).array
                    position += offset + count
                case .trailer(let trailer):
                    stream.requests[stream.requests.count - 1].trailers.append(try line(trailer, rest))
                    position += trailer.byteCount
                case .bodyEnd(let consumed):
                    try expect(consumed <= rest.count, "an end behind \(consumed) of \(rest.count) bytes")
                    position += consumed
                    stream.requests[stream.requests.count - 1].end = base + position
                    _ = machine.sendsHead(status: 200, framing: .length(0))
                    if machine.responseEnded() == .close {
                        isOver = true
                        return nil
                    }
                case .reject(let fault):
                    try expect((400...599).contains(fault.status), "a refusal without a status")
                    try expect(machine.receive(input, scratch: room.scratch, into: &head) == .close, "reads on after a refusal")
                    stream.end = .rejected(fault)
                    isOver = true
                    return nil
                case .paused, .close:
                    isOver = true
                    return nil
                }
            }
        }
        if !isOver { stream.end = .atEnd(machine.receivedEnd()) }
        return stream
    }

    static func line(_ trailer: BodyStep.Trailer, _ input: Bytes) throws -> [UInt8] {
        try expect(
            trailer.nameOffset >= 0 && trailer.nameCount > 0 && trailer.byteCount <= input.count
                && trailer.nameOffset + trailer.nameCount <= trailer.valueOffset && trailer.valueOffset + trailer.valueCount <= trailer.byteCount,
            "a trailer outside of its line: \(trailer)")
        let name = input.slice(trailer.nameOffset, trailer.nameOffset + trailer.nameCount)
        return NaiveHTTP.lowercased(name.array[...]) + [58] + input.slice(trailer.valueOffset, trailer.valueOffset + trailer.valueCount).array
    }

    private static func request(_ head: RequestHead, _ room: HeadRoom, start: Int, count: Int) -> Request {
        var request = Request()
        request.method = head.methodText.array
        request.target = head.target.array
        request.path = head.path.array
        request.authority = head.authority.array
        request.framing = head.framing
        request.keepsAlive = head.keepsAlive
        request.lines = head.headers.lines(without: head.dropped)
        request.start = start
        request.headCount = count
        var writer = HeadWriter(into: room.output)
        writer.requestLine(head)
        writer.copyFields(head.headers, skipping: head.dropped)
        if let written = writer.finish(head.framing) { request.forwarded = Array(room.output[..<written]) }
        return request
    }

    // MARK: Properties

    /// What no accepted request may hold.
    private static func expectHarmless(_ request: Request) throws {
        try expect(request.path == [42] || request.path.first == 47, "a path that is none")
        try expect(request.target.starts(with: request.path), "the target does not begin with the path that was matched")
        try expect(request.target.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 35 }, "an unclean target")
        try expect(request.method.allSatisfy(NaiveHTTP.isToken) && !request.method.isEmpty, "a method that is none")
        try expect(request.headCount <= HTTP1Limits.headBytesMax && request.lines.count <= HTTP1Limits.fieldsMax, "past a limit")
        for line in request.lines {
            try expect(line.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 9 }, "a control byte goes on")
            for name in ["content-length:", "transfer-encoding:", "host:", "connection:", "keep-alive:", "upgrade:", "proxy-connection:"] {
                try expect(!line.starts(with: Array(name.utf8)), "\(name) goes on")
            }
        }
    }

    private static func expectAgreement(_ request: Request, _ bytes: [UInt8]) throws {
        let naive: NaiveHTTP.Message
        do { naive = try NaiveHTTP.request(bytes[request.start...]) } catch {
            throw Violation("accepted, but a strict reader finds: \(error.reason)")
        }
        try expect(naive.startLine.starts(with: request.method + [32]), "another method")
        try expect(naive.headCount == request.start + request.headCount, "another end of the head")
        try expect(naive.framing == request.framing.naive, "framing \(request.framing), strictly \(naive.framing)")
        if let end = request.end {
            try expect(naive.bodyFault == nil, "accepted, but a strict reader finds in the body: \(naive.bodyFault?.reason ?? "")")
            try expect(naive.end == end, "ends at \(end), strictly at \(String(describing: naive.end))")
            try expect(naive.body == request.body, "another body")
        } else if naive.bodyFault == nil {
            try expect(naive.body.starts(with: request.body), "body bytes that are none")
        }
        let hosts = naive.values("host")
        try expect(hosts.count <= 1, "two hosts")
        if let host = hosts.first {
            // An absolute target may spell the same host otherwise.
            let isSame = NaiveHTTP.lowercased(host[...]) == NaiveHTTP.lowercased(request.authority[...])
            try expect(isSame || naive.startLine.contains(58), "the authority is not the host")
        }
    }

    /// Head and body as an upstream gets them are one request, with that body, and mean the same to our own reader.
    private static func expectForwardedOnce(_ request: Request) throws {
        guard request.end != nil, !request.forwarded.isEmpty else { return }
        // Without an authority (HTTP/1.0) a head goes on with an empty host, which the router never lets happen.
        guard !request.authority.isEmpty else { return }
        let wire = request.forwarded + (request.framing == .chunked ? ChunkedOracle.chunked(request.body) : request.body)
        let naive: NaiveHTTP.Message
        do { naive = try NaiveHTTP.request(wire[...]) } catch { throw Violation("forwarded, but a strict reader finds: \(error.reason)") }
        try expect(naive.end == wire.count, "forwarded \(wire.count) bytes, of which one request takes \(String(describing: naive.end))")
        try expect(naive.body == request.body, "forwarded with another body")
        try expect(naive.values("host") == [request.authority], "forwarded to another host")
        let again = try wire.withUnsafeBytes { try read(Cuts(whole: $0), cut: false) }
        try expect(again.requests.count == 1, "forwarded, we would not take it ourselves: \(again.end)")
        let back = again.requests[0]
        try expect(back.method == request.method && back.target == request.target && back.path == request.path, "forwarded as \(back), was \(request)")
        try expect(back.authority == request.authority && back.framing == request.framing && back.body == request.body, "forwarded as \(back), was \(request)")
        try expect(back.lines == request.lines, "lines \(back.lines), were \(request.lines)")
    }
}

extension Cuts {
    init(whole bytes: UnsafeRawBufferPointer) {
        sizes = []
        payload = bytes
    }
}
