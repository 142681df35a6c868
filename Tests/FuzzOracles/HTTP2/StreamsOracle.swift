import Pipeline

/// A caller's connection of HTTP/2 behind its preface, as the machine takes it: one sequence of events however reads cut the bytes, what the
/// machine says is bounded, and a request that it takes is one and the same request when it is written as HTTP/1.
enum StreamsOracle {
    enum Event: Equatable {
        case request(UInt32, [UInt8])
        case other(String)
        case data(UInt32, [UInt8])
        case reset(UInt32, String)
        case said([UInt8])
    }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        let whole = try run(cuts, cut: false)
        if !cuts.sizes.isEmpty {
            let pieces = try run(cuts, cut: true)
            try expect(pieces == whole, "cut into \(cuts.sizes): \(pieces)\nwhole: \(whole)")
        }
    }

    private static func run(_ cuts: Cuts, cut: Bool) throws -> [Event] {
        let connection = Connection()
        defer { connection.free() }
        try cuts.drive(cut: cut) { memory in try connection.take(memory) }
        return withoutBroken(connection.events) + [.said(withoutWindows(connection.said))]
    }

    /// But for the data of streams that broke: how much of a frame was passed on before its end was seen to be wrong depends on the reads.
    private static func withoutBroken(_ events: [Event]) -> [Event] {
        let broken = Set(events.compactMap { if case .reset(let stream, _) = $0 { stream } else { nil } })
        var kept: [Event] = []
        for event in events {
            if case .data(let stream, let piece) = event {
                if broken.contains(stream) { continue }
                if case .data(stream, let earlier)? = kept.last {
                    kept[kept.count - 1] = .data(stream, earlier + piece)
                    continue
                }
            }
            kept.append(event)
        }
        return kept
    }

    /// What was said but for windows given back: how these are gathered depends on the reads.
    private static func withoutWindows(_ said: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        var rest = said[...]
        while rest.count >= 9 {
            let count = 9 + rest.prefix(3).reduce(0) { $0 << 8 | Int($1) }
            if rest[rest.startIndex + 3] != 8 { kept += rest.prefix(count) }
            rest = rest.dropFirst(count)
        }
        return kept
    }

    /// One machine and the memory it works in.
    private final class Connection {
        private static let streams = 4
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: HTTP2Machine.memoryBytes(streams: streams), alignment: 16)
        private let scratch = HTTP2Machine.Scratch()
        private let target = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HTTP1Limits.targetBytesMax)
        private let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: HTTP1Limits.fieldsMax)
        private let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HTTP2Machine.beginBytesMax)
        private var machine: HTTP2Machine
        private(set) var events: [Event] = []
        private(set) var said: [UInt8] = []

        init() {
            machine = HTTP2Machine(isServer: true, memory: memory, streams: Self.streams, scratch: scratch)
            let hello = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
            hello.withUnsafeBytes { bytes in
                var rest = Bytes(bytes)
                while case .room(_, let consumed) = say({ machine.receive(rest, at: .zero, into: &$0) }) { rest = rest.slice(consumed, rest.count) }
            }
        }

        func free() {
            machine.free()
            memory.deallocate()
            scratch.free()
            target.deallocate()
            fields.deallocate()
            room.deallocate()
        }

        private func say<Result>(_ body: (inout OutputSpace) -> Result) -> Result {
            var space = OutputSpace(room)
            let result = body(&space)
            said += space.bytes.array
            return result
        }

        /// Nil: the connection is over.
        func take(_ bytes: UnsafeRawBufferPointer) throws -> Int? {
            var rest = Bytes(bytes)
            while true {
                let before = said.count
                let event = say { machine.receive(rest, at: .zero, into: &$0) }
                try expect(said.count - before <= HTTP2Machine.controlBytesMax, "\(said.count - before) bytes said at once")
                var consumed = 0
                switch event {
                case .needMore(let count):
                    try expect(count >= 0 && count <= rest.count, "\(count) of \(rest.count) bytes")
                    return bytes.count - rest.count + count
                case .handled(let count): consumed = count
                case .head(let place, let count):
                    consumed = count
                    guard try takeHead(machine.streams[place].pointee.number) else { return nil }
                case .trailers(let place, let count):
                    consumed = count
                    let stream = machine.streams[place].pointee.number
                    var (table, sensitive) = (HeaderTable(), FieldMask())
                    switch say({ machine.takeTrailers(into: &table, sensitive: &sensitive, at: .zero, &$0) }) {
                    case .failed(let code):
                        events.append(.other("failed \(code.rawValue)"))
                        return nil
                    case .message(let text): events.append(.request(stream, text.array))
                    default: events.append(.reset(stream, "malformed"))
                    }
                case .data(let place, let offset, let count, let isLast, let all):
                    consumed = all
                    try expect(offset >= 0 && count >= 0 && offset + count <= all, "\(count) bytes at \(offset) of \(all)")
                    let stream = machine.streams[place].pointee.number
                    let piece = rest.slice(offset, offset + count).array
                    if !piece.isEmpty { events.append(.data(stream, piece)) }
                    if isLast { events.append(.other("end \(stream)")) }
                case .reset(_, let stream, let code, let count):
                    consumed = count
                    events.append(.reset(stream, "\(code.rawValue)"))
                case .room(_, let count), .pong(let count): consumed = count
                case .goAway(let last, let count):
                    consumed = count
                    events.append(.other("goaway \(last)"))
                case .failed(let code):
                    events.append(.other("failed \(code.rawValue)"))
                    return nil
                }
                try expect(consumed > 0 && consumed <= rest.count, "\(event) of \(rest.count) bytes")
                rest = rest.slice(consumed, rest.count)
            }
        }

        /// False: the connection is over.
        private func takeHead(_ stream: UInt32) throws -> Bool {
            var head = RequestHead()
            head.headers = HeaderTable(fields: fields, capacity: HTTP1Limits.fieldsMax)
            switch say({ machine.takeRequest(targetScratch: target, into: &head, at: .zero, &$0) }) {
            case .message: events.append(.request(stream, try asHTTP1(head)))
            case .refused(let fault): events.append(.other("refused \(stream) \(fault)"))
            case .malformed, .interim: events.append(.reset(stream, "malformed"))
            case .failed(let code):
                events.append(.other("failed \(code.rawValue)"))
                return false
            }
            return true
        }

        /// Nothing of it may read as another request, or as two.
        private func asHTTP1(_ head: RequestHead) throws -> [UInt8] {
            let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 1)
            defer { space.deallocate() }
            var writer = HeadWriter(into: space)
            writer.requestLine(head)
            writer.copyFields(head.headers, skipping: head.dropped)
            guard let count = writer.finish(head.framing) else { throw Violation("a head of \(writer.needed) bytes") }
            let text = Array(space[..<count])
            let again = UnsafeMutablePointer<HeaderField>.allocate(capacity: HTTP1Limits.fieldsMax)
            let scratch = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HTTP1Limits.targetBytesMax)
            defer {
                again.deallocate()
                scratch.deallocate()
            }
            var read = RequestHead()
            read.headers = HeaderTable(fields: again, capacity: HTTP1Limits.fieldsMax)
            var parser = RequestHeadParser()
            let shown = String(decoding: text, as: UTF8.self)
            // One field more than HTTP/2 had, for the host: a list at its bound is refused there, which is no other request.
            if head.headers.count >= HTTP1Limits.fieldsMax - 2 || count > HTTP1Limits.headBytesMax { return text }
            switch text.withUnsafeBytes({ parser.parse(Bytes($0), scratch: scratch, into: &read) }) {
            case .complete(count): break
            case let other: throw Violation("as HTTP/1 it is \(other): \(shown)")
            }
            try expect(read.framing == head.framing || head.framing.isEmpty && read.framing.isEmpty, "\(read.framing), not \(head.framing): \(shown)")
            return text
        }
    }
}
