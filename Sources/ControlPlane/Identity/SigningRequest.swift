import COpenSSL

/// A signing request of which one thing is believed: that its sender holds the private key.
///
/// Names, extensions and attributes in it are ignored; who the sender is, the registration says.
package final class SigningRequest {
    /// A request for an RSA-4096 key has about 1.7 KB, in bytes.
    package static let bytesMax = 16 << 10

    private let handle: OpaquePointer

    /// DER or PEM. The key's kind and size are checked before its signature is verified, so that nobody has us compute
    /// with a monster of a key.
    ///
    /// - Throws: `request` with a sentence for the sender.
    package init(_ bytes: [UInt8]) throws(IdentityError) {
        guard bytes.count <= SigningRequest.bytesMax else {
            throw .request("it has \(bytes.count) bytes, at most \(SigningRequest.bytesMax) are read")
        }
        guard let handle = SigningRequest.read(bytes) else { throw .request("not a PKCS #10 request in DER or PEM") }
        do throws(IdentityError) { try SigningRequest.check(handle) } catch {
            X509_REQ_free(handle)
            throw error
        }
        self.handle = handle
    }

    deinit { X509_REQ_free(handle) }

    /// A request for `key` in DER: for the control plane's own certificate and for tests.
    package static func make(for key: PrivateKey) throws(IdentityError) -> [UInt8] {
        guard let request = weft_request_make(key.handle) else { throw .library("making a signing request") }
        defer { X509_REQ_free(request) }
        return try collect("writing a signing request") { i2d_X509_REQ_bio($0, request) }
    }

    var publicKey: OpaquePointer? { X509_REQ_get0_pubkey(handle) }

    private static func read(_ bytes: [UInt8]) -> OpaquePointer? {
        defer { ERR_clear_error() }
        guard let bio = BIO_new_mem_buf(bytes, Int32(clamping: bytes.count)) else { return nil }
        defer { BIO_free(bio) }
        if bytes.first == UInt8(ascii: "-") { return PEM_read_bio_X509_REQ(bio, nil, { _, _, _, _ in 0 }, nil) }
        guard let handle = d2i_X509_REQ_bio(bio, nil) else { return nil }
        var rest: UInt8 = 0
        guard BIO_read(bio, &rest, 1) <= 0 else {
            X509_REQ_free(handle)
            return nil
        }
        return handle
    }

    /// A parameter of a key, as OpenSSL names them; empty if it has none.
    private static func text(of key: OpaquePointer, _ parameter: String) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        guard EVP_PKEY_get_utf8_string_param(key, parameter, &buffer, buffer.count, nil) == 1 else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func check(_ handle: OpaquePointer) throws(IdentityError) {
        defer { ERR_clear_error() }
        guard let key = X509_REQ_get0_pubkey(handle) else { throw .request("its public key cannot be read") }
        switch EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_EC:
            // Spelt-out parameters can look like P-256 and be another curve to somebody (CVE-2020-0601).
            guard text(of: key, "encoding") == "named_curve" else { throw .request("an elliptic curve is given by its name here") }
            let curve = text(of: key, "group")
            guard ["prime256v1", "P-256", "secp384r1", "P-384"].contains(curve) else {
                throw .request("elliptic curves other than P-256 and P-384 are not taken")
            }
        case EVP_PKEY_RSA:
            let bits = EVP_PKEY_get_bits(key)
            guard (2048...4096).contains(bits) else { throw .request("an RSA key has 2048 to 4096 bits here, this one \(bits)") }
            guard (2...64).contains(weft_key_rsa_exponent_bits(key)) else { throw .request("its RSA exponent is not a usual one") }
        default:
            throw .request("only P-256, P-384 and RSA keys are taken")
        }
        guard X509_REQ_verify(handle, key) == 1 else { throw .request("its signature is not by the key it names") }
    }
}
