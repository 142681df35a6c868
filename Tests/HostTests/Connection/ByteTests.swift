import Glibc
import Pipeline
import Synchronization
import Testing

@testable import Host

/// Connections that end, or trickle, at every byte of a message.
@Suite("Byte by byte", .serialized)
struct ByteTests {
    private static let request = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    @Sendable private static func echo(_ service: RawConnection, _: Int) {
        while !service.readHead().isEmpty {
            let end = service.read(until: "0\r\n\r\n")
            service.send("HTTP/1.1 200 OK\r\nContent-Length: \(end.utf8.count)\r\n\r\n\(end)")
        }
    }

    @Test("A caller that resets or closes after any byte of its request leaves nothing behind, and the next one is served")
    func callerEnds() throws {
        let world = try RelayWorld(Self.echo)
        let bytes = Array(Self.request.utf8)
        for count in 0..<bytes.count {
            for leave in [RawConnection.close, RawConnection.reset] {
                let caller = try world.connect()
                caller.send(Array(bytes[..<count]))
                leave(caller)()
            }
        }
        let caller = try world.connect()
        caller.send(bytes)
        #expect(caller.read(until: "0\r\n\r\n").hasPrefix("HTTP/1.1 200"))
        caller.close()
        #expect(world.isReleased(upstreams: 1))
    }

    @Test("A caller that finishes sending within its request gets no answer to it; behind it, its answer")
    func callerHalfCloses() throws {
        let world = try RelayWorld(Self.echo)
        let bytes = Array(Self.request.utf8)
        for count in 0..<bytes.count {
            let caller = try world.connect()
            caller.send(Array(bytes[..<count]))
            caller.finishWriting()
            let answer = caller.readAll()
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "after \(count) bytes")
        }
        for close in ["", "Connection: close\r\n"] {
            let caller = try world.connect()
            caller.send(Self.request.replacing("Host: a\r\n", with: "Host: a\r\n" + close))
            caller.finishWriting()
            let answer = caller.readAll()
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("abc\r\n0\r\n\r\n"))
        }
        #expect(world.isReleased(upstreams: 1))
    }

    private static let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ]

    @Test("A service that closes or resets after any byte of its answer is an error before the head and a visible cut behind it", arguments: answers)
    func serviceEnds(answer: String) throws {
        let bytes = Array(answer.utf8)
        let world = try RelayWorld { service, _ in
            let words = service.readHead().split(separator: " ")[1].split(separator: "/")
            service.send(Array(bytes[..<Int(words[0])!]))
            // What was sent must be on its way before a reset overtakes it.
            if words[1] == "reset" {
                usleep(2_000)
                service.reset()
            }
        }
        for count in 0...bytes.count {
            for way in ["close", "reset"] {
                let caller = try world.connect()
                caller.send("POST /\(count)/\(way) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                let stream = HTTP1Answer(caller.readAll())
                let isWhole = stream.status == 200 && stream.isWhole && stream.body == "hello"
                let isCut = stream.status == 200 && !stream.isWhole || [502, 503].contains(stream.status) && stream.isWhole
                // On a busy machine a reset overtakes even the last bytes.
                #expect(count == bytes.count ? isWhole || way == "reset" && isCut : isCut, "\(way) after \(count): \(stream)")
            }
        }
        #expect(world.isReleased())
    }

    /// An answer as a caller reads it.
    private struct HTTP1Answer {
        var status = 0
        var body = ""
        var isWhole = false

        init(_ text: String) {
            var rest = text[...]
            while rest.hasPrefix("HTTP/1.1 1"), let end = rest.firstRange(of: "\r\n\r\n") { rest = rest[end.upperBound...] }
            guard let end = rest.firstRange(of: "\r\n\r\n") else { return }
            status = Int(rest.dropFirst(9).prefix(3)) ?? 0
            let head = rest[..<end.lowerBound].lowercased()
            let tail = rest[end.upperBound...]
            if head.contains("transfer-encoding: chunked") {
                isWhole = tail.hasSuffix("0\r\n\r\n") || tail.contains("0\r\nGrpc-Status: 0\r\n\r\n")
                body = tail.contains("hello") ? "hello" : ""
            } else if let length = head.firstRange(of: "content-length: ") {
                body = String(tail)
                isWhole = Int(head[length.upperBound...].prefix { $0.isNumber }) == tail.utf8.count
            }
        }
    }

    @Test("Segments of one byte, and sockets that take a kilobyte at a time, change nothing")
    func trickles() throws {
        var bounds = Bounds()
        bounds.sendBufferBytes = 1_024
        let big = String(repeating: "0123456789abcdef", count: 8_192)
        let world = try RelayWorld(bounds: bounds) { service, _ in
            var yes: Int32 = 1
            setsockopt(service.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
            while case let head = service.readHead(), !head.isEmpty {
                let body = service.read(until: "0\r\n\r\n")
                if body.utf8.count > 1_000 {
                    service.send("HTTP/1.1 200 OK\r\nContent-Length: \(big.utf8.count)\r\n\r\n\(big)")
                } else {
                    for byte in "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".utf8 { service.send([byte]) }
                }
            }
        }
        let caller = try world.connect(receiveBuffer: 2_048)
        var yes: Int32 = 1
        setsockopt(caller.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        for _ in 0..<3 {
            for byte in Self.request.utf8 { caller.send([byte]) }
            #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
            let body = caller.read(until: "0\r\n\r\n")
            #expect(body.filter { "abc".contains($0) } == "abc")
        }
        caller.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(String(big.utf8.count, radix: 16))\r\n\(big)\r\n0\r\n\r\n")
        #expect(caller.readHead().hasPrefix("HTTP/1.1 200"))
        #expect(caller.read(big.utf8.count) == big)
    }
}
