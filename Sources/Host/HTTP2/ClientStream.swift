internal import Pipeline

/// One stream to an endpoint: an attempt that shares its connection with others.
struct ClientStream: BitwiseCopyable {
    let s: UnsafeMutablePointer<StreamStorage>

    init(_ s: UnsafeMutablePointer<StreamStorage>) { self.s = s }

    var connection: Upstream { Upstream(s.pointee.owner.assumingMemoryBound(to: UpstreamStorage.self)) }
    private var worker: Worker { connection.u.pointee.worker }
    private var now: Instant { worker.w.pointee.loop.now }
    private var link: HTTP2Link { connection.link.unsafelyUnwrapped }

    // MARK: The request

    /// An exchange takes a stream of a connection to `pool`'s endpoint, of a new one if none has a stream to give.
    static func begin(
        _ x: UnsafeMutablePointer<ExchangeStorage>, over pool: UnsafeMutablePointer<UpstreamPool>, _ worker: Worker
    ) -> Result<Void, ProxyError> {
        switch Upstream.multiplexing(pool, worker) {
        case .failure(let error): return .failure(error)
        case .success(let upstream):
            guard let h = upstream.u.pointee.http2, case let place = h.pointee.machine.open(), place >= 0 else {
                return .failure(ProxyError(.overflow, isProvablyUnsent: true))
            }
            let s = h.pointee.streams + place
            s.initialize(to: StreamStorage(owner: UnsafeMutableRawPointer(upstream.u), place: place))
            ClientStream(s).begin(x)
            return .success(())
        }
    }

    private func begin(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        s.pointee.exchange = x
        x.pointee.upstream = UnsafeMutableRawPointer(s)
        x.pointee.serviceSpeaksHTTP2 = true
        let upstream = connection
        upstream.u.pointee.idleDeadline = .distantFuture
        if upstream.u.pointee.state == .ready { upstream.countForPair(x) }
        let hop = x.pointee.wayIn == .inbound ? worker.w.pointee.inboundHop : worker.w.pointee.outboundHop
        let kept = x.pointee.replay.bytes
        FieldEncoding.request(
            x, on: s, link, hop: hop, isTLS: upstream.u.pointee.transport.isTLS, endsStream: x.pointee.requestEnded && kept.isEmpty)
        x.pointee.attemptBytesSent &+= 1
        if !kept.isEmpty { sendBody(kept, isLast: false) }
        if x.pointee.requestEnded { sendBody(.empty, isLast: true) }
        upstream.flushLater()
    }

    func sendBody(_ piece: Bytes, isLast: Bool) {
        guard !s.pointee.isGone else { return }
        guard !link.hasEnded(s) else { return s.pointee.outboundEnded = true }
        link.send(piece, isLast: isLast, on: s)
        s.pointee.exchange?.pointee.attemptBytesSent &+= UInt64(piece.count)
        connection.flushLater()
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes, isSensitive: Bool) {
        TrailerLines.append(name, value, isSensitive: isSensitive, to: &s.pointee.outboundTrailers, &worker.w.pointee.buffers)
    }

    /// Whether more of a request's body can be taken.
    var acceptsBody: Bool { s.pointee.isGone || link.acceptsBody(s) }

    /// Everything that waited has gone.
    func roomMade() {
        if let x = s.pointee.exchange { Caller(x).pump() }
    }

    // MARK: The answer

    func receiveHead(_ taken: HTTP2Machine.Taken, _ x: UnsafeMutablePointer<ExchangeStorage>, endsStream: Bool) {
        switch taken {
        case .interim:
            // Its text stands in the loop's scratch, which nobody else uses meanwhile.
            Caller(x).sendInterim(x)
            Caller(x).settleLater()
        case .message(let text):
            x.pointee.moveResponse(text, to: HTTP2Link.keep(text.count, s, x))
            s.pointee.headBytes = text.count
            s.pointee.inboundEnded = endsStream
            if !endsStream, x.pointee.response.status == 200, x.isGRPC, x.canRetry {
                link.h.pointee.heldHead = s
            } else {
                deliverHead(x)
            }
        case .malformed, .refused: broken(ProxyError(.upstreamProtocol))
        case .failed: break
        }
    }

    private func deliverHead(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        s.pointee.hasHead = true
        if s.pointee.inboundEnded { x.noteGRPCStatus(in: x.pointee.response.headers) }
        let caller = Caller(x)
        ChainRun(x).responseHead(at: now)
        caller.perform(x)
        pump()
        caller.settleLater()
    }

    // MARK: A head that waits

    /// A service of gRPC that fails may send a head, and what it has to say in trailers: no stage could try again once the head has
    /// gone. So it waits for as long as bytes are here to be read, and trailers right behind it become part of it, as in an answer
    /// that is "trailers only".
    var holdsHead: Bool { link.h.pointee.heldHead == s }

    /// Something else came, or nothing more is here.
    func releaseHead() {
        link.h.pointee.heldHead = nil
        if let x = s.pointee.exchange { deliverHead(x) }
    }

    /// False if the two together are too much: they stay two.
    private func joinTrailers(_ table: HeaderTable, _ text: Bytes, _ sensitive: FieldMask, _ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        let first = Int(x.pointee.response.headers.count), headBytes = s.pointee.headBytes, total = headBytes + text.count
        guard first + Int(table.count) <= HTTP1Limits.fieldsMax, total <= HTTP1Limits.headBytesMax, let head = x.pointee.response.headers.base,
            let trailers = text.base, let fields = x.pointee.response.headers.fields, let memory = x.pointee.arena.allocate(total)
        else { return false }
        memory.copyMemory(from: head, byteCount: headBytes)
        (memory + headBytes).copyMemory(from: trailers, byteCount: text.count)
        for index in 0..<Int(table.count) {
            guard var field = table.fields?[index] else { continue }
            field.nameOffset += UInt16(headBytes)
            field.valueOffset += UInt16(headBytes)
            fields[first + index] = field
            if sensitive.contains(index) { x.pointee.response.sensitive.insert(first + index) }
        }
        x.pointee.response.headers.base = UnsafePointer(memory.assumingMemoryBound(to: UInt8.self))
        x.pointee.response.headers.count += table.count
        x.pointee.response.framing = .none
        return true
    }

    // MARK: The answer's body

    /// A piece of its body came.
    func receive(_ piece: Bytes, isLast: Bool) {
        guard let x = s.pointee.exchange else { return }
        s.pointee.inboundEnded = isLast
        let caller = Caller(x)
        var rest = piece
        if s.pointee.inbound.isEmpty, mayDeliver, isAccepted(by: caller, x) {
            // What the caller's windows have no room for waits here, under a window of ours, and not there.
            let taken = min(piece.count, caller.window)
            if taken == piece.count {
                deliver(piece, isLast: isLast, x, keepsUp: true)
                return caller.settleLater()
            }
            rest = piece.slice(taken, piece.count)
            if taken > 0 { deliver(piece.slice(0, taken), isLast: false, x) }
        }
        if s.pointee.exchange == x, !s.pointee.isGone {
            s.pointee.inbound.append(rest, &worker.w.pointee.buffers)
            // Up to where the caller takes no more: then it tells when it does.
            pump()
        }
        caller.settleLater()
    }

    /// - Parameter text: the trailers', which `table` points into.
    func receive(trailers table: HeaderTable, _ text: Bytes, sensitive: FieldMask) {
        guard let x = s.pointee.exchange else { return }
        if holdsHead {
            link.h.pointee.heldHead = nil
            if joinTrailers(table, text, sensitive, x) {
                s.pointee.inboundEnded = true
                return deliverHead(x)
            }
            deliverHead(x)
            guard s.pointee.exchange == x else { return }
        }
        s.pointee.inboundEnded = true
        x.noteGRPCStatus(in: table)
        for index in 0..<Int(table.count) {
            TrailerLines.append(
                table.name(index), table.value(index), isSensitive: sensitive.contains(index), to: &s.pointee.inboundTrailers,
                &worker.w.pointee.buffers)
        }
        let caller = Caller(x)
        pump()
        caller.settleLater()
    }

    /// Whether the caller has room for more, if need be after what has gathered there has left.
    private func isAccepted(by caller: Caller, _ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        if caller.acceptsBody { return true }
        caller.settle()
        return s.pointee.exchange == x && !s.pointee.isGone && caller.acceptsBody
    }

    private var mayDeliver: Bool {
        guard s.pointee.hasHead, let x = s.pointee.exchange else { return false }
        return ChainRun(x).acceptsResponseBody
    }

    /// The caller, or the runner, may have room for what waits.
    func pump() {
        while mayDeliver, let x = s.pointee.exchange {
            let caller = Caller(x)
            if !s.pointee.inbound.isEmpty {
                guard isAccepted(by: caller, x) else { return }
                let window = caller.window
                guard window > 0 else { return caller.tellWhenRoom() }
                let waiting = s.pointee.inbound.unread
                let piece = waiting.slice(0, min(waiting.count, HostLimits.outputMax, window))
                s.pointee.inbound.drop(piece.count)
                let isLast = s.pointee.inboundEnded && s.pointee.inbound.isEmpty && s.pointee.inboundTrailers.isEmpty
                deliver(piece, isLast: isLast, x)
                if s.pointee.exchange == x, s.pointee.inbound.isEmpty { s.pointee.inbound.free(&worker.w.pointee.buffers) }
            } else if s.pointee.inboundEnded {
                TrailerLines.forEach(s.pointee.inboundTrailers.unread) { caller.sendTrailer($0, $1, isSensitive: $2) }
                s.pointee.inboundTrailers.free(&worker.w.pointee.buffers)
                deliver(.empty, isLast: true, x)
            } else {
                return
            }
        }
    }

    private func deliver(_ piece: Bytes, isLast: Bool, _ x: UnsafeMutablePointer<ExchangeStorage>, keepsUp: Bool = false) {
        let caller = Caller(x)
        guard isLast else {
            ChainRun(x).responseBody(piece, isLast: false, at: now)
            caller.perform(x)
            guard s.pointee.exchange == x, !s.pointee.isGone else { return }
            link.control { link.h.pointee.machine.release(piece.count, at: s.pointee.place, keepsUp: keepsUp, into: &$0) }
            return connection.flushLater()
        }
        ChainRun(x).responseBody(piece, isLast: true, at: now)
        // Let go first: the exchange's memory is gone after its last action. The piece stays where it is until then.
        letGo(x)
        caller.perform(x)
        if !s.pointee.isGone { link.control { link.h.pointee.machine.finish(s.pointee.place, into: &$0) } }
        connection.flushLater()
        free()
    }

    // MARK: Ends

    private func letGo(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        s.pointee.exchange = nil
        x.pointee.upstream = nil
        x.pointee.serviceSpeaksHTTP2 = false
    }

    /// The exchange gave the attempt up: the service hears of it at once.
    func cancel() {
        if let x = s.pointee.exchange { x.pointee.serviceSpeaksHTTP2 = false }
        s.pointee.exchange = nil
        if !s.pointee.isGone { link.control { link.h.pointee.machine.reset(s.pointee.place, .cancel, into: &$0) } }
        connection.flushLater()
        free()
    }

    /// The service reset the stream.
    func reset(_ code: HTTP2ErrorCode) {
        guard let x = s.pointee.exchange else { return broken(ProxyError(.upstreamReset)) }
        if code == .refusedStream { return broken(ProxyError(.upstreamReset, isProvablyUnsent: true)) }
        broken(ProxyError(x.pointee.state == .responding ? .responseCut : .upstreamReset))
    }

    /// The attempt failed. The machine has forgotten the stream.
    func broken(_ error: ProxyError) {
        s.pointee.isGone = true
        let exchange = s.pointee.exchange
        if let x = exchange { letGo(x) }
        free()
        guard let x = exchange else { return }
        ChainRun(x).attemptFailed(error, at: now)
        let caller = Caller(x)
        caller.perform(x)
        caller.settleLater()
    }

    /// Nothing of it has left: it goes over another connection, and no stage hears of it.
    func beginElsewhere() {
        s.pointee.isGone = true
        let exchange = s.pointee.exchange, worker = self.worker, pool = connection.u.pointee.pool
        if let x = exchange { letGo(x) }
        free()
        guard let x = exchange else { return }
        x.pointee.attemptBytesSent = 0
        let caller = Caller(x)
        Service.attempt(x, over: pool, fresh: true, worker)
        caller.perform(x)
        caller.settleLater()
    }

    private func free() {
        if let link = connection.link {
            link.stopWaiting(s)
            if link.h.pointee.heldHead == s { link.h.pointee.heldHead = nil }
        }
        // What is delivered may still be read further up the stack: buffers go at the turn's end at the earliest.
        s.pointee.free(&worker.w.pointee.buffers)
        connection.streamEnded()
    }
}
