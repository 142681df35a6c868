import Pipeline

/// The response of an upstream: one meaning however reads cut it, the meaning a naive reader finds, and a connection that is
/// pooled only if nothing lies behind the response.
///
/// The first byte of the payload says what was asked: `H` a HEAD, `U` an upgrade, else a GET.
enum ResponseOracle {
    struct Response: Equatable {
        var status: UInt16 = 0
        var reason: [UInt8] = []
        var framing: BodyFraming = .none
        var keepsAlive = true
        var lines: [[UInt8]] = []
        var body: [UInt8] = []
        var trailers: [[UInt8]] = []
        var headStart = 0
        var headEnd = 0
        var interim: [UInt16] = []
        var end = End.open
    }

    enum End: Equatable { case open, complete(at: Int), switched(at: Int), rejected(HTTP1Fault), atEnd(ClientMachine.OnEnd) }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        guard input.count > 1 else { return }
        let cuts = Cuts(UnsafeRawBufferPointer(rebasing: input.dropFirst()))
        let (toHead, upgrade) = (input[0] == UInt8(ascii: "H"), input[0] == UInt8(ascii: "U"))
        let whole = try read(cuts, toHead: toHead, upgrade: upgrade, cut: false)
        if !cuts.sizes.isEmpty {
            let pieces = try read(cuts, toHead: toHead, upgrade: upgrade, cut: true)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
        guard whole.status >= 200, whole.headEnd > 0 else { return }
        try expect(whole.status <= 599, "status \(whole.status)")
        try expect(whole.interim.count <= HTTP1Limits.interimResponsesMax, "\(whole.interim.count) interim responses")
        try expect(whole.interim.allSatisfy { (100..<200).contains($0) && $0 != 101 }, "interim \(whole.interim)")
        for line in whole.lines {
            for name in ["transfer-encoding:", "connection:", "keep-alive:", "upgrade:", "proxy-connection:"] {
                try expect(!line.starts(with: Array(name.utf8)), "\(name) goes on")
            }
        }
        try expectAgreement(whole, Array(cuts.payload), toHead)
    }

    static func read(_ cuts: Cuts, toHead: Bool, upgrade: Bool, cut: Bool) throws -> Response {
        try HeadRoom.borrow { try read(cuts, toHead: toHead, upgrade: upgrade, cut: cut, $0) }
    }

    private static func read(_ cuts: Cuts, toHead: Bool, upgrade: Bool, cut: Bool, _ room: HeadRoom) throws -> Response {
        var machine = ClientMachine()
        machine.begin(toHead ? .head : .get, asksUpgrade: upgrade)
        machine.wrote(1)
        machine.requestDidEnd()
        var head = ResponseHead()
        head.headers = room.table
        var response = Response()
        var base = 0
        var steps = 0
        try cuts.drive(cut: cut) { memory in
            let input = Bytes(memory)
            var position = 0
            while true {
                steps += 1
                try expect(steps < 16 * (cuts.payload.count + 16), "the machine does not come to an end")
                let rest = input.slice(position, input.count)
                switch machine.receive(rest, into: &head) {
                case .needMore(let consumed):
                    base += position + consumed
                    return position + consumed
                case .interim(let count):
                    response.interim.append(head.status)
                    position += count
                case .head(let count):
                    note(head, at: base + position, count, &response)
                    position += count
                case .switched(let count):
                    note(head, at: base + position, count, &response)
                    try expect(upgrade && head.status == 101, "a switch nobody asked for")
                    response.end = .switched(at: base + position + count)
                    return nil
                case .bodyData(let offset, let count):
                    try expect(offset >= 0 && count > 0 && offset + count <= rest.count, "body at \(offset), \(count) in \(rest.count) bytes")
                    response.body += rest.slice(offset, offset + count).array
                    position += offset + count
                case .trailer(let trailer):
                    response.trailers.append(try RequestOracle.line(trailer, rest))
                    position += trailer.byteCount
                case .bodyEnd(let consumed, let isReusable):
                    try expect(consumed <= rest.count, "an end behind \(consumed) of \(rest.count) bytes")
                    try expect(!isReusable || consumed == rest.count && response.keepsAlive, "pooled with bytes behind the response")
                    response.end = .complete(at: base + position + consumed)
                    // Whatever comes now was not asked for.
                    let poison = [UInt8](repeating: 72, count: 1)
                    let next = poison.withUnsafeBytes { machine.receive(Bytes($0), into: &head) }
                    try expect(next == .reject(.unexpectedBytes), "takes bytes outside of a response: \(next)")
                    return nil
                case .reject(let fault):
                    response.end = .rejected(fault)
                    return nil
                }
            }
        }
        if response.end == .open { response.end = .atEnd(machine.receivedEnd()) }
        return response
    }

    private static func note(_ head: ResponseHead, at start: Int, _ count: Int, _ response: inout Response) {
        response.status = head.status
        response.reason = head.reason.array
        response.framing = head.framing
        response.keepsAlive = head.keepsAlive
        response.lines = head.headers.lines(without: head.dropped)
        response.headStart = start
        response.headEnd = start + count
    }

    private static func expectAgreement(_ response: Response, _ bytes: [UInt8], _ toHead: Bool) throws {
        let isWhole: Bool
        let whereTo: Int?
        switch response.end {
        case .complete(let at): (isWhole, whereTo) = (true, at)
        case .atEnd(.bodyEnd): (isWhole, whereTo) = (true, nil)
        default: (isWhole, whereTo) = (false, nil)
        }
        let naive: NaiveHTTP.Message
        do { naive = try NaiveHTTP.response(bytes[response.headStart...], toHead: toHead) } catch {
            throw Violation("accepted, but a strict reader finds: \(error.reason)")
        }
        try expect(naive.headCount == response.headEnd, "another end of the head")
        try expect(naive.framing == response.framing.naive, "framing \(response.framing), strictly \(naive.framing)")
        if isWhole {
            try expect(naive.bodyFault == nil, "accepted, but a strict reader finds in the body: \(naive.bodyFault?.reason ?? "")")
            try expect(naive.body == response.body, "another body")
            if let whereTo { try expect(naive.end == whereTo, "ends at \(whereTo), strictly at \(String(describing: naive.end))") }
        } else if naive.bodyFault == nil {
            try expect(naive.body.starts(with: response.body), "body bytes that are none")
        }
    }
}
