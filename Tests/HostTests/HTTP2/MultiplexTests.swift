import Glibc
import Pipeline
import Testing

@testable import Host

/// Streams through a data path to HTTP/1, and through two, which share a connection between them.
@Suite("Streams of HTTP/2 through data paths", .serialized)
struct MultiplexTests {
    enum Way: CaseIterable { case one, two }

    /// What a caller talks to; everything under it lives as long.
    private final class World {
        private let relay: RelayWorld?
        private let pair: UndeclaredWorld?

        init(_ way: Way, _ handle: @escaping @Sendable (RawConnection, Int) -> Void) throws {
            relay = way == .one ? try RelayWorld(handle) : nil
            pair = way == .two ? try UndeclaredWorld(called: .http, handle: handle) : nil
        }

        func caller(window: UInt32 = 65_535) throws -> FrameCaller {
            FrameCaller(try relay.map { try $0.connect() } ?? pair!.connect(), window: window)
        }

        var planes: [Dataplane] { relay.map { [$0.plane] } ?? [pair!.calling, pair!.called] }
        func total(_ name: String) -> Int { planes.reduce(0) { $0 + $1.total(of: name, []) } }
    }

    /// Answers with the path, or the body it was sent.
    @Sendable private static func echo(_ service: RawConnection, _: Int) {
        while case let head = service.readHead(), !head.isEmpty {
            let words = head.split(separator: " ")
            guard head.hasSuffix("\r\n\r\n"), words.count > 1 else { return }
            let path = String(words[1])
            if path == "/cut" {
                service.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                return service.reset()
            }
            var body = ""
            if head.contains("transfer-encoding: chunked") {
                while case let size = Int(service.read(until: "\r\n").dropLast(), radix: 16) ?? 0, size > 0 { body += service.read(size + 2).dropLast() }
                _ = service.read(until: "\r\n")
            } else {
                body = path
            }
            service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\nx-sum: \(body.utf8.count)\r\n\r\n")
        }
    }

    @Test("Many at once, each with its own answer and its trailers", arguments: Way.allCases)
    func many(_ way: Way) throws {
        let world = try World(way, Self.echo)
        let caller = try world.caller()
        for round in 0..<4 {
            let streams = (0..<60).map { UInt32(1 + 2 * (round * 60 + $0)) }
            for stream in streams { caller.get(stream, "/\(stream)") }
            for stream in streams.reversed() {
                let answer = caller.answer(stream)
                #expect(answer?.fields[":status"] == "200" && answer?.body == Array("/\(stream)".utf8), "\(stream): \(answer as Any)")
            }
        }
        #expect(soon { world.total("weft_stats_in_flight") <= 0 })
    }

    @Test("Bodies of any length both ways at once, whatever the windows", arguments: Way.allCases, [65_535, 100] as [UInt32])
    func bodies(_ way: Way, window: UInt32) throws {
        let world = try World(way, Self.echo)
        let caller = try world.caller(window: window)
        let sizes = [1, 16_384, window == 100 ? 20_000 : 400_000]
        for (index, size) in sizes.enumerated() { caller.post(UInt32(1 + 2 * index), "/\(size)") }
        for (index, size) in sizes.enumerated() {
            #expect(caller.data(UInt32(1 + 2 * index), [UInt8](repeating: UInt8(ascii: "a") + UInt8(index), count: size), ends: true))
        }
        for (index, size) in sizes.enumerated() {
            let answer = caller.answer(UInt32(1 + 2 * index))
            #expect(answer?.fields[":status"] == "200" && answer?.body.count == size && answer?.body.allSatisfy { $0 == UInt8(ascii: "a") + UInt8(index) } == true)
        }
    }

    @Test("A stream that breaks breaks alone: the caller's resets, the service's cut answers", arguments: Way.allCases)
    func broken(_ way: Way) throws {
        let world = try World(way, Self.echo)
        let caller = try world.caller()
        for round in 0..<10 {
            let first = UInt32(1 + 8 * round)
            caller.post(first, "/never")
            caller.data(first, Array("some".utf8))
            caller.get(first + 2, "/cut")
            caller.get(first + 4, "/whole")
            caller.reset(first)
            #expect(caller.answer(first + 2) == nil)
            #expect(caller.answer(first + 4)?.body == Array("/whole".utf8))
        }
    }

    @Test("A connection that is gone takes all of its streams with it, and leaves nothing", arguments: Way.allCases)
    func gone(_ way: Way) throws {
        let world = try World(way) { service, _ in
            _ = service.readHead()
            _ = service.readAll()
        }
        let caller = try world.caller()
        for stream in stride(from: UInt32(1), to: 40, by: 2) { caller.get(stream, "/") }
        #expect(soon { world.planes.last!.total(of: "weft_upstream_connections", []) == 20 })
        caller.connection.close()
        #expect(soon { world.planes.last!.total(of: "weft_upstream_connections", []) == 0 })
        #expect(soon { world.planes[0].total(of: "weft_downstream_connections", []) == 0 })
    }
}
