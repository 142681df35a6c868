package import Pipeline

/// A whole request of the service protocols (admin, API, joining): small, complete, owned.
package struct ServiceRequest: Sendable {
    package var method: String
    /// Canonical path, without the query.
    package var path: String
    /// Without its `?`.
    package var query: String
    /// In order; names in lower case.
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]
    /// Who asks, if the connection is mutual TLS.
    package var peer: PeerIdentity?
    /// The user id of the asker on a unix socket.
    package var peerUser: UInt32?

    package init(
        _ method: String = "GET", _ path: String, query: String = "", headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
    }

    /// The sole value of a header; nil if it is absent or repeated.
    package func header(_ name: String) -> String? { headers.soleValue(name) }
}

package struct ServiceResponse: Sendable {
    package var status: UInt16
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]

    package init(_ status: UInt16 = 200, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package init(_ status: UInt16 = 200, text: String) {
        self.init(status, headers: [("content-type", "text/plain; charset=utf-8")], body: Array(text.utf8))
    }

    package init(_ status: UInt16 = 200, json: String) {
        self.init(status, headers: [("content-type", "application/json")], body: Array(json.utf8))
    }

    package func header(_ name: String) -> String? { headers.soleValue(name) }
    package var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why a call of a service came to nothing.
package enum ServiceFailure: Error, Equatable, Sendable, CustomStringConvertible {
    case connect(errno: Int32)
    case transport(IOFailure)
    case timeout
    case closed
    case tooLarge
    case protocolError(String)
    /// The answer to an upgrade was not 101.
    case refused(status: UInt16, body: String)
    case system(SystemError)

    package var description: String {
        switch self {
        case .connect(let code): "cannot connect: \(SystemError.text(code))"
        case .transport(let why): why.description
        case .timeout: "no answer in time"
        case .closed: "the connection was closed before the answer was complete"
        case .tooLarge: "the answer is too large"
        case .protocolError(let what): "not an HTTP/1.1 answer: \(what)"
        case .refused(let status, let body): "refused with status \(status): \(body)"
        case .system(let why): why.description
        }
    }
}

/// The bounds of service connections.
package struct ServiceLimits: Sendable {
    /// Bytes of a request's or a response's body; above, 413 or `tooLarge`.
    package var bodyMax = 16 * 1024 * 1024
    /// Connections a server holds; more are closed at once and counted.
    package var connectionsMax = 1_024
    package var handshakeTimeout = Nanoseconds.seconds(10)
    /// From a head's first byte to its last.
    package var headTimeout = Nanoseconds.seconds(10)
    /// Between two arrivals of a body's bytes.
    package var bodyTimeout = Nanoseconds.seconds(30)
    /// Between two requests.
    package var idleTimeout = Nanoseconds.seconds(60)
    /// Bytes of one frame, its length not counted; a peer that announces more is cut off.
    package var frameMax = 16 * 1024 * 1024
    /// Bytes of frames that wait to be written; above, `send` refuses.
    package var queueMax = 64 * 1024 * 1024

    package init() {}
}

extension [(name: String, value: String)] {
    fileprivate func soleValue(_ name: String) -> String? {
        var found: String?
        for header in self where header.name == name {
            if found != nil { return nil }
            found = header.value
        }
        return found
    }

    /// Owned copies of received lines.
    init(_ table: borrowing HeaderTable) {
        self = []
        for index in 0..<Int(table.count) { append((table.name(index).string.lowercased(), table.value(index).string)) }
    }

    /// As lines of a head. A line that would break out of itself is left out: it can only come from a bug of ours.
    var lines: String {
        var text = ""
        for header in self where !(header.name + header.value).utf8.contains(where: { $0 == 0x0D || $0 == 0x0A || $0 == 0 }) {
            text += "\(header.name): \(header.value)\r\n"
        }
        return text
    }
}
