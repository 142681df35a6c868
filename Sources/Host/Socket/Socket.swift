internal import CPlatform
internal import Glibc
package import Pipeline

/// System calls on a non-blocking stream socket, with small answers.
package enum Socket {
    @inline(__always)
    package static func read(_ descriptor: Int32, into base: UnsafeMutableRawPointer, count: Int) -> IOResult {
        let got = weft_read(descriptor, base, count)
        return got > 0 ? .bytes(got) : got == 0 ? .closed : failure(got)
    }

    /// Leaves what it shows in the socket.
    package static func peek(_ descriptor: Int32, into base: UnsafeMutableRawPointer, count: Int) -> IOResult {
        let got = weft_peek(descriptor, base, count)
        return got > 0 ? .bytes(got) : got == 0 ? .closed : failure(got)
    }

    @inline(__always)
    package static func write(_ descriptor: Int32, from base: UnsafeRawPointer, count: Int) -> IOResult {
        let sent = weft_write(descriptor, base, count)
        return sent >= 0 ? .bytes(sent) : failure(sent)
    }

    /// At most IOV_MAX (1,024) pieces.
    @inline(__always)
    package static func write(_ descriptor: Int32, _ pieces: UnsafePointer<IOPiece>, count: Int) -> IOResult {
        let sent = weft_write_pieces(descriptor, pieces, Int32(truncatingIfNeeded: count))
        return sent >= 0 ? .bytes(sent) : failure(sent)
    }

    @inline(__always)
    private static func failure(_ negative: Int) -> IOResult {
        let code = Int32(truncatingIfNeeded: 0 - negative)
        return code == EAGAIN ? .wouldBlock : .failed(IOFailure(errno: code))
    }

    // MARK: Connecting

    /// How a connection's socket is set up; unix sockets take the send buffer alone.
    package struct Options: BitwiseCopyable, Sendable {
        /// Bytes; 0 leaves the kernel's tuning alone.
        package var sendBufferBytes: Int32 = 0
        /// A peer that acknowledges nothing for this long is gone: neither bytes that wait for it nor, when there are none, the three
        /// probes that follow after half of it. 0 leaves the kernel's 15 minutes and 2 hours.
        package var deadPeerTime = Bounds().deadPeerTime

        package init() {}
    }

    package enum Connecting: Equatable, Sendable {
        case connected(Int32)
        /// The first writability tells; then ask `connectResult`.
        case inProgress(Int32)
        case failed(errno: Int32)
    }

    /// Starts a connection. The caller owns the descriptor.
    package static func connect(to address: SocketAddress, _ options: Options = Options()) -> Connecting {
        let descriptor = weft_socket(address.rawFamily)
        guard descriptor >= 0 else { return .failed(errno: 0 - descriptor) }
        configure(descriptor, address.family, options)
        let result = withUnsafePointer(to: address.raw) { weft_connect(descriptor, $0) }
        switch 0 - result {
        case 0: return .connected(descriptor)
        case EINPROGRESS: return .inProgress(descriptor)
        case let code:
            // A unix listener with a full backlog says EAGAIN; there is no readiness to wait for.
            Descriptor.close(descriptor)
            return .failed(errno: code)
        }
    }

    /// 0 once connected, else why not.
    package static func connectResult(_ descriptor: Int32) -> Int32 { 0 - weft_connect_result(descriptor) }

    /// Applies what can be applied: a refused option never refuses the connection.
    package static func configure(_ descriptor: Int32, _ family: SocketAddress.Family, _ options: Options) {
        if options.sendBufferBytes > 0 { _ = weft_set_send_buffer(descriptor, options.sendBufferBytes) }
        guard family == .ipv4 || family == .ipv6 else { return }
        _ = weft_set_no_delay(descriptor)
        guard options.deadPeerTime > .zero else { return }
        // The user timeout ends probing as well, so both must say the same: with a shorter one the first lost probe would be the last.
        let probes: Int64 = 3
        let step = max(1, options.deadPeerTime.count / (2 * probes * 1_000_000_000))
        _ = weft_set_user_timeout(descriptor, Int32(clamping: options.deadPeerTime.count / 1_000_000))
        _ = weft_set_keep_alive(descriptor, Int32(clamping: probes * step), Int32(clamping: step), Int32(probes))
    }

    /// From here on a peer that acknowledges but takes nothing keeps its connection: Linux counts the user timeout against a closed
    /// window as well (tcp(7)). Probes of an idle connection go on; bytes to a host that is gone are given up by the kernel, in 15 minutes.
    package static func allowPauses(_ descriptor: Int32) { _ = weft_set_user_timeout(descriptor, 0) }

    package static func localAddress(_ descriptor: Int32) -> SocketAddress? {
        var raw = weft_address()
        return weft_local_address(descriptor, &raw) == 0 ? SocketAddress(raw: raw) : nil
    }

    package static func peerAddress(_ descriptor: Int32) -> SocketAddress? {
        var raw = weft_address()
        return weft_peer_address(descriptor, &raw) == 0 ? SocketAddress(raw: raw) : nil
    }

    /// Who runs the process at the other end of a unix socket.
    package static func peerUser(_ descriptor: Int32) -> UInt32? {
        UInt32(exactly: weft_peer_user(descriptor))
    }

    /// Makes the coming close a reset.
    package static func resetOnClose(_ descriptor: Int32) { _ = weft_reset_on_close(descriptor) }

    /// Ends our sending direction only.
    package static func finishWriting(_ descriptor: Int32) { _ = weft_finish_writing(descriptor) }
}
