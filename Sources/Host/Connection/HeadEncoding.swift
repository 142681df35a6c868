internal import Pipeline

/// Writes the heads of an exchange into a connection's output: received lines, the filters' edits, and what the hop itself
/// says.
enum HeadEncoding {
    /// What a peer sidecar says of its own answers (ARCHITECTURE §15); applications never see it.
    static let reasonHeader: HeaderName = "x-weft-reason"

    static func request(
        _ x: UnsafeMutablePointer<ExchangeStorage>, hop: HopName, into output: inout IOBuffer, _ pool: inout BufferPool
    ) {
        let table = x.pointee.request.headers
        let target = x.pointee.requestEdits.last(.path) ?? x.pointee.request.target
        var dropped = x.pointee.request.dropped
        drop(edited: x.pointee.requestEdits, of: table, from: &dropped)
        let caller = x.pointee.connection
        var hops = HopWriter(
            x.pointee.request, from: caller.pointee.caller, isTLS: caller.pointee.isTLS, hop: hop, dropping: &dropped)
        if !x.pointee.requestEdits.isEmpty { hops.yield(to: x.pointee.requestEdits) }
        write(&output, &pool) { writer in
            writer.requestLine(x.pointee.request.methodText, target, authority: x.authorityNow)
            writer.copyFields(table, skipping: dropped)
            hops.write(x.pointee.request.authority, table, id: x.pointee.requestID, to: &writer)
            append(x.pointee.requestEdits, to: &writer)
            if x.offersUpgrade {
                Upgrade.writeOffer(of: table, to: &writer)
                if x.pointee.callerSpeaksHTTP2 { WebSocketKey.write(for: x, to: &writer) }
            }
            return writer.finish(x.pointee.request.framing)
        }
    }

    /// - Parameter via: this hop's line, if it is a proxy that its caller chose (RFC 9110 §7.6.3); else empty.
    static func response(
        _ x: UnsafeMutablePointer<ExchangeStorage>, plan: ServerMachine.ResponsePlan, via: Bytes, into output: inout IOBuffer,
        _ pool: inout BufferPool
    ) {
        var dropped = x.pointee.response.dropped
        let table = x.pointee.response.headers
        drop(edited: x.pointee.responseEdits, of: table, from: &dropped)
        write(&output, &pool) { writer in
            writer.statusLine(x.pointee.response.status, reason: x.pointee.response.reason)
            writer.copyFields(table, skipping: dropped)
            writer.lines(via)
            append(x.pointee.responseEdits, to: &writer)
            return writer.finish(plan.framing, connection: plan.connection)
        }
    }

    /// The 101 that opens a tunnel.
    static func agreement(
        _ x: UnsafeMutablePointer<ExchangeStorage>, via: Bytes, into output: inout IOBuffer, _ pool: inout BufferPool
    ) {
        var dropped = x.pointee.response.dropped
        let table = x.pointee.response.headers
        drop(edited: x.pointee.responseEdits, of: table, from: &dropped)
        write(&output, &pool) { writer in
            writer.statusLine(101, reason: x.pointee.response.reason)
            writer.copyFields(table, skipping: dropped)
            writer.lines(via)
            append(x.pointee.responseEdits, to: &writer)
            Upgrade.writeAgreement(table, to: &writer)
            return writer.finish(.none)
        }
    }

    static func interim(_ x: UnsafeMutablePointer<ExchangeStorage>, into output: inout IOBuffer, _ pool: inout BufferPool) {
        write(&output, &pool) { writer in
            writer.statusLine(x.pointee.response.status, reason: x.pointee.response.reason)
            writer.copyFields(x.pointee.response.headers, skipping: x.pointee.response.dropped)
            return writer.finish(.none)
        }
    }

    /// An answer of our own, body and all.
    static func reply(
        _ x: UnsafeMutablePointer<ExchangeStorage>, plan: ServerMachine.ResponsePlan, tellsReason: Bool, into output: inout IOBuffer,
        _ pool: inout BufferPool
    ) {
        let status = x.pointee.response.status
        let body = x.pointee.replyBody
        let saysLength = status != 204 && status != 304
        write(&output, &pool) { writer in
            writer.statusLine(status)
            if saysLength, !body.isEmpty { writer.field(Bytes("content-type"), Bytes("text/plain; charset=utf-8")) }
            if tellsReason { writer.field(reasonHeader, Bytes(x.pointee.flag.text)) }
            append(x.pointee.responseEdits, to: &writer)
            guard writer.finish(saysLength ? .length(Int64(body.count)) : .none, connection: plan.connection) != nil else { return nil }
            if !plan.omitsBody { writer.append(body) }
            return writer.needed
        }
    }

    // MARK: Parts

    /// Runs `fill` over the room there is, and again over as much as it turned out to need.
    static func write(_ output: inout IOBuffer, _ pool: inout BufferPool, _ fill: (inout HeadWriter) -> Int?) {
        var room = output.reserve(1_024, &pool)
        while true {
            var writer = HeadWriter(into: room)
            _ = fill(&writer)
            if writer.needed <= room.count { return output.filled(writer.needed) }
            room = output.reserve(writer.needed, &pool)
        }
    }

    static func append(_ edits: EditLog, to writer: inout HeadWriter) {
        var edit = edits.first
        while let current = edit {
            switch current.pointee.operation {
            case .add: writer.field(current.pointee.name, current.pointee.value)
            case .set where isLast(current): writer.field(current.pointee.name, current.pointee.value)
            case .set, .remove, .path, .authority: break
            }
            edit = current.pointee.next
        }
    }

    /// Whether no later edit sets or removes the same header.
    private static func isLast(_ edit: UnsafeMutablePointer<Edit>) -> Bool {
        var next = edit.pointee.next
        while let later = next {
            if later.pointee.name == edit.pointee.name, later.pointee.operation == .set || later.pointee.operation == .remove {
                return false
            }
            next = later.pointee.next
        }
        return true
    }

    static func drop(edited edits: EditLog, of table: HeaderTable, from dropped: inout FieldMask) {
        var edit = edits.first
        while let current = edit {
            if current.pointee.operation == .set || current.pointee.operation == .remove {
                drop(current.pointee.name, of: table, from: &dropped)
            }
            edit = current.pointee.next
        }
    }

    static func drop(_ name: HeaderName, of table: HeaderTable, from dropped: inout FieldMask) {
        var index = table.firstIndex(of: name)
        while index >= 0 {
            dropped.insert(index)
            index = table.firstIndex(of: name, from: index + 1)
        }
    }
}

/// Writes pieces of a body, in chunks where the length is not known beforehand.
enum BodyEncoding {
    /// Sends what `transport` takes of a long piece at once and keeps the rest in `output`; nil: only keeps it. Returns the bytes
    /// written.
    static func send(
        _ piece: Bytes, isLast: Bool, inChunks: Bool, afterTrailers: Bool, after output: inout IOBuffer,
        over transport: UnsafeMutablePointer<Transport>?, _ pool: inout BufferPool
    ) -> Int {
        var sent = 0
        if !piece.isEmpty {
            if inChunks {
                let room = output.reserve(ChunkWriter.headBytesMax, &pool)
                if let count = ChunkWriter.head(of: piece.count, into: room) { output.filled(count) }
            }
            if let transport {
                sent = WriteThrough.send(piece, after: &output, over: &transport.pointee, &pool)
            } else {
                output.append(piece, &pool)
            }
            if inChunks { output.append(Bytes(ChunkWriter.tail), &pool) }
        }
        if inChunks, isLast { output.append(afterTrailers ? Bytes("\r\n") : Bytes(ChunkWriter.end), &pool) }
        return sent
    }

    /// One trailer line as it travels on.
    static func trailer(_ name: Bytes, _ value: Bytes, to output: inout IOBuffer, _ pool: inout BufferPool) {
        let room = output.reserve(name.count + value.count + 4, &pool)
        var writer = HeadWriter(into: room)
        writer.field(name, value)
        output.filled(writer.needed)
    }
}

extension BodyStep.Trailer {
    /// Its name and value, where they stand in the bytes it was found in.
    func views(in bytes: Bytes) -> (name: Bytes, value: Bytes) {
        (bytes.slice(nameOffset, nameOffset + nameCount), bytes.slice(valueOffset, valueOffset + valueCount))
    }
}
