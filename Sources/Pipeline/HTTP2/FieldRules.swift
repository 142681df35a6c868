/// What a field of HTTP/2 may look like, in whichever message and section it stands (RFC 9113 §8.2).
///
/// A field that breaks these would become another message where it is written as HTTP/1; so it makes its message malformed.
enum FieldRules {
    /// A token in lower case: stricter than §8.2.1 asks, as strict as HTTP/1 (RFC 9110 §5.6.2), where it may go on to.
    static func isName(_ name: Bytes) -> Bool {
        var index = 0
        while index < name.count {
            let byte = name[index]
            guard ASCII.isToken(byte), byte &- 0x41 >= 26 else { return false }
            index &+= 1
        }
        return name.count > 0
    }

    /// No control bytes but tabulators, and no white space around it.
    static func isValue(_ value: Bytes) -> Bool {
        guard value.count > 0 else { return true }
        if isBlank(value[0]) || isBlank(value[value.count &- 1]) { return false }
        var position = value.firstControl(from: 0, to: value.count)
        while position < value.count {
            guard value[position] == 0x09 else { return false }
            position = value.firstControl(from: position &+ 1, to: value.count)
        }
        return true
    }

    /// §8.2.2: what is about an HTTP/1 connection has no meaning here, and none on the way to one.
    static func isConnectionSpecific(_ known: KnownField, _ value: Bytes) -> Bool {
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: true
        case .te: !value.equalsFolded("trailers")
        default: false
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

/// Why a message is not taken.
package enum HTTP2Refusal: BitwiseCopyable, Equatable, Sendable {
    /// It is no message at all (§8.1.1): RST_STREAM with PROTOCOL_ERROR. Of a response: 502 to the caller besides.
    case malformed
    /// It is one that HTTP/1 would refuse as well, with the fault's status.
    case fault(HTTP1Fault)
}
