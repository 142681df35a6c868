/// The control plane's side of one sidecar: which version of each part it should have, was sent, runs on, or refused.
///
/// Newest wins: while a push of a part is out, newer versions only replace what is wanted, and the answer releases the
/// newest. A version that was refused is not sent again until something else is wanted, or the sidecar starts anew. Parts
/// know nothing of each other, so a refused chain never holds back trust or access.
///
///     wanted ≠ running, nothing out ──▶ send ──▶ ack: running, or nack: refused ──▶ wanted ≠ running, not refused: send …
package struct PublisherMachine: Sendable {
    /// Send this part in this version; the owner has the body, since only what is wanted is ever sent.
    package struct Push: Equatable, Sendable {
        package let part: SnapshotPart
        package let version: String
        package let generation: UInt64

        package init(part: SnapshotPart, version: String, generation: UInt64) {
            self.part = part
            self.version = version
            self.generation = generation
        }
    }

    package enum Status: String, Equatable, Sendable {
        case synced = "SYNCED"
        /// It runs on something else than what is wanted, or has not answered yet.
        case stale = "STALE"
        case rejected = "REJECTED"
        /// It has nothing of this part, and nothing was sent.
        case notSent = "NOT SENT"
    }

    private struct Part {
        var wanted: String?
        var out: Push?
        var running: String?
        var refused: (version: String, reason: String)?
    }

    private var parts: [SnapshotPart: Part] = [:]
    /// The sidecar's, while it is connected.
    private var session: UInt64?
    private var incarnation: String?
    private var generation: UInt64 = 0

    package init() {}

    package var isConnected: Bool { session != nil }

    // === events ===

    /// The compiler made a new version (or the same again, which does nothing).
    package mutating func publish(_ part: SnapshotPart, version: String) -> [Push] {
        if parts[part, default: Part()].wanted != version {
            parts[part, default: Part()].wanted = version
            parts[part, default: Part()].refused = nil
        }
        return next(part)
    }

    /// The sidecar connected and said hello; what it has counts, whatever was sent before.
    ///
    /// - Parameter hasRenewed: it shows another certificate than the last time.
    package mutating func connected(
        session: UInt64, incarnation: String, have: [SnapshotPart: String], hasRenewed: Bool = false
    ) -> [Push] {
        self.session = session
        // A new process may be able to run what the old one refused, and a new certificate to stand under other roots.
        let isNew = self.incarnation != incarnation || hasRenewed
        self.incarnation = incarnation
        return SnapshotPart.allCases.flatMap { part in
            parts[part, default: Part()].out = nil
            parts[part, default: Part()].running = have[part]
            if isNew { parts[part, default: Part()].refused = nil }
            return next(part)
        }
    }

    package mutating func disconnected() {
        session = nil
        for part in SnapshotPart.allCases { parts[part]?.out = nil }
    }

    /// An answer that is not to the push that is out, or of another session, changes nothing.
    package mutating func acked(_ part: SnapshotPart, version: String, generation: UInt64, session: UInt64) -> [Push] {
        guard isAnswer(part, version, generation, session) else { return [] }
        parts[part]?.out = nil
        parts[part]?.running = version
        parts[part]?.refused = nil
        return next(part)
    }

    package mutating func nacked(
        _ part: SnapshotPart, version: String, generation: UInt64, reason: String, session: UInt64
    ) -> [Push] {
        guard isAnswer(part, version, generation, session) else { return [] }
        parts[part]?.out = nil
        if parts[part]?.wanted == version { parts[part]?.refused = (version, reason) }
        return next(part)
    }

    // === what `weft ps` shows ===

    package func status(_ part: SnapshotPart) -> Status {
        guard let state = parts[part], let wanted = state.wanted else { return .notSent }
        if state.running == wanted { return .synced }
        if state.refused?.version == wanted { return .rejected }
        return state.out == nil && state.running == nil ? .notSent : .stale
    }

    /// The worst of all parts.
    package var status: Status {
        let all = SnapshotPart.allCases.map(status)
        return [.rejected, .stale, .notSent].first { all.contains($0) } ?? .synced
    }

    package func wanted(_ part: SnapshotPart) -> String? { parts[part]?.wanted }
    package func running(_ part: SnapshotPart) -> String? { parts[part]?.running }

    /// Why the sidecar refused what is wanted.
    package func reason(_ part: SnapshotPart) -> String? {
        status(part) == .rejected ? parts[part]?.refused?.reason : nil
    }

    // === helpers ===

    private func isAnswer(_ part: SnapshotPart, _ version: String, _ generation: UInt64, _ session: UInt64) -> Bool {
        session == self.session && parts[part]?.out == Push(part: part, version: version, generation: generation)
    }

    private mutating func next(_ part: SnapshotPart) -> [Push] {
        guard session != nil, let state = parts[part], let wanted = state.wanted, state.out == nil,
            state.running != wanted, state.refused?.version != wanted
        else { return [] }
        generation += 1
        let push = Push(part: part, version: wanted, generation: generation)
        parts[part]?.out = push
        return [push]
    }
}
