import Pipeline

extension Outcome {
    /// What this pass showed about the service below: the word that `breaker` and the ejection of endpoints go by.
    ///
    /// | what happened | word |
    /// |---|---|
    /// | an answer below 500 | success |
    /// | an answer of 500 and above, or of gRPC that says the service failed | failure |
    /// | no connection, no TLS, a reset, a broken answer | failure |
    /// | a deadline passed before an answer began | failure |
    /// | a deadline cut an answer that had begun, the caller went away, a stage of this sidecar answered or gave up | none |
    /// | a service agreed to a tunnel, however that ended | success |
    func report(isLocalReply: Bool) -> FailureAccrual.Report {
        if status == 101, !isLocalReply { return .success }
        if let error {
            switch error.kind {
            case .connectFailed, .connectTimedOut, .tlsFailed, .upstreamReset, .responseCut, .upstreamProtocol: return .failure
            // With a service's status in hand the answer had begun: its length, or a slow caller, is no failure.
            case .timedOut: return status == 0 || isLocalReply ? .failure : .noWord
            case .overflow, .noEndpoint, .noRoute, .unknownDestination, .editsTooLarge, .suspendedTooLong, .filterFailed, .overloaded,
                .downstreamProtocol, .downstreamTimedOut, .downstreamGone, .tunnelIdle, .accessRevoked, .shuttingDown:
                return .noWord
            }
        }
        if isLocalReply || status == 0 { return .noWord }
        return status >= 500 || grpcStatus?.isFailure == true ? .failure : .success
    }
}
