import CPlatform
import Glibc
import Pipeline
import Testing

@testable import Host

@Suite("Dataplane", .serialized)
struct DataplaneTests {
    /// An application that answers every request on a connection with the same bytes, after reading up to an empty line.
    final class Application: Sendable {
        let address: SocketAddress
        let thread: LoopThread

        init(answer: String) {
            let bound = Rendezvous<SocketAddress>()
            thread = try! LoopThread(
                name: "application",
                prepare: { loop in
                    let server = ServiceServer(on: loop) { request, reply in
                        reply.respond(ServiceResponse(text: answer + " " + request.method + " \(request.body.count)"))
                    }
                    bound.fulfil(try! server.listen(at: SocketAddress("127.0.0.1:0")!))
                    Keep.it.append(server)
                })
            address = bound.wait()
        }
    }
    enum Keep { nonisolated(unsafe) static var it: [AnyObject] = [] }

    static func snapshot() -> Snapshot {
        let stage = ChainPart.Stage(id: "router", filter: "router", origin: Origin(resource: "test"))
        return Snapshot(
            chain: ChainPart(inbound: [stage], outbound: [stage]),
            traffic: TrafficPart(workload: .init(service: "a", namespace: "default", version: ""), services: []),
            access: AccessPart(mtls: .permissive), trust: TrustPart(trustDomain: "test", roots: ""))
    }

    @Test("A request on the plain inbound port reaches the application, and its answer the caller, on a kept-alive connection")
    func relays() throws {
        let application = Application(answer: "hello")
        var entrances = Dataplane.Entrances()
        entrances.inbound = SocketAddress("127.0.0.1:0")
        entrances.inboundIsPlain = true
        let plane = try Dataplane(
            workers: 1, entrances: entrances, application: application.address, registry: FilterRegistry([RelayRouter.self]),
            snapshot: Self.snapshot())
        let caller = try Caller(plane.addresses.inbound!)
        for round in 0..<3 {
            caller.send("GET /a?b HTTP/1.1\r\nHost: a\r\nX-Round: \(round)\r\n\r\n")
            #expect(caller.receive(until: "hello GET 0").hasPrefix("HTTP/1.1 200 OK"))
        }
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.receive(until: "hello POST 5").contains("hello POST 5"))
        #expect(caller.receive(until: "hello GET 0").contains("hello GET 0"))
        caller.close()
        plane.stop()
        application.thread.stop()
        application.thread.join()
    }
}

/// A caller that blocks, for tests.
final class Caller {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ address: SocketAddress) throws {
        guard case .inProgress(let fd) = Socket.connect(to: address) else {
            guard case .connected(let fd) = Socket.connect(to: address) else { throw SystemError(ECONNREFUSED, "connect") }
            descriptor = fd
            return
        }
        descriptor = fd
        var poller = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        poll(&poller, 1, 5_000)
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(0x4000)) }
            if count > 0 { sent += count } else if errno != EAGAIN { return }
        }
    }

    /// What arrived up to and with `marker`; what there is after five seconds or the end.
    func receive(until marker: String) -> String {
        while true {
            let text = String(decoding: buffer, as: UTF8.self)
            if let range = text.firstRange(of: marker) {
                buffer = Array(text[range.upperBound...].utf8)
                return String(text[..<range.upperBound])
            }
            var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, 5_000) == 1 else { return text }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return text }
            buffer += chunk[..<count]
        }
    }

    func close() { Glibc.close(descriptor) }
}
