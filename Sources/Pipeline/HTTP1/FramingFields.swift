/// What the header lines of a head say about framing and about the connection, gathered line by line.
///
/// Common to requests and responses; what only one of them knows stays in its parser.
package struct FramingFields: BitwiseCopyable {
    /// Lines that end here: hop-by-hop ones, and those the encoder writes anew.
    package var dropped = FieldMask()
    /// The value of Content-Length; -1 without one.
    package private(set) var length: Int64 = -1
    @Packed private var optionCount = 0
    /// The line it stands in, so that a response to HEAD can keep it.
    @Packed package private(set) var lengthIndex = -1
    package private(set) var isChunked = false
    package private(set) var saysClose = false
    package private(set) var saysKeepAlive = false
    package private(set) var saysUpgrade = false
    package private(set) var hasUpgrade = false
    /// Connection names headers of its own, which are to go no further (RFC 9110 §7.6.1).
    package private(set) var namesOthers = false

    package init() {}

    /// Notes one line; returns what is wrong with it.
    package mutating func take(_ known: KnownField, value: Bytes, index: Int) -> HTTP1Fault? {
        switch known {
        case .contentLength:
            if length >= 0 { return .repeatedLength }
            if isChunked { return .lengthAndCoding }
            guard let number = Self.decimal(value) else { return .malformedLength }
            length = number
            lengthIndex = index
        case .transferEncoding:
            if isChunked { return .repeatedCoding }
            if length >= 0 { return .lengthAndCoding }
            guard value.equalsFolded("chunked") else {
                return Self.isSupportedElsewhere(value) ? .unsupportedCoding : .unknownCoding
            }
            isChunked = true
        case .connection:
            if let fault = takeConnection(value) { return fault }
        case .te:
            // The one value that has a meaning end to end: the caller can take trailers.
            if value.equalsFolded("trailers") { return nil }
        case .upgrade:
            hasUpgrade = true
        case .disguisedFraming:
            return .disguisedFraming
        case .keepAlive, .proxyConnection, .http2Settings, .host, .expect:
            break
        case .other, .via, .requestID, .forwardedFor, .forwardedProto, .forwardedHost, .claim, .reserved:
            return nil
        }
        dropped.insert(index)
        return nil
    }

    /// Whether the connection is to stay open (RFC 9112 §9.3).
    package func keepsAlive(minorVersion: UInt8) -> Bool { !saysClose && (minorVersion >= 1 || saysKeepAlive) }

    /// Adds the lines that Connection names to those dropped; only called when it names any.
    package mutating func dropNamedLines(_ table: HeaderTable) {
        var line = 0
        while unsafe line < Int(table.count) {
            if unsafe KnownField.identify(table.name(line), tag: table.tag(line)) == .connection {
                var options = unsafe ListElements(table.value(line))
                while let option = options.next() {
                    // Already judged by its value.
                    if option.equalsFolded("te") { continue }
                    var index = 0
                    while unsafe index < Int(table.count) {
                        if unsafe table.name(index).equalsFolded(option) { dropped.insert(index) }
                        index &+= 1
                    }
                }
            }
            line &+= 1
        }
    }

    private mutating func takeConnection(_ value: Bytes) -> HTTP1Fault? {
        // The two values nearly everyone sends.
        if value.equalsFolded("keep-alive") { saysKeepAlive = true; return nil }
        if value.equalsFolded("close") { saysClose = true; return nil }
        var options = ListElements(value)
        while let option = options.next() {
            optionCount &+= 1
            if optionCount > HTTP1Limits.connectionOptionsMax { return .malformedConnection }
            if option.equalsFolded("keep-alive") {
                saysKeepAlive = true
            } else if option.equalsFolded("close") {
                saysClose = true
            } else if option.equalsFolded("upgrade") {
                saysUpgrade = true
            } else if Self.isProtected(option) {
                return .protectedConnectionOption
            } else if !option.isToken {
                return .malformedConnection
            } else if !option.equalsFolded("te") {
                // `te` is judged by its own line: a caller that takes trailers is heard end to end.
                namesOthers = true
            }
        }
        return nil
    }

    /// Headers nobody may strip by naming them: framing, routing, and who somebody is.
    private static func isProtected(_ name: Bytes) -> Bool {
        name.equalsFolded("content-length") || name.equalsFolded("transfer-encoding") || name.equalsFolded("host")
            || name.equalsFolded("authorization") || name.equalsFolded("cookie") || name.equalsFolded("forwarded")
            || name.equalsFolded("via") || name.equalsFolded("x-request-id") || name.equalsFolded("x-real-ip")
            || name.hasFoldedPrefix("x-forwarded-") || name.hasFoldedPrefix("x-weft-")
    }

    /// Codings of RFC 9112 §7, alone or before `chunked`: understood by others, so 501 says more than 400.
    private static func isSupportedElsewhere(_ value: Bytes) -> Bool {
        var elements = ListElements(value)
        guard let first = elements.next(), first.count > 0 else { return false }
        let isKnown =
            first.equalsFolded("gzip") || first.equalsFolded("x-gzip") || first.equalsFolded("deflate")
            || first.equalsFolded("compress") || first.equalsFolded("x-compress")
        guard isKnown else { return false }
        guard let second = elements.next() else { return first.count == value.count }
        return second.equalsFolded("chunked") && elements.next() == nil && value[value.count - 1] | 0x20 == UInt8(ascii: "d")
    }

    /// One or more digits, at most 2^63 - 1 (RFC 9110 §8.6); nil for everything else, a list or a sign included.
    private static func decimal(_ text: Bytes) -> Int64? {
        guard text.count > 0, text.count <= 19 else { return nil }
        var number: UInt64 = 0
        var index = 0
        while index < text.count {
            guard ASCII.isDigit(text[index]) else { return nil }
            // 19 digits stay below 2^64.
            number = number &* 10 &+ UInt64(text[index] & 0x0F)
            index &+= 1
        }
        return number <= UInt64(Int64.max) ? Int64(number) : nil
    }
}

/// The non-empty elements of a comma-separated list (RFC 9110 §5.6.1), trimmed.
package struct ListElements: BitwiseCopyable {
    private let value: Bytes
    private var position = 0

    package init(_ value: Bytes) { self.value = value }

    package mutating func next() -> Bytes? {
        while position < value.count {
            let end = value.first(UInt8(ascii: ","), from: position, to: value.count)
            let element = value.slice(position, end).trimmed
            position = end &+ 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}

extension Bytes {
    /// Whether this is a token of RFC 9110 §5.6.2.
    package var isToken: Bool {
        var index = 0
        while index < count {
            guard ASCII.isToken(self[index]) else { return false }
            index &+= 1
        }
        return count > 0
    }
}
