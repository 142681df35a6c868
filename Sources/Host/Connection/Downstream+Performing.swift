internal import Pipeline

/// What the runner ordered, turned into bytes for the caller and attempts upstream.
extension Downstream {
    // MARK: Performing

    /// As `Caller.perform`, for the one exchange there is.
    func perform() {
        if let x = d.pointee.exchange { Caller(self).perform(x) }
    }

    func isBusy(with x: UnsafeMutablePointer<ExchangeStorage>) -> Bool { d.pointee.hasBegun && d.pointee.exchange == x }

    func askForBody() {
        if d.pointee.machine.wantsBody() { d.pointee.output.append(Bytes(ReplyWriter.continueHead), &worker.w.pointee.buffers) }
    }

    /// The response has begun and cannot be finished.
    func cut() {
        d.pointee.machine.abort()
        d.pointee.tunnel.isCut = d.pointee.tunnel.isOpen || d.pointee.isStream
    }

    func setDeadline(_ deadline: Instant) {
        d.pointee.exchangeDeadline = deadline
        armTimer()
    }

    func sendHead(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let plan = d.pointee.machine.sendsHead(
            status: x.pointee.response.status, framing: x.pointee.response.framing, holdsBytes: holdsBytes(x))
        d.pointee.omitsBody = plan.omitsBody
        d.pointee.sendsChunks = plan.framing == .chunked
        d.pointee.wroteTrailers = false
        HeadEncoding.response(
            x, plan: plan, via: d.pointee.wayIn == .proxy ? worker.w.pointee.outboundHop.line : .empty, into: &d.pointee.output,
            &worker.w.pointee.buffers)
    }

    /// Whether anything has come behind a request for another protocol. What the socket holds counts too: how reads cut the bytes must
    /// not matter.
    private func holdsBytes(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        guard x.pointee.request.asksUpgrade else { return false }
        guard d.pointee.input.isEmpty, d.pointee.canRead, d.pointee.input.makeRoom(&worker.w.pointee.buffers) else {
            return !d.pointee.input.isEmpty
        }
        switch d.pointee.transport.read(into: d.pointee.input.tail, count: d.pointee.input.room) {
        case .bytes(let count):
            d.pointee.input.filled(count)
            return true
        case .wouldBlock:
            d.pointee.canRead = false
            return false
        case .closed, .failed: return false
        }
    }

    func sendInterim(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        guard d.pointee.machine.mayForwardInterim(status: x.pointee.response.status) else { return }
        HeadEncoding.interim(x, into: &d.pointee.output, &worker.w.pointee.buffers)
    }

    func sendBody(_ piece: Bytes, isLast: Bool) {
        d.pointee.filters.bytesSent &+= UInt64(piece.count)
        if !d.pointee.omitsBody {
            let maySend = d.pointee.state == .open && !d.pointee.isStalled
            _ = BodyEncoding.send(
                piece, isLast: isLast, inChunks: d.pointee.sendsChunks, afterTrailers: d.pointee.wroteTrailers,
                after: &d.pointee.output, over: maySend ? withUnsafeMutablePointer(to: &d.pointee.transport) { $0 } : nil, &worker.w.pointee.buffers)
        }
        if isLast { d.pointee.responseEnded = true }
    }

    func sendTrailer(_ name: Bytes, _ value: Bytes) {
        guard d.pointee.sendsChunks, !d.pointee.omitsBody else { return }
        if !d.pointee.wroteTrailers { d.pointee.output.append(Bytes("0\r\n"), &worker.w.pointee.buffers) }
        d.pointee.wroteTrailers = true
        BodyEncoding.trailer(name, value, to: &d.pointee.output, &worker.w.pointee.buffers)
    }

    func sendReply(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let plan = d.pointee.machine.sendsHead(
            status: x.pointee.response.status, framing: .length(Int64(x.pointee.replyBody.count)), holdsBytes: holdsBytes(x))
        HeadEncoding.reply(
            x, plan: plan, tellsReason: d.pointee.isInbound && d.pointee.filters.peer != nil && x.pointee.flag != .none,
            into: &d.pointee.output, &worker.w.pointee.buffers)
        d.pointee.filters.bytesSent &+= UInt64(x.pointee.replyBody.count)
        d.pointee.responseEnded = true
    }

    /// The last outcome was given: the exchange's memory is free, and the connection goes on or closes.
    func finished(_ x: UnsafeMutablePointer<ExchangeStorage>) {
        let old = x.pointee.chain, failure = x.pointee.error, reason = x.pointee.reason
        d.pointee.isOverByWish = x.pointee.requestEnded && !x.pointee.request.keepsAlive
        x.pointee.arena.freeAll()
        worker.w.pointee.giveExchange(x)
        d.pointee.exchange = nil
        d.pointee.hasBegun = false
        d.pointee.exchangeDeadline = .distantFuture
        if d.pointee.tunnel.isOpen {
            worker.w.pointee.tunnelCount -= 1
            worker.w.pointee.stats.tunnelActive.decrement()
            worker.w.pointee.stats.tunnelEnded(failure)
            if d.pointee.isStream, failure?.kind == .accessRevoked { worker.logStream("\(streamText) cut: \(reason.string)") }
            if !d.pointee.isStream { d.pointee.tunnelMemory?.deallocate() }
            d.pointee.tunnelMemory = nil
            worker.releaseRetiredChains()
            return close()
        }
        if d.pointee.isStream { streamFailed(failure, reason) }
        if old != chain { worker.releaseRetiredChains() }
        guard d.pointee.responseEnded else {
            // Cut, or nobody is left to answer. What the service did say leaves first: head, body and end may have come at once.
            d.pointee.machine.abort()
            if d.pointee.state == .open { flush() }
            if d.pointee.state == .open { close() }
            return
        }
        switch d.pointee.machine.responseEnded() {
        case .nextRequest: expectMore(within: worker.w.pointee.bounds.downstreamIdleTime)
        case .drain: expectMore(within: worker.w.pointee.bounds.bodyProgressTime)
        case .close: finish()
        }
    }

    /// The exchange is over and its connection lives on.
    private func expectMore(within time: Nanoseconds) {
        d.pointee.input.unpin(&worker.w.pointee.buffers)
        d.pointee.resumesInput = true
        if !d.pointee.isStalled { awaitUntil(time) }
    }

    // MARK: Sending

    /// Whether the caller's side has room for more of the response: all that was given before has left.
    var acceptsBody: Bool { d.pointee.output.count < HostLimits.outputMax || d.pointee.state == .closed }

    func flush() {
        while !d.pointee.output.isEmpty, d.pointee.state == .open || d.pointee.state == .closing {
            let unread = d.pointee.output.unread
            switch d.pointee.transport.write(from: unread.base!, count: unread.count) {
            case .bytes(let count):
                d.pointee.output.drop(count)
                if d.pointee.isStalled { awaitUntil(worker.w.pointee.bounds.bodyProgressTime) }
            case .wouldBlock:
                if !d.pointee.isStalled {
                    d.pointee.isStalled = true
                    awaitUntil(worker.w.pointee.bounds.bodyProgressTime)
                }
                return
            case .closed, .failed: return gone()
            }
        }
        if d.pointee.isStalled {
            d.pointee.isStalled = false
            awaitWhatIsDue()
        }
        d.pointee.output.free(&worker.w.pointee.buffers)
    }

    /// Has `settle` run when this turn's events have been looked at.
    ///
    /// Under load a turn brings dozens of events. Sending after all of them, back to back, wakes a peer once for many answers
    /// instead of once for each: a wake-up of another core costs the sender more than the whole chain.
    func settleLater() {
        guard d.pointee.state != .closed, !d.pointee.settlesLater else { return }
        guard !worker.w.pointee.loop.isEndingTurn else { return settle() }
        d.pointee.settlesLater = true
        if let last = worker.w.pointee.lastToSettle {
            last.pointee.nextToSettle = d
        } else {
            worker.w.pointee.firstToSettle = d
            worker.w.pointee.loop.atEndOfTurn(Self.onEndOfTurn, UnsafeMutableRawPointer(worker.w))
        }
        worker.w.pointee.lastToSettle = d
    }

    private static let onEndOfTurn: LoopCallback = { context, _ in
        let w = context.assumingMemoryBound(to: WorkerStorage.self)
        var next = w.pointee.firstToSettle
        w.pointee.firstToSettle = nil
        w.pointee.lastToSettle = nil
        while let d = next {
            next = d.pointee.nextToSettle
            d.pointee.nextToSettle = nil
            d.pointee.settlesLater = false
            Downstream(d).settle()
        }
    }

    /// After a round of work: what was written leaves, on both sides, and a connection that is done closes.
    func settle() {
        guard d.pointee.state != .closed else { return }
        if d.pointee.tunnel.isOpen {
            Tunnel(d)?.settle()
            return
        }
        if let x = d.pointee.exchange { Service(x)?.flush() }
        flush()
        switch d.pointee.state {
        case .closing where d.pointee.output.isEmpty: startLingering()
        case .open where d.pointee.resumesInput && d.pointee.output.isEmpty:
            d.pointee.resumesInput = false
            guard d.pointee.canRead || !d.pointee.input.isEmpty else { break }
            worker.w.pointee.loop.runAgain(d.pointee.registration, d.pointee.canRead ? .readable : [])
        case .open where http2?.pointee.waitsForOutput == true && !d.pointee.isStalled:
            worker.w.pointee.loop.runAgain(d.pointee.registration, [])
        case .open, .closing, .introducing, .sniffing, .waiting, .handshaking, .lingering, .closed: break
        }
    }
}
