/// Bounds of HTTP/2. Each says what it counts and why it is that much.
package enum HTTP2Limits {
    /// Bytes of a frame's payload that we take: the smallest the protocol knows, and what every peer sends at most by itself.
    package static let frameBytesMax = 16 * 1024
    /// The most that a peer may say it takes (RFC 9113 §6.5.2).
    package static let peerFrameBytesMax = (1 << 24) - 1
    /// A flow-control window (§6.9.1).
    package static let windowMax = (1 << 31) - 1
    /// Every window before settings say otherwise (§6.9.2).
    package static let windowDefault = 65_535
    /// Settings of one frame: there are eight, and the same may stand twice. ENHANCE_YOUR_CALM.
    package static let settingsMax = 32
    /// Streams that a peer may have open at once on one connection, what Envoy and nginx allow; more are refused (REFUSED_STREAM), which is
    /// always safe to try again.
    package static let streamsMax = 128
    /// Bytes that a peer may send on a stream before somebody has taken them: all that we ever hold of one body that way. A window
    /// begins small, a service's smaller than a caller's, for its callers decide whether anybody reads; it doubles with each update as
    /// long as everything is passed on at once and the streams of its connection leave it that much of a megabyte.
    package static let callerWindowBytes = 64 * 1024, serviceWindowBytes = 8 * 1024, windowBytesMax = 256 * 1024
    /// The same of a connection, where it limits nothing but what is on its way: a stream that nobody reads must not stop the others, so
    /// bytes are given back as they come.
    package static let connectionWindowBytes = 1024 * 1024
    /// Bytes of a header block as they come, over all its frames: no honest head of 60 KiB takes more. ENHANCE_YOUR_CALM.
    package static let blockBytesMax = 64 * 1024
    /// Streams that have ended and are remembered, so that a late frame is told from a wrong one.
    package static let closedStreamsMax = 128
}
