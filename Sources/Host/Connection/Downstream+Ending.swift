internal import Pipeline

/// How a connection ends, and when it has waited long enough.
extension Downstream {
    // MARK: Ends

    /// Closes once everything written has left.
    func finish() {
        guard d.pointee.state == .open else { return }
        d.pointee.state = .closing
        awaitUntil(worker.w.pointee.bounds.bodyProgressTime)
    }

    func startLingering() {
        // In the clear a caller that wanted the connection closed has nothing more to say, not even a farewell.
        if d.pointee.isOverByWish, !d.pointee.transport.isTLS, d.pointee.input.isEmpty, !d.pointee.canRead { return close() }
        d.pointee.transport.finishWriting()
        d.pointee.state = .lingering
        awaitUntil(worker.w.pointee.bounds.lingerTime)
        linger()
    }

    /// Reads and drops until the caller closes too: closing with unread bytes would reset the answer away.
    func linger() {
        let scratch = UnsafeMutableRawPointer(worker.w.pointee.scratch.baseAddress!)
        var rounds = 0
        while rounds < HostLimits.stepsPerTurn {
            switch Socket.read(d.pointee.transport.descriptor, into: scratch, count: worker.w.pointee.scratch.count) {
            case .bytes: rounds += 1
            case .wouldBlock: return
            case .closed, .failed: return close()
            }
        }
        close()
    }

    func close() {
        guard d.pointee.state != .closed else { return }
        let wasOpen = d.pointee.state == .open || d.pointee.state == .closing || d.pointee.state == .lingering
        d.pointee.state = .closed
        // An orderly end was told to both already.
        if d.pointee.tunnel.isOpen, d.pointee.hasBegun { d.pointee.tunnel.isCut = true }
        if d.pointee.hasBegun, let x = d.pointee.exchange {
            ChainRun(x).downstreamFailed(ProxyError(.downstreamGone), at: now)
            perform()
        }
        endStreams(ProxyError(.downstreamGone))
        discardPrepared()
        let worker = self.worker
        if wasOpen, d.pointee.filters.admittedBy != 0 {
            chain.pointee.connectionEnded(Connection(withUnsafeMutablePointer(to: &d.pointee.filters) { $0 }, now: now))
        }
        worker.w.pointee.loop.deregister(d.pointee.registration)
        worker.w.pointee.loop.cancel(d.pointee.timer)
        if d.pointee.tunnel.isCut { d.pointee.transport.reset() } else { d.pointee.transport.close() }
        d.pointee.next?.pointee.previous = d.pointee.previous
        if let previous = d.pointee.previous {
            previous.pointee.next = d.pointee.next
        } else {
            worker.w.pointee.connections = d.pointee.next
        }
        if worker.w.pointee.oldestConnection == d { worker.w.pointee.oldestConnection = d.pointee.previous }
        worker.w.pointee.connectionCount -= 1
        worker.w.pointee.stats.downstreamActive.decrement()
        d.pointee.counted.end()
        worker.w.pointee.loop.atEndOfTurn(
            { context, _ in
                let d = context.assumingMemoryBound(to: DownstreamStorage.self)
                d.pointee.input.free(&d.pointee.worker.w.pointee.buffers)
                d.pointee.output.free(&d.pointee.worker.w.pointee.buffers)
                if let h = Downstream(d).http2 { HTTP2Storage.free(h) }
                d.deinitialize(count: 1)
                d.deallocate()
            }, UnsafeMutableRawPointer(d))
    }

    // MARK: Time

    /// Goes back to the deadline that fits what the connection waits for, after another one has had its turn.
    func awaitWhatIsDue() {
        let bounds = worker.w.pointee.bounds
        if let h = http2 {
            if h.pointee.live == 0 { awaitUntil(bounds.downstreamIdleTime) } else { d.pointee.idleDeadline = .distantFuture }
            return
        }
        switch d.pointee.machine.awaits {
        case .request: awaitUntil(bounds.downstreamIdleTime)
        case .restOfHead: awaitUntil(bounds.headTime)
        case .body: awaitUntil(bounds.bodyProgressTime)
        case .nothing: d.pointee.idleDeadline = .distantFuture
        }
    }

    func awaitUntil(_ wait: Nanoseconds) {
        d.pointee.idleDeadline = now + wait
        armTimer()
    }

    /// One timer per connection, moved only to fire earlier: a later deadline is found when it fires.
    func armTimer() {
        let deadline = min(d.pointee.idleDeadline, d.pointee.exchangeDeadline)
        guard deadline < d.pointee.timerAt else { return }
        d.pointee.timerAt = deadline
        if !worker.w.pointee.loop.move(d.pointee.timer, to: deadline) {
            d.pointee.timer = worker.w.pointee.loop.arm(at: deadline, Self.onTimer, UnsafeMutableRawPointer(d))
        }
    }

    func timeOut() {
        d.pointee.timer = .none
        d.pointee.timerAt = .distantFuture
        if d.pointee.exchangeDeadline <= now, d.pointee.hasBegun, let x = d.pointee.exchange {
            d.pointee.exchangeDeadline = .distantFuture
            ChainRun(x).timer(at: now)
            perform()
            settle()
        }
        if d.pointee.exchangeDeadline <= now, d.pointee.speaksHTTP2 { streamsTimeOut() }
        guard d.pointee.state != .closed else { return }
        if d.pointee.idleDeadline <= now {
            d.pointee.idleDeadline = .distantFuture
            idled()
        }
        if d.pointee.state != .closed { armTimer() }
    }

    func idled() {
        switch d.pointee.state {
        case .sniffing where d.pointee.isStream && worker.w.pointee.acceptsPlaintext: takeStreamInTheClear()
        case .introducing, .sniffing, .waiting, .handshaking:
            worker.w.pointee.stats.timeouts.increment()
            close()
        case .closing, .lingering: close()
        case .closed: break
        case .open where d.pointee.tunnel.isOpen: Tunnel(d)?.cut(ProxyError(.tunnelIdle), because: "no byte either way within the idle timeout")
        case .open where d.pointee.isStalled:
            worker.w.pointee.stats.timeouts.increment()
            gone()
        case .open where d.pointee.filters.isDetecting:
            worker.w.pointee.stats.detectedSilence.increment()
            becomeStream()
        case .open where d.pointee.speaksHTTP2: if inFlight == 0 { leaveHTTP2() }
        case .open where d.pointee.isLeaving:
            // An answer under way finds out by itself whether anybody reads it.
            if d.pointee.machine.canAnswer { gone() }
        case .open where d.pointee.hasBegun && !wantsInput && d.pointee.machine.awaits == .body:
            // It is the service that does not take the body: the stages' deadlines are for that.
            awaitUntil(worker.w.pointee.bounds.bodyProgressTime)
        case .open:
            switch d.pointee.machine.awaits {
            case .request: close()
            case .nothing: break
            case .restOfHead, .body:
                worker.w.pointee.stats.timeouts.increment()
                answerAndFinish(408, Bytes("request incomplete in time"), ProxyError(.downstreamTimedOut))
                settle()
            }
        }
    }
}
