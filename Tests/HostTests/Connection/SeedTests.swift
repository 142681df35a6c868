import Pipeline
import Testing

@testable import Host

@Suite("Seed", .serialized)
struct SeedTests {
    /// Tells the service the draw that decides among versions.
    final class Teller: RequestHeadFilter {
        static let name: FilterName = "teller"
        struct Config: FilterConfig { init(_ fields: inout ConfigFields) {} }
        init(_ config: Config, _ stage: inout StageSetup) {}
        func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
            exchange.setRequestHeader("x-draw", "\(exchange.storage.pointee.draw)")
            return .next
        }
    }

    private func draws(seed: UInt64?) throws -> [String] {
        let stage = ChainPart.Stage(id: "teller", filter: "teller", origin: Origin(resource: "test"))
        let world = try RelayWorld(above: (stage, Teller.self), seed: seed) { service, _ in
            while case let head = service.readHead(), !head.isEmpty {
                let line = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("x-draw:") } ?? "none"
                service.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Drawn\(line.dropFirst(6))\r\n\r\n")
            }
        }
        let caller = try world.connect()
        return (0..<20).map { _ in
            caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return caller.readHead().split(separator: "\r\n").first { $0.lowercased().hasPrefix("x-drawn") }.map(String.init) ?? "nothing"
        }
    }

    @Test("The same seed draws the same, another one differently, and none at random")
    func repeats() throws {
        let first = try draws(seed: 7)
        #expect(Set(first).count == 20 && !first.contains("nothing"), "\(first)")
        #expect(try draws(seed: 7) == first)
        #expect(try draws(seed: 8) != first)
        let random = try draws(seed: nil)
        #expect(try draws(seed: nil) != random)
    }
}
