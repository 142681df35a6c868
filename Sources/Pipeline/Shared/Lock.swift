internal import Synchronization

/// A value that one thread at a time may touch; for what is rare, never per request.
///
/// A `Mutex` whose handing over ThreadSanitizer sees: of a contended `Mutex` the kernel passes the lock on, out of its sight, and
/// it takes what the next owner does for a race. A release before unlocking and an acquire after locking say what holds
/// anyway; on x86 and ARM both are plain moves.
package struct Lock<Value: ~Copyable>: ~Copyable {
    private let mutex: Mutex<Value>
    private let handover = Atomic<Bool>(false)

    package init(_ value: consuming sending Value) { mutex = Mutex(value) }

    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { value throws(Failure) -> sending Result in
            _ = handover.load(ordering: .acquiring)
            defer { handover.store(false, ordering: .releasing) }
            return try body(&value)
        }
    }
}

extension Lock: Sendable where Value: ~Copyable {}
