internal import CPlatform
package import Pipeline

/// What a descriptor is ready for, as one edge-triggered event said.
package struct Readiness: OptionSet, BitwiseCopyable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let readable = Readiness(rawValue: 0x001)
    package static let writable = Readiness(rawValue: 0x004)
    package static let failed = Readiness(rawValue: 0x008)
    /// Both directions are over.
    package static let hungUp = Readiness(rawValue: 0x010)
    /// The peer finished sending: read until `.closed`, a short read is not the end.
    package static let peerFinished = Readiness(rawValue: 0x2000)

    /// Whether reading can tell anything new: bytes, the end, or the error.
    @inline(__always)
    package var callsForRead: Bool { rawValue & 0x2019 != 0 }
    @inline(__always)
    package var callsForWrite: Bool { rawValue & 0x001C != 0 }
}

/// What the loop calls: a static function, the pointer it was given with, and a word (readiness, or a timer's kind).
///
/// Plain C on purpose: nothing is retained, released or allocated on the way from the kernel to a connection.
package typealias LoopCallback = @convention(c) (_ context: UnsafeMutableRawPointer, _ word: UInt32) -> Void

/// One thread's epoll loop: descriptors, timers, work put off to the end of the turn, and a mailbox for other threads.
///
/// A turn: wait → read the clock → dispatch events (mail is one) → due timers → deferred work. Callbacks run only from there, one
/// after another, never inside one another, so a callback may register, close, arm and cancel whatever it likes.
///
/// Descriptors are registered once for everything, edge-triggered: an event says "from now on", so its owner must read or
/// write until `.wouldBlock` (or a short read), or ask for `runAgain` if it stops earlier to be fair.
///
/// The handle is two words of plain data over storage that `destroy` frees; it never leaves its thread (the `mailbox` does).
package struct EventLoop: BitwiseCopyable {
    let storage: UnsafeMutablePointer<LoopStorage>

    /// Throws only for want of descriptors or memory in the kernel.
    package init() throws(SystemError) {
        let epoll = weft_epoll_create()
        guard epoll >= 0 else { throw SystemError(epoll, "epoll_create1") }
        let mailbox: Mailbox
        do {
            mailbox = try Mailbox()
        } catch {
            Descriptor.close(epoll)
            throw error
        }
        storage = .allocate(capacity: 1)
        storage.initialize(to: LoopStorage(epoll: epoll, mailbox: mailbox, now: Clock.monotonic()))
        do {
            _ = try register(mailbox.descriptor, Self.mailArrived, UnsafeMutableRawPointer(storage))
        } catch {
            destroy()
            throw error
        }
    }

    /// The clock as of this turn.
    @inline(__always)
    package var now: Instant { storage.pointee.now }

    /// The only way in from other threads.
    package var mailbox: Mailbox { storage.pointee.mailbox }

    /// Chance for decisions on this loop, seeded by the operating system. Not for secrets.
    package var random: UnsafeMutablePointer<Random> { storage.pointer(to: \.random)! }

    // MARK: Descriptors

    /// A registered descriptor. Events that were under way when it ended are dropped, even if the slot serves another by then.
    package struct Registration: BitwiseCopyable, Equatable, Sendable {
        let index: UInt32
        let generation: UInt32
        package static let none = Registration(index: .max, generation: 0)
    }

    /// Has `callback` called with `context` for every edge on `descriptor`; at first with what it is ready for already.
    ///
    /// `context` must stay valid until `deregister` returns. Throws ENOSPC or ENOMEM of the kernel.
    package func register(
        _ descriptor: Int32, _ callback: LoopCallback, _ context: UnsafeMutableRawPointer
    ) throws(SystemError) -> Registration {
        let registration = storage.pointee.slots.take(descriptor, callback, context)
        let failure = weft_epoll_add(storage.pointee.epoll, descriptor, registration.word)
        guard failure >= 0 else {
            storage.pointee.slots.release(registration)
            throw SystemError(failure, "epoll_ctl")
        }
        return registration
    }

    /// No callback comes from this registration again, not even from events already taken from the kernel.
    ///
    /// Closing the descriptor afterwards takes it out of the kernel's set at no cost; one that lives on (handed to another
    /// loop) must be `detaching`.
    package func deregister(_ registration: Registration, detaching: Bool = false) {
        guard let descriptor = storage.pointee.slots.release(registration) else { return }
        if detaching { _ = weft_epoll_remove(storage.pointee.epoll, descriptor) }
    }

    /// Whether callbacks may still come from it.
    func isRegistered(_ registration: Registration) -> Bool { storage.pointee.slots.find(registration) != nil }

    /// Calls the registration's callback once more at the end of this turn: for one that stopped before `.wouldBlock` so that
    /// others get their turn, and would otherwise wait for an edge that never comes.
    package func runAgain(_ registration: Registration, _ readiness: Readiness) {
        storage.pointee.deferred.append(.init(registration: registration, word: readiness.rawValue, callback: nil, context: nil))
    }

    // MARK: Deferred work

    /// Runs after all events, mail and timers of this turn; work put off by deferred work runs in the next turn.
    ///
    /// The place to free what callbacks of this turn may still hold.
    package func atEndOfTurn(_ callback: LoopCallback, _ context: UnsafeMutableRawPointer, _ word: UInt32 = 0) {
        storage.pointee.deferred.append(.init(registration: .none, word: word, callback: callback, context: context))
    }

    /// Whether the turn's events are done and what was put off to its end is running.
    @inline(__always)
    package var isEndingTurn: Bool { storage.pointee.isEndingTurn }

    // MARK: Timers

    /// Calls `callback(context, kind)` once, at the first turn at or after `deadline`, to the millisecond and never early.
    package func arm(
        at deadline: Instant, _ callback: LoopCallback, _ context: UnsafeMutableRawPointer, kind: UInt16 = 0
    ) -> Timer {
        storage.pointee.timers.arm(at: deadline, callback, context, kind: kind)
    }

    /// Cancelling a timer that fired or was cancelled does nothing.
    package func cancel(_ timer: Timer) { storage.pointee.timers.cancel(timer) }

    /// Moves a timer; false if it already fired or was cancelled.
    @discardableResult
    package func move(_ timer: Timer, to deadline: Instant) -> Bool { storage.pointee.timers.move(timer, to: deadline) }

    // MARK: Running

    /// Turns until `stop`.
    package func run() {
        while !storage.pointee.isStopping { turn(waitingAtMost: .seconds(3600)) }
    }

    /// Ends `run` after this turn.
    package func stop() { storage.pointee.isStopping = true }

    package var isStopping: Bool { storage.pointee.isStopping }

    /// One turn. `wait` bounds the sleep; a due timer, deferred work or mail shortens it.
    package func turn(waitingAtMost wait: Nanoseconds) {
        let loop = storage
        var milliseconds = Int32(clamping: (max(0, wait.count) + 999_999) / 1_000_000)
        if !loop.pointee.deferred.isEmpty {
            milliseconds = 0
        } else if let due = loop.pointee.timers.nextDeadline {
            let away = due - Clock.monotonic()
            milliseconds = min(milliseconds, Int32(clamping: (max(0, away.count) + 999_999) / 1_000_000))
        }
        let count = weft_epoll_wait(
            loop.pointee.epoll, loop.pointee.events, Int32(WEFT_EVENTS_PER_WAIT), milliseconds)
        loop.pointee.now = Clock.monotonic()
        var index = 0
        while index < count {
            let event = loop.pointee.events[index]
            dispatch(Registration(word: event.data), event.readiness)
            index &+= 1
        }
        fireTimers()
        runDeferred()
    }

    /// Frees the loop. Close first what lives on it: nothing may use the handle afterwards. Undelivered mail is dropped; work
    /// put off to the end of the turn still runs, for that is where things are freed.
    package func destroy() {
        storage.pointee.mailbox.close()
        while let entry = storage.pointee.deferred.popFirst() {
            if let callback = entry.callback, let context = entry.context { callback(context, entry.word) }
        }
        Descriptor.close(storage.pointee.epoll)
        storage.pointee.free()
        storage.deinitialize(count: 1)
        storage.deallocate()
    }

    @inline(__always)
    private func dispatch(_ registration: Registration, _ word: UInt32) {
        // Copied out first: the callback may grow the table.
        guard let slot = storage.pointee.slots.find(registration) else { return }
        slot.callback(slot.context, word)
    }

    private func fireTimers() {
        let now = storage.pointee.now
        while let due = storage.pointee.timers.takeDue(at: now) { due.callback(due.context, due.kind) }
    }

    private func runDeferred() {
        // Only what stands there now: work that puts off more work must not keep the loop from the kernel.
        storage.pointee.isEndingTurn = true
        defer { storage.pointee.isEndingTurn = false }
        var remaining = storage.pointee.deferred.count
        while remaining > 0, let entry = storage.pointee.deferred.popFirst() {
            remaining &-= 1
            if let callback = entry.callback, let context = entry.context {
                callback(context, entry.word)
            } else {
                dispatch(entry.registration, entry.word)
            }
        }
    }

    private static let mailArrived: LoopCallback = { context, _ in
        let loop = EventLoop(storage: context.assumingMemoryBound(to: LoopStorage.self))
        for message in loop.mailbox.takeAll() { message(loop) }
    }

    private init(storage: UnsafeMutablePointer<LoopStorage>) { self.storage = storage }
}

extension EventLoop.Registration {
    /// As it travels through the kernel.
    @inline(__always)
    var word: UInt64 { UInt64(generation) << 32 | UInt64(index) }
    @inline(__always)
    init(word: UInt64) {
        index = UInt32(truncatingIfNeeded: word)
        generation = UInt32(truncatingIfNeeded: word >> 32)
    }
}
