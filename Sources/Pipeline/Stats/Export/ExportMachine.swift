/// Decides when a sidecar cuts a batch of metric deltas, sends it, and sends it again.
///
///     idle --interval elapses--> sending --acknowledged--> idle
///                                 |   ^
///                     fails, or no answer in time
///                                 v   |
///                                waiting (back-off)
///
/// One batch is under way at a time and keeps its sequence number until it is acknowledged; only then is the next one cut. So
/// the receiver sees 1, 2, 3, …, each perhaps several times, and counts each once (``IngestLedger``).
package struct ExportMachine: Sendable {
    package struct Policy: Sendable, Equatable {
        /// From one cut to the next.
        package var interval: Nanoseconds
        /// Without an answer by then a try has failed.
        package var answerWithin: Nanoseconds
        package var backoff: Backoff

        package init(
            interval: Nanoseconds = .seconds(5), answerWithin: Nanoseconds = .seconds(10),
            backoff: Backoff = Backoff(base: .milliseconds(500), max: .seconds(30))
        ) {
            self.interval = interval
            self.answerWithin = answerWithin
            self.backoff = backoff
        }
    }

    package enum Action: Sendable, Equatable {
        /// Nothing to do before then.
        case wait(until: Instant)
        /// Cut a batch, keep its bytes under this number, and send it. If nothing changed, say ``nothingToSend(at:)`` instead.
        case cut(sequence: UInt64)
        /// Send the bytes kept under this number again.
        case resend(sequence: UInt64)
    }

    private enum State: Equatable {
        case idle(until: Instant)
        /// The batch `sequence` is out for the `tries`th time.
        case sending(deadline: Instant, tries: Int)
        case waiting(until: Instant, tries: Int)
    }

    private let policy: Policy
    private var state: State
    /// Of the batch under way, or of the last one.
    package private(set) var sequence: UInt64 = 0

    package init(_ policy: Policy = Policy(), at now: Instant) {
        self.policy = policy
        state = .idle(until: now + policy.interval)
    }

    /// What to do now. Ask again after every event and at the instant of a `wait`.
    package mutating func poll(at now: Instant, using random: inout Random) -> Action {
        if case .sending(let deadline, _) = state, now >= deadline { failed(sequence: sequence, at: now, using: &random) }
        switch state {
        case .idle(let until):
            guard now >= until else { return .wait(until: until) }
            sequence += 1
            state = .sending(deadline: now + policy.answerWithin, tries: 1)
            return .cut(sequence: sequence)
        case .sending(let deadline, _):
            return .wait(until: deadline)
        case .waiting(let until, let tries):
            guard now >= until else { return .wait(until: until) }
            state = .sending(deadline: now + policy.answerWithin, tries: tries + 1)
            return .resend(sequence: sequence)
        }
    }

    /// Answer to a `cut` that found no change: its number is used for the next.
    package mutating func nothingToSend(at now: Instant) {
        guard case .sending(_, tries: 1) = state else { return }
        sequence -= 1
        state = .idle(until: now + policy.interval)
    }

    /// Whether it was the batch under way: then its bytes may go. A late answer for an earlier one changes nothing.
    ///
    /// - Parameter more: the cut came to several batches, and the next of them waits: it goes at once.
    package mutating func acknowledged(sequence acknowledged: UInt64, more: Bool = false, at now: Instant) -> Bool {
        guard acknowledged == sequence, isUnderWay else { return false }
        state = .idle(until: more ? now : now + policy.interval)
        return true
    }

    /// A try failed: connection, status, or no answer.
    package mutating func failed(sequence failed: UInt64, at now: Instant, using random: inout Random) {
        guard failed == sequence, case .sending(_, let tries) = state else { return }
        state = .waiting(until: now + policy.backoff.delay(beforeRetry: tries, using: &random), tries: tries)
    }

    /// Before exit, or when asked to: what is waiting goes now.
    package mutating func flush(at now: Instant) {
        switch state {
        case .idle: state = .idle(until: now)
        case .waiting(_, let tries): state = .waiting(until: now, tries: tries)
        case .sending: break
        }
    }

    /// A batch is cut and not yet acknowledged.
    package var isUnderWay: Bool {
        if case .idle = state { false } else { true }
    }
}
