/// A frame, or a piece of one, as it stands in the bytes given. Offsets count from their first byte; padding is taken off.
package enum Frame: BitwiseCopyable, Equatable, Sendable {
    case data(DataPiece)
    /// A block's first fragment, without the deprecated priority fields.
    case headers(stream: UInt32, block: Fragment, endsStream: Bool)
    case continuation(stream: UInt32, block: Fragment)
    case reset(stream: UInt32, HTTP2ErrorCode)
    /// Six bytes each; see ``PeerSettings``.
    case settings(offset: Int, count: Int)
    case settingsAcknowledged
    case ping(UInt64)
    case pingAcknowledged(UInt64)
    case goAway(lastStream: UInt32, HTTP2ErrorCode)
    /// `stream` 0 is the connection. The increment is from 1 to 2^31 - 1.
    case windowUpdate(stream: UInt32, increment: Int)
    /// PRIORITY, which means nothing any more (§5.3.2), or a frame of a kind that nobody knows (§4.1). Counted, because it is work.
    case ignored

    /// A part of a header block (§4.3).
    package struct Fragment: BitwiseCopyable, Equatable, Sendable {
        package var offset: Int
        package var count: Int
        /// END_HEADERS: the block is over. Otherwise CONTINUATION follows and nothing else.
        package var isLast: Bool

        package init(offset: Int, count: Int, isLast: Bool) {
            self.offset = offset
            self.count = count
            self.isLast = isLast
        }
    }

    /// A part of a DATA frame, handed out as it comes: no frame waits in a buffer to become whole.
    package struct DataPiece: BitwiseCopyable, Equatable, Sendable {
        package var stream: UInt32
        package var offset: Int
        package var count: Int
        /// What the whole frame takes of both windows, padding and all (§6.9.1): on its first piece, 0 on the others.
        package var windowBytes: Int
        package var isFirst: Bool
        package var isLast: Bool
        /// END_STREAM: the stream ends with the frame's last piece. Only ever set on that.
        package var endsStream: Bool

        package init(
            stream: UInt32, offset: Int, count: Int, windowBytes: Int, isFirst: Bool, isLast: Bool, endsStream: Bool
        ) {
            self.stream = stream
            self.offset = offset
            self.count = count
            self.windowBytes = windowBytes
            self.isFirst = isFirst
            self.isLast = isLast
            self.endsStream = endsStream
        }
    }
}

/// The nine bytes before every payload (§4.1).
///
///     length (24) | kind (8) | flags (8) | reserved (1) | stream (31)
package struct FrameHeader: BitwiseCopyable, Equatable, Sendable {
    package static let byteCount = 9

    package enum Kind {
        package static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, reset: UInt8 = 3, settings: UInt8 = 4
        package static let pushPromise: UInt8 = 5, ping: UInt8 = 6, goAway: UInt8 = 7, windowUpdate: UInt8 = 8, continuation: UInt8 = 9
    }

    package enum Flag {
        /// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
        package static let endStream: UInt8 = 0x1, acknowledge: UInt8 = 0x1
        package static let endHeaders: UInt8 = 0x4, padded: UInt8 = 0x8, priority: UInt8 = 0x20
    }

    package var length: Int
    package var kind: UInt8
    package var flags: UInt8
    package var stream: UInt32

    package init(length: Int, kind: UInt8, flags: UInt8, stream: UInt32) {
        self.length = length
        self.kind = kind
        self.flags = flags
        self.stream = stream
    }

    /// The caller promises ``byteCount`` bytes. The reserved bit is ignored (§4.1).
    @inline(__always)
    package init(_ input: Bytes) {
        length = Int(input[0]) << 16 | Int(input[1]) << 8 | Int(input[2])
        kind = input[3]
        flags = input[4]
        stream = input.bigEndian(at: 5) & 0x7FFF_FFFF
    }

    @inline(__always)
    package func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
}

extension Bytes {
    /// Four bytes in network order. The caller promises that they are there.
    @inline(__always)
    func bigEndian(at position: Int) -> UInt32 {
        UInt32(self[position]) << 24 | UInt32(self[position &+ 1]) << 16 | UInt32(self[position &+ 2]) << 8 | UInt32(self[position &+ 3])
    }
}
