/// The sidecar's side of the push stream: connects, keeps the stream alive, and takes each part on its own merits.
///
///     waiting ──its time comes──▶ connecting ──stream open──▶ open ──closed, or nothing heard──▶ waiting …
///
/// What is refused changes nothing: the last good version stays in force, on disk too. With no control plane the sidecar
/// runs on what it has, for as long as it takes.
package struct SubscriberMachine: Sendable {
    package struct Policy: Sendable {
        /// The longest wait before the first try again, and before any. Each wait is random between `waitMin` and a bound
        /// that doubles (full jitter), so that a thousand sidecars do not return at once.
        package var waitInitial: Nanoseconds = .milliseconds(500)
        package var waitMax: Nanoseconds = .seconds(30)
        package var waitMin: Nanoseconds = .milliseconds(50)
        /// Until the control plane's welcome says otherwise.
        package var heartbeat: Nanoseconds = .seconds(10)
        /// This many heartbeats unheard and the stream counts as dead.
        package var heartbeatsMissedMax: Int64 = 3
        /// A try that takes longer is given up.
        package var connectTimeout: Nanoseconds = .seconds(10)

        package init() {}
    }

    package enum Action: Equatable, Sendable {
        /// Open a stream to a control plane (the next of the list).
        case connect
        /// Send `hello` with `have` and this session in it.
        case sendHello(session: UInt64)
        case send(PushMessage, session: UInt64)
        /// Check and warm this part, then answer with `checked`. One at a time per part.
        case check(PushedPart)
        /// Swap to it and keep it on disk as the last good one.
        case install(PushedPart)
        /// Get a new certificate within this time.
        case renewCertificate(within: Nanoseconds)
        /// Close the stream; then report `closed`.
        case close(reason: String)
        /// The control plane will not have this sidecar: let everybody know, close the stream, then report `closed`.
        case refused(reason: String)
    }

    package enum Verdict: Equatable, Sendable {
        case accepted
        case rejected(String)
    }

    private enum Stream {
        case waiting(until: Instant)
        case connecting(since: Instant)
        case open(since: Instant, heard: Instant, sent: Instant)
        /// Told to close; `closed` will come. After a refusal nothing changes by asking again at once.
        case closing(isRefused: Bool)
    }

    private struct Part {
        var running: String?
        /// Of this session; what is not above it is old or a duplicate.
        var generationSeen: UInt64 = 0
        var checking: PushedPart?
        /// A new session said hello without the part being checked; it comes again if it is still wanted.
        var isAbandoned = false
        /// Came while another was being checked.
        var next: PushedPart?
    }

    private let policy: Policy
    private var stream: Stream
    private var failures = 0
    private var heartbeat: Nanoseconds
    private var parts: [SnapshotPart: Part] = [:]
    package private(set) var session: UInt64

    /// - Parameters:
    ///   - have: versions of the last good parts read from disk.
    ///   - sessionsBefore: random, below 2^62, so that a restarted sidecar's sessions are none of its predecessor's.
    package init(have: [SnapshotPart: String], policy: Policy = Policy(), sessionsBefore: UInt64 = 0, at now: Instant) {
        precondition(sessionsBefore < 1 << 62)
        session = sessionsBefore
        precondition(policy.waitMin <= policy.waitInitial && policy.waitInitial <= policy.waitMax)
        self.policy = policy
        heartbeat = policy.heartbeat
        stream = .waiting(until: now)
        for (part, version) in have { parts[part, default: Part()].running = version }
    }

    /// The version of each part in force, for `hello`.
    package var have: [SnapshotPart: String] { parts.compactMapValues(\.running) }

    package var isConnected: Bool { if case .open = stream { true } else { false } }

    /// When `wake` has something to do.
    package var deadline: Instant {
        switch stream {
        case .waiting(let until): until
        case .connecting(let since): since + policy.connectTimeout
        case .open(_, let heard, let sent): min(heard + heartbeat * policy.heartbeatsMissedMax, sent + heartbeat)
        case .closing: .distantFuture
        }
    }

    // === the stream ===

    package mutating func wake(at now: Instant) -> [Action] {
        guard now >= deadline else { return [] }
        switch stream {
        case .waiting:
            stream = .connecting(since: now)
            return [.connect]
        case .connecting:
            return close("connecting took too long")
        case .open(let since, let heard, _):
            if now >= heard + heartbeat * policy.heartbeatsMissedMax { return close("nothing heard from the control plane") }
            stream = .open(since: since, heard: heard, sent: now)
            return [.send(.heartbeat, session: session)]
        case .closing:
            return []
        }
    }

    package mutating func opened(at now: Instant) -> [Action] {
        guard case .connecting = stream else { return [] }
        session += 1
        stream = .open(since: now, heard: now, sent: now)
        for part in SnapshotPart.allCases {
            parts[part]?.generationSeen = 0
            parts[part]?.isAbandoned = true
            parts[part]?.next = nil
        }
        return [.sendHello(session: session)]
    }

    /// The answer to `connect` was that this sidecar is not wanted.
    package mutating func refused() { stream = .closing(isRefused: true) }

    /// The try failed or the stream ended, for whatever reason.
    package mutating func closed(at now: Instant, using random: inout some RandomNumberGenerator) {
        var isRefused = false
        switch stream {
        case .waiting: return
        case .closing(isRefused: true): isRefused = true
        // One that held for a while was no failure: the control plane was restarted, say.
        case .open(let since, _, _) where now >= since + policy.waitMax: failures = 0
        case .connecting, .open, .closing: break
        }
        var bound = policy.waitInitial
        for _ in 0..<min(failures, 16) where bound < policy.waitMax { bound = bound * 2 }
        bound = isRefused ? policy.waitMax : min(bound, policy.waitMax)
        failures += 1
        let least = isRefused ? bound.count / 2 : policy.waitMin.count
        stream = .waiting(until: now + .nanoseconds(Int64.random(in: least...bound.count, using: &random)))
    }

    /// The owner closed the stream and wants the next one now: it has a new certificate to show.
    package mutating func reconnect(at now: Instant) { stream = .waiting(until: now) }

    package mutating func received(_ message: PushMessage, session: UInt64, at now: Instant) -> [Action] {
        guard case .open(let since, _, let sent) = stream else { return [] }
        if case .refused(let reason) = message {
            stream = .closing(isRefused: true)
            return [.refused(reason: reason)]
        }
        guard session == self.session else { return [] }
        stream = .open(since: since, heard: now, sent: sent)
        switch message {
        case .welcome(let heartbeat):
            self.heartbeat = heartbeat
            return []
        case .part(let pushed): return received(pushed)
        case .renewCertificate(let within): return [.renewCertificate(within: within)]
        case .heartbeat, .unknown, .refused: return []
        // A sidecar's own words: nobody says them to it.
        case .hello, .ack, .nack, .health, .draining, .leaving: return close("the control plane spoke as a sidecar")
        }
    }

    // === parts ===

    private mutating func received(_ pushed: PushedPart) -> [Action] {
        var state = parts[pushed.part] ?? Part()
        defer { parts[pushed.part] = state }
        guard pushed.generation > state.generationSeen else { return [] }
        state.generationSeen = pushed.generation
        guard state.checking == nil else {
            state.next = pushed
            return []
        }
        return begin(pushed, &state)
    }

    private func begin(_ pushed: PushedPart, _ state: inout Part) -> [Action] {
        if state.running == pushed.version {
            return [.send(.ack(pushed.part, version: pushed.version, generation: pushed.generation), session: session)]
        }
        state.checking = pushed
        state.isAbandoned = false
        return [.check(pushed)]
    }

    /// The owner's answer to `check`. It counts even if the stream was lost meanwhile, but not once a new one has told the
    /// control plane what the sidecar runs on: that must stay true.
    package mutating func checked(_ part: SnapshotPart, generation: UInt64, _ verdict: Verdict) -> [Action] {
        guard var state = parts[part], let pushed = state.checking, pushed.generation == generation else { return [] }
        defer { parts[part] = state }
        state.checking = nil
        var actions: [Action] = []
        switch verdict {
        case _ where state.isAbandoned: break
        case .accepted:
            state.running = pushed.version
            actions.append(.install(pushed))
            if isConnected {
                actions.append(.send(.ack(part, version: pushed.version, generation: generation), session: session))
            }
        case .rejected(let reason):
            if isConnected {
                actions.append(.send(.nack(part, version: pushed.version, generation: generation, reason: reason), session: session))
            }
        }
        if let next = state.next {
            state.next = nil
            actions += begin(next, &state)
        }
        return actions
    }

    private mutating func close(_ reason: String) -> [Action] {
        stream = .closing(isRefused: false)
        return [.close(reason: reason)]
    }
}
