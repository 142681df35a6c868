/// Decides whether a caller may have a certificate for a name, and for how long.
///
/// Pure: the caller's proof was checked before (a token by the ledger, a certificate by the handshake); here it is only
/// asked what that proof is good for. The name in the signing request plays no part.
package struct IssuePolicy: Sendable {
    package enum Caller: Equatable, Sendable {
        /// Redeemed a join token that is bound to this service.
        case token(namespace: String, service: String)
        /// Came over mTLS with this identity, until `expires`.
        case certificate(WorkloadIdentity, expires: UnixTime)
    }

    package enum Decision: Equatable, Sendable {
        /// `life` in seconds.
        case issue(WorkloadIdentity, life: Int64)
        /// The sentence is for the caller and the log.
        case refuse(String)
    }

    package var trustDomain: String
    /// The longest life and the usual one, in seconds.
    package var lifeMax: Int64
    /// No certificate is issued for less, in seconds: it would be renewed without end.
    package var lifeMin: Int64 = 300

    package init(trustDomain: String, lifeMax: Int64 = 86_400) {
        self.trustDomain = trustDomain
        self.lifeMax = lifeMax
    }

    /// - Parameters:
    ///   - life: what the caller asks for, in seconds; nil for the usual.
    ///   - isRevoked: an operator took the service's right to join or renew.
    package func decide(
        _ caller: Caller, wants namespace: String, _ service: String, life: Int64? = nil, isRevoked: Bool, at now: UnixTime
    ) -> Decision {
        guard let identity = WorkloadIdentity(trustDomain: trustDomain, namespace: namespace, service: service) else {
            return .refuse("\(namespace)/\(service) cannot stand in an identity")
        }
        guard WorkloadIdentity.controlPlane(of: trustDomain) != identity else {
            return .refuse("nobody joins as the control plane")
        }
        switch caller {
        case .token(let itsNamespace, let itsService):
            guard itsNamespace == namespace, itsService == service else {
                return .refuse("this token is for \(itsNamespace)/\(itsService), not for \(namespace)/\(service)")
            }
        case .certificate(let own, let expires):
            guard own == identity else { return .refuse("\(own) may renew for itself only, not for \(identity)") }
            guard now < expires else { return .refuse("the certificate of \(own) has ended: join again with a token") }
        }
        guard !isRevoked else { return .refuse("\(identity) is revoked") }
        return .issue(identity, life: min(max(life ?? lifeMax, lifeMin), lifeMax))
    }
}
