internal import COpenSSL

/// Why TLS failed, for logs, metrics and the question whether trying again is safe.
package struct TLSFailure: BitwiseCopyable, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// We refuse the peer's certificate; `code` is OpenSSL's X509_V_ERR, or a `WEFT_VERIFY` code.
        case refusedPeer
        /// The peer refuses something of ours; `code` is the alert (RFC 8446 §6.2).
        case alert
        /// The stream ended without close_notify: whatever was to come is missing.
        case truncated
        /// The peer does not speak TLS as it should; `code` is OpenSSL's reason.
        case violation
    }

    package let kind: Kind
    package let code: Int32

    /// Whether it is certain that the peer's application saw nothing of what we wrote, so that sending it again is safe.
    ///
    /// In TLS 1.3 a client finishes its handshake, and may send a request, before the server has looked at the client's
    /// certificate. A server hands nothing to its application before it has (ours: `Transport.handshake` is not done). So it is
    /// certain in two cases only: our own handshake failed (we never wrote), or the peer's *first* word after it is one of the
    /// alerts by which a server refuses a client's certificate or Finished; being encrypted, it is the peer's own word.
    /// A connection that just breaks proves nothing: the alert may have been lost, or the request served.
    package let isProvablyUnsent: Bool

    init(_ kind: Kind, code: Int32 = 0, isProvablyUnsent: Bool = false) {
        self.kind = kind
        self.code = code
        self.isProvablyUnsent = isProvablyUnsent
    }

    /// The peer's chain lacks the root that was pinned.
    package var isWithoutPin: Bool { kind == .refusedPeer && code == Int32(WEFT_VERIFY_NO_PIN) }

    /// handshake_failure, bad_, unsupported_, revoked, expired, unknown certificate, unknown_ca, access_denied, decrypt_error,
    /// certificate_required.
    static func endsHandshake(alert: Int32) -> Bool {
        switch alert {
        case 40, 42, 43, 44, 45, 46, 48, 49, 51, 116: true
        default: false
        }
    }

    package var description: String {
        switch kind {
        case .refusedPeer: "refused the peer's certificate: \(Self.verification(code))"
        case .alert: "the peer refused: \(String(cString: SSL_alert_desc_string_long(code)))"
        case .truncated: "the stream ended without close_notify"
        case .violation: "TLS error: \(weft_tls_reason_text(code).map { String(cString: $0) } ?? "reason \(code)")"
        }
    }

    private static func verification(_ code: Int32) -> String {
        switch Int(code) {
        case WEFT_VERIFY_NO_IDENTITY: "it carries no URI name"
        case WEFT_VERIFY_SEVERAL_IDENTITIES: "it carries several URI names"
        case WEFT_VERIFY_BAD_IDENTITY: "its URI name is not a SPIFFE id"
        case WEFT_VERIFY_OTHER_DOMAIN: "its SPIFFE id belongs to another trust domain"
        case WEFT_VERIFY_WRONG_IDENTITY: "its SPIFFE id is not the expected one"
        case WEFT_VERIFY_NOT_A_LEAF: "it is an authority's, not a workload's"
        case WEFT_VERIFY_NO_PIN: "no certificate of its chain is the pinned root"
        case WEFT_VERIFY_NO_CERTIFICATE: "there is none"
        default: String(cString: X509_verify_cert_error_string(Int(code)))
        }
    }
}
