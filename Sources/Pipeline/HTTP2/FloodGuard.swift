/// Tells a peer that keeps us busy for nothing from one that is busy (RFC 9113 §10.5): ENHANCE_YOUR_CALM.
///
/// Each kind of frame that costs its sender next to nothing has a bucket of its own. What a healthy peer sends of them belongs to
/// streams and bytes it uses; a bucket's burst is more than any of these needs at once, its rate more than they need for ever.
package struct FloodGuard: BitwiseCopyable {
    package enum Kind: BitwiseCopyable, Sendable, CaseIterable {
        /// RST_STREAM for a stream whose response was not over (rapid reset, CVE-2023-44487), or one that we had to reset because of
        /// what the peer sent on it (MadeYouReset, CVE-2025-8671): work begun and thrown away. A caller that cancels hedged calls
        /// stays far below.
        case reset
        /// SETTINGS and PING: each asks for an answer. gRPC probes its bandwidth with a PING per round trip, briefly.
        case control
        /// DATA without a byte that ends nothing.
        case emptyData
        /// PRIORITY, and frames of unknown kinds: nothing but work.
        case ignored

        /// nghttp2 lets 1,000 go and 33 a second come back; Envoy closes after 500 premature resets.
        var policy: TokenBucket.Policy {
            switch self {
            case .reset: TokenBucket.Policy(tokens: 33, burst: 500)
            case .control: TokenBucket.Policy(tokens: 100, burst: 1_000)
            case .emptyData: TokenBucket.Policy(tokens: 10, burst: 100)
            case .ignored: TokenBucket.Policy(tokens: 100, burst: 1_000)
            }
        }
    }

    /// WINDOW_UPDATEs for each DATA frame that we sent and each stream, and how many before the first (Envoy's 10, and one for each stream there can be).
    static let updatesPerDataFrame = 10, updatesAtFirst = 1_000
    /// CONTINUATIONs of one block; what fits our bounds fits the first frame (CVE-2024-27919).
    package static let continuationsMax = 8

    private var resets = TokenBucket()
    private var controls = TokenBucket()
    private var emptyPieces = TokenBucket()
    private var ignored = TokenBucket()
    private var updatesLeft = FloodGuard.updatesAtFirst
    private var continuations = 0

    package init() {}

    /// One of a kind came; false: too many.
    package mutating func admits(_ kind: Kind, at now: Instant) -> Bool {
        switch kind {
        case .reset: resets.take(kind.policy, at: now) == .taken
        case .control: controls.take(kind.policy, at: now) == .taken
        case .emptyData: emptyPieces.take(kind.policy, at: now) == .taken
        case .ignored: ignored.take(kind.policy, at: now) == .taken
        }
    }

    /// A DATA frame of ours went out: something for the peer to give room back for.
    package mutating func sentData() { updatesLeft = min(updatesLeft &+ Self.updatesPerDataFrame, Self.updatesAtFirst) }

    /// A stream was opened, whose window the peer may set as it likes.
    package mutating func openedStream() { sentData() }

    /// A WINDOW_UPDATE came; false: too many.
    package mutating func admitsUpdate() -> Bool {
        updatesLeft &-= 1
        return updatesLeft >= 0
    }

    /// A block's first fragment came.
    package mutating func beginsBlock() { continuations = 0 }

    /// Another one came; false: too many of one block, or one with nothing in it.
    package mutating func admitsContinuation(bytes: Int, isLast: Bool) -> Bool {
        continuations &+= 1
        return continuations <= Self.continuationsMax && (bytes > 0 || isLast)
    }
}
