internal import COpenSSL
package import Pipeline

/// Who is at the other end, as its certificate proved.
package struct PeerIdentity: Sendable, Hashable {
    package let id: SPIFFEID
    /// Seconds since 1970 at which its certificate ends.
    package let expires: Int64
    /// Names the root that issued it: the beginning of its key's id.
    package let issuer: UInt64

    /// Nil if the peer showed no certificate.
    init?(of connection: OpaquePointer) {
        guard let certificate = SSL_get0_peer_certificate(connection),
            case .success(let id) = PeerVerification.identity(of: certificate)
        else { return nil }
        self.id = id
        expires = Int64(weft_tls_not_after(certificate))
        issuer = weft_tls_issuer_key(certificate)
    }
}

/// Whom a client means to reach: any of these ids, and the endpoint by which its sessions are kept apart.
///
/// Made once per upstream endpoint, not per connection.
package final class ExpectedPeer: Sendable {
    package let ids: [SPIFFEID]
    /// Or this path in whatever trust domain the verified chain speaks for: a first contact, which does not know its domain.
    let path: String?
    /// Sessions made with one key are never offered under another.
    let sessionKey: String

    /// - Parameter endpoint: names the endpoint, for example its address.
    package init(_ ids: [SPIFFEID], endpoint: String) {
        self.ids = ids
        path = nil
        sessionKey = endpoint + "|" + ids.map(\.description).sorted().joined(separator: "|")
    }

    /// Whoever has this path in its id, for a context that pins a root: that root's holder decides what the domain is.
    package init(anyDomainWith path: String, endpoint: String) {
        ids = []
        self.path = path
        sessionKey = endpoint + "|*" + path
    }

    /// The control plane of whatever mesh has the pinned root.
    package convenience init(controlPlaneAt address: SocketAddress) {
        self.init(anyDomainWith: IdentityClient.controlPlanePath, endpoint: address.description)
    }

    func accepts(_ id: SPIFFEID) -> Bool { ids.contains(id) || path == id.path }
}

/// The rules a peer's certificate must pass beyond its chain (X.509-SVID §2–4), during the handshake and after a resumption.
enum PeerVerification {
    struct Refusal: Error {
        let code: Int32
    }

    /// The one URI name, by ASN.1 length, as a SPIFFE id.
    static func identity(of certificate: OpaquePointer) -> Result<SPIFFEID, Refusal> {
        var count: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: SPIFFEID.countMax) { buffer, initialized in
            count = weft_tls_uri_name(certificate, buffer.baseAddress, Int32(SPIFFEID.countMax))
            initialized = Int(max(0, count))
        }
        guard count > 0 else { return .failure(Refusal(code: 0 - count)) }
        do {
            return .success(try SPIFFEID(bytes))
        } catch {
            return .failure(Refusal(code: Int32(WEFT_VERIFY_BAD_IDENTITY)))
        }
    }

    /// 0, or why the certificate is refused.
    static func verdict(on certificate: OpaquePointer, _ rules: ContextRules, expecting: ExpectedPeer?) -> Int32 {
        guard weft_tls_is_leaf(certificate) == 1 else { return Int32(WEFT_VERIFY_NOT_A_LEAF) }
        switch identity(of: certificate) {
        case .failure(let refusal): return refusal.code
        case .success(let id):
            // A root of ours may sign for our domain alone.
            guard rules.trustDomain.isEmpty || id.trustDomain == rules.trustDomain else { return Int32(WEFT_VERIFY_OTHER_DOMAIN) }
            // Whoever comes in must be a workload: an id of another shape could be named by no policy.
            if rules.isServer { return id.workload == nil ? Int32(WEFT_VERIFY_WRONG_IDENTITY) : 0 }
            guard let expecting, expecting.accepts(id) else { return Int32(WEFT_VERIFY_WRONG_IDENTITY) }
            return 0
        }
    }

    /// OpenSSL's certificate check of a full handshake: the chain first, then ours. A refusal becomes an alert, so not one
    /// byte of the peer's application is accepted.
    static let check: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> Int32 = { verification, _ in
        guard let verification,
            let connection = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()).map(OpaquePointer.init),
            let rules = ContextRules.of(connection)
        else { return 0 }
        var pinned: UnsafeMutableRawPointer?
        if let pin = rules.pinnedRoot, weft_tls_trust_pinned(verification, pin, &pinned) != 1 {
            X509_STORE_CTX_set_error(verification, Int32(WEFT_VERIFY_NO_PIN))
            return 0
        }
        defer { if let pinned { weft_tls_free_chain(pinned) } }
        guard leadsToRoot(verification, rules) else { return 0 }
        guard let leaf = X509_STORE_CTX_get0_cert(verification) else { return 0 }
        let refusal = verdict(on: leaf, rules, expecting: ConnectionNotes.of(connection)?.expected)
        guard refusal == 0 else {
            X509_STORE_CTX_set_error(verification, refusal)
            return 0
        }
        if rules.pinnedRoot == nil { weft_tls_drop_roots(verification) }
        return 1
    }

    /// OpenSSL's verdict on the chain, or the one it gave when the same chain came before. A pinned root makes roots of the moment, on
    /// which nothing is remembered.
    private static func leadsToRoot(_ verification: OpaquePointer, _ rules: ContextRules) -> Bool {
        guard rules.pinnedRoot == nil, let digest = VerifiedChains.Digest(of: verification) else { return X509_verify_cert(verification) == 1 }
        if rules.chains.contains(digest, at: Clock.unixSeconds()) {
            X509_STORE_CTX_set_error(verification, X509_V_OK)
            return true
        }
        guard X509_verify_cert(verification) == 1 else { return false }
        if let valid = VerifiedChains.validity(verification) { rules.chains.insert(digest, valid) }
        return true
    }

    /// After the handshake: nil, or why the peer is refused after all.
    ///
    /// A resumed session carries the certificate of its first handshake, whose chain was verified by these very roots: a session
    /// lives in its context, and a change of roots, certificate or policy makes a new context. Dates go on, so they are checked
    /// again, and so is the identity, which costs next to nothing.
    static func failureAfterHandshake(_ connection: OpaquePointer) -> Int32? {
        guard let rules = ContextRules.of(connection) else { return Int32(X509_V_ERR_UNSPECIFIED) }
        guard let leaf = SSL_get0_peer_certificate(connection) else {
            return rules.allowsAnonymousPeer ? nil : Int32(WEFT_VERIFY_NO_CERTIFICATE)
        }
        guard weft_tls_session_reused(connection) == 1 else { return nil }
        guard weft_tls_peer_in_time(connection, leaf) == 1 else { return Int32(X509_V_ERR_CERT_HAS_EXPIRED) }
        let refusal = verdict(on: leaf, rules, expecting: ConnectionNotes.of(connection)?.expected)
        return refusal == 0 ? nil : refusal
    }
}
