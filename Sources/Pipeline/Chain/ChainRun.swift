/// Walks one exchange through its chain: events in, actions out.
///
///     request head ──▶ stage 0 ─▶ stage 1 ─▶ … ─▶ router ──▶ attempt
///                         ▲          ▲              ▲            │
///     caller ◀────────────┴──────────┴──────────────┴── response head, body, failure
///
/// A pure machine: it reads no clock and touches no socket. It leaves its orders in the loop's `ActionRing` and the host
/// performs them after the call returned, so it is never re-entered. Its state is in `ExchangeStorage`; this struct is
/// only the pointer with the verbs.
///
/// Passes: stages 0..<`reached` are open. A pass begins when the runner enters its stage on the request head, and ends
/// with exactly one outcome: when a retry re-enters above it, when a deadline or a reply above cuts it off, when the
/// exchange ends.
@safe
package struct ChainRun {
    package let x: UnsafeMutablePointer<ExchangeStorage>

    package init(_ x: UnsafeMutablePointer<ExchangeStorage>) { unsafe self.x = x }

    // MARK: Events

    /// The request's head is complete and in `x.request`. `ended`: it has no body.
    package func requestHead(at now: Instant, ended: Bool) {
        unsafe x.pointee.now = now
        unsafe x.pointee.requestEnded = ended
        unsafe x.pointee.chain.pointee.users += 1
        descend(from: 0)
    }

    /// Whether the host may deliver more of the request's body now.
    package var acceptsRequestBody: Bool {
        switch unsafe x.pointee.state {
        case .waiting, .responding: unsafe !x.pointee.requestEnded
        case .descending, .suspended, .backingOff, .tunnelling, .replying, .ended: false
        }
    }

    /// A piece of the request's body arrived while `acceptsRequestBody` was true. It stays where it is until the host has
    /// performed its forwarding; a suspended piece until the lane has resumed.
    package func requestBody(_ piece: Bytes, isLast: Bool, at now: Instant) {
        precondition(acceptsRequestBody, "a body piece was delivered while its lane was closed")
        unsafe x.pointee.now = now
        observeRequestBody(piece, isLast: isLast, from: 0)
    }

    /// Whether the host may deliver pieces of the response's body now.
    package var acceptsResponseBody: Bool { unsafe x.pointee.state == .responding }

    /// The upstream's final response head is complete and in `x.response`.
    package func responseHead(at now: Instant) {
        if unsafe x.pointee.state == .suspended, unsafe x.pointee.suspendedInBody {
            // It climbs once the request lane knows whether it goes on.
            unsafe x.pointee.holdsResponse = true
            return
        }
        guard unsafe x.pointee.state == .waiting else { return }
        unsafe x.pointee.now = now
        unsafe x.pointee.responseStartedAt = now
        unsafe x.pointee.isLocalReply = false
        unsafe climbResponse(below: Int(x.pointee.reached))
    }

    /// A piece of the response's body arrived.
    package func responseBody(_ piece: Bytes, isLast: Bool, at now: Instant) {
        guard unsafe x.pointee.state == .responding else { return }
        unsafe x.pointee.now = now
        unsafe x.pointee.responseBytes += UInt64(piece.count)
        unsafe x.pointee.chain.pointee.responseBody.climb(x, piece, isLast: isLast, below: Int(x.pointee.reached))
        unsafe x.pointee.actions.pointee.push(.forwardResponseBody(piece, isLast: isLast))
        if isLast { end(.completed) }
    }

    /// The attempt that was out failed; the host has already let go of it.
    package func attemptFailed(_ error: ProxyError, at now: Instant) {
        unsafe x.pointee.now = now
        switch unsafe x.pointee.state {
        case .waiting where unsafe x.pointee.isStream: streamAttemptFailed(error)
        case .waiting:
            unsafe climbFailure(error, below: Int(x.pointee.reached))
        case .responding, .tunnelling:
            // Too late for another answer: the caller sees a cut, every pass a failure.
            unsafe x.pointee.error = error
            unsafe x.pointee.flag = error.flag
            unsafe x.pointee.actions.pointee.push(.cutDownstream)
            end(.failed)
        case .suspended where unsafe x.pointee.suspendedInBody:
            // Nobody is left to forward the held piece to: the decision on it no longer matters.
            unsafe x.pointee.suspendGeneration &+= 1
            unsafe x.pointee.suspendedUntil = .distantFuture
            unsafe x.pointee.replay.lose()
            unsafe climbFailure(error, below: Int(x.pointee.reached))
        case .descending, .suspended, .backingOff, .replying, .ended:
            break
        }
    }

    /// The caller went away, or broke the protocol within its body.
    package func downstreamFailed(_ error: ProxyError, at now: Instant) {
        unsafe x.pointee.now = now
        switch unsafe x.pointee.state {
        case .ended, .replying: return
        case .waiting, .responding, .tunnelling: unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        case .suspended where unsafe x.pointee.suspendedInBody: unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        case .descending, .suspended, .backingOff: break
        }
        unsafe x.pointee.error = error
        unsafe x.pointee.flag = error.flag
        end(.cancelled)
    }

    /// The time asked for by `setTimer` has come.
    package func timer(at now: Instant) {
        unsafe x.pointee.now = now
        if let expired = expiredTimer(at: now) { return expire(expired) }
        switch unsafe x.pointee.state {
        case .backingOff where unsafe x.pointee.retryAt <= now:
            unsafe x.pointee.retryAt = .distantFuture
            unsafe descend(from: Int(x.pointee.retryStage) + 1)
        case .suspended where unsafe x.pointee.suspendedUntil <= now:
            unsafe x.pointee.suspendedUntil = .distantFuture
            let stage = unsafe x.pointee.stage
            if unsafe x.pointee.suspendedInBody {
                unsafe x.pointee.replay.lose()
                unsafe x.pointee.actions.pointee.push(.cancelAttempt)
            }
            endPasses(from: Int(stage) + 1, .cancelled)
            climbFailure(ProxyError(.suspendedTooLong), below: Int(stage))
        default:
            rearm()
        }
    }

    /// A filter's decision came from elsewhere. False if the token is stale: nothing happens then.
    package func resume(generation: UInt32, _ verdict: RequestVerdict, at now: Instant) -> Bool {
        guard unsafe x.pointee.state == .suspended, unsafe x.pointee.suspendGeneration == generation else { return false }
        unsafe x.pointee.now = now
        unsafe x.pointee.suspendedUntil = .distantFuture
        unsafe x.pointee.suspendGeneration &+= 1
        let stage = unsafe Int(x.pointee.stage)
        if unsafe x.pointee.suspendedInBody {
            unsafe x.pointee.state = .waiting
            if verdict.kind == .next {
                let piece = unsafe x.pointee.heldPiece
                unsafe observeRequestBody(piece, isLast: x.pointee.heldPieceIsLast, from: stage + 1)
                if unsafe x.pointee.holdsResponse, unsafe x.pointee.state == .waiting {
                    unsafe x.pointee.holdsResponse = false
                    responseHead(at: now)
                }
            } else {
                refuseBody(verdict, at: stage)
            }
        } else {
            unsafe x.pointee.state = .descending
            switch verdict.kind {
            case .next: descend(from: stage + 1)
            case .reply, .fail, .suspend: settle(verdict, at: stage)
            }
        }
        return true
    }

    // MARK: Down

    private func descend(from stage: Int) {
        unsafe x.pointee.state = .descending
        unsafe x.pointee.endpoint = -1
        unsafe x.pointee.endpointIsPeer = false
        unsafe x.pointee.attemptBytesSent = 0
        unsafe x.pointee.holdsResponse = false
        unsafe x.pointee.expiredStage = -1
        clearSlots()
        let chain = unsafe x.pointee.chain
        if let (stage, verdict) = unsafe chain.pointee.requestHead.descend(self, from: stage) { return settle(verdict, at: stage) }
        unsafe enter(through: chain.pointee.stageCount - 1)
        guard unsafe x.pointee.endpoint >= 0 else {
            return unsafe climbFailure(ProxyError(.noEndpoint), below: Int(x.pointee.reached))
        }
        unsafe x.pointee.state = .waiting
        unsafe x.pointee.attemptStartedAt = x.pointee.now
        if unsafe x.pointee.requestEnded { startTimers() }
        unsafe x.pointee.actions.pointee.push(.startAttempt)
        rearm()
    }

    /// Zeroes the slots of the stages not yet entered, for whoever goes down: most of them are entered in that call.
    @inline(__always)
    func clearSlots() {
        let chain = unsafe x.pointee.chain
        let start = unsafe chain.pointee.slotStart[Int(x.pointee.reached)]
        unsafe (x.pointee.slots + start).initializeMemory(as: UInt8.self, repeating: 0, count: chain.pointee.slotBytes - start)
    }

    /// Opens the passes of all stages up to and including `stage`, under the settings that hold now.
    @inline(__always)
    func enter(through stage: Int) {
        if unsafe !x.pointee.isResolved { resolve() }
        var next = unsafe Int(x.pointee.reached)
        guard next <= stage else { return }
        let scopes = unsafe x.pointee.scopes
        let scope = unsafe x.pointee.destination.scope
        repeat {
            unsafe scopes[next] = scope
            next &+= 1
        } while next <= stage
        unsafe x.pointee.reached = UInt8(truncatingIfNeeded: next)
        unsafe x.pointee.stage = UInt8(truncatingIfNeeded: stage)
    }

    private func resolve() {
        unsafe x.pointee.destination = x.pointee.chain.pointee.router.resolve(x)
        unsafe x.pointee.isResolved = true
    }

    /// Carries out a verdict other than `next` that `stage` gave on its way down.
    private func settle(_ verdict: RequestVerdict, at stage: Int) {
        switch verdict.kind {
        case .next: break
        case .reply: reply(verdict.status, verdict.body, verdict.reason, verdict.flag, at: stage)
        case .fail:
            unsafe x.pointee.reason = verdict.reason
            climbFailure(verdict.error, below: stage)
        case .suspend:
            unsafe x.pointee.state = .suspended
            unsafe x.pointee.suspendedInBody = false
            unsafe x.pointee.suspendedUntil = x.pointee.now + verdict.within
            rearm()
        }
    }

    private func observeRequestBody(_ piece: Bytes, isLast: Bool, from stage: Int) {
        if let (stage, verdict) = unsafe x.pointee.chain.pointee.requestBody.descend(x, piece, isLast: isLast, from: stage) {
            guard verdict.kind == .suspend, unsafe x.pointee.state == .waiting else { return refuseBody(verdict, at: stage) }
            unsafe x.pointee.heldPiece = piece
            unsafe x.pointee.heldPieceIsLast = isLast
            unsafe x.pointee.suspendedInBody = true
            unsafe x.pointee.state = .suspended
            unsafe x.pointee.suspendedUntil = x.pointee.now + verdict.within
            return rearm()
        }
        unsafe x.pointee.requestBytes += UInt64(piece.count)
        if unsafe x.pointee.replay.limit > 0, unsafe x.pointee.state == .waiting { unsafe x.pointee.replay.append(piece) }
        unsafe x.pointee.actions.pointee.push(.forwardRequestBody(piece, isLast: isLast))
        if isLast {
            unsafe x.pointee.requestEnded = true
            startTimers()
            rearm()
        }
    }

    /// A stage stopped the request within its body: the attempt below is given up.
    private func refuseBody(_ verdict: RequestVerdict, at stage: Int) {
        unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        if unsafe x.pointee.state == .responding {
            // An answer has begun already; it can only be cut.
            unsafe x.pointee.reason = verdict.reason
            unsafe x.pointee.actions.pointee.push(.cutDownstream)
            return end(.failed)
        }
        // The piece stops here: a retry would send a body without it, or past the stage that refused it.
        unsafe x.pointee.replay.lose()
        endPasses(from: stage + 1, .cancelled)
        if verdict.kind == .suspend {
            climbFailure(ProxyError(.filterFailed), below: stage)
        } else {
            settle(verdict, at: stage)
        }
    }

    // MARK: Up

    /// Takes the response head in `x.response` up through the stages above `stage`, then sends it.
    func climbResponse(below stage: Int) {
        guard let (stage, verdict) = unsafe x.pointee.chain.pointee.responseHead.climb(x, below: stage) else { return sendResponse() }
        if verdict.kind == .retry { return retry(at: stage, after: verdict.delay) }
        if unsafe x.pointee.state == .waiting { unsafe x.pointee.actions.pointee.push(.cancelAttempt) }
        reply(verdict.status, verdict.body, verdict.reason, verdict.flag, at: stage)
    }

    private func sendResponse() {
        if unsafe x.pointee.isLocalReply {
            unsafe x.pointee.state = .replying
            let body = unsafe x.pointee.replyBody
            unsafe x.pointee.chain.pointee.responseBody.climb(x, body, isLast: true, below: Int(x.pointee.reached))
            unsafe x.pointee.responseBytes = UInt64(body.count)
            unsafe x.pointee.actions.pointee.push(.sendReply)
            return end(.replied)
        }
        if unsafe x.pointee.response.status == 101 { return openTunnel() }
        unsafe x.pointee.state = .responding
        unsafe x.pointee.error = nil
        var index = 0
        while unsafe index < Int(x.pointee.timerCount) {
            if unsafe x.pointee.timers[index].coversHeadOnly {
                unsafe x.pointee.timers[index].deadline = .distantFuture
                unsafe x.pointee.timers[index].duration = Nanoseconds(.max)
            }
            index += 1
        }
        unsafe x.pointee.actions.pointee.push(.sendResponseHead)
        if unsafe x.pointee.timerCount > 0 { rearm() }
    }

    /// `stage` answers in place of what is below it.
    private func reply(_ status: UInt16, _ body: Bytes, _ reason: Reason, _ flag: ResponseFlag, at stage: Int) {
        endPasses(from: stage + 1, .superseded)
        unsafe x.pointee.responseEdits.rollBack(keepingThrough: stage)
        prepareReply(status, body, reason, flag)
        climbResponse(below: stage)
    }

    private func prepareReply(_ status: UInt16, _ body: Bytes, _ reason: Reason, _ flag: ResponseFlag) {
        unsafe x.pointee.state = .descending
        unsafe x.pointee.isLocalReply = true
        unsafe x.pointee.response.status = status
        unsafe x.pointee.response.headers.count = 0
        unsafe x.pointee.replyBody = body
        unsafe x.pointee.grpcStatus = x.isGRPC ? GRPCStatus(ofReply: status) : nil
        unsafe x.pointee.reason = reason
        unsafe x.pointee.flag = flag
        unsafe x.pointee.responseStartedAt = x.pointee.now
    }

    /// Takes a failure up through the stages above `stage`; unhandled at the top, the one table answers.
    private func climbFailure(_ error: ProxyError, below stage: Int) {
        unsafe x.pointee.state = .descending
        unsafe x.pointee.error = error
        unsafe x.pointee.response.status = 0
        if let (stage, verdict) = unsafe x.pointee.chain.pointee.failure.climb(x, error, below: stage) {
            if verdict.kind == .retry { return retry(at: stage, after: verdict.delay) }
            return reply(verdict.status, verdict.body, verdict.reason, verdict.flag, at: stage)
        }
        let reason = unsafe x.pointee.reason
        unsafe x.pointee.responseEdits.rollBack(keepingThrough: -1)
        unsafe prepareReply(
            error.status, Bytes(error.text), reason.text.isEmpty ? Reason(pinned: Bytes(error.text)) : reason,
            x.pointee.flag == .none ? error.flag : x.pointee.flag)
        sendResponse()
    }

    // MARK: Again

    private func retry(at stage: Int, after delay: Nanoseconds) {
        if unsafe x.pointee.state == .waiting { unsafe x.pointee.actions.pointee.push(.cancelAttempt) }
        endPasses(from: stage + 1, .superseded)
        if unsafe !x.pointee.requestEdits.isEmpty {
            // Where it is bound may hang on what is taken back.
            unsafe x.pointee.requestEdits.rollBack(keepingThrough: stage)
            unsafe x.pointee.isResolved = false
        }
        unsafe x.pointee.responseEdits.rollBack(keepingThrough: -1)
        dropTimers(below: stage)
        unsafe x.pointee.isLocalReply = false
        unsafe x.pointee.response.status = 0
        // They stand in a buffer that is another attempt's now.
        unsafe x.pointee.response.headers.count = 0
        unsafe x.pointee.flag = .none
        unsafe x.pointee.grpcStatus = nil
        unsafe x.pointee.reason = ""
        unsafe x.pointee.error = nil
        unsafe x.pointee.attempt &+= 1
        unsafe x.pointee.retryStage = UInt8(truncatingIfNeeded: stage)
        guard delay > .zero else { return descend(from: stage + 1) }
        unsafe x.pointee.state = .backingOff
        unsafe x.pointee.retryAt = x.pointee.now + delay
        rearm()
    }

    // MARK: Deadlines

    private func startTimers() {
        var index = 0
        while unsafe index < Int(x.pointee.timerCount) {
            let timer = unsafe x.pointee.timers[index]
            if timer.deadline == .distantFuture, timer.duration.count != .max {
                unsafe x.pointee.timers[index].deadline = x.pointee.now + timer.duration
            }
            index += 1
        }
    }

    private func dropTimers(below stage: Int) {
        while unsafe x.pointee.timerCount > 0, unsafe Int(x.pointee.timers[Int(x.pointee.timerCount) - 1].stage) > stage {
            unsafe x.pointee.timerCount -= 1
        }
    }

    /// The topmost stage whose deadline has passed.
    private func expiredTimer(at now: Instant) -> StageTimer? {
        var index = 0
        while unsafe index < Int(x.pointee.timerCount) {
            if unsafe x.pointee.timers[index].deadline <= now { return unsafe x.pointee.timers[index] }
            index += 1
        }
        return nil
    }

    private func expire(_ timer: StageTimer) {
        let stage = Int(timer.stage)
        let error = ProxyError(.timedOut)
        unsafe x.pointee.expiredStage = Int16(timer.stage)
        switch unsafe x.pointee.state {
        case .ended, .replying: return
        // A tunnel has no deadlines.
        case .tunnelling: return
        case .responding:
            unsafe x.pointee.error = error
            unsafe x.pointee.flag = error.flag
            unsafe x.pointee.actions.pointee.push(.cancelAttempt)
            unsafe x.pointee.actions.pointee.push(.cutDownstream)
            return end(.failed)
        case .waiting: unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        case .suspended where unsafe x.pointee.suspendedInBody:
            unsafe x.pointee.replay.lose()
            unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        case .descending, .suspended, .backingOff: break
        }
        unsafe x.pointee.error = error
        endPasses(from: stage + 1, .cancelled)
        dropTimers(below: stage - 1)
        unsafe x.pointee.retryAt = .distantFuture
        unsafe x.pointee.suspendedUntil = .distantFuture
        // The stage that set the deadline is asked first: it is the one that counts it.
        climbFailure(error, below: stage + 1)
    }

    func rearm() {
        var earliest = Instant.distantFuture
        var index = 0
        while unsafe index < Int(x.pointee.timerCount) {
            earliest = unsafe min(earliest, x.pointee.timers[index].deadline)
            index += 1
        }
        if unsafe x.pointee.state == .backingOff { earliest = unsafe min(earliest, x.pointee.retryAt) }
        if unsafe x.pointee.state == .suspended { earliest = unsafe min(earliest, x.pointee.suspendedUntil) }
        unsafe x.pointee.actions.pointee.push(.setTimer(earliest))
    }

    // MARK: Ends

    func end(_ kind: Outcome.Kind) {
        endPasses(from: 0, kind)
        unsafe x.pointee.state = .ended
        unsafe x.pointee.replay.free()
        unsafe x.pointee.chain.pointee.users -= 1
        unsafe x.pointee.actions.pointee.push(.finished)
    }

    /// Gives every open pass at or below `stage` its outcome, bottom-up.
    private func endPasses(from stage: Int, _ kind: Outcome.Kind) {
        guard unsafe Int(x.pointee.reached) > stage else { return }
        if unsafe x.pointee.isStream { return endStreamPasses(from: stage, kind) }
        let outcome = unsafe Outcome(kind: kind, status: x.pointee.response.status, error: x.pointee.error, grpcStatus: x.pointee.grpcStatus)
        unsafe x.pointee.chain.pointee.outcome.climb(x, outcome, downTo: stage)
        unsafe x.pointee.reached = UInt8(truncatingIfNeeded: stage)
    }
}
