internal import COpenSSL
package import Host

/// A TLS client of its own making, over OpenSSL itself, that trusts anybody: what does the other side let it have?
package enum TLSProbe {
    package struct Outcome: Sendable, CustomStringConvertible {
        /// Whether our side of the handshake looked complete. In TLS 1.3 that says nothing: the server judges the client's
        /// certificate only afterwards.
        package var handshook = false
        package var negotiated = ""
        /// Decrypted bytes that came back.
        package var received: [UInt8] = []
        /// How it ended, in OpenSSL's words; empty for an orderly end.
        package var ending = ""

        package var text: String { String(decoding: received, as: UTF8.self) }
        package var description: String { "handshake \(handshook ? "done" : "failed") \(negotiated), \(received.count) bytes, \(ending)" }
    }

    /// Connects, says `request`, reads until the end.
    package static func send(
        _ request: String, to address: SocketAddress, as identity: TestAuthority.Identity?, timeout: Duration = .seconds(5)
    ) throws -> Outcome {
        var outcome = Outcome()
        let socket = try BlockingSocket(to: address, timeout: timeout)
        let context = SSL_CTX_new(TLS_client_method())
        defer { SSL_CTX_free(context) }
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        if let identity {
            load(identity.certificatePEM) { bio in
                let certificate = PEM_read_bio_X509(bio, nil, nil, nil)
                precondition(SSL_CTX_use_certificate(context, certificate) == 1)
                X509_free(certificate)
            }
            load(identity.keyPEM) { bio in
                let key = PEM_read_bio_PrivateKey(bio, nil, nil, nil)
                precondition(SSL_CTX_use_PrivateKey(context, key) == 1)
                EVP_PKEY_free(key)
            }
        }
        let ssl = SSL_new(context)
        defer { SSL_free(ssl) }
        SSL_set_fd(ssl, socket.descriptor)
        ERR_clear_error()
        guard SSL_connect(ssl) == 1 else {
            outcome.ending = lastError()
            return outcome
        }
        outcome.handshook = true
        outcome.negotiated = String(cString: SSL_get_version(ssl))
        var bytes = Array(request.utf8)
        _ = SSL_write(ssl, &bytes, Int32(bytes.count))
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            ERR_clear_error()
            let count = SSL_read(ssl, &buffer, Int32(buffer.count))
            guard count > 0 else {
                outcome.ending = lastError()
                return outcome
            }
            outcome.received += buffer[..<Int(count)]
        }
    }

    private static func load(_ pem: String, _ use: (OpaquePointer?) -> Void) {
        let bytes = Array(pem.utf8)
        bytes.withUnsafeBytes { bytes in
            let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
            use(bio)
            BIO_free(bio)
        }
    }

    private static func lastError() -> String {
        let code = ERR_get_error()
        guard code != 0 else { return "" }
        var text = [CChar](repeating: 0, count: 256)
        ERR_error_string_n(code, &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
