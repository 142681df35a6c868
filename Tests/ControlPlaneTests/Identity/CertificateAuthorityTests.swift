import ControlPlane
import ControlPlaneTesting
import FoundationEssentials
import Pipeline
import Testing

struct CertificateAuthorityTests {
    private let now = UnixTime(1_800_000_000)
    private let day: Int64 = 86_400
    private let payment = WorkloadIdentity(trustDomain: "shop.internal", namespace: "default", service: "payment")!

    private func authority(
        _ files: FaultyFiles = FaultyFiles(seed: 1), trustDomain: String = "shop.internal", policy: CertificateAuthority.Policy = .init()
    ) throws -> (CertificateAuthority, Store) {
        let store = try Store(files)
        let authority = try CertificateAuthority(store: store, files: files, trustDomain: trustDomain, policy: policy, at: now)
        try store.commit()
        return (authority, store)
    }

    private func request() throws -> SigningRequest { try SigningRequest(try SigningRequest.make(for: try .generate())) }

    private func root(_ authority: CertificateAuthority) throws -> Certificate { try Certificate(pem: try authority.bundle()) }

    @Test("A workload's certificate is a leaf with one SPIFFE name, for client and server, trusted by the root for a day")
    func leaf() throws {
        let (authority, _) = try authority()
        let issued = try authority.issue(try request(), to: payment, at: now)
        let leaf = try Certificate(pem: issued.pem)
        #expect(leaf.uri == "spiffe://shop.internal/ns/default/sa/payment")
        #expect(!leaf.isAuthority)
        #expect(leaf.keyUsage == 0x80)
        #expect(leaf.notBefore == now + -300)
        #expect(leaf.notAfter == now + day)
        #expect(leaf.serial == issued.serial)
        #expect(leaf.serial.count == 32, "128 bits")
        let root = try root(authority)
        #expect(leaf.isTrusted(by: [root], for: .client, at: now))
        #expect(leaf.isTrusted(by: [root], for: .server, at: now))
        #expect(!leaf.isTrusted(by: [root], for: .client, at: now + day + 1))
        #expect(!leaf.isTrusted(by: [root], for: .client, at: now + -301))
        let stranger = try self.root(try self.authority().0)
        #expect(!leaf.isTrusted(by: [stranger], for: .client, at: now))
        #expect(root.isAuthority)
        #expect(root.uri == "spiffe://shop.internal")
        #expect(root.keyUsage == 0x06, "keyCertSign and cRLSign, nothing else")
    }

    @Test("Of a request only the key is used: names, CA:TRUE and key usages in it are ignored")
    func greedyRequest() throws {
        let (authority, _) = try authority()
        let order = WorkloadIdentity(trustDomain: "shop.internal", namespace: "default", service: "order")!
        let issued = try authority.issue(try SigningRequest(Array(RequestFixtures.greedy.utf8)), to: order, at: now)
        let leaf = try Certificate(pem: issued.pem)
        #expect(leaf.uri == order.uri, "the only name")
        #expect(!leaf.isAuthority)
        #expect(leaf.keyUsage == 0x80)
    }

    @Test("Keys that are too weak, too large, or of a kind we do not take are refused with the reason")
    func keys() throws {
        for good in [RequestFixtures.rsa2048, RequestFixtures.p384, RequestFixtures.greedy] {
            _ = try SigningRequest(Array(good.utf8))
        }
        for (bad, reason) in [
            (RequestFixtures.rsa1024, "2048 to 4096 bits here, this one 1024"), (RequestFixtures.rsa8192, "this one 8192"),
            (RequestFixtures.secp256k1, "elliptic curves other than P-256 and P-384"), (RequestFixtures.explicit, "by its name"),
            (RequestFixtures.ed25519, "only P-256, P-384 and RSA"),
        ] {
            let error = try #require(throws: IdentityError.self) { try SigningRequest(Array(bad.utf8)) }
            #expect(error.description.contains(reason))
        }
    }

    @Test("A request with any byte changed is refused or is still signed by its key, and never traps")
    func mutatedRequests() throws {
        let der = try SigningRequest.make(for: try .generate())
        _ = try SigningRequest(der)
        var random = Random(seed: 5)
        var accepted = 0
        for offset in der.indices {
            var bad = der
            bad[offset] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
            if (try? SigningRequest(bad)) != nil { accepted += 1 }
        }
        #expect(accepted == 0)
        for size in 0..<der.count { #expect(throws: IdentityError.self) { try SigningRequest(Array(der.prefix(size))) } }
        #expect(throws: IdentityError.self) { try SigningRequest(der + [0]) }
        #expect(throws: IdentityError.self) { try SigningRequest([UInt8](repeating: 0x30, count: SigningRequest.bytesMax + 1)) }
    }

    @Test("A certificate never outlives the root, and an ended root issues nothing")
    func clamped() throws {
        var policy = CertificateAuthority.Policy()
        policy.rootLife = 3600
        let (authority, _) = try authority(policy: policy)
        #expect(try authority.issue(try request(), to: payment, at: now).notAfter == now + 3600)
        #expect(try authority.issue(try request(), to: payment, life: 600, at: now).notAfter == now + 600)
        let error = try #require(throws: IdentityError.self) { try authority.issue(try request(), to: payment, at: now + 3600) }
        #expect(error.description.contains("rotate the root"))
    }

    @Test("After a restart the same root goes on; a missing key or another trust domain is refused, not replaced")
    func restart() throws {
        let files = FaultyFiles(seed: 1)
        var (first, store): (CertificateAuthority?, Store?) = try authority(files)
        let leaf = try Certificate(pem: try first!.issue(try request(), to: payment, at: now).pem)
        first = nil
        store?.close()
        store = nil

        let again = FaultyFiles(files.content)
        let (second, _) = try authority(again)
        #expect(leaf.isTrusted(by: [try root(second)], for: .server, at: now))

        let error = try #require(throws: IdentityError.self) { try self.authority(FaultyFiles(files.content), trustDomain: "other") }
        #expect(error.description.contains("authority of spiffe://shop.internal"))
        var missing = files.content
        for name in missing.keys where name.hasSuffix(".key") { missing[name] = nil }
        let other = try #require(throws: IdentityError.self) { try self.authority(FaultyFiles(missing)) }
        #expect(other.description.contains("restore it from a backup"))
    }

    @Test("The first start may lose its power at any call: the next one has one working authority", arguments: 0..<60)
    func crashAtFirstStart(seed: UInt64) throws {
        var files = FaultyFiles(seed: seed)
        files.callsUntilCrash = Int(seed) / 2
        _ = try? authority(files)
        files = files.crash()
        let (authority, _) = try authority(files)
        let leaf = try Certificate(pem: try authority.issue(try request(), to: payment, at: now).pem)
        #expect(leaf.isTrusted(by: [try root(authority)], for: .client, at: now))
    }

    @Test("On a real directory the key is 0600")
    func keyFile() throws {
        let directory = FileManager.default.temporaryDirectory.path + "/weft-ca-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = POSIXFiles(directory: directory)
        let store = try Store(files)
        _ = try CertificateAuthority(store: store, files: files, trustDomain: "shop", at: now)
        let keys = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".key") }
        #expect(keys.count == 1)
        let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + keys[0])
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test("The control plane's own certificate names it and its key fits")
    func own() throws {
        let (authority, _) = try authority()
        let (certificate, key) = try authority.issueOwn(at: now)
        #expect(certificate.identity.uri == "spiffe://shop.internal/ns/weft-system/sa/control-plane")
        _ = try PrivateKey(pem: key)
        #expect(try Certificate(pem: certificate.pem).isTrusted(by: [try root(authority)], for: .server, at: now))
    }

    @Test("Through a whole rotation every live certificate is trusted by everybody, across restarts")
    func rotation() throws {
        var files = FaultyFiles(seed: 1)
        var (authority, store) = try authority(files)
        func restart() throws {
            store.close()
            files = FaultyFiles(files.content)
            (authority, store) = try self.authority(files)
        }
        func roots() throws -> [Certificate] { try authority.rotation.trusted.map { try Certificate(der: $0.certificate) } }
        let oldRoots = try roots()
        let oldLeaf = try Certificate(pem: try authority.issue(try request(), to: payment, at: now).pem)

        #expect(try authority.beginRotation(at: now))
        #expect(try !authority.beginRotation(at: now), "one at a time")
        try store.commit()
        try restart()
        let whileSpreading = try Certificate(pem: try authority.issue(try request(), to: payment, at: now).pem)
        #expect(whileSpreading.isTrusted(by: oldRoots, for: .client, at: now), "some know only the old root yet")
        #expect(try roots().count == 2)
        #expect(try authority.advanceRotation(at: now, sidecarsWithoutNew: 1, leavesOfOld: 1) == .none)

        #expect(try authority.advanceRotation(at: now, sidecarsWithoutNew: 0, leavesOfOld: 1) == .issueFromNew)
        try store.commit()
        try restart()
        let newLeaf = try Certificate(pem: try authority.issue(try request(), to: payment, at: now).pem)
        #expect(!newLeaf.isTrusted(by: oldRoots, for: .client, at: now))
        #expect(newLeaf.isTrusted(by: try roots(), for: .client, at: now))
        #expect(oldLeaf.isTrusted(by: try roots(), for: .client, at: now))
        #expect(try authority.advanceRotation(at: now + day, sidecarsWithoutNew: 0, leavesOfOld: 1) == .none, "clocks may differ")

        guard case .dropOld(let old) = try authority.advanceRotation(at: now + day + 600, sidecarsWithoutNew: 0, leavesOfOld: 1) else {
            Issue.record("the old root should go")
            return
        }
        try store.commit()
        authority.deleteKey(of: old)
        #expect(files.content.keys.filter { $0.hasSuffix(".key") }.count == 1)
        try restart()
        #expect(try roots().count == 1)
        #expect(newLeaf.isTrusted(by: try roots(), for: .client, at: now))
    }
}
