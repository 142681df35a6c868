internal import CPlatform
internal import Glibc
internal import Synchronization

/// A thread of the operating system, for work that blocks: test code must not block the few threads that run `async`.
package final class Background: Sendable {
    private struct State { var isDone = false }
    private let state = Mutex(State())

    /// Starts `work` at once on a thread of its own.
    @discardableResult
    package init(_ name: String, _ work: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Work(name: name, run: { [self] in
            work()
            state.withLock { $0.isDone = true }
        }))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 512 * 1024)
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, &attributes,
            { argument in
                let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
                weft_name_thread(String(work.name.prefix(15)))
                work.run()
                return nil
            }, box.toOpaque())
        pthread_attr_destroy(&attributes)
        precondition(failure == 0, "no thread could be started: \(failure)")
    }

    package var isDone: Bool { state.withLock { $0.isDone } }

    /// Waits until the work is done.
    package func join() { while !isDone { usleep(1_000) } }

    private final class Work {
        let name: String
        let run: @Sendable () -> Void
        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
}

/// Blocks the calling thread.
package func pause(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    usleep(UInt32(clamping: seconds * 1_000_000 + attoseconds / 1_000_000_000_000))
}

/// Asks every 5 ms until `condition` holds or `limit` is over; whether it held.
package func eventually(within limit: Duration, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + limit
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= end { return false }
        usleep(5_000)
    }
}

extension Duration {
    package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
