import Glibc
import Pipeline
import Testing

@testable import Host

@Suite struct SocketTests {
    @Test("Addresses are written as they are read", arguments: ["127.0.0.1:8080", "[::1]:80", "0.0.0.0:0", "unix:/tmp/a b.sock", "[fe80::1]:65535"])
    func roundTrip(_ text: String) { #expect(SocketAddress(text)?.description == text) }

    @Test("What is no address is none", arguments: [
        "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "localhost:80", "::1:80", "[127.0.0.1]:80", "[::1]", "1.2.3:4", "unix:",
        "unix:/" + String(repeating: "x", count: 107), "1.2.3.4:8\u{0}", "127.0.0.1 :80",
    ])
    func notAnAddress(_ text: String) { #expect(SocketAddress(text) == nil) }

    @Test("Equal addresses are equal, and a port tells two apart")
    func equality() {
        #expect(SocketAddress("127.0.0.1:1") == SocketAddress("127.0.0.1:1"))
        #expect(SocketAddress("127.0.0.1:1") != SocketAddress("127.0.0.1:2"))
        #expect(SocketAddress("unix:/a") != SocketAddress("unix:/b"))
        #expect(SocketAddress("127.3.2.1:1")?.isLoopback == true)
        #expect(SocketAddress("128.0.0.1:1")?.isLoopback == false)
    }

    @Test("A listener on port 0 tells its port and accepts")
    func accepts() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        var accepted: [Int32] = []
        let listener = try Listener(on: loop, at: SocketAddress("127.0.0.1:0")!) { descriptor, peer in
            accepted.append(descriptor)
            #expect(peer.host == "127.0.0.1")
        }
        defer { listener.close() }
        #expect(listener.address.port != 0)
        guard case .inProgress(let client) = Socket.connect(to: listener.address) else { Issue.record("not in progress"); return }
        defer { Descriptor.close(client) }
        for _ in 0..<100 where accepted.isEmpty { loop.turn(waitingAtMost: .milliseconds(20)) }
        #expect(accepted.count == 1)
        #expect(Socket.connectResult(client) == 0)
        for each in accepted { Descriptor.close(each) }
    }

    @Test("Both ends of a connection ask after a silent peer, and give it up after the time that is set", arguments: [60, 90, 6])
    func deadPeers(_ seconds: Int64) throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        var accepted: [Int32] = []
        var options = Listener.Options()
        options.connection.deadPeerTime = .seconds(seconds)
        let listener = try Listener(on: loop, at: SocketAddress("127.0.0.1:0")!, options) { descriptor, _ in accepted.append(descriptor) }
        defer { listener.close() }
        guard case .inProgress(let client) = Socket.connect(to: listener.address, options.connection) else { Issue.record("not in progress"); return }
        for _ in 0..<100 where accepted.isEmpty { loop.turn(waitingAtMost: .milliseconds(20)) }
        #expect(accepted.count == 1)
        for descriptor in accepted + [client] {
            func option(_ level: Int32, _ name: Int32) -> Int64 {
                var value: Int32 = -1
                var count = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, level, name, &value, &count)
                return Int64(value)
            }
            let tcp = Int32(IPPROTO_TCP)
            #expect(option(SOL_SOCKET, SO_KEEPALIVE) == 1)
            #expect(option(tcp, TCP_USER_TIMEOUT) == seconds * 1_000)
            #expect(option(tcp, TCP_KEEPCNT) == 3)
            #expect(option(tcp, TCP_KEEPIDLE) + 3 * option(tcp, TCP_KEEPINTVL) == seconds, "probing ends when the timeout does")
            Descriptor.close(descriptor)
        }
        #expect(Socket.Options().deadPeerTime == Bounds().deadPeerTime && Bounds().deadPeerTime >= Bounds().bodyProgressTime)
    }

    @Test("Nobody listening is connection refused")
    func refused() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let listener = try Listener(on: loop, at: SocketAddress("127.0.0.1:0")!) { descriptor, _ in Descriptor.close(descriptor) }
        let address = listener.address
        listener.close()
        switch Socket.connect(to: address) {
        case .failed(let code): #expect(code == ECONNREFUSED)
        case .connected(let descriptor): Descriptor.close(descriptor); Issue.record("connected")
        case .inProgress(let descriptor):
            let probe = EventLoopTests.Probe()
            _ = try loop.register(descriptor, EventLoopTests.Probe.callback, probe.pointer)
            for _ in 0..<100 where probe.words.isEmpty { loop.turn(waitingAtMost: .milliseconds(20)) }
            #expect(Socket.connectResult(descriptor) == ECONNREFUSED)
            Descriptor.close(descriptor)
        }
    }

    @Test("A unix socket is its owner's alone; a stale file is replaced, a live one and a plain file are not")
    func unixSockets() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let path = "/tmp/weft-test-\(getpid())-\(Entropy.word()).sock"
        let address = try #require(SocketAddress(unix: path))
        let listener = try Listener(on: loop, at: address) { descriptor, _ in Descriptor.close(descriptor) }
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(throws: SystemError.self) { _ = try Listener(on: loop, at: address) { _, _ in } }
        listener.close()
        #expect(lstat(path, &status) != 0)

        // A process that died leaves its file.
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var raw = sockaddr_un()
        raw.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &raw) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        #expect(bound == 0)
        close(dead)
        let again = try Listener(on: loop, at: address) { _, _ in }
        again.close()

        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        close(file)
        #expect(throws: SystemError.self) { _ = try Listener(on: loop, at: address) { _, _ in } }
        unlink(path)
    }

    @Test("Bytes pass one at a time through a send buffer of 1 KiB, in order, with no edge lost")
    func smallBuffers() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let (a, b) = EventLoopTests.pair()
        var options = Socket.Options()
        options.sendBufferBytes = 1024
        Socket.configure(a, .unix, options)
        let total = 200_000
        let bytes = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let writer = EventLoopTests.Probe(), reader = EventLoopTests.Probe()
        var sending = Transport(plain: a), receiving = Transport(plain: b)
        var sent = 0
        var got: [UInt8] = []
        writer.onCall = { word in
            guard sending.directions(for: Readiness(rawValue: word)).write else { return }
            while sent < total {
                switch bytes.withUnsafeBytes({ sending.write(from: $0.baseAddress! + sent, count: total - sent) }) {
                case .bytes(let count): sent += count
                case .wouldBlock: return
                default: Issue.record("write failed"); return
                }
            }
            sending.finishWriting()
        }
        reader.onCall = { word in
            while true {
                var byte: UInt8 = 0
                switch receiving.read(into: &byte, count: 1) {
                case .bytes: got.append(byte)
                case .wouldBlock: return
                default: loop.stop(); return
                }
            }
        }
        _ = try loop.register(a, EventLoopTests.Probe.callback, writer.pointer)
        _ = try loop.register(b, EventLoopTests.Probe.callback, reader.pointer)
        let guardian = EventLoopTests.Probe()
        guardian.onCall = { _ in loop.stop() }
        _ = loop.arm(at: loop.now + .seconds(20), EventLoopTests.Probe.callback, guardian.pointer)
        loop.run()
        #expect(got == bytes)
        sending.close()
        receiving.close()
    }
}
