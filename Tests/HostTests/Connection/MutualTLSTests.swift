import Pipeline
import Testing

@testable import Host

/// A caller's sidecar and a called one, with mTLS between them.
final class MeshPair {
    let server: RawServer
    let called: Dataplane
    let calling: Dataplane
    let authority: TestAuthority
    /// What the application saw.
    let heads = Shared()

    final class Shared: Sendable {
        private let list = Lock<[String]>([])
        func withLock<Result>(_ body: (inout [String]) -> Result) -> Result { list.withLock { body(&$0) } }
    }

    /// - Parameters:
    ///   - expected: the service that the calling side means to reach.
    ///   - answers: whether the application answers at all.
    ///   - handle: the application, if it is to do something else than to be paid.
    init(
        expected: String = "payment", caller: LocalIdentity?, callerTrusts: [Certificate]? = nil, authority: TestAuthority,
        workers: Int = 1, answers: Bool = true, handle: (@Sendable (RawConnection, Int) -> Void)? = nil
    ) throws {
        self.authority = authority
        let heads = self.heads
        server = RawServer { service, number in
            if let handle { return handle(service, number) }
            while case let head = service.readHead(), !head.isEmpty {
                heads.withLock { $0.append(head) }
                if answers { service.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Weft-Reason: UO\r\n\r\npaid") }
            }
        }
        var entrances = Dataplane.Entrances()
        entrances.inbound = SocketAddress("127.0.0.1:0")
        var strict = DataplaneTests.snapshot()
        strict.access.mtls = .strict
        called = try Dataplane(
            workers: workers, entrances: entrances, application: server.address, registry: FilterRegistry([RelayRouter.self]), snapshot: strict)
        called.setTLS(
            server: try TLSContext.server(
                identity: authority.workload("payment"), trust: [authority.root], trustDomain: "shop.internal", scope: "inbound"),
            client: nil, trustChanged: false)

        var outside = Dataplane.Entrances()
        outside.proxy = SocketAddress("127.0.0.1:0")
        var snapshot = DataplaneTests.snapshot()
        snapshot.chain.outbound[0].config = "{\"endpoint\":1}"
        calling = try Dataplane(
            workers: workers, entrances: outside, application: nil, registry: FilterRegistry([RelayRouter.self]), snapshot: snapshot)
        let label = calling.context.endpoints.label(
            of: .init(address: called.addresses.inbound!.description, identity: TestAuthority.id(expected)))
        precondition(label == 1)
        calling.setTLS(
            server: nil,
            client: try TLSContext.client(
                identity: caller, trust: .roots(callerTrusts ?? [authority.root]), trustDomain: "shop.internal"), trustChanged: false)
    }

    deinit {
        calling.stop()
        called.stop()
        server.stop()
    }

    func status() throws -> String {
        let caller = try RawConnection(to: calling.addresses.proxy!)
        caller.send("GET http://payment.weft/ HTTP/1.1\r\nHost: payment.weft\r\n\r\n")
        return String(caller.readHead().dropFirst(9).prefix(3))
    }

    /// One request with these lines: the head the caller got, and the one the application saw.
    func exchange(_ lines: [String]) throws -> (answer: String, seen: String) {
        let caller = try RawConnection(to: calling.addresses.proxy!)
        caller.send("GET http://payment.weft/ HTTP/1.1\r\nHost: payment.weft\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
        let answer = caller.readHead()
        return (answer, heads.withLock { $0.last ?? "" })
    }
}

@Suite("Mutual TLS between two data paths", .serialized)
struct MutualTLSTests {
    @Test("Both sides prove who they are, and the call passes; pooled connections carry the next ones")
    func good() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        for _ in 0..<3 { #expect(try pair.status() == "200") }
        #expect(pair.server.connections == 1)
    }

    @Test("A caller without a certificate, or one of another authority, reaches nothing")
    func badCallers() throws {
        let authority = try TestAuthority(), stranger = try TestAuthority()
        #expect(try MeshPair(caller: nil, authority: authority).status() == "503")
        let pair = try MeshPair(caller: stranger.workload("order"), authority: authority)
        #expect(try pair.status() == "503")
        #expect(pair.server.connections == 0)
    }

    @Test("A callee whose root is not trusted, or that is not the service meant, is sent nothing")
    func badCallees() throws {
        let authority = try TestAuthority(), stranger = try TestAuthority()
        let untrusted = try MeshPair(caller: authority.workload("order"), callerTrusts: [stranger.root], authority: authority)
        #expect(try untrusted.status() == "503")
        let other = try MeshPair(expected: "inventory", caller: authority.workload("order"), authority: authority)
        #expect(try other.status() == "503")
        #expect(untrusted.server.connections == 0 && other.server.connections == 0)
    }

    @Test("Of many handshakes at once a few begin per turn, and all come to their end; callers that leave while they wait cost nothing")
    func storm() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        for number in 0..<20 {
            let passing = try RawConnection(to: pair.called.addresses.inbound!)
            passing.send([22, 3, 1, 0, 200])
            if number % 2 == 0 { passing.close() } else { passing.reset() }
        }
        let callers = try (0..<40).map { _ in try RawConnection(to: pair.calling.addresses.proxy!) }
        for caller in callers { caller.send("GET http://payment.weft/ HTTP/1.1\r\nHost: payment.weft\r\n\r\n") }
        #expect(callers.allSatisfy { $0.readHead().hasPrefix("HTTP/1.1 200") })
        let delayed = pair.called.context.stats.read().first { $0.name == "weft_tls_handshakes_delayed_total" }?.value
        guard case .counter(let count)? = delayed else { return #expect(Bool(false), "not counted") }
        #expect(count > 0)
    }

    @Test("Plaintext on a strict port gets not one byte")
    func plaintext() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        let caller = try RawConnection(to: pair.called.addresses.inbound!)
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.readAll().isEmpty)
        #expect(pair.server.connections == 0)
    }

    @Test("A renewed certificate leaves connections alone; when a root is given up, they serve no further request")
    func renewal() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        #expect(try pair.status() == "200")
        let opened = { () -> Int64 in
            guard case .counter(let value)? = pair.calling.context.stats.read().first(where: { $0.name == "weft_upstream_connections_total" })?.value
            else { return -1 }
            return Int64(value)
        }
        let renew = { (trustChanged: Bool) in
            pair.calling.setTLS(
                server: nil,
                client: try TLSContext.client(identity: authority.workload("order"), trust: .roots([authority.root]), trustDomain: "shop.internal"),
                trustChanged: trustChanged)
        }
        try renew(false)
        #expect(try pair.status() == "200")
        #expect(opened() == 1)
        try renew(true)
        #expect(try pair.status() == "200")
        #expect(opened() == 2)
    }

    @Test("After a change of roots the called side lets a connection go on whose caller is still trusted, and no other")
    func calledSide() throws {
        let (old, new) = (try TestAuthority(), try TestAuthority())
        let pair = try MeshPair(caller: old.workload("order"), authority: old)
        func connections() -> Int64 {
            guard case .counter(let value)? = pair.calling.context.stats.read().first(where: { $0.name == "weft_upstream_connections_total" })?.value
            else { return -1 }
            return Int64(value)
        }
        func trust(_ roots: [Certificate]) throws {
            pair.called.setTLS(
                server: try TLSContext.server(identity: old.workload("payment"), trust: roots, trustDomain: "shop.internal", scope: "inbound"),
                client: nil, trustChanged: true)
        }
        #expect(try pair.status() == "200")
        try trust([old.root, new.root])
        for _ in 0..<3 { #expect(try pair.status() == "200") }
        #expect(connections() == 1, "nothing was closed under a request that was on its way")
        try trust([new.root])
        #expect(try pair.status() != "200")
    }
}
