/// Writes a whole response of our own: a refusal, an error, `100 Continue`.
package enum ReplyWriter {
    /// `100 Continue`, sent when ``ServerMachine/wantsBody()`` says so.
    package static let continueHead: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"

    /// Writes head and body into `memory`; returns their length, nil if there is no room.
    ///
    /// `plan` is from ``ServerMachine/sendsHead(status:framing:)`` called with `.length(body.count)`; a body that must not be
    /// written (to HEAD) still counts in content-length. `date` and `extra` are rendered lines, each with its CRLF, or empty.
    package static func write(
        _ status: UInt16, body: Bytes, plan: ServerMachine.ResponsePlan, date: Bytes = .empty, extra: Bytes = .empty,
        into memory: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var writer = unsafe HeadWriter(into: memory)
        writer.statusLine(status)
        writer.lines(date)
        // 204 and 304 announce no body, and say nothing about one.
        let announcesBody = status != 204 && status != 304
        if announcesBody, !body.isEmpty { writer.field(Bytes("content-type"), Bytes("text/plain; charset=utf-8")) }
        writer.lines(extra)
        let headEnd = writer.finish(announcesBody ? .length(Int64(body.count)) : .none, connection: plan.connection)
        guard headEnd != nil else { return nil }
        if !plan.omitsBody { writer.append(body) }
        return writer.needed <= memory.count ? writer.needed : nil
    }
}

/// Reason phrases of RFC 9110 §15 and its successors.
package enum ReasonPhrase {
    /// Empty for a status without a registered phrase, which is what the grammar then allows.
    package static func of(_ status: UInt16) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 102: "Processing"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 203: "Non-Authoritative Information"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 207: "Multi-Status"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 407: "Proxy Authentication Required"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        case 508: "Loop Detected"
        default: ""
        }
    }
}
