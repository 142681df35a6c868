internal import Glibc
package import Host
internal import Synchronization

/// A plain HTTP/1.1 service in the test's process that does what a script says, and keeps the application's own log: every
/// request that reached it, whatever it answered.
package final class FaultService: Sendable {
    /// A request as the application saw it, noted when its last byte was in.
    package struct Entry: Sendable, Equatable {
        package var method: String
        package var path: String
        package var bodyBytes: Int
        /// How many requests came before it.
        package var number: Int
    }

    package enum Behaviour: Sendable, Equatable {
        case answer(Int, String = "ok\n")
        /// Answers, but not at once.
        case slow(Duration, status: Int = 200)
        /// Reads and never answers; the caller closes.
        case hang
        case resetBeforeHead
        case resetAfterHead
        case resetWithinBody
        /// Half the body, then silence.
        case stallWithinBody
        /// A body of so many bytes.
        case bytes(Int)
        /// Answers with the number of body bytes it got.
        case count
    }

    package typealias Script = @Sendable (Entry) -> Behaviour

    private struct State {
        var script: Script = { _ in .answer(200) }
        var log: [Entry] = []
        var heads = 0
        var connections = 0
        var accepted = 0
        var written = 0
        var open: [ObjectIdentifier: BlockingSocket] = [:]
        var listener: BlockingListener?
    }

    package let name: String
    package let address: SocketAddress
    private let state = Mutex(State())

    /// - Parameter address: port 0 takes any; a unix socket's path is made.
    package init(_ name: String, at wanted: SocketAddress, _ script: Script? = nil) throws {
        self.name = name
        let reference = FaultServiceReference()
        let listener = try BlockingListener(at: wanted, name) { socket in reference.service?.serve(socket) }
        address = listener.address
        reference.set(self)
        state.withLock { state in
            state.listener = listener
            if let script { state.script = script }
        }
    }

    deinit { refuse() }

    // MARK: What it does

    package func run(_ script: @escaping Script) { state.withLock { $0.script = script } }

    /// One behaviour for every request.
    package func always(_ behaviour: Behaviour) { run { _ in behaviour } }

    /// Closes the door and all connections, as a process that died: connects are refused.
    package func refuse() {
        let (listener, open) = state.withLock { state in
            defer { state.listener = nil }
            return (state.listener, Array(state.open.values))
        }
        listener?.stop()
        open.forEach { $0.interrupt() }
    }

    /// Opens the door again, at the same address.
    package func reopen() throws {
        guard state.withLock({ $0.listener == nil }) else { return }
        let reference = FaultServiceReference()
        reference.set(self)
        let listener = try BlockingListener(at: address, name) { socket in reference.service?.serve(socket) }
        state.withLock { $0.listener = listener }
    }

    // MARK: What it saw

    package var log: [Entry] { state.withLock { $0.log } }
    package var count: Int { state.withLock { $0.log.count } }
    /// Heads that came in, also of requests that never completed.
    package var heads: Int { state.withLock { $0.heads } }
    /// Connections open now.
    package var connections: Int { state.withLock { $0.open.count } }
    package var accepted: Int { state.withLock { $0.accepted } }
    /// Body bytes that the kernel took off our hands, in answers of `bytes`.
    package var written: Int { state.withLock { $0.written } }

    package func forget() {
        state.withLock { state in
            state.log = []
            state.heads = 0
            state.accepted = 0
            state.written = 0
        }
    }

    // MARK: Serving

    private func serve(_ socket: BlockingSocket) {
        let id = ObjectIdentifier(socket)
        state.withLock { state in
            state.open[id] = socket
            state.accepted += 1
        }
        defer { state.withLock { $0.open[id] = nil } }
        socket.setTimeout(.seconds(600))
        let stream = HTTPStream(socket)
        do {
            while try serveOne(stream) {}
        } catch {
            // The caller went away, or sent what is no HTTP: its connection ends here.
        }
        socket.finish()
    }

    private func serveOne(_ stream: HTTPStream) throws -> Bool {
        let head = try stream.head()
        state.withLock { $0.heads += 1 }
        if head["expect"] == "100-continue" { try stream.socket.write("HTTP/1.1 100 Continue\r\n\r\n") }
        let body = try stream.body(of: head)
        let behaviour = state.withLock { state in
            let entry = Entry(method: head.line[0], path: head.line[1], bodyBytes: body, number: state.log.count)
            state.log.append(entry)
            return (state.script, entry)
        }
        let keeps = try perform(behaviour.0(behaviour.1), head.line[0], body, stream.socket)
        return keeps && !head.closes
    }

    private func perform(_ behaviour: Behaviour, _ method: String, _ body: Int, _ socket: BlockingSocket) throws -> Bool {
        switch behaviour {
        case .answer(let status, let text): try respond(socket, method, status, text)
        case .count: try respond(socket, method, 200, "\(body)")
        case .slow(let duration, let status):
            pause(duration)
            try respond(socket, method, status, "late\n")
        case .hang:
            var byte: UInt8 = 0
            _ = try withUnsafeMutableBytes(of: &byte) { try socket.read(into: $0) }
            return false
        case .resetBeforeHead:
            socket.reset()
            return false
        case .resetAfterHead:
            try socket.write("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n")
            pause(.milliseconds(50))
            socket.reset()
            return false
        case .resetWithinBody:
            try socket.write("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789")
            pause(.milliseconds(50))
            socket.reset()
            return false
        case .stallWithinBody:
            try socket.write("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789")
            var byte: UInt8 = 0
            _ = try withUnsafeMutableBytes(of: &byte) { try socket.read(into: $0) }
            return false
        case .bytes(let count):
            try socket.write("HTTP/1.1 200 OK\r\ncontent-length: \(count)\r\n\r\n")
            let piece = [UInt8](repeating: UInt8(ascii: "w"), count: min(count, 64 * 1024))
            var left = count
            try piece.withUnsafeBytes { piece in
                while left > 0 {
                    try socket.write(UnsafeRawBufferPointer(rebasing: piece.prefix(left)))
                    let taken = min(left, piece.count)
                    left -= taken
                    state.withLock { $0.written += taken }
                }
            }
        }
        return true
    }

    private func respond(_ socket: BlockingSocket, _ method: String, _ status: Int, _ text: String) throws {
        let body = method == "HEAD" || status == 204 ? "" : text
        let length = status == 204 ? "" : "content-length: \(text.utf8.count)\r\n"
        try socket.write("HTTP/1.1 \(status) Status\r\n\(length)x-served-by: \(name)\r\n\r\n\(body)")
    }
}

/// Breaks the circle between the service and the closure of its listener.
private final class FaultServiceReference: @unchecked Sendable {
    private struct Box { weak var service: FaultService? }
    private let box = Mutex(Box())
    var service: FaultService? { box.withLock { $0.service } }
    func set(_ service: FaultService) { box.withLock { $0.service = service } }
}
