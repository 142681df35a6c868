import CPlatform
import Glibc
import Pipeline
import Synchronization
import WeftTesting

@testable import Host

/// A blocking socket with a timeout, for tests that say every byte themselves.
final class RawConnection: @unchecked Sendable {
    let descriptor: Int32
    // One thread at a time reads.
    private var buffer: [UInt8] = []
    /// Calls that are under way on other threads, and whether the last of them closes: its number is another's the moment it is free.
    private let use = Lock((calls: 0, isClosed: false))

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 10 * Int(Patience.factor), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    convenience init(to address: SocketAddress, receiveBuffer: Int32 = 0) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if receiveBuffer > 0 {
            var size = receiveBuffer
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var target = Self.loopback(address.port)
        let result = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else { throw SystemError(errno, "connect") }
        self.init(descriptor)
    }

    deinit { close() }

    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    /// False once the peer does not take it.
    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = call { descriptor in
                bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// As recv(2).
    func receive(_ piece: inout [UInt8], _ count: Int) -> Int { call { recv($0, &piece, count, 0) } }
    func peek(_ piece: inout [UInt8], _ count: Int) -> Int { call { recv($0, &piece, count, Int32(MSG_PEEK)) } }

    /// -1 once it is closed.
    private func call(_ body: (Int32) -> Int) -> Int {
        let isOpen = use.withLock { use in
            if !use.isClosed { use.calls += 1 }
            return !use.isClosed
        }
        guard isOpen else {
            errno = EBADF
            return -1
        }
        let result = body(descriptor)
        let code = errno
        use.withLock { use in
            use.calls -= 1
            if use.isClosed, use.calls == 0 { Glibc.close(descriptor) }
        }
        errno = code
        return result
    }

    private func more() -> Bool {
        var piece = [UInt8](repeating: 0, count: 65_536)
        let count = receive(&piece, piece.count)
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }

    /// Up to and with `marker`; what there is if it does not come.
    func read(until marker: String) -> String {
        let wanted = Array(marker.utf8)
        var from = 0
        while true {
            if buffer.count >= wanted.count {
                var at = from
                while at <= buffer.count - wanted.count {
                    if buffer[at..<at + wanted.count].elementsEqual(wanted) { return take(at + wanted.count) }
                    at += 1
                }
                from = at
            }
            guard more() else { return take(buffer.count) }
        }
    }

    func readHead() -> String { read(until: "\r\n\r\n") }

    func read(_ count: Int) -> String {
        while buffer.count < count, more() {}
        return take(min(count, buffer.count))
    }

    /// Reads and drops; the bytes that came, and their sum.
    func drain(_ count: Int) -> (count: Int, sum: UInt64) {
        var got = 0
        var sum: UInt64 = 0
        for byte in buffer.prefix(count) { sum &+= UInt64(byte) }
        got = min(count, buffer.count)
        buffer.removeFirst(got)
        var piece = [UInt8](repeating: 0, count: 1 << 18)
        while got < count {
            let read = receive(&piece, min(piece.count, count - got))
            guard read > 0 else { break }
            piece.withUnsafeBufferPointer { for index in 0..<read { sum &+= UInt64($0[index]) } }
            got += read
        }
        return (got, sum)
    }

    func readAll() -> String {
        while more() {}
        return take(buffer.count)
    }

    /// What was read along with something else.
    func takeBuffered(atMost count: Int = .max) -> [UInt8] {
        let taken = buffer.prefix(count)
        buffer.removeFirst(taken.count)
        return Array(taken)
    }

    private func take(_ count: Int) -> String {
        defer { buffer.removeFirst(count) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    func finishWriting() { _ = call { Int(shutdown($0, Int32(SHUT_WR))) } }

    func close() {
        use.withLock { use in
            guard !use.isClosed else { return }
            use.isClosed = true
            // Whoever is in a call comes back from it, and closes.
            _ = use.calls == 0 ? Glibc.close(descriptor) : shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    /// The peer gets a reset.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = call { Int(setsockopt($0, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))) }
        close()
    }
}

/// A service whose every word the test says: one blocking thread per connection.
final class RawServer: Sendable {
    let address: SocketAddress
    private let descriptor: Int32
    private let accepted = Atomic<Int>(0)
    /// 1: stopping, 2: stopped.
    private let stage = Atomic<Int>(0)

    /// - Parameter handle: serves one connection; its number counts from 0. The connection closes when it returns.
    init(_ handle: @escaping @Sendable (RawConnection, Int) -> Void) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        descriptor = listener
        var any = RawConnection.loopback(0)
        withUnsafePointer(to: &any) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        listen(listener, 128)
        address = Socket.localAddress(listener)!
        Self.spawn { [self] in
            while true {
                let fd = accept(listener, nil, nil)
                guard fd >= 0 else {
                    guard stage.load(ordering: .acquiring) == 2 else {
                        usleep(1_000)
                        continue
                    }
                    // Closed here, once: another's socket may have the number the moment it is free.
                    Glibc.close(listener)
                    return
                }
                let number = accepted.add(1, ordering: .relaxed).oldValue
                let connection = RawConnection(fd)
                Self.spawn {
                    handle(connection, number)
                    connection.close()
                }
            }
        }
    }

    var connections: Int { accepted.load(ordering: .relaxed) }

    /// New connections are refused from now on.
    func stop() {
        guard stage.compareExchange(expected: 0, desired: 1, ordering: .acquiringAndReleasing).exchanged else { return }
        shutdown(descriptor, Int32(SHUT_RDWR))
        stage.store(2, ordering: .releasing)
    }

    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func spawn(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Work(body)).toOpaque())
        pthread_detach(thread)
    }
}
