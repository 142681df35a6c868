/// What a connection speaks, as far as its first bytes tell.
package enum DetectedProtocol: UInt8, BitwiseCopyable, Sendable {
    case tls, http1, http2
}

/// Tells by the first bytes what a connection speaks whose port does not say: one look, over a bounded number of bytes, for a
/// bounded time. A port's declared protocol comes first, and asks for no look at all.
///
/// | first bytes | is |
/// |---|---|
/// | a handshake record of version 3 (RFC 8446 §5.1) | TLS |
/// | the preface `PRI * HTTP/2.0` … (RFC 9113 §3.4) | HTTP/2 |
/// | a method, a target and `HTTP/1.` (RFC 9112 §3), at most one empty line before | HTTP/1 |
/// | anything else, or nothing in time | opaque: TCP |
///
/// A whole request line is asked for: Redis and memcached know `GET x` too. Linkerd reads once and takes a first segment that is cut
/// for opaque; here the answer does not depend on how reads cut the bytes. Pure: the time is an argument.
package struct ProtocolDetector: BitwiseCopyable {
    package enum Limits {
        /// How long a connection may keep its first bytes to itself. Linkerd waits 10 s, and delays what the server begins for as long.
        package static let wait = Nanoseconds.seconds(1)
        /// The longest beginning that is looked at: a method, the longest target, and what is around them.
        package static let bytesMax = HTTP1Limits.methodBytesMax + HTTP1Limits.targetBytesMax + 16
    }

    package enum Verdict: Equatable, Sendable {
        /// Keep the bytes, and ask again with more of them, or when the time is over.
        case undecided
        case found(DetectedProtocol)
        case opaque(Reason)
    }

    package enum Reason: UInt8, BitwiseCopyable, Sendable {
        /// No protocol that is known begins so.
        case unknownBytes
        /// Too little came in time: perhaps the server speaks first.
        case silence
        /// The peer finished sending before it had said enough.
        case ended
    }

    private enum Part: UInt8 { case start, method, target, version }

    private let openedAt: Instant
    private var part = Part.start
    /// Up to here the bytes are known to be those of a request line.
    @Packed private var scanned = 0
    @Packed private var partStart = 0

    package init(openedAt: Instant) { self.openedAt = openedAt }

    /// When silence is an answer.
    package var deadline: Instant { openedAt + Limits.wait }

    /// - Parameters:
    ///   - input: all bytes that came so far, of which none was taken; at most ``Limits/bytesMax`` of them are looked at.
    ///   - hasEnded: no more will come.
    package mutating func look(at input: Bytes, hasEnded: Bool = false, now: Instant) -> Verdict {
        let verdict = judge(input)
        guard verdict == .undecided else { return verdict }
        if hasEnded { return .opaque(.ended) }
        return now >= deadline ? .opaque(.silence) : .undecided
    }

    // MARK: Bytes

    private mutating func judge(_ input: Bytes) -> Verdict {
        guard input.count > 0 else { return .undecided }
        if input[0] == 0x16 {
            guard input.count > 1 else { return .undecided }
            return input[1] == 0x03 ? .found(.tls) : .opaque(.unknownBytes)
        }
        if scanned == 0, input[0] == UInt8(ascii: "P") {
            // PRI is a method's beginning too: the preface decides itself, byte by byte.
            let preface = Bytes(FrameReader.preface)
            var index = 0
            while index < min(input.count, preface.count), input[index] == preface[index] { index &+= 1 }
            if index == preface.count { return .found(.http2) }
            if index == input.count { return .undecided }
        }
        return requestLine(input)
    }

    private mutating func requestLine(_ input: Bytes) -> Verdict {
        let end = min(input.count, Limits.bytesMax)
        while scanned < end {
            let byte = input[scanned]
            switch part {
            case .start where byte == 0x0D && scanned == 0: break
            case .start where byte == 0x0A && scanned == 1: begin(.method, at: 2)
            case .start where scanned == 0 && ASCII.isToken(byte): begin(.method, at: 0)
            case .method where ASCII.isToken(byte):
                if scanned &- partStart >= HTTP1Limits.methodBytesMax { return .opaque(.unknownBytes) }
            case .method where byte == 0x20 && scanned > partStart: begin(.target, at: scanned &+ 1)
            case .target where byte == 0x20 && scanned > partStart: begin(.version, at: scanned &+ 1)
            case .target where byte > 0x20 && byte < 0x7F: break
            case .version:
                let version = Bytes("HTTP/1.")
                guard byte == version[scanned &- partStart] else { return .opaque(.unknownBytes) }
                if scanned &- partStart == version.count &- 1 { return .found(.http1) }
            default: return .opaque(.unknownBytes)
            }
            scanned &+= 1
        }
        return input.count >= Limits.bytesMax ? .opaque(.unknownBytes) : .undecided
    }

    private mutating func begin(_ next: Part, at position: Int) {
        part = next
        partStart = position
    }
}
