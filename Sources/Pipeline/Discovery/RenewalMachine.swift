/// When a sidecar asks for its next certificate.
///
///     issued ──at a random 60–80 % of its life──▶ due ──answered──▶ issued …
///                                                  └──failed, or no answer──▶ waits 1 s, 2 s … 5 min, each ± half ──▶ due
///
/// Random, so that sidecars that started together do not renew together for ever. It never gives up, and the certificate
/// serves until its last second; what then happens (no handshakes) is visible in `expires` long before.
package struct RenewalMachine: Sendable {
    package struct Policy: Sendable {
        /// Of the whole life.
        package var earliest = 0.6
        package var latest = 0.8
        package var waitInitial: Nanoseconds = .seconds(1)
        package var waitMax: Nanoseconds = .seconds(300)
        /// Without an answer by then a request is lost, and the next goes.
        package var answerWithin: Nanoseconds = .seconds(30)
        /// From an answer to the next request at the least: with a clock that is wrong by more than a certificate's life each
        /// new one looks old at once.
        package var pauseMin: Nanoseconds = .seconds(30)

        package init() {}
    }

    private let policy: Policy
    private var failures = 0
    /// When to ask, unless a request is out.
    private var due: Instant
    /// When a request that is out counts as lost.
    private var askingUntil: Instant?
    /// When the certificate in use ends; the past if there is none.
    package private(set) var expires: Instant

    /// Without a certificate: asks at once.
    package init(_ policy: Policy = Policy(), at now: Instant) {
        precondition(0 < policy.earliest && policy.earliest <= policy.latest && policy.latest < 1)
        precondition(.zero < policy.answerWithin && .zero < policy.waitInitial && policy.waitInitial <= policy.waitMax)
        self.policy = policy
        due = now
        expires = now
    }

    package var deadline: Instant { askingUntil ?? due }

    /// True: ask now, then report `installed` or `failed`.
    package mutating func wake(at now: Instant) -> Bool {
        guard now >= deadline else { return false }
        askingUntil = now + policy.answerWithin
        return true
    }

    /// A certificate came, or was read from disk.
    ///
    /// - Parameters:
    ///   - life: from its notBefore to its notAfter.
    ///   - left: until its notAfter; it may be over.
    package mutating func installed(life: Nanoseconds, left: Nanoseconds, at now: Instant, using random: inout some RandomNumberGenerator) {
        // A clock that is behind must not put off the next one: at most a whole life is left of a certificate.
        let left = min(left, life)
        let isAnswer = askingUntil != nil
        askingUntil = nil
        failures = 0
        expires = now + left
        let share = Double.random(in: policy.earliest...policy.latest, using: &random)
        let usedUp = Nanoseconds(Int64(Double(max(0, life.count)) * share))
        due = max(isAnswer ? now + policy.pauseMin : now, now + (left - (life - usedUp)))
    }

    package mutating func failed(at now: Instant, using random: inout some RandomNumberGenerator) {
        askingUntil = nil
        var wait = policy.waitInitial
        for _ in 0..<min(failures, 16) where wait < policy.waitMax { wait = wait * 2 }
        wait = min(wait, policy.waitMax)
        failures += 1
        due = now + .nanoseconds(Int64.random(in: wait.count / 2...wait.count + wait.count / 2, using: &random))
    }

    /// The control plane asks for it (a new root issues now): within a while, not all at once.
    package mutating func hurry(within: Nanoseconds, at now: Instant, using random: inout some RandomNumberGenerator) {
        due = min(due, now + .nanoseconds(Int64.random(in: 0...max(0, within.count), using: &random)))
    }
}
