/// Codes of RST_STREAM and GOAWAY (RFC 9113 §7). A code that nobody knows is nothing special: it counts as `internalError`.
package struct HTTP2ErrorCode: BitwiseCopyable, Equatable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let noError = Self(rawValue: 0x0)
    package static let protocolError = Self(rawValue: 0x1)
    package static let internalError = Self(rawValue: 0x2)
    package static let flowControlError = Self(rawValue: 0x3)
    package static let settingsTimeout = Self(rawValue: 0x4)
    package static let streamClosed = Self(rawValue: 0x5)
    package static let frameSizeError = Self(rawValue: 0x6)
    package static let refusedStream = Self(rawValue: 0x7)
    package static let cancel = Self(rawValue: 0x8)
    package static let compressionError = Self(rawValue: 0x9)
    package static let connectError = Self(rawValue: 0xA)
    package static let enhanceYourCalm = Self(rawValue: 0xB)
    package static let inadequateSecurity = Self(rawValue: 0xC)
    package static let http11Required = Self(rawValue: 0xD)
}

/// What a peer did wrong, and how much of the connection that ends (RFC 9113 §5.4).
package struct HTTP2Fault: BitwiseCopyable, Error, Equatable, Sendable {
    package enum Scope: BitwiseCopyable, Equatable, Sendable {
        /// RST_STREAM with the code; the connection goes on.
        case stream(UInt32)
        /// GOAWAY with the code, then close.
        case connection
    }

    package let code: HTTP2ErrorCode
    package let scope: Scope

    package init(_ code: HTTP2ErrorCode, _ scope: Scope = .connection) {
        self.code = code
        self.scope = scope
    }
}
