/// What the peer's SETTINGS say (RFC 9113 §6.5.2, RFC 8441 §3), from the protocol's defaults on.
package struct PeerSettings: BitwiseCopyable, Equatable, Sendable {
    package enum Identifier {
        package static let headerTableSize: UInt16 = 1, enablePush: UInt16 = 2, maxConcurrentStreams: UInt16 = 3
        package static let initialWindowSize: UInt16 = 4, maxFrameSize: UInt16 = 5, maxHeaderListSize: UInt16 = 6
        package static let enableConnectProtocol: UInt16 = 8
    }

    /// Bytes of its decoder's table.
    package var headerTableBytes = HPACKLimits.tableBytesDefault
    /// Streams that we may have open at once; unlimited until it says otherwise.
    package var streamsMax = UInt32.max
    /// Bytes of a new stream's window. A change moves the windows of all streams by the difference (§6.9.2).
    package var windowBytes = HTTP2Limits.windowDefault
    package var frameBytesMax = HTTP2Limits.frameBytesMax
    /// Advice: bytes of a header list as HPACK counts them.
    package var headerListBytesMax = UInt32.max
    /// Extended CONNECT is understood. Once said, it cannot be taken back.
    package var enablesConnect = false

    package init() {}

    /// Takes a frame's payload, in order; the last of equal identifiers counts (§6.5.3). What is unknown is ignored.
    ///
    /// - Parameter isServer: the peer is a server, which must not enable push.
    package mutating func apply(_ payload: Bytes, isServer: Bool) -> HTTP2Fault? {
        var position = 0
        while position &+ 6 <= payload.count {
            let identifier = UInt16(payload[position]) << 8 | UInt16(payload[position &+ 1])
            let value = payload.bigEndian(at: position &+ 2)
            switch identifier {
            case Identifier.headerTableSize: headerTableBytes = Int(value)
            case Identifier.enablePush:
                guard value <= (isServer ? 0 : 1) else { return HTTP2Fault(.protocolError) }
            case Identifier.maxConcurrentStreams: streamsMax = value
            case Identifier.initialWindowSize:
                guard value <= HTTP2Limits.windowMax else { return HTTP2Fault(.flowControlError) }
                windowBytes = Int(value)
            case Identifier.maxFrameSize:
                guard value >= HTTP2Limits.frameBytesMax, value <= HTTP2Limits.peerFrameBytesMax else {
                    return HTTP2Fault(.protocolError)
                }
                frameBytesMax = Int(value)
            case Identifier.maxHeaderListSize: headerListBytesMax = value
            case Identifier.enableConnectProtocol:
                guard value <= 1, value == 1 || !enablesConnect else { return HTTP2Fault(.protocolError) }
                enablesConnect = value == 1
            default: break
            }
            position &+= 6
        }
        return nil
    }
}
