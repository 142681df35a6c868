/// The streams of a connection that ended last, and how: what a late frame on one of them means (RFC 9113 §5.1, closed).
@safe
struct ClosedStreams: BitwiseCopyable {
    enum How: UInt32 {
        /// The peer had said its last word.
        case ended
        /// The peer broke it off.
        case byPeer
        /// We did: the peer may not know yet.
        case byUs
    }

    /// Whose fault a frame on such a stream is.
    enum Fault { case stream, connection }

    static let memoryBytes = HTTP2Limits.closedStreamsMax * MemoryLayout<UInt64>.stride

    /// A number and how it ended; the oldest is overwritten.
    private let entries: UnsafeMutablePointer<UInt64>
    private var next = 0

    init(memory: UnsafeMutableRawPointer) {
        unsafe entries = memory.bindMemory(to: UInt64.self, capacity: HTTP2Limits.closedStreamsMax)
        unsafe entries.initialize(repeating: 0, count: HTTP2Limits.closedStreamsMax)
    }

    mutating func insert(_ stream: UInt32, _ how: How) {
        unsafe entries[next] = UInt64(stream) << 32 | UInt64(how.rawValue)
        next = (next &+ 1) % HTTP2Limits.closedStreamsMax
    }

    /// How the stream ended; nil if that is forgotten, or it never was.
    func how(_ stream: UInt32) -> How? {
        var index = 0
        while index < HTTP2Limits.closedStreamsMax {
            let entry = unsafe entries[index]
            if entry >> 32 == UInt64(stream) { return How(rawValue: UInt32(truncatingIfNeeded: entry)) }
            index &+= 1
        }
        return nil
    }

    /// What a DATA frame on it is: nothing if it may have been on its way when we broke it off, or nobody remembers.
    func fault(of stream: UInt32) -> Fault? {
        switch how(stream) {
        case .byUs, nil: nil
        case .byPeer: .stream
        case .ended: .connection
        }
    }
}
