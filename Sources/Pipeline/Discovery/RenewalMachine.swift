/// When a sidecar asks for its next certificate.
///
///     issued ──at a random 60–80 % of its life──▶ due ──answered──▶ issued …
///                                                  └──failed──▶ waits 1 s, 2 s … 5 min, each ± half ──▶ due
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

        package init() {}
    }

    private let policy: Policy
    private var failures = 0
    /// When to ask, unless a request is out.
    private var due: Instant
    private var isAsking = false
    /// When the certificate in use ends; the past if there is none.
    package private(set) var expires: Instant

    /// Without a certificate: asks at once.
    package init(_ policy: Policy = Policy(), at now: Instant) {
        precondition(0 < policy.earliest && policy.earliest <= policy.latest && policy.latest < 1)
        precondition(.zero < policy.waitInitial && policy.waitInitial <= policy.waitMax)
        self.policy = policy
        due = now
        expires = now
    }

    package var deadline: Instant { isAsking ? .distantFuture : due }

    /// True: ask now, then report `installed` or `failed`.
    package mutating func wake(at now: Instant) -> Bool {
        guard now >= deadline else { return false }
        isAsking = true
        return true
    }

    /// A certificate came, or was read from disk.
    ///
    /// - Parameters:
    ///   - life: from its notBefore to its notAfter.
    ///   - left: until its notAfter; it may be over.
    package mutating func installed(life: Nanoseconds, left: Nanoseconds, at now: Instant, using random: inout some RandomNumberGenerator) {
        isAsking = false
        failures = 0
        expires = now + left
        let share = Double.random(in: policy.earliest...policy.latest, using: &random)
        let usedUp = Nanoseconds(Int64(Double(max(0, life.count)) * share))
        due = max(now, now + (left - (life - usedUp)))
    }

    package mutating func failed(at now: Instant, using random: inout some RandomNumberGenerator) {
        isAsking = false
        var wait = policy.waitInitial
        for _ in 0..<min(failures, 16) where wait < policy.waitMax { wait = wait * 2 }
        wait = min(wait, policy.waitMax)
        failures += 1
        due = now + .nanoseconds(Int64.random(in: wait.count / 2...wait.count + wait.count / 2, using: &random))
    }

    /// The control plane asks for it (a new root issues now): within a minute, not all at once.
    package mutating func hurry(at now: Instant, using random: inout some RandomNumberGenerator) {
        due = min(due, now + .nanoseconds(Int64.random(in: 0...60_000_000_000, using: &random)))
    }
}
