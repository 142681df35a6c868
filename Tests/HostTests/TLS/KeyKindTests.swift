import COpenSSL
import Pipeline
import Testing

@testable import Host

/// Contexts read peers' keys with the few algorithms that `COpenSSL/library.h` picks.
@Suite struct KeyKindTests {
    private static func key(_ kind: String) throws -> PrivateKey {
        let isCurve = kind.hasSuffix("P-256") || kind.hasSuffix("P-384")
        let context = try #require(EVP_PKEY_CTX_new_from_name(nil, isCurve ? "EC" : kind, nil))
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        try #require(EVP_PKEY_keygen_init(context) == 1)
        if isCurve { try #require(EVP_PKEY_CTX_set_group_name(context, String(kind.suffix(5))) == 1) }
        try #require(EVP_PKEY_generate(context, &key) == 1)
        if kind.hasPrefix("spelt-out") { try #require(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit") == 1) }
        return PrivateKey(owning: try #require(key))
    }

    @Test("Workloads and authorities with each usual kind of key know each other", arguments: ["P-256", "P-384", "RSA", "ED25519"])
    func usual(_ kind: String) throws {
        let authority = try TestAuthority(key: Self.key(kind))
        func identity(_ service: String) throws -> LocalIdentity { try authority.issue("URI:" + TestAuthority.id(service), key: Self.key(kind)) }
        var pair = try TLSPair(TLSTests.client(authority, identity("order")), TLSTests.server(authority, identity("payment")))
        defer { pair.close() }
        let outcome = pair.handshake()
        #expect(outcome.client == .done && outcome.server == .done)
        #expect(pair.server.peerIdentity?.id.workload?.service == "order")
    }

    @Test("Where OpenSSL searches all it has for each key, contexts are given the few")
    func few() {
        #expect((TLSContext.library != nil) == (OpenSSL_version_num() < 0x3020_0000 && EVP_default_properties_is_fips_enabled(nil) == 0))
    }

    @Test("A curve that is spelt out instead of named is refused")
    func speltOut() throws {
        let authority = try TestAuthority()
        let odd = try authority.issue("URI:" + TestAuthority.id("order"), key: Self.key("spelt-out P-256"))
        var pair = try TLSPair(TLSTests.client(authority, odd), TLSTests.server(authority, authority.workload("payment")))
        defer { pair.close() }
        let outcome = pair.handshake()
        #expect(outcome.server != .done && outcome.server != .wouldBlock, "\(outcome)")
    }
}
