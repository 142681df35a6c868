internal import Pipeline

/// Frames both ways over an upgraded connection: a length of four bytes, most significant first, and that many bytes.
///
/// Lives on one loop. `onFrame` and `onClose` are set before the call that made the stream returns; `onClose` comes once,
/// unless `close` came first.
package final class FramedStream {
    package var onFrame: (([UInt8]) -> Void)?
    /// Nil: the peer ended the stream between two frames.
    package var onClose: ((ServiceFailure?) -> Void)?
    package let peer: PeerIdentity?

    private let channel: ServiceChannel
    private let limits: ServiceLimits
    private var isOver = false

    /// Takes over an open channel, with what it has received behind the upgrade.
    init(_ channel: ServiceChannel, _ limits: ServiceLimits) {
        self.channel = channel
        self.limits = limits
        peer = channel.transport.peerIdentity
        channel.inputMax = limits.frameMax + Self.lengthBytes
        channel.expect(within: nil)
        channel.onTimeout = nil
        // The channel keeps the stream alive until either closes.
        channel.onBytes = { self.takeFrames() }
        channel.onEnd = { why in self.end(why ?? (channel.input.isEmpty ? nil : .closed)) }
    }

    private static let lengthBytes = 4

    /// Looks at what came with the upgrade; called once the owner has set its closures.
    func begin() { if !channel.input.isEmpty { takeFrames() } }

    package var isOpen: Bool { !isOver }
    /// Bytes accepted by `send` that the peer has not taken.
    package var queuedBytes: Int { channel.queuedBytes }

    /// False, and nothing is sent, if the stream is over, the frame too large, or the queue full: the peer does not keep up, and
    /// the caller decides between waiting and `close`.
    @discardableResult
    package func send(_ frame: [UInt8]) -> Bool {
        guard !isOver, frame.count <= limits.frameMax, channel.queuedBytes + frame.count + Self.lengthBytes <= limits.queueMax else { return false }
        channel.write([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: frame.count >> $0) } + frame)
        return true
    }

    /// Ends the stream once what was sent is written; no callback comes any more.
    package func close() {
        guard !isOver else { return }
        isOver = true
        onFrame = nil
        onClose = nil
        channel.finish()
    }

    private func takeFrames() {
        var at = 0
        while !isOver, channel.input.count - at >= Self.lengthBytes {
            let count = channel.input[at..<at + Self.lengthBytes].reduce(0) { $0 << 8 | Int($1) }
            guard count <= limits.frameMax else { return end(.tooLarge) }
            let start = at + Self.lengthBytes
            guard channel.input.count - start >= count else { break }
            at = start + count
            onFrame?(Array(channel.input[start..<at]))
        }
        if !isOver, at > 0 { channel.consume(at) }
    }

    private func end(_ why: ServiceFailure?) {
        guard !isOver else { return }
        isOver = true
        let tell = onClose
        onFrame = nil
        onClose = nil
        channel.close()
        tell?(why)
    }
}
