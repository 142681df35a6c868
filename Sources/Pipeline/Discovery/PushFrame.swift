/// A message as bytes: a length of four (big-endian, of what follows), then JSON.
///
///     00 00 00 2f  {"type":"ack","session":7,"part":"trust", …}
///
/// JSON, so that `tap` and a person can read it; framed, so that a reader knows when it has all of one.
package enum PushFrame {
    package enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case tooLarge(bytes: Int, bytesMax: Int)
        case malformed(String)

        package var description: String {
            switch self {
            case .tooLarge(let bytes, let bytesMax): "a frame of \(bytes) bytes, at most \(bytesMax) are taken"
            case .malformed(let reason): "a frame that cannot be read: \(reason)"
            }
        }
    }

    /// - Throws: `tooLarge`; the caller then has something that nobody would take.
    package static func encode(_ message: PushMessage, session: UInt64) throws(Failure) -> [UInt8] {
        let json = message.json(session: session)
        guard json.count <= PushLimits.frameBytesMax else {
            throw .tooLarge(bytes: json.count, bytesMax: PushLimits.frameBytesMax)
        }
        let count = UInt32(json.count)
        return [UInt8(truncatingIfNeeded: count >> 24), UInt8(truncatingIfNeeded: count >> 16),
            UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)] + json
    }

    /// Puts frames together from pieces as they come off a socket.
    package struct Reader: Sendable {
        private let bytesMax: Int
        private var buffer: [UInt8] = []
        private var start = 0

        /// - Parameter bytesMax: of one frame; `PushLimits` has the numbers for both sides.
        package init(bytesMax: Int) { self.bytesMax = bytesMax }

        /// Bytes held for a frame that is not whole yet.
        package var bytesBuffered: Int { buffer.count - start }

        package mutating func append(_ bytes: some Sequence<UInt8>) {
            if start > 0 && start == buffer.count {
                buffer.removeAll(keepingCapacity: buffer.capacity <= 64 << 10)
                start = 0
            }
            buffer.append(contentsOf: bytes)
        }

        /// The next whole message and its session; nil until more bytes come.
        ///
        /// - Throws: close the stream; nothing after it can be trusted.
        package mutating func next() throws(Failure) -> (message: PushMessage, session: UInt64)? {
            guard buffer.count - start >= 4 else { return nil }
            let count = buffer[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            guard count <= bytesMax else { throw .tooLarge(bytes: count, bytesMax: bytesMax) }
            guard buffer.count - start - 4 >= count else {
                // What was read goes before more comes, so that the buffer stays within one frame and one read.
                if start > 64 << 10 {
                    buffer.removeFirst(start)
                    start = 0
                }
                return nil
            }
            let json = Array(buffer[start + 4..<start + 4 + count])
            start += 4 + count
            return try PushMessage.read(json)
        }
    }
}
