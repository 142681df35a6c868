package import Pipeline

/// A request or response parsed into owned values, for tests and slow paths.
package struct ParsedMessage: Equatable, Sendable {
    /// Method and canonical target of a request.
    package var method = ""
    package var target = ""
    package var path = ""
    package var query = ""
    package var authority = ""
    /// Status and reason of a response.
    package var status = 0
    package var reason = ""
    package var minorVersion = 1
    package var keepsAlive = true
    package var framing: BodyFraming = .none
    /// Names in lower case, in order of arrival.
    package var headers: [Field] = []
    package var body: [UInt8] = []
    package var trailers: [Field] = []
    /// The statuses of interim responses before this one.
    package var interim: [Int] = []

    package struct Field: Equatable, Sendable {
        package var name: String
        package var value: String
        package init(_ name: String, _ value: String) {
            self.name = name.lowercased()
            self.value = value
        }
    }

    package init() {}

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The values of a header, in order.
    package func values(_ name: String) -> [String] { headers.filter { $0.name == name }.map(\.value) }
}

/// Storage a head needs beside its bytes, kept for one parse.
package final class HeadStorage {
    package let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: HTTP1Limits.fieldsMax)
    package let scratch = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: HTTP1Limits.targetBytesMax)

    package init() {}

    deinit {
        fields.deallocate()
        scratch.deallocate()
    }

    package func requestHead() -> RequestHead {
        var head = RequestHead()
        head.headers = HeaderTable(fields: fields, capacity: HTTP1Limits.fieldsMax)
        return head
    }

    package func responseHead() -> ResponseHead {
        var head = ResponseHead()
        head.headers = HeaderTable(fields: fields, capacity: HTTP1Limits.fieldsMax)
        return head
    }
}

/// How a stream of bytes ended.
package enum StreamEnd: Equatable, Sendable {
    /// Everything was understood and the last message is complete.
    case clean
    /// A message is unfinished.
    case incomplete
    case rejected(HTTP1Fault)
}

/// Everything a connection made of a stream of bytes.
package struct ParsedStream: Equatable, Sendable {
    package var messages: [ParsedMessage] = []
    package var end: StreamEnd = .clean

    package init(messages: [ParsedMessage] = [], end: StreamEnd = .clean) {
        self.messages = messages
        self.end = end
    }
}

/// Runs whole streams through the codec's machines, cut into reads of given sizes, each read in fresh memory.
package enum HTTP1 {
    /// All requests of a downstream connection; every one is answered at once. `sizes` repeat; empty: one read.
    package static func requests(_ bytes: [UInt8], reads sizes: [Int] = []) -> ParsedStream {
        var machine = ServerMachine()
        let storage = HeadStorage()
        var head = storage.requestHead()
        var current = ParsedMessage()
        var stream = ParsedStream()
        drive(bytes, sizes) { input, isLast in
            var position = 0
            // A head's bytes are only dropped with its message here: views into them are copied at once.
            while true {
                switch machine.receive(input.slice(position, input.count), scratch: storage.scratch, into: &head) {
                case .needMore(let consumed): return position + consumed
                case .head(let byteCount):
                    current = ParsedMessage(head)
                    position += byteCount
                case .bodyData(let offset, let count):
                    current.body += (0..<count).map { input[position + offset + $0] }
                    position += offset + count
                case .trailer(let trailer):
                    current.trailers.append(.init(trailer, input.slice(position, input.count)))
                    position += trailer.byteCount
                case .bodyEnd(let consumed):
                    position += consumed
                    stream.messages.append(current)
                    _ = machine.sendsHead(status: 200, framing: .length(0))
                    if machine.responseEnded() == .close { return nil }
                case .reject(let fault):
                    stream.end = .rejected(fault)
                    return nil
                case .paused, .close: return nil
                }
            }
        }
        if stream.end == .clean, machine.receivedEnd() == .truncated { stream.end = .incomplete }
        return stream
    }

    /// All responses of an upstream connection to requests with `methods`, one after the other; then the peer closes.
    package static func responses(
        _ bytes: [UInt8], to methods: [Pipeline.Method] = [.get], reads sizes: [Int] = [], closes: Bool = true
    ) -> ParsedStream {
        var machine = ClientMachine()
        let storage = HeadStorage()
        var head = storage.responseHead()
        var current = ParsedMessage()
        var interim: [Int] = []
        var stream = ParsedStream()
        var next = 0
        func begin() {
            guard next < methods.count else { return }
            machine.begin(methods[next])
            machine.wrote(1)
            machine.requestDidEnd()
            next += 1
        }
        begin()
        drive(bytes, sizes) { input, isLast in
            var position = 0
            while true {
                switch machine.receive(input.slice(position, input.count), into: &head) {
                case .needMore(let consumed): return position + consumed
                case .interim(let byteCount):
                    interim.append(Int(head.status))
                    position += byteCount
                case .head(let byteCount), .switched(let byteCount):
                    current = ParsedMessage(head)
                    current.interim = interim
                    interim = []
                    position += byteCount
                case .bodyData(let offset, let count):
                    current.body += (0..<count).map { input[position + offset + $0] }
                    position += offset + count
                case .trailer(let trailer):
                    current.trailers.append(.init(trailer, input.slice(position, input.count)))
                    position += trailer.byteCount
                case .bodyEnd(let consumed, let isReusable):
                    position += consumed
                    stream.messages.append(current)
                    if isReusable { begin() } else if next < methods.count { return nil }
                case .reject(let fault):
                    stream.end = .rejected(fault)
                    return nil
                }
            }
        }
        if stream.end == .clean, closes {
            switch machine.receivedEnd() {
            case .idle: break
            case .bodyEnd: stream.messages.append(current)
            case .truncated: stream.end = .incomplete
            case .unanswered: stream.end = bytes.isEmpty ? .incomplete : .clean
            }
        }
        return stream
    }

    /// Feeds reads to `take`, which returns how many bytes it is done with, or nil to stop. What is kept moves to new memory.
    private static func drive(_ bytes: [UInt8], _ sizes: [Int], _ take: (Bytes, Bool) -> Int?) {
        var kept: [UInt8] = []
        var position = 0
        var turn = 0
        repeat {
            let size = sizes.isEmpty ? bytes.count : max(1, sizes[turn % sizes.count])
            turn += 1
            let end = min(bytes.count, position + size)
            kept += bytes[position..<end]
            position = end
            // Memory of exactly this size, so that a sanitizer sees the first byte read too far.
            let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, kept.count))
            defer { memory.deallocate() }
            _ = memory.update(fromContentsOf: kept)
            guard let done = take(Bytes(memory.baseAddress, count: kept.count), position == bytes.count) else { return }
            kept.removeFirst(done)
        } while position < bytes.count
    }
}

extension ParsedMessage {
    package init(_ head: RequestHead) {
        method = head.methodText.string
        target = head.target.string
        path = head.path.string
        query = head.query.string
        authority = head.authority.string
        minorVersion = Int(head.minorVersion)
        keepsAlive = head.keepsAlive
        framing = head.framing
        headers = Field.all(head.headers)
    }

    package init(_ head: ResponseHead) {
        status = Int(head.status)
        reason = head.reason.string
        minorVersion = Int(head.minorVersion)
        keepsAlive = head.keepsAlive
        framing = head.framing
        headers = Field.all(head.headers)
    }
}

extension ParsedMessage.Field {
    fileprivate init(_ trailer: BodyStep.Trailer, _ input: Bytes) {
        self.init(
            input.slice(trailer.nameOffset, trailer.nameOffset + trailer.nameCount).string,
            input.slice(trailer.valueOffset, trailer.valueOffset + trailer.valueCount).string)
    }

    fileprivate static func all(_ table: HeaderTable) -> [Self] {
        (0..<Int(table.count)).map { Self(table.name($0).string, table.value($0).string) }
    }
}
