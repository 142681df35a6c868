internal import Pipeline

/// The sending half of a connection that speaks HTTP/2, the same at both ends.
///
/// A message goes out as far as the stream's window, the connection's and the socket have room; the rest of a piece waits in the
/// stream, and nobody gives it another one before that is gone. Streams that wait take turns, one frame each.
struct HTTP2Link: BitwiseCopyable {
    /// With its header it fills one TLS record.
    private static let dataBytesMax = Transport.recordBytes - FrameHeader.byteCount

    let h: UnsafeMutablePointer<HTTP2Storage>
    let output: UnsafeMutablePointer<IOBuffer>
    let transport: UnsafeMutablePointer<Transport>
    /// What is long may go to the socket at once.
    let maySend: Bool
    let worker: Worker

    private var machine: UnsafeMutablePointer<HTTP2Machine> { withUnsafeMutablePointer(to: &h.pointee.machine) { $0 } }

    /// Lets the machine write what the protocol asks for.
    @inline(__always)
    func control<Result>(_ body: (inout OutputSpace) -> Result) -> Result {
        let room = output.pointee.reserve(HTTP2Machine.beginBytesMax, &worker.w.pointee.buffers)
        var space = OutputSpace(room.bindMemory(to: UInt8.self))
        let result = body(&space)
        output.pointee.filled(space.count)
        return result
    }

    // MARK: Heads

    /// Writes a block of so many fields with so much text.
    func sendBlock(
        at place: Int, textBytes: Int, fields: Int, endsStream: Bool, _ fill: (inout FieldBlockWriter, inout HPACKEncoder) -> Void
    ) {
        let room = output.pointee.reserve(FieldBlockWriter.bytesMax(textBytes: textBytes, fields: fields), &worker.w.pointee.buffers)
        var writer = FieldBlockWriter(into: room, &machine.pointee.encoder)
        fill(&writer, &machine.pointee.encoder)
        let stream = machine.pointee.streams[place]
        output.pointee.filled(
            writer.finish(stream: stream.pointee.number, endsStream: endsStream, frameBytesMax: machine.pointee.peer.frameBytesMax))
        if endsStream { stream.pointee.weEnded = true }
    }

    // MARK: Bodies

    /// Whether another piece can be taken: nothing of the last one waits. Who is told no hears when that changes.
    func acceptsBody(_ s: UnsafeMutablePointer<StreamStorage>) -> Bool {
        guard !s.pointee.isWaiting else { return false }
        if output.pointee.count < HostLimits.outputMax { return true }
        wait(s)
        return false
    }

    func send(_ piece: Bytes, isLast: Bool, on s: UnsafeMutablePointer<StreamStorage>) {
        if isLast { s.pointee.outboundEnded = true }
        guard !s.pointee.isWaiting else { return s.pointee.outbound.append(piece, &worker.w.pointee.buffers) }
        let sent = pass(piece, on: s)
        guard sent < piece.count || s.pointee.outboundEnded && !hasEnded(s) else { return }
        s.pointee.outbound.append(piece.slice(sent, piece.count), &worker.w.pointee.buffers)
        wait(s)
    }

    /// Whether our message is complete and out.
    func hasEnded(_ s: UnsafeMutablePointer<StreamStorage>) -> Bool { machine.pointee.streams[s.pointee.place].pointee.weEnded }

    /// The streams that wait send what there is room for now.
    ///
    /// - Parameter roomMade: called for each that has nothing left to send, so that it is given more.
    func sendWaiting(_ roomMade: (UnsafeMutablePointer<StreamStorage>) -> Void) {
        h.pointee.waitsForOutput = false
        // Who is blocked by its own window goes to the end; one round finds all of them.
        var looks = h.pointee.live
        while looks > 0, output.pointee.count < HostLimits.outputMax, let s = h.pointee.firstWaiting {
            looks -= 1
            h.pointee.firstWaiting = s.pointee.nextWaiting
            if h.pointee.firstWaiting == nil { h.pointee.lastWaiting = nil }
            s.pointee.isWaiting = false
            s.pointee.nextWaiting = nil
            let piece = s.pointee.outbound.unread
            let sent = pass(piece, on: s, framesMax: 1)
            s.pointee.outbound.drop(sent)
            if sent < piece.count || s.pointee.outboundEnded && !hasEnded(s) {
                if sent > 0 { looks += 1 }
                wait(s)
                continue
            }
            s.pointee.outbound.free(&worker.w.pointee.buffers)
            roomMade(s)
        }
        if h.pointee.firstWaiting != nil, output.pointee.count >= HostLimits.outputMax { h.pointee.waitsForOutput = true }
    }

    /// Its turn comes when there is room.
    func wait(_ s: UnsafeMutablePointer<StreamStorage>) {
        guard !s.pointee.isWaiting else { return }
        s.pointee.isWaiting = true
        if output.pointee.count >= HostLimits.outputMax { h.pointee.waitsForOutput = true }
        if let last = h.pointee.lastWaiting { last.pointee.nextWaiting = s } else { h.pointee.firstWaiting = s }
        h.pointee.lastWaiting = s
    }

    /// The stream is over: it waits for nothing.
    func stopWaiting(_ s: UnsafeMutablePointer<StreamStorage>) {
        guard s.pointee.isWaiting else { return }
        var previous: UnsafeMutablePointer<StreamStorage>?
        var next = h.pointee.firstWaiting
        while let current = next, current != s {
            previous = current
            next = current.pointee.nextWaiting
        }
        if let previous { previous.pointee.nextWaiting = s.pointee.nextWaiting } else { h.pointee.firstWaiting = s.pointee.nextWaiting }
        if h.pointee.lastWaiting == s { h.pointee.lastWaiting = previous }
        s.pointee.isWaiting = false
    }

    /// Frames of a piece, as many as there is room for, and the message's end behind its last byte. Returns the bytes that went.
    private func pass(_ piece: Bytes, on s: UnsafeMutablePointer<StreamStorage>, framesMax: Int = .max) -> Int {
        let place = s.pointee.place
        let endsWithData = s.pointee.outboundEnded && s.pointee.outboundTrailers.isEmpty
        var sent = 0
        var frames = 0
        while sent < piece.count, frames < framesMax, output.pointee.count < HostLimits.outputMax {
            let count = min(machine.pointee.room(at: place), Self.dataBytesMax, piece.count - sent)
            guard count > 0 else { break }
            let isLast = endsWithData && sent + count == piece.count
            control { machine.pointee.data(count, isLast: isLast, at: place, into: &$0) }
            let part = piece.slice(sent, sent + count)
            if maySend {
                _ = WriteThrough.send(part, after: &output.pointee, over: &transport.pointee, &worker.w.pointee.buffers)
            } else {
                output.pointee.append(part, &worker.w.pointee.buffers)
            }
            sent += count
            frames += 1
        }
        if sent > 0 { s.pointee.progress = worker.w.pointee.loop.now + worker.w.pointee.bounds.bodyProgressTime }
        guard sent == piece.count, s.pointee.outboundEnded, !hasEnded(s) else { return sent }
        if s.pointee.outboundTrailers.isEmpty {
            control { machine.pointee.data(0, isLast: true, at: place, into: &$0) }
        } else {
            sendTrailers(s)
        }
        return sent
    }

    private func sendTrailers(_ s: UnsafeMutablePointer<StreamStorage>) {
        let text = s.pointee.outboundTrailers.unread
        sendBlock(at: s.pointee.place, textBytes: text.count, fields: HTTP1Limits.trailersMax, endsStream: true) { writer, encoder in
            TrailerLines.forEach(text) { name, value, isSensitive in writer.field(name, value, isSensitive: isSensitive, &encoder) }
        }
        s.pointee.outboundTrailers.free(&worker.w.pointee.buffers)
    }

    // MARK: The other half

    /// Keeps the text of a head for as long as its exchange lives.
    static func keep(_ count: Int, _ s: UnsafeMutablePointer<StreamStorage>, _ x: UnsafeMutablePointer<ExchangeStorage>) -> UnsafeMutableRawPointer {
        if let memory = x.pointee.arena.allocate(count) { return memory }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 8)
        s.pointee.head?.deallocate()
        s.pointee.head = memory
        return memory
    }
}
