/// Why a message was refused. After any of these the connection it came on is answered at most once and closed.
///
/// Rule 0: reject beats normalise beats forward. What two parsers could read differently is refused here, so that nothing
/// behind this proxy ever sees it.
package enum HTTP1Fault: UInt8, BitwiseCopyable, Error, Sendable, CaseIterable {
    // Lines
    case bareLineFeed, bareCarriageReturn, controlByte
    case headTooLarge, tooManyFields, nameTooLong
    // Start line
    case malformedRequestLine, methodTooLong, targetTooLong, malformedVersion, unsupportedVersion
    /// Neither a method that is known nor a version of HTTP: whoever speaks something else has no use for an answer, and gets none.
    case notHTTP
    case malformedTarget, malformedPath, encodedPathByte, pathAboveRoot, tunnelRefused
    case malformedStatusLine
    // Header lines
    case lineFold, spaceInName, missingColon, emptyName, malformedName
    case malformedLength, repeatedLength, lengthAndCoding
    case unknownCoding, unsupportedCoding, repeatedCoding, codingInHTTP10, disguisedFraming
    case missingHost, repeatedHost, malformedHost, differingHost
    case malformedConnection, protectedConnectionOption
    case unknownExpectation
    case malformedUpgrade, upgradeWithBody
    case loop, malformedMaxForwards
    // Body
    case malformedChunkSize, malformedChunk, malformedExtension, extensionsTooLarge
    case malformedTrailer, forbiddenTrailer, trailersTooLarge
    case truncated
    // Responses
    case bodyNotAllowed, unaskedSwitch, tooManyInterimResponses, unexpectedBytes

    /// The answer to a caller whose request this is. For an upstream's response the answer is 502, whatever the case.
    package var status: UInt16 {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields, .nameTooLong, .trailersTooLarge: 431
        case .unknownExpectation: 417
        case .unsupportedCoding, .tunnelRefused: 501
        case .unsupportedVersion: 505
        case .loop: 508
        case .malformedStatusLine, .bodyNotAllowed, .unaskedSwitch, .tooManyInterimResponses, .unexpectedBytes: 502
        default: 400
        }
    }

    /// For the reply's body, the log and `weft why`: static, never the peer's bytes.
    package var reason: StaticString {
        switch self {
        case .bareLineFeed: "line feed without carriage return"
        case .bareCarriageReturn: "carriage return without line feed"
        case .controlByte: "control byte in a header value"
        case .headTooLarge: "message head too large"
        case .tooManyFields: "too many header lines"
        case .nameTooLong: "header name too long"
        case .malformedRequestLine: "malformed request line"
        case .methodTooLong: "method too long"
        case .targetTooLong: "request target too long"
        case .malformedVersion: "malformed HTTP version"
        case .notHTTP: "this is not HTTP"
        case .unsupportedVersion: "unsupported HTTP version"
        case .malformedTarget: "malformed request target"
        case .malformedPath: "malformed path"
        case .encodedPathByte: "ambiguous escape in the path"
        case .pathAboveRoot: "path leads above the root"
        case .tunnelRefused: "tunnels are not served"
        case .malformedStatusLine: "malformed status line"
        case .lineFold: "folded header line"
        case .spaceInName: "white space before the colon of a header line"
        case .missingColon: "header line without a colon"
        case .emptyName: "header line without a name"
        case .malformedName: "malformed header name"
        case .malformedLength: "malformed content-length"
        case .repeatedLength: "repeated content-length"
        case .lengthAndCoding: "both content-length and transfer-encoding"
        case .unknownCoding: "transfer-encoding is not chunked"
        case .unsupportedCoding: "unsupported transfer coding"
        case .repeatedCoding: "repeated transfer-encoding"
        case .codingInHTTP10: "transfer-encoding in HTTP/1.0"
        case .disguisedFraming: "header name that imitates a framing header"
        case .missingHost: "no host"
        case .repeatedHost: "repeated host"
        case .malformedHost: "malformed host"
        case .differingHost: "host differs from the request target"
        case .malformedConnection: "malformed connection header"
        case .protectedConnectionOption: "connection header names a protected header"
        case .unknownExpectation: "unknown expectation"
        case .malformedUpgrade: "malformed upgrade header"
        case .upgradeWithBody: "upgrade of a request with a body"
        case .loop: "the request has come by here before"
        case .malformedMaxForwards: "malformed max-forwards"
        case .malformedChunkSize: "malformed chunk size"
        case .malformedChunk: "malformed chunk"
        case .malformedExtension: "malformed chunk extension"
        case .extensionsTooLarge: "chunk extensions too large"
        case .malformedTrailer: "malformed trailer"
        case .forbiddenTrailer: "framing header among the trailers"
        case .trailersTooLarge: "trailers too large"
        case .truncated: "message ended early"
        case .bodyNotAllowed: "response with this status cannot have a body"
        case .unaskedSwitch: "protocol switch that nobody asked for"
        case .tooManyInterimResponses: "too many interim responses"
        case .unexpectedBytes: "bytes outside of a response"
        }
    }
}

/// What a head parser makes of the bytes so far: exactly one of three, whatever the bytes and wherever reads cut them.
package enum HeadStep: Equatable, Sendable {
    /// Call again with the same bytes and more behind them; they may have moved.
    case needMore
    /// The head is filled in. It took this many bytes; views in it stay valid as long as the bytes stay where they are.
    case complete(byteCount: Int)
    /// Answer with the fault's status (or 502 if an upstream sent it) and close. Parse nothing more on this connection.
    case reject(HTTP1Fault)
}
