internal import Pipeline

/// A connection with buffers on both sides, for the service protocols: bytes pile up in `input` for its owner, and `write` takes
/// all it is given. Its owner's closures are called from the loop, never from inside a call to it.
///
///     connecting --> handshaking --> open --> finishing (written out, half-closed, lingering) --> closed
///
/// It keeps itself alive from `start` to `close`, which drops the closures and whatever they hold.
final class ServiceChannel {
    private enum State { case connecting, handshaking, open, finishing, closed }

    /// Bytes read per turn before others get theirs.
    private static let readPerTurn = 256 * 1024
    /// How long a peer may take to close after we have.
    private static let linger = Nanoseconds.seconds(1)
    /// How long written bytes may not move at all.
    private static let writeStall = Nanoseconds.seconds(30)

    let loop: EventLoop
    private(set) var transport: Transport
    /// Received and not yet consumed.
    private(set) var input: [UInt8] = []
    /// Bytes `input` may hold before reading stops.
    var inputMax = 128 * 1024
    /// Connected, and verified if TLS.
    var onOpen: (() -> Void)?
    /// `input` has grown.
    var onBytes: (() -> Void)?
    /// The peer finished (nil) or the connection failed. Only `close` is left to do, or to finish an answer after nil.
    var onEnd: ((ServiceFailure?) -> Void)?
    /// The timer set by `expect` ran out.
    var onTimeout: (() -> Void)?

    private var state: State
    private var stoppedAtBound = false
    private var output: [UInt8] = []
    private var outputStart = 0
    private var registration = EventLoop.Registration.none
    private var timer = Timer.none
    private var stallTimer = Timer.none

    init(_ transport: Transport, on loop: EventLoop, isConnecting: Bool) {
        self.transport = transport
        self.loop = loop
        state = isConnecting ? .connecting : .handshaking
    }

    /// Registers with the loop; throws with the descriptor closed.
    func start() throws(SystemError) {
        do {
            registration = try loop.register(transport.descriptor, Self.ready, Unmanaged.passUnretained(self).toOpaque())
        } catch {
            state = .closed
            transport.close()
            throw error
        }
        _ = Unmanaged.passRetained(self)
    }

    var isOpen: Bool { state == .open }
    var queuedBytes: Int { output.count - outputStart }

    // MARK: Owner's side

    func consume(_ count: Int) {
        input.removeFirst(count)
        guard stoppedAtBound, input.count < inputMax, state == .open else { return }
        // Reading stopped short of the end: no edge will tell of the rest.
        stoppedAtBound = false
        loop.runAgain(registration, .readable)
    }

    /// Copies; written as the peer takes it.
    func write(_ bytes: [UInt8]) {
        guard state == .open else { return }
        output += bytes
        flush()
    }

    /// Writes what waits, says goodbye, and closes once the peer has or a second has passed.
    func finish() {
        guard state == .open else { return close() }
        state = .finishing
        forget()
        expect(within: nil)
        flush()
    }

    func close() {
        guard state != .closed else { return }
        state = .closed
        loop.deregister(registration)
        loop.cancel(timer)
        loop.cancel(stallTimer)
        forget()
        transport.close()
        // Callbacks of this turn may still be on the way out of us.
        loop.atEndOfTurn({ context, _ in Unmanaged<ServiceChannel>.fromOpaque(context).release() }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Calls `onTimeout` if it is not called again in time; nil: nothing is expected.
    func expect(within time: Nanoseconds?) {
        loop.cancel(timer)
        timer = .none
        guard let time, state != .closed else { return }
        timer = loop.arm(at: loop.now + time, Self.timeout, Unmanaged.passUnretained(self).toOpaque())
    }

    private func forget() {
        onOpen = nil
        onBytes = nil
        onEnd = nil
        onTimeout = nil
    }

    // MARK: Loop's side

    private static let ready: LoopCallback = { context, word in
        Unmanaged<ServiceChannel>.fromOpaque(context).takeUnretainedValue().handle(Readiness(rawValue: word))
    }

    private static let timeout: LoopCallback = { context, _ in
        let channel = Unmanaged<ServiceChannel>.fromOpaque(context).takeUnretainedValue()
        if channel.state == .finishing { channel.close() } else { channel.onTimeout?() }
    }

    private static let stalled: LoopCallback = { context, _ in
        let channel = Unmanaged<ServiceChannel>.fromOpaque(context).takeUnretainedValue()
        channel.stallTimer = .none
        channel.end(.timeout)
    }

    private func handle(_ readiness: Readiness) {
        var readiness = readiness
        if state == .connecting {
            guard readiness.callsForWrite else { return }
            let code = Socket.connectResult(transport.descriptor)
            guard code == 0 else { return end(.connect(errno: code)) }
            state = .handshaking
        }
        if state == .handshaking {
            switch transport.handshake() {
            case .wouldBlock: return
            case .failed(let why):
                // The alert first: closing on unread bytes would reset it away.
                transport.finishWriting()
                transport.drain()
                return end(.transport(why))
            case .done:
                state = .open
                readiness.formUnion([.readable, .writable])
                onOpen?()
            }
        }
        let directions = transport.directions(for: readiness)
        if directions.write { flush() }
        if directions.read { read() }
    }

    private func read() {
        if state == .finishing { return discard() }
        var left = Self.readPerTurn
        var piece = [UInt8](repeating: 0, count: Transport.recordBytes)
        var ended: (isEnd: Bool, why: ServiceFailure?) = (false, nil)
        let before = input.count
        var mayHaveMore = true
        while state == .open, left > 0, input.count < inputMax, mayHaveMore {
            switch piece.withUnsafeMutableBytes({ transport.read(into: $0.baseAddress!, count: $0.count) }) {
            case .bytes(let count):
                input += piece[..<count]
                left -= count
            case .wouldBlock: mayHaveMore = false
            case .closed:
                ended = (true, nil)
                mayHaveMore = false
            case .failed(let why):
                ended = (true, .transport(why))
                mayHaveMore = false
            }
        }
        stoppedAtBound = input.count >= inputMax
        if left <= 0, !stoppedAtBound, state == .open { loop.runAgain(registration, .readable) }
        if input.count > before { onBytes?() }
        if ended.isEnd { end(ended.why) }
    }

    private func discard() {
        var piece = [UInt8](repeating: 0, count: Transport.recordBytes)
        var left = Self.readPerTurn
        while left > 0 {
            switch piece.withUnsafeMutableBytes({ transport.read(into: $0.baseAddress!, count: $0.count) }) {
            case .bytes(let count): left -= count
            case .wouldBlock: return
            case .closed, .failed: return close()
            }
        }
        loop.runAgain(registration, .readable)
    }

    private func flush() {
        guard state == .open || state == .finishing else { return }
        let before = outputStart
        while outputStart < output.count {
            let result = output.withUnsafeBytes { transport.write(from: $0.baseAddress! + outputStart, count: $0.count - outputStart) }
            if case .bytes(let count) = result {
                outputStart += count
                continue
            }
            if result == .wouldBlock { break }
            if case .failed(let why) = result { failLater(.transport(why)) } else { failLater(.closed) }
            return
        }
        watchStall(moved: outputStart > before)
        if outputStart == output.count {
            output.removeAll(keepingCapacity: output.count < 64 * 1024)
            outputStart = 0
            if state == .finishing { sayGoodbye() }
        } else if outputStart > 1 << 20 {
            output.removeFirst(outputStart)
            outputStart = 0
        }
    }

    private func watchStall(moved: Bool) {
        if outputStart == output.count {
            loop.cancel(stallTimer)
            stallTimer = .none
        } else if moved || stallTimer == .none {
            loop.cancel(stallTimer)
            stallTimer = loop.arm(at: loop.now + Self.writeStall, Self.stalled, Unmanaged.passUnretained(self).toOpaque())
        }
    }

    private var hasSaidGoodbye = false

    private func sayGoodbye() {
        guard !hasSaidGoodbye else { return }
        hasSaidGoodbye = true
        transport.finishWriting()
        expect(within: Self.linger)
        loop.runAgain(registration, .readable)
    }

    private var laterFailure: ServiceFailure?

    /// A failure found inside the owner's call is told from the loop.
    private func failLater(_ why: ServiceFailure) {
        guard laterFailure == nil else { return }
        laterFailure = why
        _ = Unmanaged.passRetained(self)
        loop.atEndOfTurn(
            { context, _ in
                let channel = Unmanaged<ServiceChannel>.fromOpaque(context).takeRetainedValue()
                channel.end(channel.laterFailure)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func end(_ why: ServiceFailure?) {
        guard state != .closed else { return }
        let tell = onEnd
        // After an orderly end the owner may still answer; after a failure there is nobody to answer.
        if why != nil || tell == nil { close() }
        tell?(why)
    }
}
