internal import COpenSSL
package import Pipeline

/// What is wrong with a key, a certificate or a request.
package struct CertificateError: Error, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) {
        self.description = description
        ERR_clear_error()
    }
}

/// An X.509 certificate.
package final class Certificate: @unchecked Sendable {
    // Immutable once parsed; OpenSSL's reads of it are thread-safe.
    let pointer: OpaquePointer

    init(owning pointer: OpaquePointer) { self.pointer = pointer }
    deinit { X509_free(pointer) }

    /// All certificates in PEM text, in order; at least one. Other kinds of blocks are skipped.
    package static func all(inPEM pem: [UInt8]) throws(CertificateError) -> [Certificate] {
        let bio = try Memory(reading: pem)
        var found: [Certificate] = []
        ERR_clear_error()
        while let next = PEM_read_bio_X509(bio.pointer, nil, nil, nil) {
            guard found.count < countMax else { throw CertificateError("more than \(countMax) certificates") }
            found.append(Certificate(owning: next))
        }
        // The end of the text is the one error that is none.
        let error = ERR_peek_last_error()
        guard ERR_GET_REASON(error) == PEM_R_NO_START_LINE else { throw CertificateError("a certificate is malformed") }
        ERR_clear_error()
        guard !found.isEmpty else { throw CertificateError("no certificate found") }
        return found
    }

    /// Certificates in one file: a chain or a bundle of roots.
    package static let countMax = 64

    /// Seconds since 1970.
    package var notBefore: Int64 { Int64(weft_tls_not_before(pointer)) }
    /// Seconds since 1970.
    package var notAfter: Int64 { Int64(weft_tls_not_after(pointer)) }

    package var sha256: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, initialized in
            weft_tls_sha256(pointer, buffer.baseAddress)
            initialized = 32
        }
    }

    /// What `PeerIdentity.issuer` says of those it issued.
    package var keyID: UInt64 { weft_tls_own_key(pointer) }

    package var pem: [UInt8] { get throws(CertificateError) { try Memory.text { PEM_write_bio_X509($0, pointer) } } }
}

/// A private key. It never leaves Host but into its own file.
package final class PrivateKey: @unchecked Sendable {
    let pointer: OpaquePointer

    init(owning pointer: OpaquePointer) { self.pointer = pointer }
    deinit { EVP_PKEY_free(pointer) }

    /// A new P-256 key.
    package static func generate() throws(CertificateError) -> PrivateKey {
        guard let key = weft_tls_generate_key() else { throw CertificateError("no key could be made") }
        return PrivateKey(owning: key)
    }

    /// The first private key in PEM text, unencrypted.
    package convenience init(pem: [UInt8]) throws(CertificateError) {
        let bio = try Memory(reading: pem)
        // A passphrase is never asked for: the callback has none.
        guard let key = PEM_read_bio_PrivateKey(bio.pointer, nil, { _, _, _, _ in -1 }, nil) else {
            throw CertificateError("no readable private key found")
        }
        self.init(owning: key)
    }

    /// PKCS #8, unencrypted: for a file with mode 0600.
    package var pem: [UInt8] {
        get throws(CertificateError) { try Memory.text { PEM_write_bio_PKCS8PrivateKey($0, pointer, nil, nil, 0, nil, nil) } }
    }

    /// A PKCS #10 request in PEM that asks for a certificate for `id`.
    package func signingRequest(for id: String) throws(CertificateError) -> [UInt8] {
        guard let request = weft_tls_signing_request(pointer, id) else { throw CertificateError("no signing request could be made") }
        defer { X509_REQ_free(request) }
        return try Memory.text { PEM_write_bio_X509_REQ($0, request) }
    }
}

/// What one side shows: its key, its certificate, and the intermediates between that and a root.
package struct LocalIdentity: Sendable {
    package let key: PrivateKey
    package let certificate: Certificate
    package let intermediates: [Certificate]

    /// - Parameter chain: the leaf first.
    package init(key: PrivateKey, chain: [Certificate]) throws(CertificateError) {
        guard let leaf = chain.first else { throw CertificateError("an empty chain") }
        guard X509_check_private_key(leaf.pointer, key.pointer) == 1 else { throw CertificateError("the key is not the certificate's") }
        self.key = key
        certificate = leaf
        intermediates = Array(chain.dropFirst())
    }

    package init(keyPEM: [UInt8], chainPEM: [UInt8]) throws(CertificateError) {
        try self.init(key: PrivateKey(pem: keyPEM), chain: Certificate.all(inPEM: chainPEM))
    }

    /// The SPIFFE id in the certificate; nil if it carries none that is valid.
    package var id: SPIFFEID? { try? PeerVerification.identity(of: certificate.pointer).get() }

    /// Whether its chain leads to one of `roots`, whatever the time.
    package func leads(to roots: [Certificate]) -> Bool {
        guard let store = X509_STORE_new() else { return false }
        defer { X509_STORE_free(store) }
        for root in roots { X509_STORE_add_cert(store, root.pointer) }
        // Only the workload's own place is asked for: intermediates of ours are certificates like its own.
        let between = OPENSSL_sk_new_null()
        defer { OPENSSL_sk_free(between) }
        for certificate in intermediates { OPENSSL_sk_push(between, UnsafeRawPointer(certificate.pointer)) }
        return weft_tls_leads_to(certificate.pointer, between, store, 1) == 1
    }

    /// Seconds since 1970: the earliest end in the chain.
    package var expires: Int64 { intermediates.reduce(certificate.notAfter) { min($0, $1.notAfter) } }
}

/// A memory BIO.
final class Memory {
    let pointer: OpaquePointer
    private let bytes: [UInt8]

    /// Copies: OpenSSL would otherwise read from memory that Swift may move.
    init(reading bytes: [UInt8]) throws(CertificateError) {
        self.bytes = bytes
        guard let bio = BIO_new(BIO_s_mem()), BIO_write(bio, bytes, Int32(clamping: bytes.count)) == Int32(clamping: bytes.count) || bytes.isEmpty
        else { throw CertificateError("out of memory") }
        BIO_ctrl(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, 0, nil)
        pointer = bio
    }

    deinit { BIO_free(pointer) }

    static func text(_ write: (OpaquePointer) -> Int32) throws(CertificateError) -> [UInt8] {
        let bio = try Memory(reading: [])
        guard write(bio.pointer) == 1 else { throw CertificateError("cannot be encoded") }
        var base: UnsafeMutablePointer<CChar>?
        let count = weft_bio_bytes(bio.pointer, &base)
        guard let base, count > 0 else { throw CertificateError("cannot be encoded") }
        return Array(UnsafeRawBufferPointer(start: base, count: count))
    }
}
