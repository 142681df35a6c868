package import Pipeline

/// The bounds of the data path that a sidecar is started with, each with its unit and what happens at it.
package struct Bounds: BitwiseCopyable, Sendable {
    /// A head must be complete this long after its first byte: 408, close (Envoy's edge advice is 5–10 s).
    package var headTime = Nanoseconds.seconds(10)
    /// A body must make progress within this time, in either direction: 408 or a cut.
    package var bodyProgressTime = Nanoseconds.seconds(60)
    /// A kept-alive connection without a request: closed in silence.
    package var downstreamIdleTime = Nanoseconds.seconds(300)
    /// A tunnel (WebSocket) that moves no byte in either direction: cut. It is the only time limit tunnels have; Envoy's for TCP.
    package var tunnelIdleTime = Nanoseconds.seconds(3_600)
    /// An upstream connection in the pool; below the 60–75 s after which common servers close theirs, so that we are first.
    package var upstreamIdleTime = Nanoseconds.seconds(50)
    /// TCP connect and TLS handshake of an upstream together: `connectTimedOut`.
    package var connectTime = Nanoseconds.seconds(5)
    /// A caller's first byte and its TLS handshake: closed.
    package var handshakeTime = Nanoseconds.seconds(10)
    /// A caller that says too little for too long, on a permissive port of raw streams or one that declares no protocol: it is taken
    /// for a raw stream in the clear, whose service speaks first.
    package var detectTime = Nanoseconds.seconds(1)
    /// Time to say goodbye: bytes still wanted out, or the peer's last ones read, before the descriptor goes.
    package var lingerTime = Nanoseconds.seconds(2)
    /// A host, caller's or endpoint's, that acknowledges nothing: its connections fail, pooled ones and idle tunnels too. Not below
    /// `bodyProgressTime`: for the kernel a reader that takes nothing is as good as gone. In a tunnel it may pause (`Socket.allowPauses`).
    package var deadPeerTime = Nanoseconds.seconds(60)
    /// A caller that half-closes a connection it wanted to keep has most likely left altogether, which TCP does not tell apart: an
    /// answer that begins within this time still reaches one that has not, and the work of one that has ends soon.
    package var leaveTime = Nanoseconds.milliseconds(50)
    /// Downstream connections of one loop: further ones are closed at once, counted.
    package var downstreamMax = 100_000
    /// Connections to one endpoint per loop: `overflow` (503 UO).
    package var connectionsPerEndpointMax = 1_024
    /// Bytes in buffers of one loop's connections. Over it no connection and no request is taken (503 OM, close), so that those
    /// under way can end; over three quarters of it answers ask callers to leave.
    package var memoryMax = 256 << 20
    /// Bytes of a connection's send buffer in the kernel; 0 leaves it to the kernel's tuning.
    package var sendBufferBytes: Int32 = 0

    /// Callers may open WebSockets on streams of HTTP/2 (RFC 8441), and are told so; otherwise such streams are refused.
    package var takesWebSocketStreams = false

    package init() {}
}

/// Bounds of the data path that nobody sets.
package enum HostLimits {
    /// Idle connections to one endpoint that a loop keeps.
    package static let idlePerEndpointMax = 128
    /// Bytes read and dropped of an answer that a stage turned down (a retry), so that its connection serves again; a longer
    /// rest closes it. About what a new TLS connection costs.
    package static let drainBytesMax = 16 * 1024
    /// Time for that rest to come.
    package static let drainTime = Nanoseconds.seconds(1)
    /// Chains of older snapshots a loop keeps for exchanges in flight; then connections on the oldest close.
    package static let retiredChainsMax = 64
    /// TLS handshakes that begin in one turn, each up to a millisecond for which all other connections of the loop wait.
    static let handshakesPerTurn = 2
    /// Idle connections closed when a newcomer finds no descriptor left.
    static let shedPerExhaustion = 8
    /// Bytes on their way out of one connection; over it the other side of the exchange is not read. With one read on top
    /// (`BufferPool.bufferBytes`) this is all a slow reader makes the sidecar hold.
    package static let outputMax = 16 * 1024
    /// Lines in the log about streams that were refused or failed, per loop and second; the rest is told as a number.
    static let streamLinesPerSecond = 10
    /// Events one connection handles before others get their turn.
    static let stepsPerTurn = 64
}
