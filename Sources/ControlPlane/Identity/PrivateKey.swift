import COpenSSL

/// A private key in this process's memory.
package final class PrivateKey {
    let handle: OpaquePointer

    private init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { EVP_PKEY_free(handle) }

    /// A fresh P-256 key.
    package static func generate() throws(IdentityError) -> PrivateKey {
        guard let handle = weft_key_generate_p256() else { throw .library("generating a P-256 key") }
        return PrivateKey(owning: handle)
    }

    /// - Throws: `state` if it is not a private key in PEM.
    package convenience init(pem: [UInt8]) throws(IdentityError) {
        guard let bio = BIO_new_mem_buf(pem, Int32(clamping: pem.count)) else { throw .library("reading a key") }
        defer { BIO_free(bio) }
        // An empty passphrase instead of a prompt on the terminal.
        guard let handle = PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in 0 }, nil) else {
            ERR_clear_error()
            throw .state("not an unencrypted private key in PEM")
        }
        self.init(owning: handle)
    }

    /// PKCS #8, unencrypted: whoever stores it keeps it at 0600.
    package func pem() throws(IdentityError) -> [UInt8] {
        try collect("writing a key") { PEM_write_bio_PrivateKey($0, handle, nil, nil, 0, nil, nil) }
    }
}

/// What `write` puts into a memory BIO.
func collect(_ step: String, _ write: (OpaquePointer) -> Int32) throws(IdentityError) -> [UInt8] {
    guard let bio = BIO_new(BIO_s_mem()) else { throw .library(step) }
    defer { BIO_free(bio) }
    guard write(bio) == 1 else { throw .library(step) }
    var data: UnsafeMutablePointer<CChar>?
    let count = weft_bio_data(bio, &data)
    return Array(UnsafeRawBufferPointer(start: data, count: Int(count)))
}
