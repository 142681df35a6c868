internal import CPlatform
internal import Glibc
package import Host

/// A stream socket that blocks, with a time limit on every call: for clients and services of tests, on threads of their own.
package final class BlockingSocket: @unchecked Sendable {
    // The descriptor is closed once, by its owner; shutdown from another thread is what wakes a blocked call.
    package private(set) var descriptor: Int32

    /// Takes over a connected descriptor.
    package init(adopting descriptor: Int32, timeout: Duration = .seconds(30)) {
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        _ = weft_set_no_delay(descriptor)
        setTimeout(timeout)
    }

    /// Connects, within `timeout`.
    package convenience init(to address: SocketAddress, timeout: Duration = .seconds(30), receiveBuffer: Int32 = 0) throws {
        let descriptor: Int32
        switch Socket.connect(to: address) {
        case .connected(let number): descriptor = number
        case .failed(let code): throw SystemError(code, "connect to \(address)")
        case .inProgress(let number):
            var wait = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
            let ready = poll(&wait, 1, Int32(timeout.inSeconds * 1000))
            let code = ready > 0 ? Socket.connectResult(number) : ETIMEDOUT
            guard code == 0 else {
                close(number)
                throw SystemError(code, "connect to \(address)")
            }
            descriptor = number
        }
        if receiveBuffer > 0 { _ = weft_set_receive_buffer(descriptor, receiveBuffer) }
        self.init(adopting: descriptor, timeout: timeout)
    }

    deinit { finish() }

    package func finish() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
    }

    /// Ends both directions without giving the descriptor up: from any thread.
    package func interrupt() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Ends the connection with a reset rather than an orderly close.
    package func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        finish()
    }

    package func setTimeout(_ timeout: Duration) {
        let microseconds = Int(timeout.inSeconds * 1e6)
        var time = timeval(tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    package func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    package func write(_ text: String) throws { try write(Array(text.utf8)) }

    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        var sent = 0
        while sent < bytes.count {
            let count = send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError(errno, "write")
            }
            sent += count
        }
    }

    /// At least one byte; 0 at the end of the stream.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            if errno != EINTR { throw SystemError(errno, "read") }
        }
    }
}

/// A listening socket with a thread that accepts, and a thread per connection.
package final class BlockingListener: @unchecked Sendable {
    // The descriptor changes under `Background` only by shutdown, which accept answers with an error.
    package let address: SocketAddress
    private let descriptor: Int32
    private let acceptor: Background

    /// One for a program that cannot tell which it took.
    package static func freePort() throws -> UInt16 {
        let listener = try BlockingListener(at: SocketAddress("127.0.0.1:0")!, "port") { $0.finish() }
        defer { listener.stop() }
        return listener.address.port
    }

    package init(at wanted: SocketAddress, _ name: String, onAccept: @escaping @Sendable (BlockingSocket) -> Void) throws {
        if wanted.family == .unix { unlink(wanted.host) }
        let listener = withUnsafePointer(to: wanted.raw) { weft_listen($0, 1024, 0, 0o600) }
        guard listener >= 0 else { throw SystemError(listener, "listen on \(wanted)") }
        descriptor = listener
        _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK)
        address = Socket.localAddress(listener) ?? wanted
        acceptor = Background("accept \(name)") {
            while true {
                let accepted = weft_accept(listener, nil)
                if accepted == 0 - EINTR || accepted == 0 - ECONNABORTED { continue }
                guard accepted >= 0 else { return }
                let socket = BlockingSocket(adopting: accepted)
                Background(name) { onAccept(socket) }
            }
        }
    }

    deinit { stop() }

    /// Connections that were accepted go on.
    package func stop() {
        guard !acceptor.isDone else { return }
        shutdown(descriptor, Int32(SHUT_RDWR))
        acceptor.join()
        close(descriptor)
        if address.family == .unix { unlink(address.host) }
    }
}
