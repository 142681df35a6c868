import Glibc
import Pipeline
import Synchronization
import Testing

@testable import Host

/// A service that answers with what is no answer, more than one, or somebody else's.
@Suite("Hostile services", .serialized)
struct HostileServiceTests {
    private static let ok = "HTTP/1.1 200 OK\r\n"

    /// Refused before a byte of it went to the caller.
    static let refused: [String] = [
        // Two framings, or none that anybody agrees on.
        ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", ok + "Content-Length: 5, 5\r\n\r\nhello",
        ok + "Content-Length: -5\r\n\r\n", ok + "Content-Length: +5\r\n\r\nhello", ok + "Content-Length: 0x5\r\n\r\nhello", ok + "Content-Length: 5 5\r\n\r\n", ok + "Content-Length:\r\n\r\n",
        ok + "Content-Length: 9223372036854775808\r\n\r\n", ok + "Content-Length: 18446744073709551621\r\n\r\nhello", ok + "Content_Length: 5\r\n\r\nhello",
        ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ok + "Transfer-Encoding: identity\r\n\r\nhello", ok + "Transfer-Encoding: chunked, identity\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        ok + "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", ok + "Transfer-Encoding:\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ok + "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        // Status lines.
        "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1 999 OK\r\n\r\n", "HTTP/1.1 -20 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "HTTPS/1.1 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", " HTTP/1.1 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "<html>hello</html>", "HTTP/1.1 200 O\u{0}K\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n",
        // Header lines.
        ok + "A: b\n\r\n", ok + "A: b\rC: d\r\n\r\n", ok + "A: \u{0}\r\n\r\n", ok + "A: b\r\n c\r\n\r\n", ok + " A: b\r\n\r\n", ok + "A : b\r\n\r\n", ok + "A\r\n\r\n", ok + ": b\r\n\r\n", ok + "A B: c\r\n\r\n", ok + "A\u{e9}: b\r\n\r\n",
        ok + "A: " + String(repeating: "b", count: HTTP1Limits.headBytesMax) + "\r\n\r\n", ok + String(repeating: "A: b\r\n", count: HTTP1Limits.fieldsMax + 1) + "\r\n",
        // Statuses that are no answer, or cannot have what they have.
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 1_000),
    ]

    /// Found out when the head had gone: the caller must see that it is not whole.
    static let cut: [String] = [
        ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n+1\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        ok + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA : b\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nXX",
        ok + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", ok + "Content-Length: 9\r\n\r\nhello",
    ]

    /// Answers, with something behind them that nobody asked for.
    static let followed: [(text: String, method: String, status: Int, body: String)] = [
        (ok + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "GET", 200, "ok"), (ok + "Content-Length: 2\r\n\r\nok\r\n", "GET", 200, "ok"),
        (ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison", "GET", 200, "2\r\nok\r\n0\r\n\r\n"), ("HTTP/1.1 204 No\r\n\r\npoison", "GET", 204, ""),
        ("HTTP/1.1 304 Not\r\nContent-Length: 6\r\n\r\npoison", "GET", 304, ""), (ok + "Content-Length: 6\r\n\r\npoison", "HEAD", 200, ""), (ok + "Transfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n", "HEAD", 200, ""),
    ]

    private final class Reused: Sendable { let count = Atomic<Int>(0) }

    /// A service whose answer to `/bad` is `text`, and which then hangs up if `ends`.
    private static func world(_ text: String, ends: Bool = false, _ reused: Reused) throws -> RelayWorld {
        try RelayWorld { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                guard head.contains(" /bad ") else {
                    service.send(ok + "Content-Length: 4\r\n\r\ngood")
                    continue
                }
                service.send(text)
                // What comes on this connection now would be answered by whatever is left of that.
                if !ends, !service.readHead().isEmpty { reused.count.add(1, ordering: .relaxed) }
                return
            }
        }
    }

    private static func ask(_ world: RelayWorld, _ target: String, method: String = "GET") throws -> (status: Int, body: String) {
        let caller = try world.connect()
        caller.send("\(method) \(target) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        var text = caller.readAll()[...]
        while text.hasPrefix("HTTP/1.1 1"), let end = text.firstRange(of: "\r\n\r\n") { text = text[end.upperBound...] }
        guard let end = text.firstRange(of: "\r\n\r\n") else { return (0, String(text)) }
        return (Int(text.dropFirst(9).prefix(3)) ?? 0, String(text[end.upperBound...]))
    }

    private static func expectServed(_ world: RelayWorld, _ reused: Reused, _ why: String) throws {
        for _ in 0..<2 { #expect(try ask(world, "/good") == (200, "good"), "\(why)") }
        #expect(reused.count.load(ordering: .relaxed) == 0, "\(why)")
    }

    @Test("What is no answer becomes a 502, and its connection is never used again", arguments: refused.indices)
    func refuses(number: Int) throws {
        let reused = Reused(), text = Self.refused[number]
        let world = try Self.world(text, reused)
        #expect(try Self.ask(world, "/bad").status == 502, "\(text.prefix(200).debugDescription)")
        try Self.expectServed(world, reused, text.prefix(200).debugDescription)
    }

    @Test("An answer that turns out broken is cut where everyone sees it, and its connection is never used again", arguments: cut.indices)
    func cuts(number: Int) throws {
        let reused = Reused(), text = Self.cut[number]
        let world = try Self.world(text, ends: number >= Self.cut.count - 2, reused)
        let answer = try Self.ask(world, "/bad")
        let isWhole = text.contains("chunked") ? answer.body.hasSuffix("0\r\n\r\n") : answer.body.utf8.count == 9
        #expect(answer.status == 502 || answer.status == 200 && !isWhole, "\(text.debugDescription) became \(answer)")
        try Self.expectServed(world, reused, text.debugDescription)
    }

    @Test("What stands behind an answer is nobody's answer", arguments: followed.indices)
    func followedBy(number: Int) throws {
        let reused = Reused(), (text, method, status, body) = Self.followed[number]
        let world = try Self.world(text, reused)
        let answer = try Self.ask(world, "/bad", method: method)
        #expect(answer.status == status && answer.body == body, "\(text.debugDescription) became \(answer)")
        try Self.expectServed(world, reused, text.debugDescription)
    }

    @Test("What comes on an idle connection is nobody's answer")
    func unasked() throws {
        let world = try RelayWorld { service, _ in
            var number = 0
            while case let head = service.readHead(), !head.isEmpty {
                service.send(Self.ok + "Content-Length: 4\r\n\r\ngood")
                number += 1
                if number == 1, head.contains(" /late ") {
                    usleep(30_000)
                    service.send(Self.ok + "Content-Length: 6\r\n\r\npoison")
                }
            }
        }
        #expect(try Self.ask(world, "/late") == (200, "good"))
        usleep(100_000)
        for _ in 0..<3 { #expect(try Self.ask(world, "/good") == (200, "good")) }
        #expect(world.server.connections == 2)
    }

    @Test("An answer without any framing ends with its connection, and goes on in chunks")
    func unframed() throws {
        let reused = Reused()
        let world = try Self.world(Self.ok + "\r\nhello", ends: true, reused)
        #expect(try Self.ask(world, "/bad") == (200, "5\r\nhello\r\n0\r\n\r\n"))
        try Self.expectServed(world, reused, "unframed")
    }
}
