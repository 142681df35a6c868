/// What a body decoder makes of the bytes it is given. Positions count from the first byte given.
package enum BodyStep: Equatable, Sendable {
    /// `count` bytes of the body stand at `offset`; what is before them is framing. Drop `offset + count` bytes and call
    /// again, even with none left: the end may be due.
    case data(offset: Int, count: Int)
    /// A trailer worth keeping. Copy it if wanted, drop its `byteCount` bytes, call again.
    case trailer(Trailer)
    /// The message is over; what is behind `consumed` bytes belongs to somebody else. Only ``BodyDecoder/end()`` may be
    /// called now.
    case end(consumed: Int)
    /// Drop `consumed` bytes, keep the rest, call again with more behind them.
    case needMore(consumed: Int)
    /// Answer if no response head has gone out yet, then close both connections. Of a chunked response already under way,
    /// send no terminator: the caller must see that it was cut.
    case reject(HTTP1Fault)

    /// One trailer line, checked and on the list of those that may pass.
    package struct Trailer: Equatable, Sendable {
        package var nameOffset: Int
        package var nameCount: Int
        package var valueOffset: Int
        package var valueCount: Int
        package var byteCount: Int
    }
}

/// Finds the end of a message's body (RFC 9112 §6–§7), piece by piece, without copying or buffering.
///
///     length:      data* end
///     chunked:     size [extensions] CRLF data CRLF … 0 CRLF trailer* CRLF end
///     until close: data* until the peer closes
///
/// Chunks are taken off here and put on anew by the sender: a peer's chunking, its extensions and its odd trailers never
/// travel on.
package struct BodyDecoder: BitwiseCopyable {
    private enum State: UInt8 {
        case length, untilClose
        /// In the digits of a chunk size; `remaining` is what they said so far.
        case size
        /// `;` name [`=` value], with spaces around the marks, and none at the end (RFC 9112 §7.1.1).
        case extensionStart, extensionName, extensionEquals, extensionValueStart, extensionValue, extensionQuoted, extensionEscape
        /// Behind a quoted value; behind spaces that only another extension may follow.
        case extensionEnd, extensionGap
        case sizeLineFeed
        case data, dataReturn, dataLineFeed
        case trailers
        case ended
    }

    private var state: State
    /// Bytes left of the body or of the chunk.
    private var remaining: Int64 = 0
    private var digits: UInt8 = 0
    private var extensionBytes: Int32 = 0
    private var trailerBytes: Int32 = 0
    private var trailerCount: Int32 = 0

    package init(_ framing: BodyFraming) {
        switch framing {
        case .none: state = .ended
        case .length(let count):
            remaining = max(0, count)
            state = remaining == 0 ? .ended : .length
        case .chunked: state = .size
        case .untilClose: state = .untilClose
        }
    }

    /// The message has ended; the next byte belongs to somebody else.
    package var hasEnded: Bool { state == .ended }

    /// Body bytes still to come, if the head announced a length.
    package var remainingLength: Int64? {
        switch state {
        case .ended: 0
        case .length: remaining
        default: nil
        }
    }

    /// The peer closed. True if that is a proper end, false if the message was cut.
    package mutating func end() -> Bool {
        let isProper = state == .untilClose || state == .ended
        state = .ended
        return isProper
    }

    package mutating func decode(_ input: UnsafeRawBufferPointer) -> BodyStep { unsafe decode(Bytes(input)) }

    package mutating func decode(_ input: Bytes) -> BodyStep {
        var position = 0
        while true {
            switch state {
            case .ended: return .end(consumed: position)
            case .trailers: return decodeTrailers(input, from: position)
            case .untilClose:
                return input.isEmpty ? .needMore(consumed: 0) : .data(offset: 0, count: input.count)
            default: break
            }
            guard position < input.count else { return .needMore(consumed: position) }
            let byte = input[position]
            switch state {
            case .length:
                let count = Int(min(remaining, Int64(input.count)))
                remaining &-= Int64(count)
                if remaining == 0 { state = .ended }
                return .data(offset: 0, count: count)
            case .data:
                let count = Int(min(remaining, Int64(input.count &- position)))
                remaining &-= Int64(count)
                if remaining == 0 { state = .dataReturn }
                return .data(offset: position, count: count)
            case .size:
                if let fault = takeSize(byte) { return .reject(fault) }
            case .extensionStart, .extensionName, .extensionEquals, .extensionValueStart, .extensionValue, .extensionQuoted,
                .extensionEscape, .extensionEnd, .extensionGap:
                if let fault = takeExtension(byte) { return .reject(fault) }
            case .sizeLineFeed:
                guard byte == 0x0A else { return .reject(.bareCarriageReturn) }
                state = remaining == 0 ? .trailers : .data
            case .dataReturn:
                guard byte == 0x0D else { return .reject(.malformedChunk) }
                state = .dataLineFeed
            case .dataLineFeed:
                guard byte == 0x0A else { return .reject(.malformedChunk) }
                state = .size
                digits = 0
            case .untilClose, .trailers, .ended:
                return .needMore(consumed: position)
            }
            position &+= 1
        }
    }

    /// A byte of a chunk-size line: digits, then at once CRLF or an extension. No sign, prefix or space (RFC 9112 §7.1).
    private mutating func takeSize(_ byte: UInt8) -> HTTP1Fault? {
        if let digit = ASCII.hexValue(byte) {
            digits &+= 1
            // Another digit must not reach the sign bit.
            guard digits <= HTTP1Limits.chunkSizeDigitsMax, remaining < 1 &<< 59 else { return .malformedChunkSize }
            remaining = remaining &<< 4 | Int64(digit)
            return nil
        }
        guard digits > 0 else { return byte == 0x0A ? .bareLineFeed : .malformedChunkSize }
        switch byte {
        case 0x0D: state = .sizeLineFeed
        case UInt8(ascii: ";"): state = .extensionStart
        case 0x0A: return .bareLineFeed
        default: return .malformedChunkSize
        }
        return nil
    }

    /// A byte of a chunk extension. They go no further, but what is none is refused: somebody else may read on.
    private mutating func takeExtension(_ byte: UInt8) -> HTTP1Fault? {
        if byte == 0x0A { return .bareLineFeed }
        if byte < 0x20 && byte != 0x09 && byte != 0x0D || byte == 0x7F { return .controlByte }
        if byte != 0x0D { extensionBytes &+= 1 }
        if extensionBytes > HTTP1Limits.extensionBytesMax { return .extensionsTooLarge }
        let isSpace = byte == 0x20 || byte == 0x09
        switch state {
        case .extensionStart where isSpace, .extensionEquals where isSpace, .extensionValueStart where isSpace, .extensionGap where isSpace:
            break
        case .extensionStart where ASCII.isToken(byte): state = .extensionName
        case .extensionName where ASCII.isToken(byte), .extensionValue where ASCII.isToken(byte): break
        case .extensionName where isSpace: state = .extensionEquals
        case .extensionName where byte == UInt8(ascii: "="), .extensionEquals where byte == UInt8(ascii: "="):
            state = .extensionValueStart
        case .extensionValueStart where byte == UInt8(ascii: "\""): state = .extensionQuoted
        case .extensionValueStart where ASCII.isToken(byte): state = .extensionValue
        case .extensionValue where isSpace, .extensionEnd where isSpace: state = .extensionGap
        case .extensionQuoted where byte == UInt8(ascii: "\""): state = .extensionEnd
        case .extensionQuoted where byte == UInt8(ascii: "\\"): state = .extensionEscape
        case .extensionQuoted where byte != 0x0D: break
        case .extensionEscape where byte != 0x0D: state = .extensionQuoted
        case .extensionName where byte == UInt8(ascii: ";"), .extensionEquals where byte == UInt8(ascii: ";"),
            .extensionValue where byte == UInt8(ascii: ";"), .extensionEnd where byte == UInt8(ascii: ";"),
            .extensionGap where byte == UInt8(ascii: ";"):
            state = .extensionStart
        case .extensionName where byte == 0x0D, .extensionValue where byte == 0x0D, .extensionEnd where byte == 0x0D:
            state = .sizeLineFeed
        default: return .malformedExtension
        }
        return nil
    }

    // MARK: Trailers

    /// Trailer lines must come whole: the caller keeps an unfinished one, at most `trailersBytesMax` bytes.
    private mutating func decodeTrailers(_ input: Bytes, from start: Int) -> BodyStep {
        var position = start
        while true {
            let limit = position &+ HTTP1Limits.trailersBytesMax &- Int(trailerBytes)
            // Offsets of a field have 16 bits: count them from the line.
            let line = input.slice(position, min(input.count, limit &+ 1))
            var scanner = FieldScanner(at: 0)
            switch scanner.next(in: line, limit: limit &- position) {
            case .needMore: return .needMore(consumed: position)
            case .tooLong: return .reject(.trailersTooLarge)
            case .reject(let fault): return .reject(fault)
            case .end(let count):
                state = .ended
                return .end(consumed: position &+ count)
            case .field(let field):
                trailerCount &+= 1
                trailerBytes &+= Int32(truncatingIfNeeded: scanner.lineStart)
                if trailerCount > HTTP1Limits.trailersMax { return .reject(.trailersTooLarge) }
                let name = line.slice(Int(field.nameOffset), Int(field.nameOffset) &+ Int(field.nameCount))
                switch TrailerRule.of(name, tag: field.tag) {
                case .refuse: return .reject(.forbiddenTrailer)
                case .drop: position &+= scanner.lineStart
                case .keep:
                    return .trailer(
                        .init(
                            nameOffset: position &+ Int(field.nameOffset), nameCount: Int(field.nameCount),
                            valueOffset: position &+ Int(field.valueOffset), valueCount: Int(field.valueCount),
                            byteCount: position &+ scanner.lineStart))
                }
            }
        }
    }
}

/// What becomes of a trailer. A receiver may merge trailers into the headers (RFC 9110 §6.5.1), so only those whose late
/// arrival is their purpose pass; what would re-frame or re-route the message is refused.
package enum TrailerRule {
    case keep, drop, refuse

    package static func of(_ name: Bytes, tag: UInt32) -> TrailerRule {
        switch KnownField.identify(name, tag: tag) {
        case .contentLength, .transferEncoding, .host, .disguisedFraming: return .refuse
        case .connection, .keepAlive, .proxyConnection, .te, .upgrade, .http2Settings, .expect: return .drop
        case .via, .requestID, .forwardedFor, .forwardedProto, .forwardedHost, .claim, .reserved: return .drop
        case .other: break
        }
        let mayPass =
            name.hasFoldedPrefix("grpc-") || name.equalsFolded("server-timing") || name.equalsFolded("content-digest")
            || name.equalsFolded("repr-digest") || name.equalsFolded("digest")
        return mayPass ? .keep : .drop
    }
}
