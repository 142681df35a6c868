internal import Glibc
package import Host
internal import Synchronization

/// A TCP relay that writes down every byte that passes, both ways; it can also drop what comes back.
package final class RecordingRelay: Sendable {
    private struct State {
        var up: [UInt8] = []
        var down: [UInt8] = []
        var connections = 0
        var dropsAnswers = false
        var dropped = 0
        var open: [BlockingSocket] = []
        var target: SocketAddress
    }

    package let address: SocketAddress
    private let state: Mutex<State>
    private let listener: BlockingListener
    /// Bytes kept of each direction; the rest is relayed unrecorded.
    private static let keptMax = 64 << 20

    package init(to target: SocketAddress, at wanted: SocketAddress = SocketAddress("127.0.0.1:0")!) throws {
        let reference = RelayReference()
        state = Mutex(State(target: target))
        listener = try BlockingListener(at: wanted, "relay") { socket in reference.relay?.relay(socket) }
        address = listener.address
        reference.set(self)
    }

    deinit { stop() }

    package func stop() {
        listener.stop()
        cut()
    }

    /// Ends all connections that pass through now.
    package func cut() { state.withLock { $0.open }.forEach { $0.interrupt() } }

    package func redirect(to target: SocketAddress) { state.withLock { $0.target = target } }

    /// From now on answers are swallowed and the connection is cut instead.
    package func dropAnswers(_ drops: Bool) { state.withLock { $0.dropsAnswers = drops } }

    package var recorded: [UInt8] { state.withLock { $0.up + $0.down } }
    package var bytes: Int { state.withLock { $0.up.count + $0.down.count } }
    package var connections: Int { state.withLock { $0.connections } }
    /// Connections whose answer was swallowed.
    package var dropped: Int { state.withLock { $0.dropped } }

    /// One connection: what decides whether its answer is swallowed.
    private struct Passage {
        let swallows: Bool
        var sawServer = false
        var swallowing = false
    }

    private func relay(_ caller: BlockingSocket) {
        let (target, swallows) = state.withLock { state in
            state.connections += 1
            return (state.target, state.dropsAnswers)
        }
        guard let service = try? BlockingSocket(to: target, timeout: .seconds(600)) else { return caller.reset() }
        caller.setTimeout(.seconds(600))
        state.withLock { $0.open += [caller, service] }
        // With TLS 1.3 the caller's second flight carries its request: what the server says after that is the answer.
        let shared = Shared(passage: Mutex(Passage(swallows: swallows)))
        let upward = Background("relay up") { [self] in
            copy(from: caller, to: service) { bytes in
                shared.passage.withLock { if $0.swallows, $0.sawServer { $0.swallowing = true } }
                state.withLock { if $0.up.count < Self.keptMax { $0.up += bytes } }
                return true
            }
        }
        copy(from: service, to: caller) { [self] bytes in
            let swallows = shared.passage.withLock { passage in
                passage.sawServer = true
                return passage.swallowing
            }
            if swallows {
                // Tickets come first: give the server time to do the work before its answer is lost with the connection.
                pause(.milliseconds(300))
                state.withLock { $0.dropped += 1 }
                return false
            }
            state.withLock { if $0.down.count < Self.keptMax { $0.down += bytes } }
            return true
        }
        upward.join()
        state.withLock { state in state.open.removeAll { $0 === caller || $0 === service } }
        caller.finish()
        service.finish()
    }

    private final class Shared: Sendable {
        let passage: Mutex<Passage>
        init(passage: consuming Mutex<Passage>) { self.passage = passage }
    }

    private func copy(from source: BlockingSocket, to sink: BlockingSocket, _ passes: (UnsafeRawBufferPointer) -> Bool) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { buffer.deallocate() }
        while let count = try? source.read(into: buffer), count > 0 {
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            guard passes(bytes), (try? sink.write(bytes)) != nil else { break }
        }
        source.interrupt()
        sink.interrupt()
    }
}

private final class RelayReference: @unchecked Sendable {
    private struct Box { weak var relay: RecordingRelay? }
    private let box = Mutex(Box())
    var relay: RecordingRelay? { box.withLock { $0.relay } }
    func set(_ relay: RecordingRelay) { box.withLock { $0.relay = relay } }
}

extension [UInt8] {
    package func contains(_ text: String) -> Bool {
        withUnsafeBytes { bytes in
            var text = text
            return text.withUTF8 { bytes.firstIndex(of: UnsafeRawBufferPointer($0)) != nil }
        }
    }
}
