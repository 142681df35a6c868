import COpenSSL

/// An X.509 certificate, read.
package final class Certificate {
    let handle: OpaquePointer

    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { X509_free(handle) }

    /// The first certificate of a PEM text.
    ///
    /// - Throws: `state` if there is none.
    package convenience init(pem: [UInt8]) throws(IdentityError) {
        defer { ERR_clear_error() }
        guard let bio = BIO_new_mem_buf(pem, Int32(clamping: pem.count)) else { throw .library("reading a certificate") }
        defer { BIO_free(bio) }
        guard let handle = PEM_read_bio_X509(bio, nil, { _, _, _, _ in 0 }, nil) else { throw .state("not a certificate in PEM") }
        self.init(owning: handle)
    }

    package convenience init(der: [UInt8]) throws(IdentityError) {
        defer { ERR_clear_error() }
        guard let bio = BIO_new_mem_buf(der, Int32(clamping: der.count)) else { throw .library("reading a certificate") }
        defer { BIO_free(bio) }
        guard let handle = d2i_X509_bio(bio, nil) else { throw .state("not a certificate in DER") }
        self.init(owning: handle)
    }

    package func pem() throws(IdentityError) -> [UInt8] {
        try collect("writing a certificate") { PEM_write_bio_X509($0, handle) }
    }

    package func der() throws(IdentityError) -> [UInt8] {
        try collect("writing a certificate") { i2d_X509_bio($0, handle) }
    }

    package var notBefore: UnixTime { UnixTime(weft_time_seconds(X509_get0_notBefore(handle))) }
    package var notAfter: UnixTime { UnixTime(weft_time_seconds(X509_get0_notAfter(handle))) }

    /// Its only subject alternative name, if that is a URI.
    package var uri: String? {
        var text: UnsafeMutablePointer<CChar>?
        let count = weft_certificate_names(handle, &text)
        defer { CRYPTO_free(text, "", 0) }
        guard count == 1, let text else { return nil }
        return String(validatingCString: text)
    }

    package var isAuthority: Bool { X509_check_ca(handle) == 1 }

    /// Of the extension; digitalSignature is 0x80, keyCertSign 0x04.
    package var keyUsage: UInt32 { X509_get_key_usage(handle) }

    package var serial: String {
        guard let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(handle), nil) else { return "" }
        defer { BN_free(number) }
        var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(number) + 7) / 8)
        BN_bn2bin(number, &bytes)
        return bytes.hex
    }

    package enum Purpose: Sendable { case client, server }

    /// Whether it leads to one of `roots`, is valid at `now` and may be used for `purpose`.
    package func isTrusted(by roots: [Certificate], for purpose: Purpose, at now: UnixTime) -> Bool {
        defer { ERR_clear_error() }
        guard let store = X509_STORE_new(), let context = X509_STORE_CTX_new() else { return false }
        defer {
            X509_STORE_CTX_free(context)
            X509_STORE_free(store)
        }
        for root in roots { X509_STORE_add_cert(store, root.handle) }
        guard X509_STORE_CTX_init(context, store, handle, nil) == 1 else { return false }
        X509_STORE_CTX_set_time(context, 0, time_t(now.seconds))
        guard X509_STORE_CTX_set_purpose(context, purpose == .client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER) == 1 else {
            return false
        }
        return X509_verify_cert(context) == 1
    }
}
