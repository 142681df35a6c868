import COpenSSL
import Glibc
import Pipeline
import Testing

@testable import Host

/// Handshakes with peers whose chains came before: full ones, since each call is made under a client context of its own.
@Suite struct VerifiedChainTests {
    let authority: TestAuthority
    let server: TLSContext

    init() throws {
        authority = try TestAuthority()
        server = try TLSTests.server(authority, authority.workload("payment"))
    }

    /// What the server makes of a caller.
    private func outcome(_ identity: LocalIdentity, at server: TLSContext) throws -> Transport.Handshake {
        var pair = try TLSPair(TLSTests.client(authority, identity), server)
        defer { pair.close() }
        let outcome = pair.handshake().server
        #expect(!pair.server.isResumed)
        if outcome == .done { #expect(pair.server.peerIdentity?.id == identity.id) }
        return outcome
    }

    private func refusal(_ identity: LocalIdentity, at server: TLSContext) throws -> String? {
        guard case .failed(let why) = try outcome(identity, at: server), why.tls?.kind == .refusedPeer else { return nil }
        return why.description
    }

    @Test("A chain is verified once and known from then on; two peers are two chains; one that is refused is never known")
    func known() throws {
        let order = try authority.workload("order")
        #expect(server.knownChains == 0)
        for _ in 0..<3 {
            #expect(try outcome(order, at: server) == .done)
            #expect(server.knownChains == 1)
        }
        #expect(try outcome(authority.workload("order"), at: server) == .done)
        #expect(server.knownChains == 2)
        let stranger = try TestAuthority().workload("order"), late = try authority.workload("order", lifetime: -10)
        for _ in 0..<2 {
            #expect(try refusal(stranger, at: server) != nil)
            #expect(try refusal(late, at: server) != nil)
        }
        #expect(server.knownChains == 2)
    }

    @Test("A known chain is refused once its leaf, an intermediate or the root has ended")
    func expiredInBetween() throws {
        let shortRoot = try TestAuthority(lifetime: 3)
        let shortBetween = try authority.intermediate(lifetime: 3)
        let leaf = try shortBetween.workload("order")
        let peers = [
            try authority.workload("order", lifetime: 3), try shortRoot.workload("order"),
            try LocalIdentity(key: leaf.key, chain: [leaf.certificate, shortBetween.root]),
        ]
        let server = try TLSContext.server(
            identity: authority.workload("payment"), trust: [authority.root, shortRoot.root], trustDomain: "shop.internal", scope: "inbound")
        for peer in peers { #expect(try outcome(peer, at: server) == .done) }
        #expect(server.knownChains == 3)
        usleep(4_100_000)
        for peer in peers { #expect(try refusal(peer, at: server)?.contains("expired") == true) }
        #expect(server.knownChains == 0)
    }

    @Test("A chain known under a root is refused where that root is dropped, and still good where it is not")
    func rootDropped() throws {
        let other = try TestAuthority()
        let identity = try authority.workload("payment"), order = try authority.workload("order")
        func server(_ roots: [Certificate]) throws -> TLSContext {
            try TLSContext.server(identity: identity, trust: roots, trustDomain: "shop.internal", scope: "inbound")
        }
        let before = try server([authority.root, other.root])
        #expect(try outcome(order, at: before) == .done)
        #expect(try refusal(order, at: server([other.root])) != nil)
        #expect(try outcome(order, at: before) == .done)
        #expect(try outcome(order, at: server([authority.root])) == .done)
    }

    @Test("Whom a known chain names is asked each time: another service, another domain")
    func identityAskedAnew() throws {
        let client = try TLSTests.client(authority, authority.workload("order"))
        func outcome(expecting service: String) throws -> Transport.Handshake {
            // A server of its own each time: nothing is resumed.
            var pair = try TLSPair(client, TLSTests.server(authority, payment), expecting: service)
            defer { pair.close() }
            return pair.handshake().client
        }
        let payment = try authority.workload("payment")
        #expect(try outcome(expecting: "payment") == .done)
        #expect(client.knownChains == 1)
        guard case .failed(let why) = try outcome(expecting: "analytics") else { Issue.record("accepted"); return }
        #expect(why.description.contains("not the expected one"))
        #expect(try outcome(expecting: "payment") == .done)

        // The chain is good and stays known; the domain is not ours.
        let stranger = try authority.issue("URI:spiffe://evil.internal/ns/default/sa/order")
        for _ in 0..<2 { #expect(try refusal(stranger, at: server)?.contains("another trust domain") == true) }
        #expect(server.knownChains == 1)
    }

    @Test("Another leaf under a known issuer, and a known leaf with another signature, are verified")
    func leafSwapped() throws {
        let between = try authority.intermediate(lifetime: 3_600)
        func chain(_ leaf: LocalIdentity) throws -> LocalIdentity { try LocalIdentity(key: leaf.key, chain: [leaf.certificate, between.root]) }
        let order = try chain(between.workload("order"))
        #expect(try outcome(order, at: server) == .done)
        #expect(try refusal(chain(between.workload("order", lifetime: -10)), at: server)?.contains("expired") == true)
        #expect(try refusal(chain(between.issue("URI:" + TestAuthority.id("order"), purposes: "serverAuth")), at: server) != nil)
        // Without its intermediate it leads nowhere.
        #expect(try refusal(LocalIdentity(key: order.key, chain: [order.certificate]), at: server) != nil)

        // The last byte belongs to the signature.
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_X509(order.certificate.pointer, &der)
        let bytes = try #require(der)
        defer { CRYPTO_free(bytes, nil, 0) }
        bytes[Int(count) - 1] ^= 1
        var cursor: UnsafePointer<UInt8>? = UnsafePointer(bytes)
        let forged = Certificate(owning: try #require(d2i_X509(nil, &cursor, Int(count))))
        #expect(try refusal(LocalIdentity(key: order.key, chain: [forged, between.root]), at: server)?.contains("signature") == true)
        #expect(server.knownChains == 1)
        #expect(try outcome(order, at: server) == .done)
    }

    @Test("Of what a peer sent the intermediates are kept, which other roots may need, and a root only if it ends before the leaf")
    func keptCertificates() throws {
        let between = try authority.intermediate(lifetime: 3_600), short = try TestAuthority(lifetime: 600)
        let server = try TLSContext.server(
            identity: authority.workload("payment"), trust: [authority.root, short.root], trustDomain: "shop.internal", scope: "inbound")
        func kept(_ leaf: LocalIdentity, and others: [Certificate]) throws -> Int {
            var pair = try TLSPair(TLSTests.client(authority, LocalIdentity(key: leaf.key, chain: [leaf.certificate] + others)), server)
            defer { pair.close() }
            #expect(pair.handshake().server == .done)
            #expect(pair.server.peerIdentity?.id.workload?.service == "order")
            #expect(server.trusts(peerOf: pair.server))
            return Int(OPENSSL_sk_num(pair.server.connection.flatMap { SSL_get_peer_cert_chain($0) }))
        }
        for _ in 0..<2 {  // verified, and known
            #expect(try kept(authority.workload("order"), and: [authority.root]) == 0)
            #expect(try kept(between.workload("order"), and: [between.root, authority.root]) == 1)
            #expect(try kept(short.workload("order"), and: [short.root]) == 1)
        }
    }

    @Test("A chain is known from its latest beginning until just before its earliest end, the root's included; their number is bounded")
    func bounds() throws {
        let digest = VerifiedChains.Digest((1, 2, 3, 4))
        let chains = VerifiedChains()
        chains.insert(digest, 100..<200)
        #expect(chains.contains(digest, at: 100) && chains.contains(digest, at: 199))
        #expect(!chains.contains(VerifiedChains.Digest((1, 2, 3, 5)), at: 150))
        #expect(!chains.contains(digest, at: 200))
        #expect(chains.count == 0, "one that has ended is forgotten")
        chains.insert(digest, 100..<200)
        #expect(!chains.contains(digest, at: 99))
        for number in 0..<UInt64(VerifiedChains.countMax + 100) { chains.insert(VerifiedChains.Digest((number, 0, 0, 0)), 0..<10) }
        #expect(chains.count == VerifiedChains.countMax)

        let short = try TestAuthority(lifetime: 500)
        let store = try #require(X509_STORE_new()), verification = try #require(X509_STORE_CTX_new())
        defer { X509_STORE_CTX_free(verification); X509_STORE_free(store) }
        X509_STORE_add_cert(store, short.root.pointer)
        let leaf = try short.issue("URI:" + TestAuthority.id("order"), lifetime: 900, age: 40).certificate
        X509_STORE_CTX_init(verification, store, leaf.pointer, nil)
        #expect(VerifiedChains.Digest(of: verification) == nil, "nothing was sent")
        #expect(X509_verify_cert(verification) == 1)
        #expect(VerifiedChains.validity(verification) == Int(leaf.notBefore)..<Int(short.root.notAfter))
    }
}
