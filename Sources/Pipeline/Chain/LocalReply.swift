/// The one table from error to answer: status, flag, and the words a person reads.
extension ProxyError {
    /// 0 for a caller that is gone: nobody is left to answer. What only befalls tunnels, whose answer is long out, has a status for
    /// the sake of order.
    package var status: UInt16 {
        switch kind {
        case .accessRevoked: 403
        case .noRoute: 404
        case .downstreamTimedOut, .tunnelIdle: 408
        case .downstreamProtocol: 400
        case .editsTooLarge, .suspendedTooLong, .filterFailed: 500
        case .upstreamProtocol, .responseCut, .unknownDestination: 502
        case .connectFailed, .connectTimedOut, .tlsFailed, .upstreamReset, .overflow, .noEndpoint, .overloaded, .shuttingDown: 503
        case .timedOut: 504
        case .downstreamGone: 0
        }
    }

    package var flag: ResponseFlag {
        switch kind {
        case .connectFailed, .connectTimedOut, .tlsFailed: .UF
        case .upstreamReset, .responseCut: .UC
        case .upstreamProtocol: .UPE
        case .timedOut: .UT
        case .overflow: .UO
        case .noEndpoint: .UH
        case .noRoute, .unknownDestination: .NR
        case .editsTooLarge, .suspendedTooLong, .filterFailed, .shuttingDown: .LR
        case .accessRevoked: .AZ
        case .overloaded: .OM
        case .downstreamProtocol: .DPE
        case .downstreamTimedOut, .tunnelIdle: .SI
        case .downstreamGone: .DC
        }
    }

    package var text: StaticString {
        switch kind {
        case .connectFailed: "the endpoint refused the connection\n"
        case .connectTimedOut: "the endpoint did not accept a connection in time\n"
        case .tlsFailed: "no trusted TLS connection to the endpoint\n"
        case .upstreamReset: "the service closed the connection before it answered\n"
        case .responseCut: "the service closed the connection within its answer\n"
        case .upstreamProtocol: "the service's answer is no valid HTTP\n"
        case .timedOut: "the service did not answer in time\n"
        case .overflow: "the circuit breaker refused the call\n"
        case .noEndpoint: "no endpoint of the service is usable\n"
        case .noRoute: "no route matches\n"
        case .unknownDestination: "no service of the mesh has this name, and egress is denied\n"
        case .editsTooLarge: "a filter's header edits exceed 64 KiB\n"
        case .suspendedTooLong: "a filter did not decide in time\n"
        case .filterFailed: "a filter of the chain cannot do its work\n"
        case .overloaded: "the sidecar is out of resources\n"
        case .downstreamProtocol: "the request's body is malformed\n"
        case .downstreamTimedOut: "the request's body did not arrive in time\n"
        case .downstreamGone: "the caller went away\n"
        case .tunnelIdle: "the tunnel moved nothing for too long\n"
        case .accessRevoked: "what allowed the tunnel is gone\n"
        case .shuttingDown: "the sidecar shuts down\n"
        }
    }
}
