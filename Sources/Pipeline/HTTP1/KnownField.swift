/// The header names that the codec itself gives a meaning to.
package enum KnownField: UInt8, BitwiseCopyable, Sendable {
    case other
    case host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, te, upgrade, http2Settings, expect
    /// `Content_Length`, `Transfer_Encoding`: gateways behind us may read an underscore as a dash.
    case disguisedFraming
    /// What a hop adds to; see ``ForwardingFields``.
    case via, requestID, forwardedFor, forwardedProto, forwardedHost
    /// Says where a request came from or what it was for: believed only of those who may say so.
    case claim
    /// Ends at every hop, whoever sent it: identities that are proved by certificates here, and words between sidecars.
    case reserved

    /// A header's name by its tag first: one switch on a word, and a comparison of text only for a likely match.
    @inline(__always)
    package static func identify(_ name: Bytes, tag: UInt32) -> KnownField {
        switch tag {
        case 0x0468_7374: name.equalsFolded("host") ? .host : .other
        case 0x0E63_2D68: name.equalsFolded("content-length") ? .contentLength : .other
        case 0x1174_2D67: name.equalsFolded("transfer-encoding") ? .transferEncoding : .other
        case 0x0A63_636E: name.equalsFolded("connection") ? .connection : .other
        case 0x0A6B_6165: name.equalsFolded("keep-alive") ? .keepAlive : .other
        case 0x1070_6E6E: name.equalsFolded("proxy-connection") ? .proxyConnection : .other
        case 0x0274_6565: name.equalsFolded("te") ? .te : .other
        case 0x0775_7265: name.equalsFolded("upgrade") ? .upgrade : .other
        case 0x0E68_6573: name.equalsFolded("http2-settings") ? .http2Settings : .other
        case 0x0665_6574: name.equalsFolded("expect") ? .expect : .other
        case 0x0E63_7F68: name.equalsFolded("content_length") ? .disguisedFraming : .other
        case 0x1174_7F67: name.equalsFolded("transfer_encoding") ? .disguisedFraming : .other
        case 0x0376_6961: name.equalsFolded("via") ? .via : .other
        case 0x0C78_6564: name.equalsFolded("x-request-id") ? .requestID : ofExtension(name)
        case 0x0F78_7272: name.equalsFolded("x-forwarded-for") ? .forwardedFor : ofExtension(name)
        case 0x1178_646F: name.equalsFolded("x-forwarded-proto") ? .forwardedProto : ofExtension(name)
        case 0x1078_6474: name.equalsFolded("x-forwarded-host") ? .forwardedHost : ofExtension(name)
        case 0x0966_6164: name.equalsFolded("forwarded") ? .claim : .other
        case 0x0570_6F79: name.equalsFolded("proxy") ? .reserved : .other
        // The extensions of old: their first letter is an X.
        default: tag & 0x00FF_0000 == 0x0078_0000 ? ofExtension(name) : .other
        }
    }

    /// `X-…`. A gateway behind us may read an underscore as a dash, so an imitation is as good as the name itself, and it never
    /// is honest.
    private static func ofExtension(_ name: Bytes) -> KnownField {
        guard name.count >= 7, name[1] == UInt8(ascii: "-") || name[1] == UInt8(ascii: "_") else { return .other }
        let isImitation = name.contains(UInt8(ascii: "_"))
        switch name[2] | 0x20 {
        case UInt8(ascii: "w"):
            return name.imitatesPrefix("x-weft-") ? .reserved : .other
        case UInt8(ascii: "f"):
            guard name.imitatesPrefix("x-forwarded-") else { return .other }
            return isImitation || name.equalsFolded("x-forwarded-client-cert") ? .reserved : .claim
        case UInt8(ascii: "r"):
            guard name.imitates("x-real-ip") || name.imitates("x-rewrite-url") else { return .other }
            return isImitation ? .reserved : .claim
        case UInt8(ascii: "o"):
            guard name.imitates("x-original-url") || name.imitates("x-original-host") else { return .other }
            return isImitation ? .reserved : .claim
        default:
            return .other
        }
    }
}

extension Bytes {
    /// Whether these begin with `literal`, which is in lower case, if an underscore counts as a dash.
    fileprivate func imitatesPrefix(_ literal: StaticString) -> Bool {
        let other = Bytes(literal)
        guard count >= other.count else { return false }
        var index = 0
        while index < other.count {
            let byte = self[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : ASCII.lowercased(self[index])
            if byte != other[index] { return false }
            index &+= 1
        }
        return true
    }

    fileprivate func imitates(_ literal: StaticString) -> Bool { count == literal.utf8CodeUnitCount && imitatesPrefix(literal) }
}
