/// Parses a request head (RFC 9112 §2–§3, §5) from a receive buffer that may grow and move between calls.
///
///     start line --CRLF--> header lines --empty line--> complete
///
/// The state is offsets and what the lines so far said about framing: plain old data, nothing to free, nothing that points
/// into the buffer. A call resumes where the last one stopped.
package struct RequestHeadParser: BitwiseCopyable {
    private var framing = FramingFields()
    private var forwarding = ForwardingFields()
    private var lines = FieldScanner(at: 0)
    @Packed private var methodStart = 0
    @Packed private var targetStart = 0
    @Packed private var targetEnd = 0
    @Packed private var scanned = 0
    @Packed private var hostIndex = -1
    /// Nothing of the request line is known beyond `scanned`.
    private var hasStartLine = false
    private var minorVersion: UInt8 = 1
    private var expectsContinue = false
    private var hasExpect = false

    package init() {}

    /// Takes the head's bytes so far, from its first byte on.
    ///
    /// `head.headers` brings the storage for header lines and keeps it between calls. `scratch` takes the canonical target if
    /// it differs from the received one: `HTTP1Limits.targetBytesMax` bytes that live as long as the head.
    package mutating func parse(
        _ input: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> HeadStep {
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
                if let fault = unsafe finish(input, scratch: scratch, into: &head) { return .reject(fault) }
                return .complete(byteCount: end)
            }
        }
    }

    // MARK: Header lines

    @inline(__always)
    private mutating func take(_ field: HeaderField, into table: inout HeaderTable) -> HTTP1Fault? {
        let index = unsafe Int(table.count)
        guard index < HTTP1Limits.fieldsMax, unsafe index < Int(table.capacity) else { return .tooManyFields }
        unsafe table.fields.unsafelyUnwrapped[index] = field
        unsafe table.count &+= 1
        let known = unsafe KnownField.identify(table.name(index), tag: field.tag)
        return known == .other ? nil : unsafe take(known, index: index, in: &table)
    }

    private mutating func take(_ known: KnownField, index: Int, in table: inout HeaderTable) -> HTTP1Fault? {
        let value = unsafe table.value(index)
        switch known {
        case .host:
            if hostIndex >= 0 { return .repeatedHost }
            guard Authority.isValid(value) else { return .malformedHost }
            hostIndex = index
        case .expect:
            guard !hasExpect, value.equalsFolded("100-continue") else { return .unknownExpectation }
            hasExpect = true
            // HTTP/1.0 does not know the expectation; a server ignores it (RFC 9110 §10.1.1).
            expectsContinue = minorVersion >= 1
        case .transferEncoding where minorVersion == 0:
            return .codingInHTTP10
        case .via, .requestID, .forwardedFor, .forwardedProto, .forwardedHost, .claim, .reserved:
            if forwarding.take(known, index: index) {
                // Out of sight of every filter as well.
                unsafe table.fields.unsafelyUnwrapped[index].tag = 0
                framing.dropped.insert(index)
            }
            return nil
        default:
            break
        }
        return framing.take(known, value: value, index: index)
    }

    private mutating func finish(
        _ input: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> HTTP1Fault? {
        if hostIndex < 0, minorVersion >= 1 { return .missingHost }
        let methodText = input.slice(methodStart, targetStart &- 1)
        unsafe head.methodText = methodText
        unsafe head.method = Method(methodText)
        unsafe head.minorVersion = minorVersion
        unsafe head.keepsAlive = framing.keepsAlive(minorVersion: minorVersion)
        unsafe head.expectsContinue = expectsContinue
        unsafe head.framing =
            framing.isChunked ? .chunked : framing.length >= 0 ? .length(framing.length) : .none
        unsafe head.headers.isWireFormat = true
        unsafe head.asksUpgrade = false
        if framing.saysUpgrade, framing.hasUpgrade, let fault = unsafe takeOffer(into: &head) { return fault }
        if framing.namesOthers { unsafe framing.dropNamedLines(head.headers) }
        unsafe head.dropped = framing.dropped
        unsafe head.forwarding = forwarding
        unsafe head.authority = hostIndex >= 0 ? head.headers.value(hostIndex) : .empty
        return unsafe RequestTarget.read(input.slice(targetStart, targetEnd), scratch: scratch, into: &head)
    }

    /// HTTP/1.0 knows no upgrade (RFC 9110 §7.8). Nobody knows where a body would end and the other protocol begin (CVE-2026-58055),
    /// and nobody who means it sends one.
    private func takeOffer(into head: inout RequestHead) -> HTTP1Fault? {
        guard minorVersion >= 1 else { return nil }
        switch unsafe Upgrade.offer(of: head.headers) {
        case .nothing: return nil
        case .malformed: return .malformedUpgrade
        case .some:
            guard unsafe head.framing.isEmpty else { return .upgradeWithBody }
            unsafe head.asksUpgrade = true
            return nil
        }
    }

    // MARK: Request line

    private mutating func parseStartLine(_ input: Bytes) -> HeadStep {
        if input.isEmpty { return .needMore }
        methodStart = 0
        if input[0] == 0x0D {
            // One empty line before a request is forgiven: old clients send it after a body (RFC 9112 §2.2).
            guard input.count >= 2 else { return .needMore }
            guard input[1] == 0x0A else { return .reject(.bareCarriageReturn) }
            methodStart = 2
        }
        if targetStart == 0 {
            var position = methodStart
            while position < input.count, position &- methodStart <= HTTP1Limits.methodBytesMax, ASCII.isToken(input[position]) {
                position &+= 1
            }
            if position &- methodStart > HTTP1Limits.methodBytesMax { return .reject(.methodTooLong) }
            if position >= input.count { return .needMore }
            guard input[position] == 0x20, position > methodStart else {
                return .reject(input[position] == 0x0A ? .bareLineFeed : .malformedRequestLine)
            }
            if input.slice(methodStart, position).equals("CONNECT") { return .reject(.tunnelRefused) }
            targetStart = position &+ 1
            scanned = targetStart
        }
        let limit = targetStart &+ HTTP1Limits.targetBytesMax &+ 1
        let end = input.firstInvisible(from: scanned, to: min(input.count, limit))
        scanned = end
        if end >= limit { return .reject(.targetTooLong) }
        if end >= input.count { return .needMore }
        guard input[end] == 0x20 else {
            return .reject(input[end] == 0x0A ? .bareLineFeed : input[end] == 0x0D ? .malformedRequestLine : .malformedTarget)
        }
        if end == targetStart { return .reject(.malformedRequestLine) }
        targetEnd = end
        return parseVersion(input, at: end &+ 1)
    }

    /// `HTTP/1.0` or `HTTP/1.1` and the end of the line.
    private mutating func parseVersion(_ input: Bytes, at start: Int) -> HeadStep {
        switch HTTPVersion.read(input, at: start) {
        case .needMore: return .needMore
        case .reject(.malformedVersion) where Method(input.slice(methodStart, targetStart &- 1)) == .other: return .reject(.notHTTP)
        case .reject(let fault): return .reject(fault)
        case .complete(let minor): minorVersion = UInt8(truncatingIfNeeded: minor)
        }
        let end = start &+ HTTPVersion.byteCount
        guard end < input.count else { return .needMore }
        guard input[end] == 0x0D else { return .reject(input[end] == 0x0A ? .bareLineFeed : .malformedRequestLine) }
        guard end &+ 1 < input.count else { return .needMore }
        guard input[end &+ 1] == 0x0A else { return .reject(.bareCarriageReturn) }
        return .complete(byteCount: end &+ 2)
    }
}

/// `HTTP/` digit `.` digit (RFC 9112 §2.3), upper case.
enum HTTPVersion {
    static let byteCount = 8

    /// The minor version as the byte count of `.complete`.
    static func read(_ input: Bytes, at start: Int) -> HeadStep {
        // `HTTP/1.0` and `HTTP/1.1`, which differ in one bit.
        if start &+ byteCount <= input.count, input.word(at: start) & ~(1 &<< 56) == 0x302E_312F_5054_5448 {
            return .complete(byteCount: Int(input[start &+ 7] & 1))
        }
        let prefix = Bytes("HTTP/")
        var index = 0
        while index < prefix.count {
            guard start &+ index < input.count else { return .needMore }
            guard input[start &+ index] == prefix[index] else { return .reject(.malformedVersion) }
            index &+= 1
        }
        guard start &+ byteCount <= input.count else { return .needMore }
        let major = input[start &+ 5]
        let minor = input[start &+ 7]
        guard ASCII.isDigit(major), input[start &+ 6] == UInt8(ascii: "."), ASCII.isDigit(minor) else {
            return .reject(.malformedVersion)
        }
        guard major == UInt8(ascii: "1") else { return .reject(.unsupportedVersion) }
        guard minor <= UInt8(ascii: "1") else { return .reject(.malformedVersion) }
        return .complete(byteCount: Int(minor & 1))
    }
}

extension Method {
    /// Methods are case-sensitive (RFC 9110 §9.1).
    package init(_ text: Bytes) {
        switch text.count {
        case 3: self = text.equals("GET") ? .get : text.equals("PUT") ? .put : .other
        case 4: self = text.equals("POST") ? .post : text.equals("HEAD") ? .head : .other
        case 5: self = text.equals("PATCH") ? .patch : text.equals("TRACE") ? .trace : .other
        case 6: self = text.equals("DELETE") ? .delete : .other
        case 7: self = text.equals("OPTIONS") ? .options : text.equals("CONNECT") ? .connect : .other
        default: self = .other
        }
    }
}
