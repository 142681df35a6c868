/// Parses a response head (RFC 9112 §4, §5, §6.3) as ``RequestHeadParser`` parses a request's.
///
/// Its faults are the upstream's: the answer to the caller is 502 and the upstream's connection is closed.
package struct ResponseHeadParser: BitwiseCopyable {
    private var hasStartLine = false
    private var lines = FieldScanner(at: 0)
    private var framing = FramingFields()
    private var reasonStart = 0
    private var reasonEnd = 0
    private var scanned = 0
    private var status: UInt16 = 0
    private var minorVersion: UInt8 = 1

    package init() {}

    /// Takes the head's bytes so far. `isToHead`: the request was HEAD, so there is no body whatever the head says.
    package mutating func parse(_ input: Bytes, isToHead: Bool, into head: inout ResponseHead) -> HeadStep {
        if !hasStartLine {
            switch parseStartLine(input) {
            case .needMore: return .needMore
            case .reject(let fault): return .reject(fault)
            case .complete(let end):
                hasStartLine = true
                lines = FieldScanner(at: end)
                unsafe head.headers.count = 0
            }
        }
        unsafe head.headers.base = input.base
        while true {
            switch lines.next(in: input, limit: HTTP1Limits.headBytesMax) {
            case .needMore: return .needMore
            case .tooLong: return .reject(.headTooLarge)
            case .reject(let fault): return .reject(fault)
            case .field(let field):
                if let fault = unsafe take(field, into: &head.headers) { return .reject(fault) }
            case .end(let end):
                if let fault = unsafe finish(input, isToHead: isToHead, into: &head) { return .reject(fault) }
                return .complete(byteCount: end)
            }
        }
    }

    @inline(__always)
    private mutating func take(_ field: HeaderField, into table: inout HeaderTable) -> HTTP1Fault? {
        let index = unsafe Int(table.count)
        guard index < HTTP1Limits.fieldsMax, unsafe index < Int(table.capacity) else { return .tooManyFields }
        unsafe table.fields.unsafelyUnwrapped[index] = field
        unsafe table.count &+= 1
        let known = unsafe KnownField.identify(table.name(index), tag: field.tag)
        switch known {
        case .other, .host, .expect, .via, .requestID, .forwardedFor, .forwardedProto, .forwardedHost, .claim: return nil
        case .reserved:
            // A peer sidecar's word is read here and goes no further.
            framing.dropped.insert(index)
            return nil
        case .transferEncoding where minorVersion == 0: return .codingInHTTP10
        default: return unsafe framing.take(known, value: table.value(index), index: index)
        }
    }

    private mutating func finish(_ input: Bytes, isToHead: Bool, into head: inout ResponseHead) -> HTTP1Fault? {
        if status < 200, framing.isChunked || framing.length >= 0 { return .bodyNotAllowed }
        // Content-Length: 0 with 204 breaks a MUST (RFC 9110 §8.6) that half the world's handlers break; it frames the same.
        if status == 204, framing.isChunked || framing.length > 0 { return .bodyNotAllowed }
        if framing.namesOthers { unsafe framing.dropNamedLines(head.headers) }
        let hasBody = !isToHead && status >= 200 && status != 204 && status != 304
        if hasBody {
            unsafe head.framing = framing.isChunked ? .chunked : framing.length >= 0 ? .length(framing.length) : .untilClose
        } else {
            unsafe head.framing = .none
            // What a GET would have had: information for the caller, not framing.
            if status != 204, framing.length >= 0 { framing.dropped.remove(framing.lengthIndex) }
        }
        unsafe head.status = status
        unsafe head.reason = input.slice(reasonStart, reasonEnd)
        unsafe head.minorVersion = minorVersion
        unsafe head.keepsAlive = framing.keepsAlive(minorVersion: minorVersion)
        unsafe head.namesUpgrade = framing.saysUpgrade && framing.hasUpgrade
        unsafe head.headers.isWireFormat = true
        unsafe head.dropped = framing.dropped
        unsafe head.sensitive = FieldMask()
        return nil
    }

    // MARK: Status line

    /// `HTTP/1.x SP 3DIGIT [SP reason] CRLF`; that the second space may be missing is what everyone else accepts.
    private mutating func parseStartLine(_ input: Bytes) -> HeadStep {
        if reasonStart == 0 {
            switch HTTPVersion.read(input, at: 0) {
            case .needMore: return .needMore
            case .reject: return .reject(.malformedStatusLine)
            case .complete(let minor): minorVersion = UInt8(truncatingIfNeeded: minor)
            }
            let start = HTTPVersion.byteCount
            guard start &+ 5 <= input.count else { return .needMore }
            let hundreds = input[start &+ 1]
            guard input[start] == 0x20, hundreds &- 0x31 < 5, ASCII.isDigit(input[start &+ 2]), ASCII.isDigit(input[start &+ 3])
            else { return .reject(.malformedStatusLine) }
            status =
                UInt16(hundreds & 0x0F) &* 100 &+ UInt16(input[start &+ 2] & 0x0F) &* 10 &+ UInt16(input[start &+ 3] & 0x0F)
            switch input[start &+ 4] {
            case 0x20: reasonStart = start &+ 5
            case 0x0D: reasonStart = start &+ 4
            case 0x0A: return .reject(.bareLineFeed)
            default: return .reject(.malformedStatusLine)
            }
            scanned = reasonStart
        }
        let limit = HTTP1Limits.headBytesMax
        let end = min(input.count, limit)
        while true {
            scanned = input.firstControl(from: scanned, to: end)
            if scanned &+ 1 >= end, scanned >= end || input[scanned] == 0x0D {
                return input.count >= limit ? .reject(.headTooLarge) : .needMore
            }
            switch input[scanned] {
            case 0x0D where input[scanned &+ 1] == 0x0A:
                reasonEnd = scanned
                return .complete(byteCount: scanned &+ 2)
            case 0x0D: return .reject(.bareCarriageReturn)
            case 0x0A: return .reject(.bareLineFeed)
            case 0x09: scanned &+= 1
            default: return .reject(.malformedStatusLine)
            }
        }
    }
}
