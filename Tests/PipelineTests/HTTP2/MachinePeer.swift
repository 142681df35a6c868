import Pipeline
import WeftTesting

@testable import Pipeline

/// A connection's machine, and its other end: frames are written to it, and what it makes of them and says itself is told in words.
final class MachinePeer {
    private let memory: UnsafeMutableRawPointer
    private let scratch = HTTP2Machine.Scratch()
    private let storage = HeadStorage()
    private let encoder = EncodingPeer()
    private let control = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 256)
    private var buffer: [UInt8] = []
    private var reader: FrameReader
    private var written: [UInt8] = []
    var machine: HTTP2Machine
    var now = Instant.zero
    /// Heads of responses that are to HEAD.
    var isToHead = false
    /// Bodies are let go of as they come.
    var releases = true

    /// What the machine told its host: `head 1 GET /`, `data 1 abc`, `end 1`, `trailers 1 a: b`, `reset 1 8`, `refused 1 431`, `failed 11`, …
    private(set) var told: [String] = []
    /// What it sent: `settings`, `settings ack`, `ping ack`, `reset 1 8`, `goaway 1 0`, `update 0 100`.
    private(set) var sent: [String] = []
    /// Of stream → bytes that it gave back.
    private(set) var givenBack: [UInt32: Int] = [:]
    var hasFailed: Bool { told.last?.hasPrefix("failed") == true }

    /// - Parameter opens: both ends have said hello; nothing of that is told.
    init(isServer: Bool = true, streams: Int = 8, opens: Bool = true) {
        memory = .allocate(byteCount: HTTP2Machine.memoryBytes(streams: streams), alignment: 16)
        machine = HTTP2Machine(isServer: isServer, memory: memory, streams: streams, scratch: scratch)
        reader = FrameReader(expectsPreface: !isServer)
        output { machine.begin(into: &$0) }
        if opens {
            send((isServer ? FrameBytes.preface : []) + FrameBytes.settings() + FrameBytes.frame(4, flags: 1))
            forget()
        }
    }

    deinit {
        machine.free()
        memory.deallocate()
        scratch.free()
        control.deallocate()
    }

    func forget() { (told, sent, givenBack) = ([], [], [:]) }

    // MARK: The other end

    /// Reads come in the sizes given, over and over; whole if there are none.
    func send(_ bytes: [UInt8], reads: [Int] = []) {
        var start = 0
        var turn = 0
        repeat {
            let size = reads.isEmpty ? bytes.count : reads[turn % reads.count]
            buffer += bytes[start..<min(bytes.count, start + size)]
            start = min(bytes.count, start + size)
            turn += 1
            take()
        } while start < bytes.count
    }

    func block(_ fields: [(String, String)]) -> [UInt8] { encoder.encode(fields.map { HPACKField($0.0, $0.1) })! }

    static let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    static let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]

    /// HEADERS, in as many frames as `pieces` says.
    func headers(_ stream: UInt32, _ fields: [(String, String)] = MachinePeer.get, ends: Bool = true, pieces: Int = 1) -> [UInt8] {
        let block = self.block(fields)
        var bytes: [UInt8] = []
        let size = (block.count + pieces - 1) / pieces
        for piece in 0..<pieces {
            let part = Array(block[min(block.count, piece * size)..<min(block.count, (piece + 1) * size)])
            let flags: UInt8 = (piece == pieces - 1 ? 4 : 0) | (piece == 0 && ends ? 1 : 0)
            bytes += FrameBytes.frame(piece == 0 ? 1 : 9, flags: flags, stream: stream, part)
        }
        return bytes
    }

    static func data(_ stream: UInt32, _ text: String, ends: Bool = false, padding: Int? = nil) -> [UInt8] {
        let payload = (padding.map { [UInt8($0)] } ?? []) + Array(text.utf8) + [UInt8](repeating: 0, count: padding ?? 0)
        return FrameBytes.frame(0, flags: (ends ? 1 : 0) | (padding == nil ? 0 : 8), stream: stream, payload)
    }

    static func update(_ stream: UInt32, _ increment: UInt32) -> [UInt8] { FrameBytes.frame(8, stream: stream, FrameBytes.word(increment)) }
    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { FrameBytes.frame(3, stream: stream, FrameBytes.word(code)) }
    static func ping(_ flags: UInt8 = 0) -> [UInt8] { FrameBytes.frame(6, flags: flags, [1, 2, 3, 4, 5, 6, 7, 8]) }

    // MARK: This end's host

    func place(_ stream: UInt32) -> Int { machine.streams.place(of: stream) }

    /// Lets the machine write, and reads what it wrote.
    @discardableResult
    func output<Result>(_ body: (inout OutputSpace) -> Result) -> Result {
        var space = OutputSpace(control)
        let result = body(&space)
        written += Array(control[..<space.count])
        readWritten()
        return result
    }

    func finish(_ stream: UInt32) { output { machine.finish(place(stream), into: &$0) } }

    /// As after a head with END_STREAM.
    func answered(_ stream: UInt32) { output { machine.data(0, isLast: true, at: place(stream), into: &$0) } }

    private func take() {
        while true {
            let event = buffer.withUnsafeBytes { bytes in output { machine.receive(Bytes(bytes), at: now, into: &$0) } }
            switch event {
            case .needMore(let consumed):
                buffer.removeFirst(consumed)
                return
            case .handled(let consumed): buffer.removeFirst(consumed)
            case .head(let place, let consumed):
                takeHead(place, consumed)
                buffer.removeFirst(consumed)
            case .trailers(let place, let consumed):
                takeTrailers(place, consumed)
                buffer.removeFirst(consumed)
            case .data(let place, let offset, let count, let isLast, let consumed):
                takeData(place, Array(buffer[offset..<offset + count]), isLast)
                buffer.removeFirst(consumed)
            case .reset(_, let stream, let code, let consumed):
                told.append("reset \(stream) \(code.rawValue)")
                buffer.removeFirst(consumed)
            case .room(let place, let consumed):
                told.append(place < 0 ? "room" : "room \(number(place))")
                buffer.removeFirst(consumed)
            case .goAway(let last, let consumed):
                told.append("goaway \(last)")
                buffer.removeFirst(consumed)
            case .pong(let consumed):
                told.append("pong")
                buffer.removeFirst(consumed)
            case .failed(let code):
                told.append("failed \(code.rawValue)")
                buffer = []
                return
            }
            if hasFailed { return }
        }
    }

    private func number(_ place: Int) -> UInt32 { machine.streams[place].pointee.number }

    /// The block is somewhere in the buffer, which stays where it is meanwhile.
    private func takeHead(_ place: Int, _ consumed: Int) {
        let stream = number(place)
        let ends = machine.headEndsStream ? " end" : ""
        buffer.withUnsafeBytes { bytes in
            // The event's view of the block points into an array's storage that may have moved since: the machine is asked again.
            if machine.isServer {
                var head = storage.requestHead()
                switch output({ machine.takeRequest(targetScratch: storage.scratch, into: &head, at: now, &$0) }) {
                case .message: told.append("head \(stream) \(head.methodText.string) \(head.target.string)\(ends)")
                case .refused(let fault): told.append("refused \(stream) \(fault.status)")
                case .malformed: told.append("malformed \(stream)")
                case .failed(let code): told.append("failed \(code.rawValue)")
                case .interim: break
                }
            } else {
                var head = storage.responseHead()
                switch output({ machine.takeResponse(isToHead: isToHead, into: &head, at: now, &$0) }) {
                case .message: told.append("status \(stream) \(head.status)\(ends)")
                case .interim: told.append("interim \(stream) \(head.status)")
                case .malformed: told.append("malformed \(stream)")
                case .failed(let code): told.append("failed \(code.rawValue)")
                case .refused: break
                }
            }
            _ = bytes
        }
    }

    private func takeTrailers(_ place: Int, _ consumed: Int) {
        let stream = number(place)
        var table = HeaderTable()
        var sensitive = FieldMask()
        switch output({ machine.takeTrailers(into: &table, sensitive: &sensitive, at: now, &$0) }) {
        case .message:
            let lines = (0..<Int(table.count)).map { "\(table.name($0).string): \(table.value($0).string)" }
            told.append("trailers \(stream) \(lines.joined(separator: ", "))")
        case .failed(let code): told.append("failed \(code.rawValue)")
        case .malformed, .refused, .interim: told.append("malformed \(stream)")
        }
    }

    private func takeData(_ place: Int, _ bytes: [UInt8], _ isLast: Bool) {
        let stream = number(place)
        let prefix = "data \(stream) "
        if let last = told.last, last.hasPrefix(prefix) {
            told[told.count - 1] = last + String(decoding: bytes, as: UTF8.self)
        } else if !bytes.isEmpty {
            told.append(prefix + String(decoding: bytes, as: UTF8.self))
        }
        if isLast { told.append("end \(stream)") }
        if releases, !bytes.isEmpty { output { machine.release(bytes.count, at: place, into: &$0) } }
    }

    private func readWritten() {
        while true {
            let step = written.withUnsafeBytes { reader.next(Bytes($0)) }
            switch step {
            case .needMore(let consumed):
                written.removeFirst(consumed)
                return
            case .reject(let fault, _):
                sent.append("nonsense \(fault)")
                return
            case .frame(let frame, let consumed):
                note(frame)
                written.removeFirst(consumed)
            }
        }
    }

    private func note(_ frame: Frame) {
        switch frame {
        case .settings: sent.append("settings")
        case .settingsAcknowledged: sent.append("settings ack")
        case .ping: sent.append("ping")
        case .pingAcknowledged: sent.append("ping ack")
        case .reset(let stream, let code): sent.append("reset \(stream) \(code.rawValue)")
        case .goAway(let last, let code): sent.append("goaway \(last) \(code.rawValue)")
        case .windowUpdate(let stream, let increment): givenBack[stream, default: 0] += increment
        case .data(let piece): if piece.isLast { sent.append("data \(piece.stream)\(piece.endsStream ? " end" : "")") }
        case .headers, .continuation, .ignored: sent.append("other")
        }
    }
}
