import Filters
import Glibc
import Pipeline
import Synchronization
import Testing

@testable import Host

/// What becomes of a connection whose answer `retry` turned down at its head.
@Suite("Draining", .serialized)
struct DrainTests {
    /// One immediate retry of a 503, as often as a test likes.
    private static let retry = ChainPart.Stage(
        id: "retry", filter: "retry",
        config: #"{"maxRetries":1,"backoff":{"base":"0s","max":"0s"},"budget":{"percent":"100%","minPerSecond":100000}}"#,
        origin: Origin(resource: "test"))

    /// Sends `count` requests one after the other to a service that answers each first with `refuse`, then with 200; and how
    /// many connections and requests it saw.
    private func run(
        _ count: Int, pause: UInt32 = 0, refuse: @escaping @Sendable (RawConnection) -> Void
    ) throws -> (connections: Int, requests: Int) {
        let requests = RequestCount()
        let world = try RelayWorld(above: (Self.retry, Retry.self)) { service, _ in
            while !service.readHead().isEmpty {
                if requests.next() % 2 == 0 { refuse(service) } else { service.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") }
            }
        }
        let caller = try world.connect()
        for _ in 0..<count {
            caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(caller.read(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
            usleep(pause)
        }
        return (world.server.connections, requests.value)
    }

    private final class RequestCount: Sendable {
        private let count = Atomic(0)
        var value: Int { count.load(ordering: .sequentiallyConsistent) }
        func next() -> Int { count.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue }
    }

    @Test(
        "A hundred retried 503s, all at hand, need one connection",
        arguments: [
            "Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nsorry", "Transfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\nA: b\r\n\r\n",
            "Content-Length: 16000\r\n\r\n" + String(repeating: "x", count: 16_000),
        ])
    func atHand(_ rest: String) throws {
        let seen = try run(100) { $0.send("HTTP/1.1 503 Service Unavailable\r\n" + rest) }
        #expect(seen.requests == 200)
        // A long answer may arrive in two pieces, and then a retry goes by another connection meanwhile.
        #expect(seen.connections <= (rest.utf8.count > 1_000 ? 2 : 1))
    }

    @Test("The rest that comes later is awaited while the retry goes by another connection; both serve on")
    func later() throws {
        let seen = try run(20, pause: 15_000) { service in
            service.send("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nso")
            usleep(2_000)
            service.send("rry\r\n0\r\n\r\n")
        }
        #expect(seen.requests == 40)
        // Two, and some more where this machine dawdles.
        #expect(seen.connections <= 10)
    }

    @Test(
        "A rest that is too long, has no end but the connection's, or leaves it unfit closes it",
        arguments: [
            "Content-Length: 1000000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n" + String(repeating: "400\r\n" + String(repeating: "x", count: 1_024) + "\r\n", count: 17),
            "\r\nx", "Connection: close\r\nContent-Length: 0\r\n\r\n",
        ])
    func closes(_ rest: String) throws {
        let seen = try run(10) { $0.send("HTTP/1.1 503 Service Unavailable\r\n" + rest) }
        #expect(seen.requests == 20)
        #expect(seen.connections >= 10)
    }

    @Test("A rest that does not come is not awaited for long")
    func never() throws {
        let requests = RequestCount()
        let world = try RelayWorld(above: (Self.retry, Retry.self)) { service, _ in
            while !service.readHead().isEmpty {
                let isFirst = requests.next() == 0
                service.send(isFirst ? "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let caller = try world.connect()
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.read(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        #expect(world.value("weft_upstream_connections") == 2)
        caller.close()
        #expect(world.isReleased(upstreams: 1), "\(world.value("weft_upstream_connections"))")
    }
}
