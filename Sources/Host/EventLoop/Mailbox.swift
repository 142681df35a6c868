internal import CPlatform
internal import Pipeline

/// Messages from other threads to one loop: bounded, many writers, one reader, woken through an eventfd.
///
/// For what is rare (snapshots, shutdown, a connection handed over, a suspended exchange resumed), not for the data path.
package final class Mailbox: Sendable {
    package typealias Message = @Sendable (EventLoop) -> Void

    /// Messages that may wait. A loop that is this far behind is stuck; the sender learns it and decides.
    package static let messagesMax = 65_536

    private struct State {
        var waiting: [Message] = []
        var isClosed = false
    }

    let descriptor: Int32
    private let state = Lock(State())

    init() throws(SystemError) {
        descriptor = weft_eventfd()
        guard descriptor >= 0 else { throw SystemError(descriptor, "eventfd") }
    }

    deinit { Descriptor.close(descriptor) }

    /// Runs `message` on the loop's thread, in the order of posting. False if the mailbox is full or the loop has ended.
    @discardableResult
    package func post(_ message: @escaping Message) -> Bool {
        let outcome = state.withLock { state -> (accepted: Bool, isFirst: Bool) in
            guard !state.isClosed, state.waiting.count < Self.messagesMax else { return (false, false) }
            state.waiting.append(message)
            return (true, state.waiting.count == 1)
        }
        // Only the first wakes: the reader takes all at once.
        if outcome.isFirst { _ = weft_eventfd_signal(descriptor) }
        return outcome.accepted
    }

    func takeAll() -> [Message] {
        _ = weft_eventfd_take(descriptor)
        return state.withLock { state in
            let messages = state.waiting
            state.waiting = []
            return messages
        }
    }

    func close() {
        let dropped = state.withLock { state -> [Message] in
            state.isClosed = true
            let messages = state.waiting
            state.waiting = []
            return messages
        }
        // What the dropped messages hold is released here, outside the lock.
        withExtendedLifetime(dropped) {}
    }
}
