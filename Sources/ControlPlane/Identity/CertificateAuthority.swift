import COpenSSL

/// The mesh's certificate authority: a P-256 root that issues every workload's X.509-SVID.
///
/// The roots are in the store's table `ca`; each private key is a file of its own in the state directory, mode 0600, named
/// for its root, written and synced before the store names the root. It issues to whomever it is told to: who may have
/// which name, `IssuePolicy` decides.
package final class CertificateAuthority {
    package struct Policy: Sendable {
        /// In seconds.
        package var rootLife: Int64 = 10 * 365 * 86_400
        /// A workload's certificate, in seconds: a stolen key is worth a day at most, and a control plane that is away
        /// for a night is not noticed.
        package var leafLife: Int64 = 86_400
        /// Certificates start this long before now, in seconds, for clocks that are behind.
        package var backdate: Int64 = 300

        package init() {}
    }

    package struct Issued: Sendable {
        /// The certificate; there are no intermediates.
        package let pem: [UInt8]
        package let identity: WorkloadIdentity
        package let serial: String
        package let notBefore: UnixTime
        package let notAfter: UnixTime
        /// The beginning of the issuing root's key id, as `PeerIdentity.issuer` has it.
        package let root: UInt64
    }

    package let trustDomain: String
    package let policy: Policy
    package private(set) var rotation: RootRotation
    private typealias Signer = (certificate: Certificate, key: PrivateKey)
    /// Of all trusted roots, in the order of `rotation.trusted`: the issuer first.
    private var signers: [Signer]
    private var issuer: Signer { signers[0] }
    private let store: Store
    private let files: any FileLayer

    private static let table = "ca"

    /// Reads the authority from `store`, or makes it: then the store has changes to commit.
    ///
    /// - Parameter files: the state directory's; the store's own will do.
    /// - Throws: `IdentityError.state` if what is there cannot be used, `StoreError`.
    package init(store: Store, files: any FileLayer, trustDomain: String, policy: Policy = Policy(), at now: UnixTime) throws {
        guard let own = WorkloadIdentity.controlPlane(of: trustDomain) else {
            throw IdentityError.state("\"\(trustDomain)\" is not a trust domain: lower-case letters, digits, '.', '-' and '_'")
        }
        (self.store, self.files, self.trustDomain, self.policy) = (store, files, trustDomain, policy)
        if let saved = store.value(CertificateAuthority.table, "rotation") {
            guard let rotation = RootRotation(encoded: saved) else {
                throw IdentityError.state("\(files.place): the authority's state is of another version of weft")
            }
            self.rotation = rotation
            signers = try rotation.trusted.map { try CertificateAuthority.load($0, files) }
            let found = signers[0].certificate.uri ?? "none"
            guard found == "spiffe://\(own.trustDomain)" else {
                throw IdentityError.state(
                    "\(files.place) holds the authority of \(found), but the mesh's trust domain is \(trustDomain): set it back, or start with a new directory")
            }
        } else {
            let made = try CertificateAuthority.makeRoot(trustDomain, policy, at: now)
            signers = [made]
            rotation = RootRotation(try CertificateAuthority.root(made.certificate))
            try CertificateAuthority.save(made.key, of: rotation.issuer, files)
            try store.append([.set(CertificateAuthority.table, "rotation", rotation.encode())])
        }
    }

    /// All roots that sidecars must trust, in PEM.
    package func bundle() throws(IdentityError) -> [UInt8] {
        var pem: [UInt8] = []
        for root in rotation.trusted { pem += try Certificate(der: root.certificate).pem() }
        return pem
    }

    /// When the issuing root ends: warn a year before, rotate.
    package var rootEnds: UnixTime { issuer.certificate.notAfter }

    /// The beginning of a trusted root's key id, as certificates that it issued name it.
    package func keyID(_ root: RootRotation.Root) -> UInt64 { signer(root).map { weft_tls_own_key($0.certificate.handle) } ?? 0 }

    /// When a trusted root ends.
    package func ends(_ root: RootRotation.Root) -> UnixTime? { signer(root)?.certificate.notAfter }

    private func signer(_ root: RootRotation.Root) -> Signer? {
        rotation.trusted.firstIndex(of: root).map { signers[$0] }
    }

    // === issuing ===

    /// - Parameters:
    ///   - request: only its key is used.
    ///   - life: in seconds; never longer than the root lives.
    package func issue(
        _ request: SigningRequest, to identity: WorkloadIdentity, life: Int64? = nil, at now: UnixTime
    ) throws(IdentityError) -> Issued {
        precondition(identity.trustDomain == trustDomain, "the policy lets no other trust domain through")
        guard let key = request.publicKey else { throw .request("its public key cannot be read") }
        return try issue(key, to: identity, by: issuer, life: life ?? policy.leafLife, at: now)
    }

    /// A certificate for the control plane itself, with a fresh key that is never stored.
    ///
    /// - Parameter root: one of the trusted; nil for the issuer.
    package func issueOwn(by root: RootRotation.Root? = nil, at now: UnixTime) throws(IdentityError) -> (certificate: Issued, keyPEM: [UInt8]) {
        guard let identity = WorkloadIdentity.controlPlane(of: trustDomain) else { throw .library("naming the control plane") }
        let key = try PrivateKey.generate()
        let signer = root.flatMap(signer) ?? issuer
        return (try issue(key.handle, to: identity, by: signer, life: policy.leafLife, at: now), try key.pem())
    }

    private func issue(
        _ key: OpaquePointer, to identity: WorkloadIdentity, by issuer: Signer, life: Int64, at now: UnixTime
    ) throws(IdentityError) -> Issued {
        let root = issuer.certificate
        guard now >= root.notBefore, now < root.notAfter else {
            throw .authorityExpired("the mesh's root is valid from \(root.notBefore.seconds) to \(root.notAfter.seconds) and it is \(now.seconds): check this host's clock, or rotate the root")
        }
        let notBefore = max(now + -policy.backdate, root.notBefore)
        let notAfter = min(now + max(1, life), root.notAfter)
        guard let handle = X509_new() else { throw .library("making a certificate") }
        let certificate = Certificate(owning: handle)
        guard X509_set_version(handle, 2) == 1, weft_certificate_set_random_serial(handle) == 1,
            X509_set_issuer_name(handle, X509_get_subject_name(root.handle)) == 1,
            weft_time_set(X509_getm_notBefore(handle), notBefore.seconds) == 1,
            weft_time_set(X509_getm_notAfter(handle), notAfter.seconds) == 1,
            X509_set_pubkey(handle, key) == 1,
            weft_certificate_add_extension(handle, root.handle, NID_basic_constraints, "critical,CA:FALSE") == 1,
            weft_certificate_add_extension(handle, root.handle, NID_key_usage, "critical,digitalSignature") == 1,
            weft_certificate_add_extension(handle, root.handle, NID_ext_key_usage, "serverAuth,clientAuth") == 1,
            weft_certificate_add_extension(handle, root.handle, NID_authority_key_identifier, "keyid:always") == 1,
            // The subject is empty, so the name is critical.
            weft_certificate_set_uri(handle, identity.uri, 1) == 1,
            X509_sign(handle, issuer.key.handle, EVP_sha256()) > 0
        else { throw .library("making a certificate") }
        return Issued(
            pem: try certificate.pem(), identity: identity, serial: certificate.serial, notBefore: notBefore, notAfter: notAfter,
            root: weft_tls_own_key(root.handle))
    }

    // === root rotation ===

    /// Makes a new root and trusts it beside the old one; push the bundle after the commit.
    ///
    /// - Returns: false if a rotation is under way.
    package func beginRotation(at now: UnixTime) throws -> Bool {
        guard case .steady = rotation.phase else { return false }
        let (certificate, key) = try CertificateAuthority.makeRoot(trustDomain, policy, at: now)
        let root = try CertificateAuthority.root(certificate)
        try CertificateAuthority.save(key, of: root, files)
        var next = rotation
        guard next.begin(with: root) else { return false }
        try store.append([.set(CertificateAuthority.table, "rotation", next.encode())])
        rotation = next
        signers.append((certificate, key))
        return true
    }

    /// Takes the next step if it may; call it now and then. See `RootRotation.advance`.
    package func advanceRotation(at now: UnixTime, sidecarsWithoutNew: Int, leavesOfOld: Int) throws -> RootRotation.Effect {
        var next = rotation
        let effect = next.advance(at: now, sidecarsWithoutNew: sidecarsWithoutNew, leavesOfOld: leavesOfOld, leafLife: policy.leafLife)
        guard effect != .none else { return .none }
        let nextSigners = try next.trusted.map { try CertificateAuthority.load($0, files) }
        try store.append([.set(CertificateAuthority.table, "rotation", next.encode())])
        (rotation, signers) = (next, nextSigners)
        return effect
    }

    /// Deletes a dropped root's key; call it once the commit that dropped it is durable.
    package func deleteKey(of root: RootRotation.Root) { try? files.remove(CertificateAuthority.keyName(root)) }

    // === making, saving, loading ===

    private static func makeRoot(
        _ trustDomain: String, _ policy: Policy, at now: UnixTime
    ) throws(IdentityError) -> (certificate: Certificate, key: PrivateKey) {
        let key = try PrivateKey.generate()
        guard let handle = X509_new() else { throw .library("making a root") }
        let certificate = Certificate(owning: handle)
        // The suffix tells apart the two roots of a rotation to those who look issuers up by name.
        let name = "Weft root " + Digest.randomBytes(4).hex
        guard X509_set_version(handle, 2) == 1, weft_certificate_set_random_serial(handle) == 1,
            let subject = X509_get_subject_name(handle),
            X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1,
            X509_set_issuer_name(handle, subject) == 1,
            weft_time_set(X509_getm_notBefore(handle), (now + -policy.backdate).seconds) == 1,
            weft_time_set(X509_getm_notAfter(handle), (now + policy.rootLife).seconds) == 1,
            X509_set_pubkey(handle, key.handle) == 1,
            weft_certificate_add_extension(handle, handle, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") == 1,
            weft_certificate_add_extension(handle, handle, NID_key_usage, "critical,keyCertSign,cRLSign") == 1,
            weft_certificate_add_extension(handle, handle, NID_subject_key_identifier, "hash") == 1,
            weft_certificate_set_uri(handle, "spiffe://\(trustDomain)", 0) == 1,
            X509_sign(handle, key.handle, EVP_sha256()) > 0
        else { throw .library("making a root") }
        return (certificate, key)
    }

    private static func root(_ certificate: Certificate) throws(IdentityError) -> RootRotation.Root {
        let der = try certificate.der()
        return RootRotation.Root(certificate: der, fingerprint: Digest.sha256(der))
    }

    private static func keyName(_ root: RootRotation.Root) -> String { "ca-\(root.fingerprint.prefix(8).hex).key" }

    /// Durable before it returns; a crash in between leaves at most a file that nobody names.
    private static func save(_ key: PrivateKey, of root: RootRotation.Root, _ files: any FileLayer) throws {
        let (name, pem) = (keyName(root), try key.pem())
        try storing { () throws(FileFailure) in
            let handle = try files.open(name + ".tmp", creating: true)
            defer { files.close(handle) }
            try files.writeAll(pem, at: 0, to: handle)
            try files.sync(handle)
            try files.rename(name + ".tmp", to: name)
            try files.syncDirectory()
        }
    }

    private static func load(
        _ root: RootRotation.Root, _ files: any FileLayer
    ) throws -> (certificate: Certificate, key: PrivateKey) {
        let name = keyName(root)
        let pem: [UInt8]
        do {
            let handle = try files.open(name, creating: false)
            defer { files.close(handle) }
            pem = try files.read(handle)
        } catch {
            throw IdentityError.state("\(files.place)/\(name): the authority's key cannot be read (\(error.reason)); restore it from a backup")
        }
        let (key, certificate): (PrivateKey, Certificate)
        do { (key, certificate) = (try PrivateKey(pem: pem), try Certificate(der: root.certificate)) } catch {
            throw IdentityError.state("\(files.place)/\(name): \(error.description); restore it from a backup")
        }
        guard X509_check_private_key(certificate.handle, key.handle) == 1 else {
            ERR_clear_error()
            throw IdentityError.state("\(files.place)/\(name): not the key of the authority's certificate; restore it from a backup")
        }
        return (certificate, key)
    }
}

extension ArraySlice<UInt8> {
    fileprivate var hex: String { Array(self).hex }
}
