/// Builds a request's head from the fields of its block (RFC 9113 §8.3.1), as `RequestHeadParser` does from lines.
///
/// The same views, the same framing fields, the same canonical path and the same refusals: what reads the head later cannot tell which
/// version of HTTP it came in.
///
///     while case .field(let field, let isSensitive) = decoder.next(…, into: &text) { if let refusal = reader.take(…) { … } }
///     reader.finish(&text, …)
package struct RequestFieldsReader: BitwiseCopyable {
    private struct Pseudo: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        static let method = Pseudo(rawValue: 1), scheme = Pseudo(rawValue: 2), path = Pseudo(rawValue: 4)
        static let authority = Pseudo(rawValue: 8), `protocol` = Pseudo(rawValue: 16)
    }

    /// Where a value stands in the text.
    private struct Place: BitwiseCopyable {
        var offset: UInt16 = 0
        var count: UInt16 = 0

        init() {}
        init(_ field: HeaderField) { (offset, count) = (field.valueOffset, field.valueCount) }
        func view(_ text: Bytes) -> Bytes { text.slice(Int(offset), Int(offset) &+ Int(count)) }
    }

    private static let cookie: HeaderName = "cookie"
    private static let key: HeaderName = "sec-websocket-key"

    private var seen: Pseudo = []
    private var method = Place(), scheme = Place(), path = Place(), authority = Place(), wanted = Place()
    private var framing = FramingFields()
    private var forwarding = ForwardingFields()
    private var hasLines = false
    private var hostIndex = -1
    private var cookies = 0
    private var cookieBytes = 0
    private var hasExpect = false
    /// Lines that must stay out of every compression table (RFC 7541 §6.2.3).
    package private(set) var sensitive = FieldMask()

    package init() {}

    /// Takes the next field of the block. `text`: what the decoder has written so far; `table` brings the storage for lines.
    package mutating func take(_ field: HeaderField, isSensitive: Bool, in text: Bytes, into table: inout HeaderTable) -> HTTP2Refusal? {
        let name = text.slice(Int(field.nameOffset), Int(field.nameOffset) &+ Int(field.nameCount))
        let value = Place(field).view(text)
        if name.count > 0, name[0] == UInt8(ascii: ":") { return take(pseudo: name, value, Place(field)) }
        hasLines = true
        if name.count > HTTP1Limits.nameBytesMax { return .fault(.nameTooLong) }
        guard FieldRules.isName(name), FieldRules.isValue(value) else { return .malformed }
        let index = unsafe Int(table.count)
        guard index < HTTP1Limits.fieldsMax, unsafe index < Int(table.capacity) else { return .fault(.tooManyFields) }
        unsafe table.fields.unsafelyUnwrapped[index] = field
        unsafe table.count &+= 1
        if isSensitive { sensitive.insert(index) }
        let known = KnownField.identify(name, tag: field.tag)
        if known != .other { return unsafe take(known, value, index, &table) }
        if field.tag == Self.cookie.tag, name.equals("cookie") {
            cookies &+= 1
            cookieBytes &+= value.count
        }
        return nil
    }

    private mutating func take(pseudo name: Bytes, _ value: Bytes, _ place: Place) -> HTTP2Refusal? {
        let kind: Pseudo
        switch name.count {
        case 5 where name.equals(":path"): (kind, path) = (.path, place)
        case 7 where name.equals(":method"): (kind, method) = (.method, place)
        case 7 where name.equals(":scheme"): (kind, scheme) = (.scheme, place)
        case 9 where name.equals(":protocol"): (kind, wanted) = (.protocol, place)
        case 10 where name.equals(":authority"): (kind, authority) = (.authority, place)
        default: return .malformed
        }
        // §8.3: before all others, and once.
        guard !hasLines, seen.insert(kind).inserted, FieldRules.isValue(value) else { return .malformed }
        return nil
    }

    private mutating func take(_ known: KnownField, _ value: Bytes, _ index: Int, _ table: inout HeaderTable) -> HTTP2Refusal? {
        if FieldRules.isConnectionSpecific(known, value) { return .malformed }
        switch known {
        case .host:
            if hostIndex >= 0 { return .fault(.repeatedHost) }
            hostIndex = index
        case .expect:
            guard !hasExpect, value.equalsFolded("100-continue") else { return .fault(.unknownExpectation) }
            hasExpect = true
        case .via, .requestID, .forwardedFor, .forwardedProto, .forwardedHost, .claim, .reserved:
            if forwarding.take(known, index: index) {
                // Out of sight of every filter as well.
                unsafe table.fields.unsafelyUnwrapped[index].tag = 0
                framing.dropped.insert(index)
            }
            return nil
        default: break
        }
        return framing.take(known, value: value, index: index) == nil ? nil : .malformed
    }

    /// The block is over.
    ///
    /// - Parameters:
    ///   - text: where the block's text stands for as long as the head lives; cookies are joined behind it.
    ///   - endsStream: the request has no body.
    ///   - takesWebSockets: the caller was told that extended CONNECT is understood.
    ///   - scratch: as in `RequestHeadParser`.
    package mutating func finish(
        _ text: inout OutputSpace, endsStream: Bool, takesWebSockets: Bool = false, scratch: UnsafeMutableBufferPointer<UInt8>,
        into head: inout RequestHead
    ) -> HTTP2Refusal? {
        unsafe head.headers.base = text.bytes.base
        guard seen.contains(.method), case var methodText = method.view(text.bytes), methodText.isToken else { return .malformed }
        if methodText.count > HTTP1Limits.methodBytesMax { return .fault(.methodTooLong) }
        let isConnect = methodText.equals("CONNECT")
        // §8.5. With a protocol (RFC 8441) it is for those who were told that we understand it.
        if isConnect, seen == [.method, .authority] { return .fault(.tunnelRefused) }
        guard seen.isSuperset(of: [.scheme, .path]), seen.contains(.protocol) == isConnect, !isConnect || takesWebSockets else { return .malformed }
        if isConnect { methodText = Bytes("GET") }
        unsafe head.methodText = methodText
        unsafe head.method = Method(methodText)
        if let refusal = unsafe finishAuthority(text.bytes, &head) { return refusal }
        if let refusal = unsafe finishFraming(endsStream: endsStream, &head) { return refusal }
        if let refusal = unsafe joinCookies(&text, &head) { return refusal }
        if isConnect, let refusal = unsafe askForWebSocket(&text, &head) { return refusal }
        if text.count > HTTP1Limits.headBytesMax { return .fault(.headTooLarge) }
        unsafe head.minorVersion = 1
        unsafe head.keepsAlive = true
        unsafe head.asksUpgrade = isConnect
        unsafe head.headers.isWireFormat = true
        unsafe head.dropped = framing.dropped
        unsafe head.sensitive = sensitive
        unsafe head.forwarding = forwarding
        let target = path.view(text.bytes)
        if target.count > HTTP1Limits.targetBytesMax { return .fault(.targetTooLong) }
        // No absolute form: the authority has a field of its own.
        guard target.count > 0, target[0] == UInt8(ascii: "/") || target.equals("*"), target.firstInvisible(from: 0, to: target.count) == target.count
        else { return .malformed }
        return unsafe RequestTarget.read(target, scratch: scratch, into: &head).map { .fault($0) }
    }

    /// Who is meant: `:authority`, else `host`; if both stand there they say the same (§8.3.1).
    private func finishAuthority(_ text: Bytes, _ head: inout RequestHead) -> HTTP2Refusal? {
        let scheme = scheme.view(text)
        let defaultPort: StaticString
        if scheme.equalsFolded("http") {
            defaultPort = ":80"
        } else if scheme.equalsFolded("https") {
            defaultPort = ":443"
        } else {
            return .malformed
        }
        let host = hostIndex >= 0 ? unsafe head.headers.value(hostIndex) : nil
        let named = seen.contains(.authority) ? authority.view(text) : nil
        guard let meant = named ?? host else { return .fault(.missingHost) }
        guard Authority.isValid(meant), host.map(Authority.isValid) ?? true else { return .fault(.malformedHost) }
        if let host, !Authority.areSame(host, meant, defaultPort: defaultPort) { return .fault(.differingHost) }
        unsafe head.authority = meant
        return nil
    }

    private func finishFraming(endsStream: Bool, _ head: inout RequestHead) -> HTTP2Refusal? {
        let length = framing.length
        if endsStream {
            // §8.1.1: the length is of all DATA there is.
            guard length <= 0 else { return .malformed }
            unsafe head.framing = length == 0 ? .length(0) : .none
        } else {
            unsafe head.framing = length >= 0 ? .length(length) : .chunked
        }
        unsafe head.expectsContinue = hasExpect && !endsStream
        return nil
    }

    /// §8.2.3: several cookie fields are one where HTTP/1 or a filter reads them.
    private mutating func joinCookies(_ text: inout OutputSpace, _ head: inout RequestHead) -> HTTP2Refusal? {
        guard cookies > 1 else { return nil }
        let index = unsafe Int(head.headers.count)
        guard index < HTTP1Limits.fieldsMax, unsafe index < Int(head.headers.capacity) else { return .fault(.tooManyFields) }
        let nameCount = 6, separators = 2 &* (cookies &- 1)
        let start = text.count
        guard nameCount &+ 2 &+ cookieBytes &+ separators &+ 2 <= text.room else { return .fault(.headTooLarge) }
        text.append(Bytes("cookie: "))
        let valueStart = text.count
        var line = unsafe head.headers.firstIndex(of: Self.cookie)
        while line >= 0 {
            let piece = unsafe head.headers.value(line)
            if piece.count > 0 {
                // White space at the end would be none of the value's in HTTP/1: an empty piece is left out.
                if text.count > valueStart { text.append(Bytes("; ")) }
                text.append(piece)
            }
            if sensitive.contains(line) { sensitive.insert(index) }
            unsafe head.headers.fields.unsafelyUnwrapped[line].tag = 0
            framing.dropped.insert(line)
            line = unsafe head.headers.firstIndex(of: Self.cookie, from: line &+ 1)
        }
        let valueCount = text.count &- valueStart
        text.append(Bytes("\r\n"))
        unsafe head.headers.fields.unsafelyUnwrapped[index] = HeaderField(
            nameOffset: UInt16(truncatingIfNeeded: start), nameCount: UInt16(nameCount), valueOffset: UInt16(truncatingIfNeeded: valueStart),
            valueCount: UInt16(truncatingIfNeeded: valueCount), tag: Self.cookie.tag)
        unsafe head.headers.count &+= 1
        return nil
    }

    /// RFC 8441 §5: what HTTP/1 asks for with a GET and lines of its own. The service says yes or no in its version's words, and the caller
    /// hears it in this one's.
    private mutating func askForWebSocket(_ text: inout OutputSpace, _ head: inout RequestHead) -> HTTP2Refusal? {
        // Other protocols have no counterpart that is known to be safe, and a tunnel's bytes are no body.
        guard wanted.view(text.bytes).equalsFolded("websocket") else { return .fault(.tunnelRefused) }
        guard framing.length < 0 else { return .malformed }
        unsafe head.framing = .none
        unsafe head.expectsContinue = false
        // The key is for one hop, as in HTTP/1; this caller has none of its own.
        var line = unsafe head.headers.firstIndex(of: Self.key)
        while line >= 0 {
            framing.dropped.insert(line)
            line = unsafe head.headers.firstIndex(of: Self.key, from: line &+ 1)
        }
        let index = unsafe Int(head.headers.count)
        guard index < HTTP1Limits.fieldsMax, unsafe index < Int(head.headers.capacity) else { return .fault(.tooManyFields) }
        let offer = Bytes("upgrade: websocket\r\n")
        guard offer.count <= text.room else { return .fault(.headTooLarge) }
        let start = text.count
        text.append(offer)
        unsafe head.headers.fields.unsafelyUnwrapped[index] = HeaderField(
            nameOffset: UInt16(truncatingIfNeeded: start), nameCount: 7, valueOffset: UInt16(truncatingIfNeeded: start &+ 9), valueCount: 9,
            tag: Upgrade.header.tag)
        unsafe head.headers.count &+= 1
        framing.dropped.insert(index)
        return nil
    }
}
