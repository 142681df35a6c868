import Glibc
import Pipeline
import Synchronization
import Testing
import WeftTesting

@testable import Host

/// A server and its callers on one loop, which the test turns.
final class ServiceWorld {
    let loop: EventLoop
    var server: ServiceServer!
    var address = SocketAddress("127.0.0.1:0")!

    init(_ limits: ServiceLimits = ServiceLimits(), tls: TLSContext? = nil, at wanted: String = "127.0.0.1:0", _ handler: @escaping ServiceServer.Handler) throws {
        loop = try EventLoop()
        server = ServiceServer(on: loop, limits, handler: handler)
        address = try server.listen(at: SocketAddress(wanted)!, tls: tls.map { context in { context } })
    }

    func turn(until done: () -> Bool, seconds: Int64 = 10) {
        let end = Clock.monotonic() + Patience.seconds(seconds)
        while !done(), Clock.monotonic() < end { loop.turn(waitingAtMost: .milliseconds(50)) }
    }

    func call(_ request: ServiceRequest, tls: (context: TLSContext, peer: ExpectedPeer)? = nil, limits: ServiceLimits = ServiceLimits()) -> Result<ServiceResponse, ServiceFailure>? {
        var outcome: Result<ServiceResponse, ServiceFailure>?
        var limits = limits
        limits.bodyTimeout = .nanoseconds(limits.bodyTimeout.count * Patience.factor)
        ServiceClient.send(request, to: ServiceTarget(address, tls: tls), on: loop, timeout: Patience.seconds(10), limits) { outcome = $0 }
        turn(until: { outcome != nil })
        return outcome
    }

    /// Sends raw bytes, returns all that comes until the server closes.
    func raw(_ text: String, finish: Bool = false, seconds: Int64 = 10) -> String {
        guard case .inProgress(let descriptor) = Socket.connect(to: address) else { return "not connected" }
        defer { Descriptor.close(descriptor) }
        turn(until: { Socket.write(descriptor, from: text, count: text.utf8.count) != .wouldBlock })
        if finish { Socket.finishWriting(descriptor) }
        var got: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        turn(until: {
            while true {
                switch Socket.read(descriptor, into: &piece, count: 4096) {
                case .bytes(let count): got += piece[..<count]
                case .wouldBlock: return false
                default: return true
                }
            }
        }, seconds: seconds)
        return String(decoding: got, as: UTF8.self)
    }

    deinit {
        server.close()
        loop.turn(waitingAtMost: .zero)
        loop.destroy()
    }
}

@Suite struct ServiceTests {
    @Test("A request arrives whole and its answer comes back whole, from a byte to megabytes", arguments: [0, 1, 100_000, 5_000_000])
    func roundTrip(_ count: Int) throws {
        let world = try ServiceWorld { request, reply in
            reply.respond(ServiceResponse(201, headers: [("x-echo", "\(request.method) \(request.path)?\(request.query)")], body: request.body.reversed()))
        }
        let body = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let outcome = try #require(world.call(ServiceRequest("POST", "/a/b", query: "c=d", body: body)))
        let response = try outcome.get()
        #expect(response.status == 201)
        #expect(response.header("x-echo") == "POST /a/b?c=d")
        #expect(response.body == body.reversed())
        #expect(world.server.counts.requests == 1)
        world.turn(until: { world.server.connectionCount == 0 })
        #expect(world.server.connectionCount == 0)
    }

    @Test("Pipelined requests are answered in order on one connection, also when the answer comes later")
    func pipelined() throws {
        var held: ServiceReply?
        let world = try ServiceWorld { request, reply in
            if request.path == "/1" { held = reply } else { reply.respond(ServiceResponse(text: request.path)) }
        }
        let loop = world.loop
        var releaser: Timer?
        let probe = EventLoopTests.Probe()
        probe.onCall = { _ in
            held?.respond(ServiceResponse(text: "/1"))
            held = nil
        }
        releaser = loop.arm(at: loop.now + .milliseconds(30), EventLoopTests.Probe.callback, probe.pointer)
        let got = world.raw("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        let answers = got.split(separator: "\r\n").filter { $0.hasPrefix("/") }.map { String($0.prefix(2)) }
        #expect(answers == ["/1", "/2"], "\(got)")
        #expect(world.server.counts.requests == 2)
        _ = releaser
    }

    @Test("What is no request is answered and the connection closed", arguments: [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "), ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n" + String(repeating: "x", count: 5000), "HTTP/1.1 413 "),
    ])
    func refused(_ text: String, _ start: String) throws {
        var limits = ServiceLimits()
        limits.bodyMax = 1000
        let world = try ServiceWorld(limits) { _, reply in reply.respond(ServiceResponse()) }
        let got = world.raw(text)
        #expect(got.hasPrefix(start), "\(got)")
        #expect(world.server.counts.requests == 0)
    }

    @Test("A request that trickles is answered 408; an idle connection is closed without a word")
    func slow() throws {
        var limits = ServiceLimits()
        limits.headTimeout = .milliseconds(50)
        limits.idleTimeout = .milliseconds(50)
        let world = try ServiceWorld(limits) { _, reply in reply.respond(ServiceResponse()) }
        #expect(world.raw("GET / HTTP/1.1\r\nho").hasPrefix("HTTP/1.1 408 "))
        #expect(world.raw("") == "")
    }

    @Test("A reply that nobody gives is a 500, and one given twice counts once")
    func dropped() throws {
        let world = try ServiceWorld { request, reply in
            if request.path == "/twice" {
                reply.respond(ServiceResponse(text: "once"))
                reply.respond(ServiceResponse(text: "twice"))
            }
        }
        #expect(try world.call(ServiceRequest("GET", "/"))?.get().status == 500)
        #expect(try world.call(ServiceRequest("GET", "/twice"))?.get().text == "once")
    }

    @Test("Callers over the limit are closed at once and counted")
    func crowd() throws {
        var limits = ServiceLimits()
        limits.connectionsMax = 0
        let world = try ServiceWorld(limits) { _, reply in reply.respond(ServiceResponse()) }
        guard case .failure = world.call(ServiceRequest("GET", "/")) else { Issue.record("served"); return }
        #expect(world.server.counts.refused == 1)
    }

    @Test("Nobody listening, a silent server and an endless answer are failures that say so")
    func failures() throws {
        let world = try ServiceWorld { request, reply in
            if request.path == "/large" { reply.respond(ServiceResponse(body: [UInt8](repeating: 1, count: 100_000))) } else { _ = Unmanaged.passRetained(reply) }
        }
        var small = ServiceLimits()
        small.bodyMax = 1000
        guard case .failure(.tooLarge) = world.call(ServiceRequest("GET", "/large"), limits: small) else { Issue.record("not too large"); return }
        var outcome: Result<ServiceResponse, ServiceFailure>?
        ServiceClient.send(ServiceRequest("GET", "/"), to: ServiceTarget(world.address), on: world.loop, timeout: .milliseconds(50)) { outcome = $0 }
        #expect(outcome == nil)
        world.turn(until: { outcome != nil })
        guard case .failure(.timeout) = outcome else { Issue.record("no timeout"); return }
        world.server.close()
        guard case .failure(.connect) = world.call(ServiceRequest("GET", "/")) else { Issue.record("connected"); return }
    }

    @Test("Over mutual TLS the handler learns who asks; strangers are counted, not served")
    func mutualTLS() throws {
        let authority = try TestAuthority()
        let world = try ServiceWorld(tls: TLSTests.server(authority, authority.workload("payment"))) { request, reply in
            reply.respond(ServiceResponse(text: request.peer?.id.description ?? "nobody"))
        }
        let peer = ExpectedPeer([try SPIFFEID(TestAuthority.id("payment"))], endpoint: "a")
        let good = try TLSTests.client(authority, authority.workload("order"))
        #expect(try world.call(ServiceRequest("GET", "/"), tls: (good, peer))?.get().text == TestAuthority.id("order"))
        #expect(try world.call(ServiceRequest("GET", "/"), tls: (good, peer))?.get().text == TestAuthority.id("order"))
        let stranger = try TLSTests.client(authority, nil)
        guard case .failure(.transport(let why)) = world.call(ServiceRequest("GET", "/"), tls: (stranger, peer)) else { Issue.record("served"); return }
        #expect(why.isProvablyUnsent)
        #expect(world.server.counts.failedHandshakes == 1)
        #expect(world.server.counts.requests == 2)
    }

    @Test("An upgrade turns the connection into frames both ways, of any size up to the bound", arguments: [false, true])
    func frames(_ secured: Bool) throws {
        let authority = try TestAuthority()
        var serverStream: FramedStream?
        var serverEnd: ServiceFailure??
        let world = try ServiceWorld(tls: secured ? TLSTests.server(authority, authority.workload("payment")) : nil) { request, reply in
            let upgraded = reply.upgrade(to: "weft-push/1") { stream in
                stream.onFrame = { frame in _ = stream.send(frame.reversed()) }
                stream.onClose = { serverEnd = .some($0) }
            }
            if upgraded == nil { reply.respond(ServiceResponse(426, text: "push only\n")) }
            serverStream = upgraded
        }
        let tls = try secured ? (TLSTests.client(authority, authority.workload("order")), ExpectedPeer([SPIFFEID(TestAuthority.id("payment"))], endpoint: "a")) : nil
        #expect(try world.call(ServiceRequest("GET", "/push"), tls: tls)?.get().status == 426)

        var refusal: ServiceFailure?
        ServiceClient.upgrade(ServiceRequest("GET", "/push"), to: "other/1", at: ServiceTarget(world.address, tls: tls), on: world.loop) {
            if case .failure(let why) = $0 { refusal = why }
        }
        world.turn(until: { refusal != nil })
        #expect(refusal == .refused(status: 426, body: "push only\n"))

        var stream: FramedStream?
        var got: [[UInt8]] = []
        ServiceClient.upgrade(ServiceRequest("GET", "/push"), to: "weft-push/1", at: ServiceTarget(world.address, tls: tls), on: world.loop) { outcome in
            stream = try? outcome.get()
            stream?.onFrame = { got.append($0) }
        }
        world.turn(until: { stream != nil })
        let client = try #require(stream)
        let sizes = [0, 1, 3, 70_000, 3_000_000, 5]
        for (index, size) in sizes.enumerated() { #expect(client.send((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) })) }
        #expect(client.send([UInt8](repeating: 0, count: 16 * 1024 * 1024 + 1)) == false)
        world.turn(until: { got.count == sizes.count }, seconds: 30)
        for (index, size) in sizes.enumerated() where index < got.count {
            #expect(got[index] == (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) }.reversed())
        }
        #expect(serverStream?.peer?.id.description == (secured ? TestAuthority.id("order") : nil))
        client.close()
        world.turn(until: { serverEnd != nil })
        #expect(serverEnd == .some(.none))
        #expect(serverStream?.isOpen == false)
        #expect(serverStream?.send([1]) == false)
    }

    @Test("A frame that announces more than the bound ends the stream before a byte of it is kept")
    func giantFrame() throws {
        var end: ServiceFailure??
        let world = try ServiceWorld { _, reply in
            reply.upgrade(to: "weft-push/1") { stream in stream.onClose = { end = .some($0) } }
        }
        let got = world.raw("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: weft-push/1\r\n\r\n\u{7F}\u{7F}\u{7F}\u{7F}")
        #expect(got.hasPrefix("HTTP/1.1 101 "))
        #expect(end == .some(.some(.tooLarge)))
    }

    @Test("The command line's blocking call works against a server on another thread, over a unix socket, which tells who calls")
    func blocking() throws {
        let path = "/tmp/weft-service-\(Entropy.word()).sock"
        let address = try #require(SocketAddress(unix: path))
        let isListening = Atomic(false)
        let thread = try LoopThread(
            name: "server",
            prepare: { loop in
                let server = ServiceServer(on: loop) { request, reply in
                    reply.respond(ServiceResponse(text: request.peerUser == nil ? "unknown" : "\(request.body.count)"))
                }
                try! server.listen(at: address)
                isListening.store(true, ordering: .releasing)
                _ = Unmanaged.passRetained(server)
            },
            finish: { _ in unlink(path) })
        while !isListening.load(ordering: .acquiring) { sched_yield() }
        let response = try ServiceClient.fetch(ServiceRequest("PUT", "/x", body: [1, 2, 3]), from: ServiceTarget(address))
        #expect(response.text == "3")
        thread.stop()
        thread.join()
        #expect(throws: ServiceFailure.self) { try ServiceClient.fetch(ServiceRequest("GET", "/"), from: ServiceTarget(SocketAddress("unix:/nonexistent/x")!)) }
    }
}
