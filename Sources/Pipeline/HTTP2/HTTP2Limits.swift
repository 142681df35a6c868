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
}
