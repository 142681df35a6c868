import Glibc
import Pipeline
import Synchronization
import Testing

@testable import Host

@Suite("Hops", .serialized)
struct HopTests {
    private static func lines(_ head: String, _ name: String) -> [String] {
        head.split(separator: "\r\n").map(String.init).filter { $0.lowercased().hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 2)) }
    }

    /// Answers with the head it got as the body.
    @Sendable private static func mirror(_ service: RawConnection, _: Int) {
        while case let head = service.readHead(), !head.isEmpty {
            service.send("HTTP/1.1 200 OK\r\nContent-Length: \(head.utf8.count)\r\nX-Weft-Reason: UO\r\n\r\n\(head)")
        }
    }

    @Test("The application learns who called and how from the sidecar alone; a stranger's own words stay outside")
    func stranger() throws {
        let world = try RelayWorld(Self.mirror)
        let caller = try world.connect()
        caller.send(
            "GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Client-Cert: URI=spiffe://a/b\r\nx-weft-peer: admin\r\n"
                + "X-Forwarded-Proto: https\r\nX-Original-URL: /admin\r\nx_forwarded_for: 5.6.7.8\r\nKeep-Alive: 5\r\nX-Mine: 1\r\n\r\n")
        let answer = caller.readHead()
        let head = caller.readHead()
        #expect(Self.lines(head, "x-forwarded-for") == ["127.0.0.1"])
        #expect(Self.lines(head, "x-forwarded-proto") == ["http"])
        #expect(Self.lines(head, "x-forwarded-host") == ["shop.test"])
        #expect(Self.lines(head, "x-request-id").first?.utf8.count == 36)
        #expect(Self.lines(head, "via").count == 1 && Self.lines(head, "via")[0].hasPrefix("1.1 weft-") && Self.lines(head, "via")[0].hasSuffix("-in"))
        #expect(Self.lines(head, "x-mine") == ["1"])
        for word in ["client-cert", "x-weft", "original", "x_forwarded", "keep-alive", "1.2.3.4", "5.6.7.8"] { #expect(!head.lowercased().contains(word), "\(word)") }
        // A word between sidecars is not the application's to say.
        #expect(!answer.lowercased().contains("x-weft"))
        // The next request has an id of its own.
        caller.send("GET /b HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        _ = caller.readHead()
        #expect(Self.lines(caller.readHead(), "x-request-id") != Self.lines(head, "x-request-id"))
    }

    @Test("A proxy that the operator named says where a request came from; who it is from, not even that one says")
    func trustedProxy() throws {
        for (range, isTrusted) in [("127.0.0.0/8", true), ("127.0.0.1", true), ("10.0.0.0/8", false), ("::1", false)] {
            let world = try RelayWorld(trustedProxies: [#require(AddressRange(range))], Self.mirror)
            let caller = try world.connect()
            caller.send(
                "GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
                    + "X-Forwarded-Client-Cert: URI=spiffe://a/b\r\nx-weft-peer: admin\r\nx_forwarded_for: 5.6.7.8\r\n\r\n")
            _ = caller.readHead()
            let head = caller.readHead()
            #expect(Self.lines(head, "x-forwarded-for") == [isTrusted ? "1.2.3.4, 127.0.0.1" : "127.0.0.1"], "\(range)")
            #expect(Self.lines(head, "x-forwarded-proto") == [isTrusted ? "https" : "http"], "\(range)")
            for word in ["client-cert", "x-weft", "x_forwarded", "5.6.7.8"] { #expect(!head.lowercased().contains(word), "\(range) \(word)") }
        }
    }

    @Test("An OPTIONS or TRACE goes so many hops as Max-Forwards says: answered here at 0, else forwarded with one less")
    func maxForwards() throws {
        let world = try RelayWorld(Self.mirror)
        for method in ["OPTIONS", "TRACE"] {
            for (said, goesOn) in [("1", "0"), ("007", "6"), ("99999999999999999999999999", "999999")] {
                let caller = try world.connect()
                caller.send("\(method) /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: \(said)\r\n\r\n")
                #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
                #expect(Self.lines(caller.readHead(), "max-forwards") == [goesOn], "\(method) \(said)")
            }
            let last = try world.connect()
            last.send("\(method) /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-Mine: secret\r\n\r\n")
            let answer = last.readAll()
            #expect(answer.hasPrefix(method == "OPTIONS" ? "HTTP/1.1 200" : "HTTP/1.1 501"))
            #expect(!answer.contains("secret") && !answer.contains("max-forwards: 0"))
            for wrong in ["Max-Forwards: -1", "Max-Forwards: 1, 1", "Max-Forwards:", "Max-Forwards: 1\r\nMax-Forwards: 1", "Max-Forwards: 0x1"] {
                let caller = try world.connect()
                caller.send("\(method) /a HTTP/1.1\r\nHost: a\r\n\(wrong)\r\n\r\n")
                #expect(caller.readHead().hasPrefix("HTTP/1.1 400"), "\(method) \(wrong)")
            }
        }
        // Of any other method it is a header like others.
        let caller = try world.connect()
        caller.send("GET /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
        #expect(Self.lines(caller.readHead(), "max-forwards") == ["0"])
    }

    @Test("Through two sidecars what the application says of its caller is kept, and each hop adds its part; that is no loop")
    func twoSidecars() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        let plain = try pair.exchange([])
        #expect(Self.lines(plain.seen, "x-forwarded-for") == ["127.0.0.1"])
        #expect(Self.lines(plain.seen, "x-forwarded-proto") == ["http"])
        #expect(Self.lines(plain.seen, "x-forwarded-host") == ["payment.weft"])
        let via = Self.lines(plain.seen, "via")
        #expect(via.count == 2 && via[0].hasSuffix("-out") && via[1].hasSuffix("-in"))
        #expect(!plain.answer.lowercased().contains("x-weft"), "an application's word is not a sidecar's")
        #expect(Self.lines(plain.answer, "via") == [via[0]])
        let said = try pair.exchange([
            "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test", "X-Request-Id: abc", "Via: 1.1 edge", "X-Forwarded-Client-Cert: a",
            "X-Weft-Reason: UO",
        ])
        #expect(Self.lines(said.seen, "x-forwarded-for") == ["1.2.3.4, 127.0.0.1"])
        #expect(Self.lines(said.seen, "x-forwarded-proto") == ["https"])
        #expect(Self.lines(said.seen, "x-forwarded-host") == ["shop.test"])
        #expect(Self.lines(said.seen, "x-request-id") == ["abc"])
        #expect(Self.lines(said.seen, "via") == ["1.1 edge"] + via)
        #expect(!said.seen.lowercased().contains("client-cert") && !said.seen.lowercased().contains("x-weft"))
        // An application that passes a request on to a service of the mesh again passes the same hops again.
        let again = try pair.exchange(["Via: \(via[0])", "Via: \(via[1])"])
        #expect(again.answer.hasPrefix("HTTP/1.1 200"))
    }

    @Test("A request that comes round for ever is answered 508 after a few rounds")
    func loop() throws {
        let count = Rounds()
        let world = try RelayWorld { service, _ in
            let head = service.readHead()
            count.value.add(1, ordering: .relaxed)
            guard let address = count.target.withLock({ $0 }), let again = try? RawConnection(to: address) else { return }
            again.send(head)
            service.send(String(again.readHead().prefix(12)) + " Round\r\nContent-Length: 0\r\n\r\n")
        }
        count.target.withLock { $0 = world.plane.addresses.inbound }
        let caller = try world.connect()
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 508"))
        #expect(count.value.load(ordering: .relaxed) == HTTP1Limits.passesMax + 1)
    }

    private final class Rounds: Sendable {
        let value = Atomic<Int>(0)
        let target = Lock<SocketAddress?>(nil)
    }

    @Test("A long path in another spelling is forwarded as it was matched, even while others come by", arguments: [100, 5_000, 15_000])
    func longPath(length: Int) throws {
        let world = try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                usleep(20_000)
                let target = head.split(separator: " ")[1]
                service.send("HTTP/1.1 200 OK\r\nContent-Length: \(target.utf8.count)\r\n\r\n\(target)")
            }
        }
        let callers = try (0..<4).map { _ in try world.connect() }
        for (number, caller) in callers.enumerated() {
            caller.send("GET /./%61//\(String(repeating: "\(number)", count: length)) HTTP/1.1\r\nHost: a\r\n\r\n")
        }
        for (number, caller) in callers.enumerated() {
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
            #expect(caller.read(length + 3) == "/a/" + String(repeating: "\(number)", count: length))
        }
    }
}
