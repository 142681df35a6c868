internal import COpenSSL
internal import CPlatform
internal import Synchronization

/// How one side does TLS: whom it trusts, what it shows, and its sessions. Immutable; thread-safe.
///
/// A change of key, roots or policy makes a new context. Sessions live and die with their context, and a server's are bound to
/// the hash of all it depends on besides, so no session outlives the trust it was made under. Connections keep what they need
/// of theirs alive; the owner may drop the context at any time.
package final class TLSContext: @unchecked Sendable {
    // OpenSSL locks what is mutable in it.
    private let pointer: OpaquePointer
    private let rules: ContextRules

    /// Whose word about certificates counts.
    package enum Trust: Sendable {
        /// Any of these roots.
        case roots([Certificate])
        /// The certificate with this SHA-256, which the peer must send along: a first contact, by a join token.
        case pinnedRoot(sha256: [UInt8])
    }

    package enum ClientCertificates: Sendable {
        /// No certificate, no connection: mesh traffic.
        case required
        /// A certificate that is shown must be good: joining, where the token stands in for one.
        case optional
    }

    /// Sessions a server remembers, about 4 KiB each; the oldest go first.
    package static let serverSessionsMax = 8_192
    /// Seconds a session may be resumed; less if a certificate ends earlier.
    package static let sessionSeconds = 3_600

    /// - Parameters:
    ///   - scope: what else sessions depend on: the listener's name, the policy epoch.
    ///   - sendsRoot: the chain ends with a root for clients that pin it.
    ///   - others: contexts for clients that pin another root, by `name(ofRoot:)`.
    package static func server(
        identity: LocalIdentity, trust roots: [Certificate], trustDomain: String, clients: ClientCertificates = .required,
        applicationProtocols: [String] = ["http/1.1"], scope: String, sendsRoot: Certificate? = nil, others: [String: TLSContext] = [:]
    ) throws(CertificateError) -> TLSContext {
        let rules = ContextRules(
            isServer: true, trustDomain: trustDomain, pinnedRoot: nil, allowsAnonymousPeer: clients == .optional,
            applicationProtocols: applicationProtocols, others: others)
        let context = try TLSContext(rules, identity: identity, trust: roots)
        if let sendsRoot, weft_tls_chain_add(context.pointer, sendsRoot.pointer) != 1 { throw CertificateError("the root cannot be added") }
        for root in roots { _ = weft_tls_client_ca(context.pointer, root.pointer) }
        var mode = SSL_VERIFY_PEER
        if clients == .required { mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT }
        SSL_CTX_set_verify(context.pointer, mode, nil)
        let hash = sessionScope(scope, identity, roots)
        weft_tls_server_sessions(
            context.pointer, hash, UInt32(hash.count), Self.serverSessionsMax, Self.sessionSeconds)
        SSL_CTX_set_alpn_select_cb(context.pointer, ContextRules.chooseProtocol, nil)
        if !others.isEmpty { weft_tls_on_server_name(context.pointer, ContextRules.chooseContext) }
        return context
    }

    /// - Parameters:
    ///   - identity: nil shows no certificate (joining).
    ///   - trustDomain: peers of another are refused; empty with a pinned root, which stands for its own domain alone.
    package static func client(
        identity: LocalIdentity?, trust: Trust, trustDomain: String, applicationProtocols: [String] = ["http/1.1"]
    ) throws(CertificateError) -> TLSContext {
        var roots: [Certificate] = []
        var pin: [UInt8]?
        switch trust {
        case .roots(let list): roots = list
        case .pinnedRoot(let sha256):
            guard sha256.count == 32 else { throw CertificateError("a SHA-256 has 32 bytes") }
            pin = sha256
        }
        guard pin != nil || !trustDomain.isEmpty else { throw CertificateError("roots are trusted for a trust domain") }
        let rules = ContextRules(
            isServer: false, trustDomain: trustDomain, pinnedRoot: pin, allowsAnonymousPeer: false,
            applicationProtocols: applicationProtocols)
        let context = try TLSContext(rules, identity: identity, trust: roots)
        SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
        if pin == nil { weft_tls_client_sessions(context.pointer, Self.sessionSeconds) } else { weft_tls_no_sessions(context.pointer) }
        let offered = rules.protocolList
        if !offered.isEmpty, SSL_CTX_set_alpn_protos(context.pointer, offered, UInt32(offered.count)) != 0 {
            throw CertificateError("an application protocol's name is too long")
        }
        return context
    }

    private init(_ rules: ContextRules, identity: LocalIdentity?, trust roots: [Certificate]) throws(CertificateError) {
        weft_ignore_broken_pipes()
        guard let pointer = weft_tls_context(Self.library, rules.isServer ? 1 : 0) else { throw CertificateError("no TLS context could be made") }
        self.pointer = pointer
        self.rules = rules
        // The context's copy goes when OpenSSL's last reference to it does, after the last connection.
        let kept = Unmanaged.passRetained(rules)
        if SSL_CTX_set_ex_data(pointer, ContextRules.slot, kept.toOpaque()) != 1 {
            kept.release()
            throw CertificateError("out of memory")
        }
        if let identity {
            guard SSL_CTX_use_certificate(pointer, identity.certificate.pointer) == 1,
                SSL_CTX_use_PrivateKey(pointer, identity.key.pointer) == 1
            else { throw CertificateError("the certificate or its key is not fit for TLS: \(Self.opensslText())") }
            for certificate in identity.intermediates where weft_tls_chain_add(pointer, certificate.pointer) != 1 {
                throw CertificateError("an intermediate certificate is not fit for TLS: \(Self.opensslText())")
            }
        }
        for root in roots where weft_tls_trust(pointer, root.pointer) != 1 { throw CertificateError("a root cannot be trusted") }
        SSL_CTX_set_cert_verify_callback(pointer, PeerVerification.check, nil)
        SSL_CTX_sess_set_new_cb(pointer, ClientSessions.made)
    }

    deinit { SSL_CTX_free(pointer) }

    /// OpenSSL with what TLS needs alone; nil where its ordinary context serves as well. For all contexts, for good.
    nonisolated(unsafe) static let library = weft_tls_library()

    /// What a client that pins a root asks for, so that a server that has several shows this one.
    package static func name(ofRoot sha256: [UInt8]) -> String {
        "root-\(Hex.text(sha256.prefix(24))).weft"
    }

    /// Whether the peer of an established connection, made under an older context, would be let in under this one.
    package func trusts(peerOf transport: Transport) -> Bool {
        transport.connection.map { weft_tls_trusts_peer(pointer, $0) == 1 } ?? false
    }

    /// Chains that need no second verification.
    var knownChains: Int { rules.chains.count }

    private static func opensslText() -> String {
        ERR_reason_error_string(ERR_peek_last_error()).map { String(cString: $0) } ?? "no reason given"
    }

    private static func sessionScope(_ scope: String, _ identity: LocalIdentity, _ roots: [Certificate]) -> [UInt8] {
        var material = Array(scope.utf8) + [0]
        material += identity.certificate.sha256
        for digest in roots.map(\.sha256).sorted(by: { $0.lexicographicallyPrecedes($1) }) { material += digest }
        return [UInt8](unsafeUninitializedCapacity: 32) { buffer, initialized in
            SHA256(material, material.count, buffer.baseAddress)
            initialized = 32
        }
    }

    // MARK: Connections

    /// The serving side of a connection that was accepted; nil if OpenSSL is out of memory (the descriptor stays the caller's).
    package func accept(_ descriptor: Int32) -> Transport? {
        guard let connection = SSL_new(pointer) else { return nil }
        weft_tls_set_descriptor(connection, descriptor)
        SSL_set_accept_state(connection)
        return Transport(descriptor, connection, isServer: true)
    }

    /// A handshake that has just begun under another context goes on under this one.
    func takeOver(_ connection: OpaquePointer) -> Bool { SSL_set_SSL_CTX(connection, pointer) != nil }

    /// The calling side of a connection, connected or about to be: the handshake succeeds only with one of `peer`'s ids.
    package func connect(_ descriptor: Int32, expecting peer: ExpectedPeer) -> Transport? {
        guard let connection = SSL_new(pointer) else { return nil }
        let notes = Unmanaged.passRetained(ConnectionNotes(peer, rules.sessions))
        guard SSL_set_ex_data(connection, ConnectionNotes.slot, notes.toOpaque()) == 1 else {
            notes.release()
            SSL_free(connection)
            return nil
        }
        weft_tls_set_descriptor(connection, descriptor)
        if let pin = rules.pinnedRoot { _ = weft_tls_set_server_name(connection, Self.name(ofRoot: pin)) }
        SSL_set_connect_state(connection)
        rules.sessions.offer(to: connection, peer.sessionKey)
        return Transport(descriptor, connection, isServer: false)
    }
}

/// What OpenSSL's callbacks need to know of a context; lives as long as OpenSSL's context does.
final class ContextRules: Sendable {
    let isServer: Bool
    let trustDomain: String
    let pinnedRoot: [UInt8]?
    let allowsAnonymousPeer: Bool
    /// Names, each after a byte with its length (RFC 7301 §3.1).
    let protocolList: [UInt8]
    let sessions = ClientSessions()
    let chains = VerifiedChains()
    /// By the server name that asks for them.
    private let others: [String: TLSContext]

    init(
        isServer: Bool, trustDomain: String, pinnedRoot: [UInt8]?, allowsAnonymousPeer: Bool, applicationProtocols: [String],
        others: [String: TLSContext] = [:]
    ) {
        self.others = others
        self.isServer = isServer
        self.trustDomain = trustDomain
        self.pinnedRoot = pinnedRoot
        self.allowsAnonymousPeer = allowsAnonymousPeer
        protocolList = applicationProtocols.flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8.prefix(255)) }
    }

    static let slot = weft_tls_context_slot { _, object, _, _, _, _ in
        if let object { Unmanaged<ContextRules>.fromOpaque(object).release() }
    }

    static func of(_ connection: OpaquePointer) -> ContextRules? {
        guard let context = SSL_get_SSL_CTX(connection), let object = SSL_CTX_get_ex_data(context, slot) else { return nil }
        return Unmanaged<ContextRules>.fromOpaque(object).takeUnretainedValue()
    }

    /// Goes on under the context that the client's server name asks for, if there is one.
    static let chooseContext: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 = { connection, _, _ in
        guard let connection, let name = weft_tls_server_name(connection).map({ String(cString: $0) }),
            let other = ContextRules.of(connection)?.others[name]
        else { return SSL_TLSEXT_ERR_NOACK }
        return other.takeOver(connection) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL
    }

    /// Takes the first of ours that the client offers; a client that offers only others is refused (RFC 7301 §3.2).
    static let chooseProtocol:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UInt32,
            UnsafeMutableRawPointer?
        ) -> Int32 = { connection, chosen, chosenCount, offered, offeredCount, _ in
            guard let connection, let chosen, let chosenCount, let offered, let rules = ContextRules.of(connection) else {
                return SSL_TLSEXT_ERR_ALERT_FATAL
            }
            let ours = rules.protocolList
            guard !ours.isEmpty else { return SSL_TLSEXT_ERR_NOACK }
            // The answer must point into the client's list, which outlives this call.
            var at = 0
            while at < ours.count {
                let name = ours[at..<min(at + 1 + Int(ours[at]), ours.count)]
                var position = 0
                while position < Int(offeredCount) {
                    let count = Int(offered[position])
                    guard position + 1 + count <= Int(offeredCount) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                    if name.elementsEqual(UnsafeBufferPointer(start: offered + position, count: 1 + count)) {
                        chosen.pointee = offered + position + 1
                        chosenCount.pointee = UInt8(count)
                        return SSL_TLSEXT_ERR_OK
                    }
                    position += 1 + count
                }
                at += name.count
            }
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }
}

/// What OpenSSL's callbacks need to know of a client's connection.
final class ConnectionNotes: Sendable {
    let expected: ExpectedPeer
    let sessions: ClientSessions

    init(_ expected: ExpectedPeer, _ sessions: ClientSessions) {
        self.expected = expected
        self.sessions = sessions
    }

    static let slot = weft_tls_connection_slot { _, object, _, _, _, _ in
        if let object { Unmanaged<ConnectionNotes>.fromOpaque(object).release() }
    }

    static func of(_ connection: OpaquePointer) -> ConnectionNotes? {
        SSL_get_ex_data(connection, slot).map { Unmanaged<ConnectionNotes>.fromOpaque($0).takeUnretainedValue() }
    }
}
