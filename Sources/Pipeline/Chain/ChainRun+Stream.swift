/// A raw stream: an exchange that is a connection, from the first byte on.
///
///     connection phase ─▶ stages with a stream phase, the router last ─▶ attempt ─▶ connected: a tunnel ─▶ one outcome
///
/// Stages without a stream phase have no pass. An endpoint that cannot be connected to is put down to its account, and another one is
/// tried, for nothing of the stream has gone out; from the connection on it is a tunnel like any other (`ChainRun+Tunnel`).
extension ChainRun {
    /// Connections that one stream tries, each for the host's connect time at most (Kuma's default for TCP is 5, Envoy's 1).
    package static let streamAttemptsMax = 3

    /// The connection phase let a raw stream in.
    package func stream(at now: Instant) {
        unsafe x.pointee.now = now
        unsafe x.pointee.isStream = true
        // There is no request whose rest could come.
        unsafe x.pointee.requestEnded = true
        unsafe x.pointee.chain.pointee.users += 1
        handOver(from: 0)
    }

    /// The endpoint is connected: what either end sends goes to the other.
    package func streamConnected(at now: Instant) {
        guard unsafe x.pointee.state == .waiting, unsafe x.pointee.isStream else { return }
        unsafe x.pointee.now = now
        unsafe x.pointee.responseStartedAt = now
        unsafe x.pointee.chain.pointee.streams.climb(x)
        openTunnel()
    }

    private func handOver(from first: Int) {
        unsafe x.pointee.state = .descending
        unsafe x.pointee.endpoint = -1
        unsafe x.pointee.endpointIsPeer = false
        clearSlots()
        if let (error, reason) = unsafe x.pointee.chain.pointee.streams.descend(self, fromEntry: first) {
            return refuseStream(error, because: reason)
        }
        guard unsafe x.pointee.endpoint >= 0 else {
            return refuseStream(ProxyError(.noEndpoint, isProvablyUnsent: true), because: "no stage of the chain picked an endpoint")
        }
        unsafe x.pointee.state = .waiting
        unsafe x.pointee.attemptStartedAt = x.pointee.now
        unsafe x.pointee.actions.pointee.push(.startAttempt)
    }

    /// Not connected: another endpoint, if there is one.
    func streamAttemptFailed(_ error: ProxyError) {
        unsafe x.pointee.error = error
        let router = unsafe x.pointee.chain.pointee.streams.count - 1
        guard error.isProvablyUnsent, error.side == .upstream, unsafe Int(x.pointee.attempt) + 1 < Self.streamAttemptsMax, router >= 0 else {
            return refuseStream(error, because: Reason(pinned: Bytes(error.text)))
        }
        unsafe endStreamPasses(from: Int(x.pointee.chain.pointee.streams.stages[router]), .superseded)
        unsafe x.pointee.attempt &+= 1
        handOver(from: router)
    }

    private func refuseStream(_ error: ProxyError, because reason: Reason) {
        unsafe x.pointee.error = error
        unsafe x.pointee.flag = error.flag
        unsafe x.pointee.reason = reason
        unsafe x.pointee.actions.pointee.push(.cutDownstream)
        end(.failed)
    }

    /// Gives every stream stage at or below `stage` that was entered its outcome, bottom-up.
    func endStreamPasses(from stage: Int, _ kind: Outcome.Kind) {
        let outcome = unsafe Outcome(kind: kind, status: 0, error: x.pointee.error)
        unsafe x.pointee.chain.pointee.streams.climb(x, outcome, downTo: stage)
        unsafe x.pointee.reached = UInt8(truncatingIfNeeded: stage)
    }
}
