internal import COpenSSL
internal import CPlatform
internal import Glibc

/// A connected stream, in the clear or under TLS, with one set of answers for both.
///
/// Plain data: it belongs to one connection on one loop, which calls `close` once. After registering the descriptor:
///
/// 1. `handshake` on every event until `.done` (at once in the clear). Before it is done nothing is read or written: a server
///    has not seen who its peer is, a client not whom it reached. Then read and write at once: what came along with the
///    handshake's last flight is in TLS's hands already, and no event will tell of it.
/// 2. On an event, act on `directions(for:)`: under TLS a read may have to wait until the socket is writable, and the reverse.
/// 3. `read` until `.wouldBlock`, or until `mayHaveMore` is false after `.bytes`: then the socket was empty and the next
///    event is sure to come. After `.peerFinished` or `.hungUp` read until `.closed` or `.failed` regardless.
/// 4. `write`: after `.wouldBlock` under TLS the same bytes must come first in the next write (they may have moved, and more
///    may follow them): a record with them is already made. A message begun cannot be taken back, only the connection closed.
///
/// It may move to another loop between two calls: deregister with `detaching`, send it through the other's mailbox, register
/// there. `Sendable` says only that; two threads never use it at once.
package struct Transport: BitwiseCopyable, @unchecked Sendable {
    package let descriptor: Int32
    /// An `SSL`, owned; nil in the clear.
    private(set) var connection: OpaquePointer?
    private var flags: Flags

    private struct Flags: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        static let isServer = Flags(rawValue: 1)
        static let isEstablished = Flags(rawValue: 2)
        /// The last read waits for writability.
        static let readNeedsWritable = Flags(rawValue: 4)
        /// The last write waits for readability.
        static let writeNeedsReadable = Flags(rawValue: 8)
        static let mayHaveMore = Flags(rawValue: 16)
        /// Something of the peer's application arrived, so its handshake was done.
        static let hasHeard = Flags(rawValue: 32)
        /// OpenSSL forbids any further call that writes, a farewell included.
        static let isBroken = Flags(rawValue: 64)
    }

    /// In the clear.
    package init(plain descriptor: Int32) {
        self.descriptor = descriptor
        connection = nil
        flags = [.isEstablished]
    }

    /// - Parameter connection: takes over this `SSL`, which has the descriptor set.
    init(_ descriptor: Int32, _ connection: OpaquePointer, isServer: Bool) {
        self.descriptor = descriptor
        self.connection = connection
        flags = isServer ? [.isServer] : []
    }

    @inline(__always)
    package var isTLS: Bool { connection != nil }
    @inline(__always)
    package var isEstablished: Bool { flags.contains(.isEstablished) }
    /// Whether the last read may have left bytes behind, in the socket or in TLS.
    @inline(__always)
    package var mayHaveMore: Bool { flags.contains(.mayHaveMore) }

    /// What to try after an event: what it says, and what waited for the other direction.
    @inline(__always)
    package func directions(for readiness: Readiness) -> (read: Bool, write: Bool) {
        (
            readiness.callsForRead || readiness.callsForWrite && flags.contains(.readNeedsWritable),
            readiness.callsForWrite || readiness.callsForRead && flags.contains(.writeNeedsReadable)
        )
    }

    /// The most a TLS record carries (RFC 8446 §5.1).
    package static let recordBytes = 16_384

    // MARK: Handshake

    package enum Handshake: BitwiseCopyable, Equatable, Sendable {
        /// The peer is verified by our rules; `peerIdentity` says who it is.
        case done
        case wouldBlock
        /// An alert is out if TLS has one for it. Say why in the log, `finishWriting`, `close`.
        case failed(IOFailure)
    }

    /// Goes on with the handshake. A client's failures here are provably unsent.
    package mutating func handshake() -> Handshake {
        guard let connection, !isEstablished else { return .done }
        ERR_clear_error()
        let result = SSL_do_handshake(connection)
        if result == 1 {
            // A resumed session skipped the certificate check: its outcome is checked again, its dates anew.
            if let failure = PeerVerification.failureAfterHandshake(connection) {
                flags.insert(.isBroken)
                return .failed(IOFailure(tls: TLSFailure(.refusedPeer, code: failure, isProvablyUnsent: !flags.contains(.isServer))))
            }
            flags.insert(.isEstablished)
            return .done
        }
        switch failure(of: connection, result) {
        case .wouldBlock: return .wouldBlock
        case .closed: return .failed(IOFailure(tls: TLSFailure(.truncated, isProvablyUnsent: !flags.contains(.isServer))))
        case .failed(let why): return .failed(why)
        case .bytes: return .wouldBlock
        }
    }

    // MARK: Bytes

    /// Reads into `base`.
    @inline(__always)
    package mutating func read(into base: UnsafeMutableRawPointer, count: Int) -> IOResult {
        guard let connection else {
            let result = Socket.read(descriptor, into: base, count: count)
            if case .bytes(let got) = result, got == count { flags.insert(.mayHaveMore) } else { flags.remove(.mayHaveMore) }
            return result
        }
        return readRecord(connection, into: base, count: count)
    }

    private mutating func readRecord(_ connection: OpaquePointer, into base: UnsafeMutableRawPointer, count: Int) -> IOResult {
        guard isEstablished else { return .wouldBlock }
        ERR_clear_error()
        flags.subtract([.readNeedsWritable, .mayHaveMore])
        var got = 0
        let result = SSL_read_ex(connection, base, count, &got)
        if result == 1 {
            flags.insert(.hasHeard)
            // What else has come goes along, so that a body leaves in long writes, each of which wakes its reader once.
            var total = got
            var isPartOfRecord = false
            while total < count, !isPartOfRecord, SSL_has_pending(connection) == 1 || weft_tls_is_drained(connection) == 0 {
                if SSL_read_ex(connection, base + total, count - total, &got) == 1 {
                    total += got
                } else if SSL_want(connection) == SSL_READING {
                    isPartOfRecord = true
                } else {
                    break  // the next read meets it again
                }
            }
            if SSL_has_pending(connection) == 1 && !isPartOfRecord || weft_tls_is_drained(connection) == 0 {
                flags.insert(.mayHaveMore)
            }
            return .bytes(total)
        }
        let answer = failure(of: connection, result)
        if answer == .wouldBlock, SSL_want(connection) == SSL_WRITING { flags.insert(.readNeedsWritable) }
        return answer
    }

    /// Writes a prefix of `count` (more than 0) bytes.
    @inline(__always)
    package mutating func write(from base: UnsafeRawPointer, count: Int) -> IOResult {
        guard let connection else { return Socket.write(descriptor, from: base, count: count) }
        return writeRecords(connection, from: base, count: count)
    }

    /// Writes a prefix of the pieces in one system call; under TLS what fits goes out as one record, so that a head and the
    /// start of its body do not cost two. At most 1,024 pieces.
    package mutating func write(_ pieces: UnsafePointer<IOPiece>, count: Int) -> IOResult {
        guard let connection else { return Socket.write(descriptor, pieces, count: count) }
        if count == 1, let base = pieces[0].base { return writeRecords(connection, from: base, count: pieces[0].count) }
        let scratch = weft_record_scratch()!
        var filled = 0
        var index = 0
        while index < count, filled < Self.recordBytes {
            let piece = pieces[index]
            if let base = piece.base {
                let taken = min(piece.count, Self.recordBytes - filled)
                UnsafeMutableRawPointer(scratch + filled).copyMemory(from: base, byteCount: taken)
                filled += taken
            }
            index += 1
        }
        return writeRecords(connection, from: scratch, count: filled)
    }

    private mutating func writeRecords(_ connection: OpaquePointer, from base: UnsafeRawPointer, count: Int) -> IOResult {
        guard isEstablished else { return .wouldBlock }
        guard count > 0 else { return .bytes(0) }
        ERR_clear_error()
        flags.remove(.writeNeedsReadable)
        var sent = 0
        let result = SSL_write_ex(connection, base, count, &sent)
        if result == 1 { return .bytes(sent) }
        let answer = failure(of: connection, result)
        if answer == .wouldBlock, SSL_want(connection) == SSL_READING { flags.insert(.writeNeedsReadable) }
        return answer
    }

    // MARK: The end

    /// Ends our direction: close_notify under TLS (dropped if the socket is full), then FIN. The peer may still send.
    package mutating func finishWriting() {
        if let connection, isEstablished, !flags.contains(.isBroken) {
            ERR_clear_error()
            _ = SSL_shutdown(connection)
            ERR_clear_error()
        }
        Socket.finishWriting(descriptor)
    }

    /// As `finishWriting`, for a stream that goes on in the other direction: there the farewell must not be lost, or the peer takes
    /// the end for a cut. False if it waits for room: call again when the socket is writable.
    package mutating func endWriting() -> Bool {
        if let connection, isEstablished, !flags.contains(.isBroken) {
            ERR_clear_error()
            let result = SSL_shutdown(connection)
            let waits = result < 0 && SSL_get_error(connection, result) == SSL_ERROR_WANT_WRITE
            ERR_clear_error()
            if waits { return false }
        }
        Socket.finishWriting(descriptor)
        return true
    }

    /// As `close`, and the peer sees that it was no orderly end.
    package mutating func reset() {
        Socket.resetOnClose(descriptor)
        close()
    }

    /// Reads and throws away what has arrived, up to `count` bytes. A socket closed with unread bytes resets the connection,
    /// which can destroy an alert or a reply on its way; so a refusing side finishes writing, drains, and closes.
    package func drain(count: Int = 65_536) {
        var left = count
        let scratch = weft_record_scratch()!
        while left > 0, case .bytes(let got) = Socket.read(descriptor, into: scratch, count: min(left, Self.recordBytes)) { left -= got }
    }

    /// Closes the descriptor and frees TLS. Deregister first. Unless `finishWriting` said so, the peer sees no close_notify.
    package mutating func close() {
        if let connection {
            // OpenSSL forgets the session of a connection that ends without a farewell, as TLS 1.0 wanted; 1.3 does not ask for it.
            if isEstablished, !flags.contains(.isBroken) { SSL_set_shutdown(connection, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
            SSL_free(connection)
            self.connection = nil
        }
        Descriptor.close(descriptor)
    }

    // MARK: Who and what

    /// Who the peer proved to be; nil in the clear, or if it showed no certificate where none was required.
    package var peerIdentity: PeerIdentity? { connection.flatMap(PeerIdentity.init(of:)) }

    /// The protocol agreed on by ALPN, nil if none.
    package var applicationProtocol: String? {
        guard let connection else { return nil }
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(connection, &name, &count)
        guard let name, count > 0 else { return nil }
        return String(decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
    }

    /// Whether `name` was agreed on by ALPN.
    package func speaks(_ name: StaticString) -> Bool {
        guard let connection else { return false }
        var agreed: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(connection, &agreed, &count)
        guard let agreed, Int(count) == name.utf8CodeUnitCount else { return false }
        return UnsafeBufferPointer(start: agreed, count: Int(count)).elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: Int(count)))
    }

    package var isResumed: Bool { connection.map { weft_tls_session_reused($0) == 1 } ?? false }

    // MARK: Failures

    /// What a call of OpenSSL that did not succeed means. Reads errno first: everything else may overwrite it.
    private mutating func failure(of connection: OpaquePointer, _ result: Int32) -> IOResult {
        let code = errno
        switch SSL_get_error(connection, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .closed
        case SSL_ERROR_SYSCALL:
            flags.insert(.isBroken)
            ERR_clear_error()
            return .failed(code == 0 ? IOFailure(tls: TLSFailure(.truncated, isProvablyUnsent: isUnsent)) : unsentIfClient(code))
        default:
            flags.insert(.isBroken)
            return .failed(IOFailure(tls: protocolFailure(connection)))
        }
    }

    /// Before its handshake is done a client has sent nothing.
    private var isUnsent: Bool { !isEstablished && !flags.contains(.isServer) }

    private func unsentIfClient(_ code: Int32) -> IOFailure { IOFailure(errno: code, isProvablyUnsent: isUnsent) }

    private func protocolFailure(_ connection: OpaquePointer) -> TLSFailure {
        let reason = weft_tls_take_reason()
        if !isEstablished {
            let verdict = SSL_get_verify_result(connection)
            if verdict != X509_V_OK { return TLSFailure(.refusedPeer, code: Int32(clamping: verdict), isProvablyUnsent: isUnsent) }
            if reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE {
                return TLSFailure(.refusedPeer, code: Int32(WEFT_VERIFY_NO_CERTIFICATE))
            }
        }
        if reason == SSL_R_UNEXPECTED_EOF_WHILE_READING { return TLSFailure(.truncated, isProvablyUnsent: isUnsent) }
        if reason > SSL_AD_REASON_OFFSET, reason < SSL_AD_REASON_OFFSET + 256 {
            let alert = reason - SSL_AD_REASON_OFFSET
            let refusedBeforeServing = !flags.contains(.isServer) && !flags.contains(.hasHeard) && TLSFailure.endsHandshake(alert: alert)
            return TLSFailure(.alert, code: alert, isProvablyUnsent: isUnsent || refusedBeforeServing)
        }
        return TLSFailure(.violation, code: reason, isProvablyUnsent: isUnsent)
    }
}
