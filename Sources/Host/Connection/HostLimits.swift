package import Pipeline

/// The bounds of the data path, each with its unit and what happens at it.
package enum HostLimits {
    /// A head must be complete this long after its first byte: 408, close (Envoy's edge advice is 5–10 s).
    package static let headTime = Nanoseconds.seconds(10)
    /// A body must make progress within this time: 408 or a cut.
    package static let bodyProgressTime = Nanoseconds.seconds(60)
    /// A kept-alive connection without a request: closed in silence.
    package static let downstreamIdleTime = Nanoseconds.seconds(300)
    /// An upstream connection in the pool; below the 60–75 s after which common servers close theirs, so that we are first.
    package static let upstreamIdleTime = Nanoseconds.seconds(50)
    /// TCP connect and TLS handshake of an upstream together: `connectTimedOut`.
    package static let connectTime = Nanoseconds.seconds(5)
    /// A caller's TLS handshake: closed.
    package static let handshakeTime = Nanoseconds.seconds(10)
    /// Connections to one endpoint per loop: `overflow` (503 UO).
    package static let connectionsPerEndpointMax = 1_024
    /// Idle ones of them that are kept.
    package static let idlePerEndpointMax = 128
    /// Bytes read and dropped of an answer that a stage turned down (a retry), so that its connection serves again; a longer
    /// rest closes it. About what a new TLS connection costs.
    package static let drainBytesMax = 16 * 1024
    /// Time for that rest to come.
    package static let drainTime = Nanoseconds.seconds(1)
    /// Downstream connections of one loop: further ones are closed at once, counted.
    package static let downstreamMax = 100_000
    /// Time to say goodbye: bytes still wanted out, or the peer's last ones read, before the descriptor goes.
    package static let lingerTime = Nanoseconds.seconds(2)
    /// Chains of older snapshots a loop keeps for exchanges in flight; then connections on the oldest close.
    package static let retiredChainsMax = 64
    /// Bytes on their way out of one connection; over it the other side of the exchange is not read. With one read on top
    /// (`BufferPool.bufferBytes`) this is all a slow reader makes the sidecar hold.
    package static let outputMax = 16 * 1024
    /// Events one connection handles before others get their turn.
    static let stepsPerTurn = 64
}
