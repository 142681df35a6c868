/// Builds a response's head from the fields of its block (RFC 9113 §8.3.2), as `ResponseHeadParser` does from lines.
///
/// Of a response nothing but HTTP/2's own rules is judged; whatever is wrong, the caller's answer is 502 and the stream is reset.
package struct ResponseFieldsReader: BitwiseCopyable {
    private var framing = FramingFields()
    private var status: UInt16 = 0
    private var hasLines = false
    /// As in ``RequestFieldsReader/sensitive``.
    package private(set) var sensitive = FieldMask()

    package init() {}

    /// Takes the next field of the block; false: the response is malformed. `text` and `table` as in ``RequestFieldsReader``.
    package mutating func take(_ field: HeaderField, isSensitive: Bool, in text: Bytes, into table: inout HeaderTable) -> Bool {
        let name = text.slice(Int(field.nameOffset), Int(field.nameOffset) &+ Int(field.nameCount))
        let value = text.slice(Int(field.valueOffset), Int(field.valueOffset) &+ Int(field.valueCount))
        if name.count > 0, name[0] == UInt8(ascii: ":") { return takePseudo(name, value) }
        hasLines = true
        let index = unsafe Int(table.count)
        guard name.count <= HTTP1Limits.nameBytesMax, FieldRules.isName(name), FieldRules.isValue(value), index < HTTP1Limits.fieldsMax,
            unsafe index < Int(table.capacity)
        else { return false }
        unsafe table.fields.unsafelyUnwrapped[index] = field
        unsafe table.count &+= 1
        if isSensitive { sensitive.insert(index) }
        let known = KnownField.identify(name, tag: field.tag)
        if FieldRules.isConnectionSpecific(known, value) { return false }
        switch known {
        case .contentLength, .disguisedFraming: return framing.take(known, value: value, index: index) == nil
        case .reserved: framing.dropped.insert(index)
        default: break
        }
        return true
    }

    private mutating func takePseudo(_ name: Bytes, _ value: Bytes) -> Bool {
        guard !hasLines, status == 0, name.equals(":status"), value.count == 3, value[0] &- 0x31 < 5, ASCII.isDigit(value[1]), ASCII.isDigit(value[2])
        else { return false }
        status = UInt16(value[0] & 0x0F) &* 100 &+ UInt16(value[1] & 0x0F) &* 10 &+ UInt16(value[2] & 0x0F)
        return true
    }

    /// The block is over; false: the response is malformed.
    ///
    /// - Parameters:
    ///   - text: where the block's text stands for as long as the head lives.
    ///   - isToHead: the request was HEAD, so there is no body whatever the head says.
    package mutating func finish(_ text: Bytes, endsStream: Bool, isToHead: Bool, into head: inout ResponseHead) -> Bool {
        guard status > 0, text.count <= HTTP1Limits.headBytesMax else { return false }
        let length = framing.length
        let hasBody = !isToHead && status >= 200 && status != 204 && status != 304
        if status < 200 {
            // §8.6: there is no switching of protocols here; an interim response has no body, and is not the last word.
            guard status != 101, length < 0, !endsStream else { return false }
        } else if hasBody {
            guard !endsStream || length <= 0 else { return false }
        } else if status == 204 {
            guard length <= 0 else { return false }
        }
        if hasBody {
            unsafe head.framing = endsStream ? .length(0) : length >= 0 ? .length(length) : .chunked
        } else {
            unsafe head.framing = .none
            // What a GET would have had: information for the caller, not framing.
            if status != 204, length >= 0 { framing.dropped.remove(framing.lengthIndex) }
        }
        unsafe head.status = status
        unsafe head.reason = .empty
        unsafe head.minorVersion = 1
        unsafe head.keepsAlive = true
        unsafe head.namesUpgrade = false
        unsafe head.headers.base = text.base
        unsafe head.headers.isWireFormat = true
        unsafe head.dropped = framing.dropped
        unsafe head.sensitive = sensitive
        return true
    }
}

/// Judges a trailer section (§8.1), field by field.
package struct TrailerFieldsReader: BitwiseCopyable {
    private var bytes = 0
    private var count = 0

    package init() {}

    /// What becomes of a field; a framing field makes its message malformed, because what reads it as HTTP/1 might believe it.
    package mutating func take(_ name: Bytes, _ value: Bytes, tag: UInt32) -> HTTP2Refusal? {
        count &+= 1
        bytes &+= name.count &+ value.count &+ 4
        if count > HTTP1Limits.trailersMax || bytes > HTTP1Limits.trailersBytesMax { return .fault(.trailersTooLarge) }
        // A pseudo-header is no token either.
        guard name.count <= HTTP1Limits.nameBytesMax, FieldRules.isName(name), FieldRules.isValue(value) else { return .malformed }
        switch KnownField.identify(name, tag: tag) {
        case .contentLength, .host, .disguisedFraming, .te, .expect: return .malformed
        case let known: return FieldRules.isConnectionSpecific(known, value) ? .malformed : nil
        }
    }
}
