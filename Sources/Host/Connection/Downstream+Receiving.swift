internal import Pipeline

/// The caller's bytes: heads, bodies, the end.
extension Downstream {
    // MARK: Receiving

    /// Takes bytes as far as the exchange and the upstream have room for them.
    func pump() {
        var steps = 0
        pumping: while d.pointee.state == .open, !d.pointee.tunnel.isOpen, !d.pointee.isStream {
            d.pointee.resumesInput = false
            guard wantsInput else {
                // Nothing of it is to come: what it gave rise to leaves with that of other requests, at the end of the turn.
                if d.pointee.hasBegun, let x = d.pointee.exchange, x.pointee.requestEnded { break }
                // What is out of the way on the other side makes room for more.
                settle()
                guard d.pointee.state == .open, wantsInput else { return }
                continue
            }
            steps += 1
            if steps > HostLimits.stepsPerTurn {
                worker.w.pointee.loop.runAgain(d.pointee.registration, d.pointee.canRead ? .readable : [])
                break
            }
            if d.pointee.input.isEmpty, !d.pointee.hasBegun {
                // Between requests nothing is held but the connection itself.
                guard d.pointee.canRead else { break }
                guard readMore() else { break }
                continue
            }
            if d.pointee.exchange == nil {
                switch detect() {
                case .http2: return beginHTTP2()
                case .stream: return becomeStream()
                case .undecided:
                    guard d.pointee.canRead, readMore() else { break pumping }
                    continue
                case .http1: prepareExchange()
                }
            }
            guard let x = d.pointee.exchange else { break }
            let event = d.pointee.machine.receive(
                d.pointee.input.unread, scratch: worker.w.pointee.scratch, into: &x.pointee.request)
            guard step(event, x) else { break }
        }
        settleLater()
    }

    /// Whether the next bytes of the caller can be used now; otherwise they wait in the socket.
    var wantsInput: Bool {
        guard d.pointee.hasBegun, let x = d.pointee.exchange else { return acceptsBody }
        if x.pointee.requestEnded { return false }
        guard ChainRun(x).acceptsRequestBody else { return false }
        return Service(x)?.acceptsBody ?? true
    }

    func step(_ event: ServerEvent, _ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        switch event {
        case .needMore(let consumed):
            d.pointee.input.drop(consumed)
            guard d.pointee.canRead else { return noteWaiting() }
            return readMore()
        case .head(let count):
            d.pointee.input.drop(count)
            d.pointee.input.pin()
            return begin(x)
        case .bodyData(let offset, let count):
            let piece = d.pointee.input.unread.slice(offset, offset + count)
            d.pointee.input.drop(offset + count)
            guard d.pointee.hasBegun else { return true }
            awaitUntil(worker.w.pointee.bounds.bodyProgressTime)
            ChainRun(x).requestBody(piece, isLast: false, at: now)
            perform()
        case .trailer(let trailer):
            let (name, value) = trailer.views(in: d.pointee.input.unread)
            Service(x)?.sendTrailer(name, value)
            d.pointee.input.drop(trailer.byteCount)
        case .bodyEnd(let consumed):
            d.pointee.input.drop(consumed)
            d.pointee.idleDeadline = .distantFuture
            if d.pointee.hasBegun {
                ChainRun(x).requestBody(.empty, isLast: true, at: now)
                perform()
            } else {
                // The rest of a request that was answered before it ended: the next one begins behind it.
                discardPrepared()
            }
        case .paused: return false
        case .reject(let fault): refuse(fault, x)
        case .close:
            discardPrepared()
            finish()
        }
        return true
    }

    /// Whether its caller may go on after a change of keys or roots; asked once per change.
    var isStillTrusted: Bool {
        guard d.pointee.trustEpoch != worker.w.pointee.trustEpoch, d.pointee.isInbound, d.pointee.filters.isTLS else { return true }
        guard let context = d.pointee.isStream ? worker.w.pointee.streamServerTLS : worker.w.pointee.serverTLS, context.trusts(peerOf: d.pointee.transport) else { return false }
        d.pointee.trustEpoch = worker.w.pointee.trustEpoch
        return true
    }

    /// A request head is complete: the exchange begins on the chain that is current.
    func begin(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        guard mayServe() else {
            close()
            return false
        }
        if worker.w.pointee.buffers.isShort || worker.w.pointee.isDraining && d.pointee.isInbound { d.pointee.machine.closeSoon() }
        if worker.w.pointee.buffers.isExhausted {
            worker.w.pointee.stats.memoryShed.increment()
            answerAndFinish(503, Bytes("the sidecar is out of memory for more"), ProxyError(.overloaded))
            return false
        }
        if let fault = keepTarget(x) ?? judgeHops(x) {
            refuse(fault, x)
            return false
        }
        if MaxForwards.isAsked(by: x.pointee.request.method), let answer = answerAsLast(x) {
            answerAndFinish(answer.status, answer.text, ProxyError(.downstreamProtocol))
            return false
        }
        d.pointee.hasBegun = true
        d.pointee.responseEnded = false
        start(x)
        d.pointee.filters.bytesReceived &+= UInt64(d.pointee.input.pinned)
        var ended = false
        switch x.pointee.request.framing {
        case .none, .length(0):
            // The machine is told too: what follows is the next request.
            if case .bodyEnd(let consumed) = d.pointee.machine.receive(
                d.pointee.input.unread, scratch: worker.w.pointee.scratch, into: &x.pointee.request)
            {
                d.pointee.input.drop(consumed)
            }
            ended = true
            d.pointee.idleDeadline = .distantFuture
        case .length, .chunked, .untilClose: awaitUntil(worker.w.pointee.bounds.bodyProgressTime)
        }
        ChainRun(x).requestHead(at: now, ended: ended)
        perform()
        return true
    }

    /// Whether the connection may bring another request: asked with each, for trust and policies change while it is open.
    func mayServe() -> Bool {
        guard isStillTrusted, admitted() else { return false }
        if d.pointee.isInbound, !d.pointee.filters.isTLS, !worker.w.pointee.acceptsPlaintext, d.pointee.wayIn == .inbound,
            worker.w.pointee.serverTLS != nil
        {
            // The mesh went strict while the connection was open.
            worker.w.pointee.stats.plaintextRefused.increment()
            return false
        }
        return true
    }

    /// What an exchange knows before it begins, besides its head.
    func start(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        x.pointee.chain = chain
        x.pointee.startedAt = now
        x.pointee.wayIn = wayIn
        x.pointee.draw = worker.w.pointee.loop.random.pointee.next()
        x.pointee.random = Random(seed: worker.w.pointee.loop.random.pointee.next())
        x.pointee.requestID = (x.pointee.draw, worker.w.pointee.loop.random.pointee.next())
    }

    var wayIn: WayIn {
        switch d.pointee.wayIn {
        case .inbound: return .inbound
        case .proxy: return .proxy
        case .service:
            let index = worker.w.pointee.serviceIndex[Int(d.pointee.listener)]
            return .servicePort(index < 0 ? .max : UInt32(index))
        }
    }

    /// The application may say where a request comes from, a peer of the mesh, which has it from its own application, and a
    /// proxy that the operator named.
    func judgeHops(_ x: UnsafeMutablePointer<ExchangeStorage>) -> HTTP1Fault? {
        x.pointee.request.judgeHops(
            callerIsTrusted: !d.pointee.isInbound || d.pointee.filters.peer != nil || d.pointee.isTrustedProxy,
            hop: d.pointee.isInbound ? worker.w.pointee.inboundHop : worker.w.pointee.outboundHop)
    }

    /// A canonical target that differs from the received one was written to the loop's scratch. It takes the place of what was
    /// received; if it outgrew that (by escapes), it moves to the exchange's memory, and is too long if it does not fit there.
    func keepTarget(_ x: UnsafeMutablePointer<ExchangeStorage>) -> HTTP1Fault? {
        let target = x.pointee.request.target
        guard let base = target.base, let scratch = worker.w.pointee.scratch.baseAddress, base >= UnsafePointer(scratch),
            base < UnsafePointer(scratch) + worker.w.pointee.scratch.count
        else { return nil }
        guard let kept = overReceived(x, target) ?? x.pointee.arena.copy(target), let start = kept.base else { return .targetTooLong }
        x.pointee.request.target = kept
        let move = { (part: Bytes) -> Bytes in
            guard let from = part.base, from >= base, from <= base + target.count else { return part }
            return Bytes(start + (from - base), count: part.count)
        }
        x.pointee.request.path = move(x.pointee.request.path)
        x.pointee.request.query = move(x.pointee.request.query)
        return nil
    }

    /// Writes `target` over the received one, which stands one space behind the method; nil if it is longer.
    private func overReceived(_ x: UnsafeMutablePointer<ExchangeStorage>, _ target: Bytes) -> Bytes? {
        let method = x.pointee.request.methodText
        guard let received = method.base.map({ $0 + method.count + 1 }) else { return nil }
        // An absolute form loses its scheme and authority: Host is read from there. In HTTP/2 it stands nowhere near the method.
        guard !x.pointee.request.isAbsoluteForm, !x.pointee.callerSpeaksHTTP2 else { return nil }
        var room = 0
        while room < target.count, received[room] != 0x20 { room += 1 }
        guard room == target.count else { return nil }
        UnsafeMutablePointer(mutating: received).update(from: target.base!, count: target.count)
        return Bytes(received, count: target.count)
    }

    func prepareExchange() {
        let (memory, slot) = worker.w.pointee.takeExchange()
        let filters = withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }
        memory.begin(chain, actions: worker.w.pointee.ring, connection: filters, pool: worker.w.pointee.blocks, now: now)
        memory.storage.pointee.owner = UnsafeMutableRawPointer(d)
        memory.storage.pointee.loop = UInt16(worker.w.pointee.index)
        memory.storage.pointee.slot = slot
        memory.storage.pointee.suspendGeneration = worker.w.pointee.exchangeSlots[Int(slot)].generation
        d.pointee.exchange = memory.storage
    }

    func discardPrepared() {
        guard let x = d.pointee.exchange, !d.pointee.hasBegun else { return }
        x.pointee.arena.freeAll()
        worker.w.pointee.giveExchange(x)
        d.pointee.exchange = nil
        d.pointee.input.unpin(&worker.w.pointee.buffers)
    }

    /// Reads once; false if there is nothing now, or the end was dealt with.
    func readMore() -> Bool {
        // A head leaves room for body behind it; only a head can fill a buffer, and the parser refuses one of this size first.
        let hasRoom = d.pointee.input.makeRoom(&worker.w.pointee.buffers)
        let room = d.pointee.input.room - (d.pointee.input.pinned == 0 ? BufferPool.spareBytes : 0)
        guard hasRoom, room > 0 else {
            close()
            return false
        }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            if !d.pointee.transport.mayHaveMore, !d.pointee.endIsNear { d.pointee.canRead = false }
            return true
        case .wouldBlock:
            d.pointee.canRead = false
            if d.pointee.input.isEmpty, d.pointee.exchange == nil { d.pointee.input.free(&worker.w.pointee.buffers) }
            return noteWaiting()
        case .closed:
            ended()
            return false
        case .failed:
            gone()
            return false
        }
    }

    /// Sets the deadline that fits what the machine waits for. Always false: nothing more can be done now.
    func noteWaiting() -> Bool {
        if d.pointee.machine.awaits == .restOfHead, d.pointee.idleDeadline > now + worker.w.pointee.bounds.headTime {
            awaitUntil(worker.w.pointee.bounds.headTime)
        }
        return false
    }

    /// The caller finished sending.
    func ended() {
        d.pointee.canRead = false
        if d.pointee.filters.isDetecting, !d.pointee.input.isEmpty { return becomeStream() }
        switch d.pointee.machine.receivedEnd() {
        case .close:
            discardPrepared()
            finish()
        case .truncated: gone()
        case .finishResponse: break
        }
    }

    /// The caller is gone, or cannot be talked to.
    func gone() {
        d.pointee.machine.abort()
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(ProxyError(.downstreamGone), at: now)
            perform()
        }
        discardPrepared()
        close()
    }

    func refuse(_ fault: HTTP1Fault, _ x: UnsafeMutablePointer<ExchangeStorage>) {
        worker.w.pointee.stats.protocolErrors.increment()
        if fault == .notHTTP { return gone() }
        answerAndFinish(fault.status, Bytes(fault.reason), ProxyError(.downstreamProtocol))
    }

    /// Ends the connection from our side: with an answer if none has begun, and with whatever exchange there is.
    func answerAndFinish(_ status: UInt16, _ text: Bytes, _ error: ProxyError) {
        if d.pointee.machine.canAnswer {
            write(status, text)
            finish()
        }
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(error, at: now)
            perform()
        }
        discardPrepared()
        if d.pointee.state == .open { close() }
    }

    /// What an OPTIONS or a TRACE that may go no further is answered with (RFC 9110 §7.6.2); nil: it may. A TRACE is not mirrored:
    /// that would show the caller what hops added.
    func answerAsLast(_ x: UnsafeMutablePointer<ExchangeStorage>) -> (status: UInt16, text: Bytes)? {
        switch MaxForwards(x.pointee.request) {
        case .unlimited, .hops: return nil
        case .malformed:
            worker.w.pointee.stats.protocolErrors.increment()
            return (HTTP1Fault.malformedMaxForwards.status, Bytes(HTTP1Fault.malformedMaxForwards.reason))
        case .spent where x.pointee.request.method == .options: return (200, Bytes("a sidecar of the mesh: no more forwards"))
        case .spent: return (501, Bytes("a sidecar of the mesh: traces are not answered here"))
        }
    }

    /// A reply outside of any exchange.
    func write(_ status: UInt16, _ body: Bytes) {
        let plan = d.pointee.machine.sendsHead(status: status, framing: .length(Int64(body.count)))
        HeadEncoding.write(&d.pointee.output, &worker.w.pointee.buffers) { writer in
            writer.statusLine(status)
            writer.field(Bytes("content-type"), Bytes("text/plain; charset=utf-8"))
            guard writer.finish(.length(Int64(body.count) + 1), connection: plan.connection) != nil else { return nil }
            writer.append(body)
            writer.append(Bytes("\n"))
            return writer.needed
        }
    }
}
