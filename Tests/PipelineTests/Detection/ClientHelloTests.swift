import Testing

@testable import Pipeline

struct ClientHelloTests {
    private enum Read: Equatable {
        case needMore, malformed, tooLong
        case hello(String, h2: Bool = false, h1: Bool = false, others: Bool = false)
    }

    private func read(_ bytes: [UInt8]) -> Read {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ClientHello.Limits.nameBytesMax) { name in
            bytes.withUnsafeBytes { input in
                switch ClientHello.read(Bytes(input), name: name) {
                case .needMore: .needMore
                case .malformed: .malformed
                case .tooLong: .tooLong
                case .hello(let hello):
                    .hello(hello.serverName.string, h2: hello.offersHTTP2, h1: hello.offersHTTP1, others: hello.offersOthers)
                }
            }
        }
    }

    // MARK: Making them

    private static func vector(_ width: Int, _ bytes: [UInt8]) -> [UInt8] {
        (0..<width).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> ($0 * 8)) } + bytes
    }

    private static func named(_ name: String, kind: UInt8 = 0) -> [UInt8] {
        [0, 0] + vector(2, vector(2, [kind] + vector(2, Array(name.utf8))))
    }

    private static func speaking(_ protocols: [String]) -> [UInt8] {
        [0, 16] + vector(2, vector(2, protocols.flatMap { vector(1, Array($0.utf8)) }))
    }

    private static func body(_ extensions: [UInt8]?, version: UInt16 = 0x0303, session: Int = 32, suites: Int = 4) -> [UInt8] {
        var bytes = [UInt8(version >> 8), UInt8(version & 0xFF)] + [UInt8](repeating: 7, count: 32)
        bytes += vector(1, [UInt8](repeating: 1, count: session)) + vector(2, [UInt8](repeating: 2, count: suites)) + vector(1, [0])
        return bytes + (extensions.map { vector(2, $0) } ?? [])
    }

    private static func records(_ body: [UInt8], of size: Int = 1 << 14) -> [UInt8] {
        let message = [1] + vector(3, body)
        return stride(from: 0, to: message.count, by: size).flatMap { [22, 3, 1] + vector(2, Array(message[$0..<min($0 + size, message.count)])) }
    }

    private static let whole = records(body(named("Shop.example") + [0, 43, 0, 3, 2, 3, 4] + speaking(["h2", "http/1.1", "weft"])))

    // MARK: Tests

    @Test("Name and protocols are read, wherever records and reads cut them", arguments: [1, 2, 7, 100, 1 << 14])
    func whole(size: Int) {
        let bytes = Self.records(Self.body(Self.named("Shop.example") + Self.speaking(["h2", "http/1.1", "weft"])), of: size)
        for count in 0..<bytes.count { #expect(read(Array(bytes[..<count])) == .needMore) }
        #expect(read(bytes) == .hello("shop.example", h2: true, h1: true, others: true))
        #expect(read(bytes + [23, 3, 3, 0]) == .hello("shop.example", h2: true, h1: true, others: true), "what follows is somebody else's")
    }

    @Test("A hello may name nobody and nothing")
    func bare() {
        #expect(read(Self.records(Self.body(nil))) == .hello(""))
        #expect(read(Self.records(Self.body([]))) == .hello(""))
        #expect(read(Self.records(Self.body(Self.speaking(["h2"]), session: 0))) == .hello("", h2: true))
        #expect(read(Self.records(Self.body(Self.speaking(["h2-16", "http/1.0"])))) == .hello("", others: true))
    }

    @Test("What two could read differently is nobody's", arguments: [
        named("a") + named("b"), speaking(["h2"]) + speaking(["h2"]), named(""), named(".a"), named("a."), named("a..b"), named("a b"), named("a\0b"),
        named("a/b"), named("a:1"), named("[::1]"), named("é"), named("a", kind: 1), [0, 0, 0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 9], [0, 16, 0, 2, 0, 0],
        [0, 16, 0, 4, 0, 2, 2, 65], [0, 16, 0, 4, 0, 1, 1, 65], [0, 16, 0, 3, 0, 1, 0], [0, 0], named(String(repeating: "a", count: 254)),
    ])
    func malformed(extensions: [UInt8]) {
        #expect(read(Self.records(Self.body(extensions))) == .malformed)
        #expect(read(Self.records(Self.body(extensions), of: 3)) == .malformed)
    }

    @Test("What is no ClientHello is told from it at its first wrong byte")
    func others() {
        for bytes in [[21], [22, 2], [22, 3, 1, 0, 0], [22, 3, 1, 64, 1], [22, 3, 1, 0, 1, 2], [71]] as [[UInt8]] { #expect(read(bytes) == .malformed) }
        #expect(read(Self.records(Self.body(Self.named("a"), version: 0x0200))) == .malformed)
        #expect(read(Self.records(Self.body(Self.named("a"), session: 33))) == .malformed)
        #expect(read(Self.records(Self.body(Self.named("a"), suites: 3))) == .malformed)
        #expect(read(Self.records(Self.body(Self.named("a"), suites: 0))) == .malformed)
        #expect(read(Self.records(Self.body(Self.named("a"), version: 0x0301))) == .hello("a"))
    }

    @Test("The bound is a bound: a name behind it is not looked for")
    func bound() {
        let padding = [0, 21] + Self.vector(2, [UInt8](repeating: 0, count: 16_000))
        #expect(read(Self.records(Self.body(padding + Self.named("a")))) == .hello("a"))
        let more = [0, 21] + Self.vector(2, [UInt8](repeating: 0, count: 16_384))
        #expect(read(Self.records(Self.body(more + Self.named("a")))) == .tooLong)
        #expect(read(Self.records(Self.body(Self.named(String(repeating: "a", count: 253))))) == .hello(String(repeating: "a", count: 253)))
    }

    @Test("Any byte in place of any neither traps nor depends on how reads cut it", arguments: 0..<4)
    func mutations(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<500 {
            var bytes = Self.whole
            for _ in 0..<Int.random(in: 1...3, using: &random) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            let whole = read(bytes)
            var first = Read.needMore
            for count in 0...bytes.count where first == .needMore { first = read(Array(bytes[..<count])) }
            #expect(first == whole)
        }
    }
}
