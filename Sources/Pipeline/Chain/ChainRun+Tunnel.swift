/// A tunnel: bytes both ways that are no messages, behind a head that was a request and one that agreed to it.
///
///     request head ─▶ attempt ─▶ the upstream agrees (101) ─▶ tunnel ─▶ both directions have ended, or it is cut
///
/// Up to the agreement it is an exchange like any other. From there on no body phase sees a byte and no stage's deadline holds;
/// the host relays, ends what idles, and reports here. The passes stay open, with what they hold, until the tunnel ends.
extension ChainRun {
    package var isTunnelling: Bool { unsafe x.pointee.state == .tunnelling }

    /// The upstream agreed to the protocol that was asked for; its 101 is complete and in `x.response`. The request has ended.
    package func switched(at now: Instant) {
        guard unsafe x.pointee.state == .waiting else { return }
        unsafe x.pointee.now = now
        unsafe x.pointee.responseStartedAt = now
        unsafe x.pointee.isLocalReply = false
        unsafe climbResponse(below: Int(x.pointee.reached))
    }

    /// Every stage let the 101 pass.
    func openTunnel() {
        unsafe x.pointee.state = .tunnelling
        unsafe x.pointee.error = nil
        unsafe x.pointee.timerCount = 0
        unsafe x.pointee.replay.free()
        unsafe x.pointee.actions.pointee.push(.openTunnel)
        rearm()
    }

    package enum TunnelDirection: BitwiseCopyable, Sendable {
        /// From the caller to the service.
        case request
        case response
    }

    /// The host took `count` bytes from one end for the other.
    @inline(__always)
    package func tunnelPassed(_ count: Int, _ direction: TunnelDirection) {
        switch direction {
        case .request: unsafe x.pointee.requestBytes &+= UInt64(truncatingIfNeeded: count)
        case .response: unsafe x.pointee.responseBytes &+= UInt64(truncatingIfNeeded: count)
        }
    }

    /// One end finished sending, and the other has been given all of it and the end. The other direction goes on.
    package func tunnelEnded(_ direction: TunnelDirection, at now: Instant) {
        guard isTunnelling else { return }
        unsafe x.pointee.now = now
        switch direction {
        case .request: unsafe x.pointee.tunnelRequestEnded = true
        case .response: unsafe x.pointee.tunnelResponseEnded = true
        }
        if unsafe x.pointee.tunnelRequestEnded, unsafe x.pointee.tunnelResponseEnded { end(.completed) }
    }

    /// Ends the tunnel from our side, visibly to both ends.
    package func cutTunnel(_ error: ProxyError, because reason: Reason, at now: Instant) {
        guard isTunnelling else { return }
        unsafe x.pointee.now = now
        unsafe x.pointee.error = error
        unsafe x.pointee.flag = error.flag
        unsafe x.pointee.reason = reason
        unsafe x.pointee.actions.pointee.push(.cancelAttempt)
        unsafe x.pointee.actions.pointee.push(.cutDownstream)
        end(.failed)
    }

    /// `chain` has become current: the connection phase and the review phase decide anew on a tunnel that began under another.
    /// What a stage refuses now is cut, with the stage's reason; false then.
    package func review(under chain: UnsafeMutablePointer<Chain>, at now: Instant) -> Bool {
        guard isTunnelling else { return true }
        unsafe x.pointee.now = now
        let connection = unsafe x.pointee.connection
        var verdict = unsafe chain.pointee.admit(Connection(connection, now: now))
        if case .next = verdict {
            unsafe connection.pointee.admittedBy = chain.pointee.generation
            let scope = unsafe Int(chain.pointee.router.resolve(x).scope)
            verdict = unsafe chain.pointee.review(x, scope: scope)
        }
        guard case .refuse(let reason) = verdict else { return true }
        cutTunnel(ProxyError(.accessRevoked), because: reason, at: now)
        return false
    }
}
