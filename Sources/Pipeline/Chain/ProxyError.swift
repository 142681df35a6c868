/// What went wrong with an exchange: what, whose fault, and whether nothing of it can have reached the service.
@frozen
public struct ProxyError: Error, BitwiseCopyable, Hashable, Sendable {
    @frozen
    public enum Kind: UInt8, BitwiseCopyable, Hashable, Sendable, CaseIterable {
        /// TCP connect was refused, or the route to the endpoint is down.
        case connectFailed
        case connectTimedOut
        /// The TLS handshake failed: an untrusted, expired or wrong certificate on either side.
        case tlsFailed
        /// The upstream closed or reset the connection before its response head.
        case upstreamReset
        /// The upstream closed or reset the connection after its response head.
        case responseCut
        /// The upstream's bytes are no HTTP response.
        case upstreamProtocol
        /// A `timeout` stage's deadline passed.
        case timedOut
        /// A `breaker` stage refused: too many at once, or the upstream is tripped.
        case overflow
        /// The chosen version has no usable endpoint.
        case noEndpoint
        /// No rule of the service's Route matches.
        case noRoute
        /// The authority names no service of the mesh and egress is denied.
        case unknownDestination
        /// A filter's edits outgrew the arena.
        case editsTooLarge
        /// A suspended exchange was not resumed in time.
        case suspendedTooLong
        /// A filter named in the chain could not do its work; the exchange is refused rather than let through.
        case filterFailed
        /// The sidecar is out of a resource (memory budget, descriptors).
        case overloaded
        /// The caller's request body broke the protocol after its head was accepted.
        case downstreamProtocol
        /// The caller's body made no progress in time.
        case downstreamTimedOut
        /// The caller went away.
        case downstreamGone
        /// A tunnel moved no byte in either direction for too long.
        case tunnelIdle
        /// A policy, or the trust it was opened under, no longer lets a tunnel go on.
        case accessRevoked
        /// The sidecar goes, and the tunnel did not end in time.
        case shuttingDown
    }

    @frozen
    public enum Side: UInt8, BitwiseCopyable, Hashable, Sendable { case downstream, upstream, sidecar }

    public let kind: Kind
    /// True only if not one byte of this attempt went out, so that any method may be tried again.
    public let isProvablyUnsent: Bool

    public init(_ kind: Kind, isProvablyUnsent: Bool = false) {
        self.kind = kind
        self.isProvablyUnsent = isProvablyUnsent
    }

    public var side: Side {
        switch kind {
        case .connectFailed, .connectTimedOut, .tlsFailed, .upstreamReset, .responseCut, .upstreamProtocol, .timedOut: .upstream
        case .overflow, .noEndpoint, .noRoute, .unknownDestination, .editsTooLarge, .suspendedTooLong, .filterFailed,
            .overloaded, .tunnelIdle, .accessRevoked, .shuttingDown:
            .sidecar
        case .downstreamProtocol, .downstreamTimedOut, .downstreamGone: .downstream
        }
    }
}

/// Why an exchange ended other than by the service's own answer, in two or three letters.
///
/// Envoy's response flags where it has one; `AZ` is ours, because Envoy has none for a denied request.
@frozen
public enum ResponseFlag: UInt8, BitwiseCopyable, Hashable, Sendable, CaseIterable {
    case none
    /// Upstream connect failure.
    case UF
    /// Upstream connection termination.
    case UC
    /// Upstream protocol error.
    case UPE
    /// Upstream timeout.
    case UT
    /// Upstream overflow: circuit breaker.
    case UO
    /// No healthy upstream.
    case UH
    /// No route.
    case NR
    /// Retry limit exceeded.
    case URX
    /// Rate limited.
    case RL
    /// Denied by an access policy.
    case AZ
    /// Local reset: the sidecar itself refused to go on.
    case LR
    /// Overload manager: out of a resource.
    case OM
    /// Downstream connection termination.
    case DC
    /// Downstream protocol error.
    case DPE
    /// Downstream made no progress, or a tunnel none at either end.
    case SI

    public var text: StaticString {
        switch self {
        case .none: "-"
        case .UF: "UF"
        case .UC: "UC"
        case .UPE: "UPE"
        case .UT: "UT"
        case .UO: "UO"
        case .UH: "UH"
        case .NR: "NR"
        case .URX: "URX"
        case .RL: "RL"
        case .AZ: "AZ"
        case .LR: "LR"
        case .OM: "OM"
        case .DC: "DC"
        case .DPE: "DPE"
        case .SI: "SI"
        }
    }
}
