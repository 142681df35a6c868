/// What we may still send, on a stream or on the connection (RFC 9113 §6.9).
package struct SendWindow: BitwiseCopyable, Equatable, Sendable {
    /// Below zero after the peer has made the windows of open streams smaller (§6.9.2).
    package private(set) var bytes: Int

    package init(bytes: Int = HTTP2Limits.windowDefault) { self.bytes = bytes }

    /// Bytes of DATA that may go out now.
    package var available: Int { max(0, bytes) }

    /// So many bytes go out; at most ``available``.
    package mutating func take(_ count: Int) {
        assert(count >= 0 && count <= available)
        bytes &-= count
    }

    /// A WINDOW_UPDATE, or the difference between an old and a new SETTINGS_INITIAL_WINDOW_SIZE. False: over 2^31 - 1, which is
    /// FLOW_CONTROL_ERROR (§6.9.1); the window stays as it was.
    package mutating func move(by difference: Int) -> Bool {
        // Both summands fit 32 bits and a sign.
        guard bytes &+ difference <= HTTP2Limits.windowMax else { return false }
        bytes &+= difference
        return true
    }
}

/// What the peer may still send, and what of it has been used up.
///
/// Room is given back only for bytes that somebody has let go of, so a slow reader at the far end is felt by the sender. And it is
/// given back by halves: a WINDOW_UPDATE for every piece would be a frame for a frame.
package struct ReceiveWindow: BitwiseCopyable, Equatable, Sendable {
    /// Bytes of the whole window.
    package private(set) var size: Int
    private var open: Int
    private var owed = 0

    /// - Parameter announced: what the peer knows of by now; the connection's window begins with the protocol's default, whatever
    ///   its size is to be.
    package init(size: Int, announced: Int? = nil) {
        self.size = size
        open = announced ?? size
        owed = size - open
    }

    /// The frame takes so many bytes. False: more than there was room for, FLOW_CONTROL_ERROR.
    package mutating func receive(_ count: Int) -> Bool {
        guard count <= open else { return false }
        open &-= count
        return true
    }

    /// So many received bytes are held no longer; what to say in a WINDOW_UPDATE now, 0 if that can wait. With an update the window
    /// doubles, if it is smaller than `bytesMax`.
    package mutating func release(_ count: Int, growingTo bytesMax: Int = 0) -> Int {
        owed &+= count
        assert(owed &+ open <= size)
        guard owed > 0, owed &* 2 >= size else { return 0 }
        let more = max(0, min(size, bytesMax &- size))
        size &+= more
        owed &+= more
        defer { owed = 0 }
        open &+= owed
        return owed
    }

    /// Bytes that have come and are still held.
    package var held: Int { size &- open &- owed }
}
