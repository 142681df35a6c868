/// Tells TLS from plaintext by a connection's first bytes, for listeners that accept both (permissive mTLS).
package enum ProtocolSniff: Equatable, Sendable {
    case tls, plaintext
    /// A first byte that may be either; wait for the next.
    case undecided

    /// A ClientHello starts with a handshake record (0x16) of version 3.x (RFC 8446 §5.1); no text protocol does.
    package init(_ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty || bytes.count == 1 && bytes[0] == 0x16 {
            self = .undecided
        } else {
            self = bytes[0] == 0x16 && bytes[1] == 0x03 ? .tls : .plaintext
        }
    }

    package enum Answer: Equatable, Sendable {
        case tls, plaintext, wouldBlock, closed
        case failed(IOFailure)
    }

    /// Looks without taking. The undecided first byte of TLS counts as `.wouldBlock`: the next byte makes an edge.
    package static func peek(_ descriptor: Int32) -> Answer {
        var first: UInt16 = 0
        return withUnsafeMutableBytes(of: &first) { bytes in
            guard let base = bytes.baseAddress else { return .wouldBlock }
            switch Socket.peek(descriptor, into: base, count: 2) {
            case .bytes(let count):
                switch ProtocolSniff(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<count])) {
                case .tls: return .tls
                case .plaintext: return .plaintext
                case .undecided: return .wouldBlock
                }
            case .wouldBlock: return .wouldBlock
            case .closed: return .closed
            case .failed(let why): return .failed(why)
            }
        }
    }
}
