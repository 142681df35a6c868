import Pipeline

/// Lets a few TLS handshakes begin per turn of the loop, first come first served.
///
/// A full handshake is up to a millisecond of CPU: a hundred new connections must not keep the requests of the others waiting for a
/// tenth of a second. And connections that begin one by one do not move in step: where all are at the same point of their handshakes,
/// none has a ticket yet for those that come next.
struct HandshakeQueue {
    /// Each connection at most once; those that have closed meanwhile are passed over.
    private var waiting = DeferredQueue(capacity: 16)
    private var turn = Instant.zero
    private var begun = 0

    /// Whether the connection may begin now; otherwise it is called again, at the end of a turn, when its time has come.
    ///
    /// - Parameter worker: the `WorkerStorage` that this is part of.
    mutating func takes(_ registration: EventLoop.Registration, on loop: EventLoop, _ worker: UnsafeMutableRawPointer) -> Bool {
        // Who has waited comes at the end of a turn, and is not put off again.
        if loop.isEndingTurn { return true }
        if turn != loop.now { (turn, begun) = (loop.now, 0) }
        if begun < HostLimits.handshakesPerTurn, waiting.isEmpty {
            begun += 1
            return true
        }
        if waiting.isEmpty { loop.atEndOfTurn(Self.release, worker) }
        waiting.append(.init(registration: registration, word: 0, callback: nil, context: nil))
        return false
    }

    /// At the end of a turn: whose time comes at the end of the next one.
    private static let release: LoopCallback = { context, _ in
        let w = context.assumingMemoryBound(to: WorkerStorage.self)
        var left = HostLimits.handshakesPerTurn
        while left > 0, let next = w.pointee.handshakes.waiting.popFirst() {
            // Who has left must not use up the time of those who still wait: in a storm that would be all of it.
            guard w.pointee.loop.isRegistered(next.registration) else { continue }
            w.pointee.loop.runAgain(next.registration, .readable)
            left -= 1
        }
        if !w.pointee.handshakes.waiting.isEmpty { w.pointee.loop.atEndOfTurn(release, context) }
    }

    func free() { waiting.free() }
}
