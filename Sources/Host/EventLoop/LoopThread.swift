internal import CPlatform
internal import Glibc

/// A thread that owns one event loop from its first turn to its last.
package final class LoopThread: Sendable {
    package let mailbox: Mailbox
    private let thread: Handle

    private struct Handle: @unchecked Sendable {
        // A pthread_t is a number to us: only `join` uses it, once.
        let id: pthread_t
    }

    private final class Start: @unchecked Sendable {
        // The loop is made by the starter, so that failures reach it, and used by the new thread alone.
        let loop: EventLoop
        let name: String
        let core: Int?
        let prepare: @Sendable (EventLoop) -> Void
        let finish: @Sendable (EventLoop) -> Void
        init(
            _ loop: EventLoop, _ name: String, _ core: Int?, _ prepare: @escaping @Sendable (EventLoop) -> Void,
            _ finish: @escaping @Sendable (EventLoop) -> Void
        ) {
            self.loop = loop
            self.name = name
            self.core = core
            self.prepare = prepare
            self.finish = finish
        }
    }

    /// Starts the thread: `prepare` runs on it before the first turn, `finish` after the last, before the loop is freed.
    ///
    /// - Parameter core: the core to bind to; nil leaves it to the scheduler.
    package init(
        name: String, core: Int? = nil, prepare: @escaping @Sendable (EventLoop) -> Void,
        finish: @escaping @Sendable (EventLoop) -> Void = { _ in }
    ) throws(SystemError) {
        let loop = try EventLoop()
        mailbox = loop.mailbox
        let start = Start(loop, name, core, prepare, finish)
        var id = pthread_t()
        let failure = pthread_create(
            &id, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                weft_name_thread(start.name)
                if let core = start.core { _ = weft_pin_to_core(Int32(core)) }
                start.prepare(start.loop)
                start.loop.run()
                start.finish(start.loop)
                start.loop.destroy()
                return nil
            }, Unmanaged.passRetained(start).toOpaque())
        guard failure == 0 else {
            Unmanaged.passUnretained(start).release()
            loop.destroy()
            throw SystemError(-failure, "pthread_create")
        }
        thread = Handle(id: id)
    }

    /// Asks the loop to end after its current turn. If the mailbox is full, the loop is stuck and false is returned.
    @discardableResult
    package func stop() -> Bool { mailbox.post { $0.stop() } }

    /// Waits for the thread to end. Call once.
    package func join() { pthread_join(thread.id, nil) }
}
