internal import COpenSSL
internal import Pipeline

/// A client context's sessions, the newest per endpoint and expected identity. They die with the context.
final class ClientSessions: Sendable {
    /// Endpoints remembered; beyond, an arbitrary one is forgotten, which costs a full handshake.
    static let endpointsMax = 4_096

    private final class Session: @unchecked Sendable {
        // Reference-counted with a lock of its own by OpenSSL.
        let pointer: OpaquePointer
        init(owning pointer: OpaquePointer) { self.pointer = pointer }
        deinit { SSL_SESSION_free(pointer) }
    }

    private let newest = Lock<[String: Session]>([:])

    /// Offers the session kept under `key`, if it is still good.
    func offer(to connection: OpaquePointer, _ key: String) {
        guard let session = newest.withLock({ $0[key] }) else { return }
        if SSL_SESSION_is_resumable(session.pointer) == 1 { SSL_set_session(connection, session.pointer) }
    }

    private func keep(_ session: Session, _ key: String) {
        newest.withLock { sessions in
            if sessions[key] == nil, sessions.count >= Self.endpointsMax, let any = sessions.keys.first { sessions[any] = nil }
            sessions[key] = session
        }
    }

    /// A session was made, on either side. It ends with the peer's certificate at the latest. 1: the reference is ours now.
    static let made: @convention(c) (OpaquePointer?, OpaquePointer?) -> Int32 = { connection, session in
        guard let connection, let session else { return 0 }
        if let peer = SSL_get0_peer_certificate(connection) {
            let left = Int64(weft_tls_not_after(peer)) - Clock.unixSeconds()
            SSL_SESSION_set_timeout(session, Int(max(1, min(left, Int64(TLSContext.sessionSeconds)))))
        }
        guard let notes = ConnectionNotes.of(connection) else { return 0 }
        notes.sessions.keep(Session(owning: session), notes.expected.sessionKey)
        return 1
    }
}
