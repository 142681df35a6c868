/// The header names that the codec itself gives a meaning to.
package enum KnownField: UInt8, BitwiseCopyable, Sendable {
    case other
    case host, contentLength, transferEncoding, connection, keepAlive, proxyConnection, te, upgrade, http2Settings, expect
    /// `Content_Length`, `Transfer_Encoding`: gateways behind us may read an underscore as a dash.
    case disguisedFraming

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
        default: .other
        }
    }
}
