internal import COpenSSL
internal import Host

/// A certificate authority for tests, over OpenSSL itself: issues whatever is asked for, right or wrong.
package final class TestAuthority: @unchecked Sendable {
    // Immutable; OpenSSL's reads of keys and certificates are thread-safe.
    private let key: OpaquePointer
    private let root: OpaquePointer

    package struct Identity: Sendable {
        package let certificatePEM: String
        package let keyPEM: String
    }

    package enum Failure: Error { case openssl(String) }

    /// A new one.
    package init(_ trustDomain: String = "shop.internal") throws {
        guard let key = weft_key_generate_p256() else { throw Failure.openssl("key") }
        self.key = key
        root = try Self.sign(
            subject: key, issuerKey: key, issuer: nil, lifetime: 86_400, age: 300,
            extensions: [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"), (NID_subject_alt_name, "URI:spiffe://\(trustDomain)")])
    }

    /// Somebody else's, from its own files: to issue what its owner would not.
    package init(keyPEM: [UInt8], certificatePEM: [UInt8]) throws {
        guard let key = Self.read(keyPEM, { PEM_read_bio_PrivateKey($0, nil, nil, nil) }),
            let root = Self.read(certificatePEM, { PEM_read_bio_X509($0, nil, nil, nil) })
        else { throw Failure.openssl("reading PEM") }
        (self.key, self.root) = (key, root)
    }

    deinit {
        EVP_PKEY_free(key)
        X509_free(root)
    }

    /// Whether the root is its own issuer and the key is the root's.
    package var isWhole: Bool { X509_check_issued(root, root) == X509_V_OK && X509_check_private_key(root, key) == 1 }

    package var rootPEM: String { Self.text { PEM_write_bio_X509($0, root) } }

    /// - Parameter lifetime: seconds from now; negative is over already.
    package func issue(_ uri: String, lifetime: Int = 3600, age: Int = 7200) throws -> Identity {
        guard let leafKey = weft_key_generate_p256() else { throw Failure.openssl("key") }
        defer { EVP_PKEY_free(leafKey) }
        let leaf = try Self.sign(
            subject: leafKey, issuerKey: key, issuer: root, lifetime: lifetime, age: age,
            extensions: [
                (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, "URI:\(uri)"),
            ])
        defer { X509_free(leaf) }
        return Identity(
            certificatePEM: Self.text { PEM_write_bio_X509($0, leaf) },
            keyPEM: Self.text { PEM_write_bio_PrivateKey($0, leafKey, nil, nil, 0, nil, nil) })
    }

    private static func sign(
        subject: OpaquePointer, issuerKey: OpaquePointer, issuer: OpaquePointer?, lifetime: Int, age: Int, extensions: [(Int32, String)]
    ) throws -> OpaquePointer {
        guard let certificate = X509_new() else { throw Failure.openssl("certificate") }
        X509_set_version(certificate, 2)
        _ = weft_certificate_set_random_serial(certificate)
        X509_gmtime_adj(X509_getm_notBefore(certificate), -age)
        X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime)
        X509_set_pubkey(certificate, subject)
        let name = X509_get_subject_name(certificate)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, issuer == nil ? "test root" : "test workload", -1, -1, 0)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0) } ?? name)
        for (kind, value) in extensions where weft_certificate_add_extension(certificate, issuer ?? certificate, kind, value) != 1 {
            throw Failure.openssl(value)
        }
        guard X509_sign(certificate, issuerKey, EVP_sha256()) > 0 else { throw Failure.openssl("signing") }
        return certificate
    }

    private static func read<Object>(_ pem: [UInt8], _ parse: (OpaquePointer?) -> Object?) -> Object? {
        pem.withUnsafeBytes { bytes in
            let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            defer { BIO_free(bio) }
            return parse(bio)
        }
    }

    private static func text(_ write: (OpaquePointer?) -> Int32) -> String {
        let bio = BIO_new(BIO_s_mem())
        defer { BIO_free(bio) }
        _ = write(bio)
        var data: UnsafeMutablePointer<CChar>?
        let count = weft_bio_data(bio, &data)
        return String(decoding: UnsafeRawBufferPointer(start: data, count: Int(count)), as: UTF8.self)
    }
}
