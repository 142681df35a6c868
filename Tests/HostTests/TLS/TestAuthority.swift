import COpenSSL

@testable import Host

/// A certificate authority for tests: issues whatever a test asks for, right or wrong.
final class TestAuthority {
    let key: PrivateKey
    let root: Certificate

    init(lifetime: Int = 86_400, key: PrivateKey? = nil) throws {
        self.key = try key ?? PrivateKey.generate()
        let key = self.key
        root = try Self.sign(
            subject: key, issuerKey: key, issuer: nil, lifetime: lifetime, age: 300,
            extensions: [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign")])
    }

    private init(key: PrivateKey, root: Certificate) {
        self.key = key
        self.root = root
    }

    /// An authority between this one and workloads: its `root` is the intermediate.
    func intermediate(lifetime: Int) throws -> TestAuthority {
        let key = try PrivateKey.generate()
        let certificate = try Self.sign(
            subject: key, issuerKey: self.key, issuer: root, lifetime: lifetime, age: 300,
            extensions: [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign")])
        return TestAuthority(key: key, root: certificate)
    }

    /// - Parameters:
    ///   - names: the value of subjectAltName, nil for none.
    ///   - lifetime: seconds from now; negative is over already.
    func issue(
        _ names: String?, lifetime: Int = 3600, age: Int = 300, usage: String = "critical,digitalSignature",
        purposes: String? = "serverAuth,clientAuth", constraints: String = "critical,CA:FALSE", key leafKey: PrivateKey? = nil
    ) throws -> LocalIdentity {
        let leafKey = try leafKey ?? PrivateKey.generate()
        var extensions = [(NID_basic_constraints, constraints), (NID_key_usage, usage)]
        if let purposes { extensions.append((NID_ext_key_usage, purposes)) }
        if let names { extensions.append((NID_subject_alt_name, names)) }
        let leaf = try Self.sign(subject: leafKey, issuerKey: key, issuer: root, lifetime: lifetime, age: age, extensions: extensions)
        return try LocalIdentity(key: leafKey, chain: [leaf])
    }

    /// The leaf that a signing request asks for, in PEM, for whatever name the test wants.
    func sign(requestPEM: [UInt8], _ names: String, lifetime: Int = 3600) throws -> [UInt8] {
        let bio = try Memory(reading: requestPEM)
        guard let request = PEM_read_bio_X509_REQ(bio.pointer, nil, nil, nil), let subject = X509_REQ_get_pubkey(request) else {
            throw CertificateError("no request")
        }
        defer { X509_REQ_free(request) }
        let extensions = [
            (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
            (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, names),
        ]
        return try Self.sign(
            subject: PrivateKey(owning: subject), issuerKey: key, issuer: root, lifetime: lifetime, age: 300, extensions: extensions
        ).pem
    }

    func workload(_ service: String, lifetime: Int = 3600) throws -> LocalIdentity {
        try issue("URI:" + Self.id(service), lifetime: lifetime)
    }

    static func id(_ service: String) -> String { "spiffe://shop.internal/ns/default/sa/\(service)" }

    private static func sign(
        subject: PrivateKey, issuerKey: PrivateKey, issuer: Certificate?, lifetime: Int, age: Int, extensions: [(Int32, String)]
    ) throws -> Certificate {
        guard let certificate = X509_new() else { throw CertificateError("out of memory") }
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), Int(Entropy.word() >> 33))
        X509_gmtime_adj(X509_getm_notBefore(certificate), -age)
        X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime)
        X509_set_pubkey(certificate, subject.pointer)
        let name = X509_get_subject_name(certificate)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, extensions[0].1.contains("CA:TRUE") ? "test authority \(Entropy.word())" : "test workload", -1, -1, 0)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0.pointer) } ?? name)
        for (kind, value) in extensions {
            guard let made = X509V3_EXT_conf_nid(nil, nil, kind, value) else { throw CertificateError("extension \(value)") }
            X509_add_ext(certificate, made, -1)
            X509_EXTENSION_free(made)
        }
        let digest = EVP_PKEY_get_base_id(issuerKey.pointer) == EVP_PKEY_ED25519 ? nil : EVP_sha256()
        guard X509_sign(certificate, issuerKey.pointer, digest) > 0 else { throw CertificateError("not signed") }
        return Certificate(owning: certificate)
    }
}
