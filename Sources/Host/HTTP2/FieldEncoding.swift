internal import Pipeline

/// Writes the heads of an exchange as field blocks, as `HeadEncoding` writes them for HTTP/1.
enum FieldEncoding {
    typealias Stream = UnsafeMutablePointer<StreamStorage>

    private static let grpcStatus: HeaderName = "grpc-status"

    static func request(
        _ x: UnsafeMutablePointer<ExchangeStorage>, on s: Stream, _ link: HTTP2Link, hop: HopName, isTLS: Bool, endsStream: Bool
    ) {
        let table = x.pointee.request.headers
        let target = x.pointee.requestEdits.last(.path) ?? x.pointee.request.target
        let authority = x.authorityNow
        let caller = x.pointee.connection
        var dropped = x.pointee.request.dropped
        HeadEncoding.drop(edited: x.pointee.requestEdits, of: table, from: &dropped)
        var hops = HopWriter(x.pointee.request, from: caller.pointee.caller, isTLS: caller.pointee.isTLS, hop: hop, dropping: &dropped)
        if !x.pointee.requestEdits.isEmpty { hops.yield(to: x.pointee.requestEdits) }
        // Of the time that the caller gives, what has gone by here is spent.
        let timeout = x.pointee.requestEdits.isEmpty ? x.grpcTimeout : nil
        if timeout != nil { HeadEncoding.drop(GRPCTimeout.name, of: table, from: &dropped) }
        withLines(of: x.pointee.requestEdits, link) { writer in
            if let timeout { GRPCTimeout.write(timeout - (link.worker.w.pointee.loop.now - x.pointee.startedAt), to: &writer) }
            hops.write(x.pointee.request.authority, table, id: x.pointee.requestID, to: &writer)
        } _: { lines, count in
            let text = bytes(of: table) + lines.count + target.count + authority.count + x.pointee.request.methodText.count + 64
            link.sendBlock(at: s.pointee.place, textBytes: text, fields: Int(table.count) + count + 5, endsStream: endsStream) { block, encoder in
                block.field(":method", x.pointee.request.methodText, &encoder)
                block.field(":scheme", isTLS ? Bytes("https") : Bytes("http"), &encoder)
                block.field(":authority", authority, &encoder)
                block.field(":path", target, &encoder)
                block.fields(table, skipping: dropped, sensitive: x.pointee.request.sensitive, &encoder)
                block.lines(lines, &encoder)
                if case .length(let length) = x.pointee.request.framing { block.field("content-length", number: length, &encoder) }
            }
        }
    }

    /// - Parameter via: as in `HeadEncoding`.
    static func response(_ x: UnsafeMutablePointer<ExchangeStorage>, on s: Stream, _ link: HTTP2Link, via: Bytes) {
        let table = x.pointee.response.headers
        let framing = x.pointee.response.framing
        let status = x.pointee.response.status
        var dropped = x.pointee.response.dropped
        HeadEncoding.drop(edited: x.pointee.responseEdits, of: table, from: &dropped)
        withLines(of: x.pointee.responseEdits, link) { writer in
            writer.lines(via)
        } _: { lines, count in
            link.sendBlock(
                at: s.pointee.place, textBytes: bytes(of: table) + lines.count + 64, fields: Int(table.count) + count + 2,
                endsStream: framing.isEmpty || s.pointee.omitsBody
            ) { block, encoder in
                block.field(":status", number: Int64(status), &encoder)
                block.fields(table, skipping: dropped, sensitive: x.pointee.response.sensitive, &encoder)
                block.lines(lines, &encoder)
                if case .length(let length) = framing { block.field("content-length", number: length, &encoder) }
            }
        }
    }

    /// The 200 that opens a tunnel (RFC 8441 §5): the 101 without what is for HTTP/1 alone.
    static func agreement(_ x: UnsafeMutablePointer<ExchangeStorage>, on s: Stream, _ link: HTTP2Link, via: Bytes) {
        let table = x.pointee.response.headers
        var dropped = x.pointee.response.dropped
        HeadEncoding.drop(edited: x.pointee.responseEdits, of: table, from: &dropped)
        HeadEncoding.drop(WebSocketKey.accept, of: table, from: &dropped)
        withLines(of: x.pointee.responseEdits, link) { writer in
            writer.lines(via)
        } _: { lines, count in
            link.sendBlock(at: s.pointee.place, textBytes: bytes(of: table) + lines.count + 32, fields: Int(table.count) + count + 1, endsStream: false) { block, encoder in
                block.field(":status", Bytes("200"), &encoder)
                block.fields(table, skipping: dropped, sensitive: x.pointee.response.sensitive, &encoder)
                block.lines(lines, &encoder)
            }
        }
    }

    static func interim(_ x: UnsafeMutablePointer<ExchangeStorage>, on s: Stream, _ link: HTTP2Link) {
        let table = x.pointee.response.headers
        link.sendBlock(at: s.pointee.place, textBytes: bytes(of: table) + 32, fields: Int(table.count) + 1, endsStream: false) { block, encoder in
            block.field(":status", number: Int64(x.pointee.response.status), &encoder)
            block.fields(table, skipping: x.pointee.response.dropped, sensitive: x.pointee.response.sensitive, &encoder)
        }
    }

    /// The head of an answer of our own.
    static func reply(_ x: UnsafeMutablePointer<ExchangeStorage>, on s: Stream, _ link: HTTP2Link, tellsReason: Bool) {
        let status = x.pointee.response.status
        let body = x.pointee.replyBody
        let saysLength = status != 204 && status != 304
        withLines(of: x.pointee.responseEdits, link) { writer in
            if saysLength, !body.isEmpty { writer.field(Bytes("content-type"), Bytes("text/plain; charset=utf-8")) }
            if tellsReason { writer.field(HeadEncoding.reasonHeader, Bytes(x.pointee.flag.text)) }
        } _: { lines, count in
            link.sendBlock(
                at: s.pointee.place, textBytes: lines.count + 64, fields: count + 2,
                endsStream: body.isEmpty || !saysLength || s.pointee.omitsBody
            ) { block, encoder in
                block.field(":status", number: Int64(status), &encoder)
                block.lines(lines, &encoder)
                if saysLength { block.field("content-length", number: Int64(body.count), &encoder) }
            }
        }
    }

    /// An answer of our own to a call of gRPC: its status, and nothing else ("trailers only").
    static func reply(
        _ x: UnsafeMutablePointer<ExchangeStorage>, _ status: GRPCStatus, on s: Stream, _ link: HTTP2Link, tellsReason: Bool
    ) {
        withLines(of: x.pointee.responseEdits, link) { writer in
            if tellsReason { writer.field(HeadEncoding.reasonHeader, Bytes(x.pointee.flag.text)) }
            writer.field(grpcStatus, number: UInt64(status.rawValue))
            writer.append(Bytes("grpc-message: "))
            appendMessage(x.pointee.replyBody, to: &writer)
            writer.append(Bytes("\r\n"))
        } _: { lines, count in
            link.sendBlock(at: s.pointee.place, textBytes: lines.count + 64, fields: count + 2, endsStream: true) { block, encoder in
                block.field(":status", Bytes("200"), &encoder)
                block.field("content-type", Bytes("application/grpc"), &encoder)
                block.lines(lines, &encoder)
            }
        }
    }

    /// A message is percent-encoded but for what is printable (grpc/doc/PROTOCOL-HTTP2.md); its last line end is not part of it.
    private static func appendMessage(_ text: Bytes, to writer: inout HeadWriter) {
        var end = text.count
        if end > 0, text[end - 1] == 0x0A { end -= 1 }
        for index in 0..<end {
            let byte = text[index]
            if byte >= 0x20, byte <= 0x7E, byte != UInt8(ascii: "%") {
                writer.append(text.slice(index, index + 1))
            } else {
                writer.append(Bytes("%"))
                writer.appendHexadecimal(UInt64(byte), digits: 2)
            }
        }
    }

    /// The head of an answer outside of any exchange, whose body is `text`.
    static func status(_ status: UInt16, _ text: Bytes = .empty, on s: Stream, _ link: HTTP2Link, endsStream: Bool = false) {
        link.sendBlock(at: s.pointee.place, textBytes: 128, fields: 3, endsStream: endsStream) { block, encoder in
            block.field(":status", number: Int64(status), &encoder)
            guard !text.isEmpty else { return }
            block.field("content-type", Bytes("text/plain; charset=utf-8"), &encoder)
            block.field("content-length", number: Int64(text.count), &encoder)
        }
    }

    // MARK: Parts

    /// Bytes that the lines of a table take at most: they stand one behind the other.
    private static func bytes(of table: HeaderTable) -> Int {
        guard table.count > 0, let fields = table.fields else { return 0 }
        let last = fields[Int(table.count) - 1]
        return Int(last.valueOffset) + Int(last.valueCount)
    }

    /// Lines that this hop and its filters add, rendered as HTTP/1 writes them, and how many they are at most.
    private static func withLines(
        of edits: EditLog, _ link: HTTP2Link, _ fill: (inout HeadWriter) -> Void, _ body: (Bytes, Int) -> Void
    ) {
        var lines = IOBuffer()
        HeadEncoding.write(&lines, &link.worker.w.pointee.buffers) { writer in
            fill(&writer)
            HeadEncoding.append(edits, to: &writer)
            return writer.needed
        }
        let text = lines.unread
        var count = 0
        var position = 0
        while position < text.count {
            position = text.first(0x0A, from: position, to: text.count) + 1
            count += 1
        }
        body(text, count)
        lines.free(&link.worker.w.pointee.buffers)
    }
}
