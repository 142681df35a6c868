import Pipeline
import Testing

@testable import Host

@Suite struct ZstdTests {
    private func noise(_ count: Int) -> [UInt8] {
        var random = Random(seed: 11)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    @Test("What goes in comes out, through one context, many times", arguments: [0, 1, 1_000, 300_000])
    func roundTrip(_ count: Int) throws {
        let zstd = try Zstd()
        for bytes in [noise(count), [UInt8](repeating: 7, count: count)] {
            #expect(try zstd.decompress(zstd.compress(bytes), limit: count) == bytes)
        }
    }

    @Test("More than the limit, and a bomb within it, are refused before they are held")
    func bombs() throws {
        let zstd = try Zstd()
        let packed = try zstd.compress([UInt8](repeating: 0, count: 64 << 20))
        #expect(throws: Zstd.Problem.tooLarge) { try zstd.decompress(packed, limit: (64 << 20) - 1) }
        #expect(packed.count * Zstd.ratioMax < 64 << 20)
        #expect(throws: Zstd.Problem.tooLarge) { try zstd.decompress(packed, limit: .max) }
        #expect(try zstd.decompress(zstd.compress([1]), limit: 1) == [1])
    }

    @Test("Cut, damaged, doubled or foreign input is malformed, whatever the damage")
    func damage() throws {
        let zstd = try Zstd()
        let bytes = noise(3_000)
        let packed = try zstd.compress(bytes)
        for count in stride(from: 0, to: packed.count, by: 97) {
            #expect(throws: Zstd.Problem.malformed) { try zstd.decompress(Array(packed[..<count]), limit: 10_000) }
        }
        #expect(throws: Zstd.Problem.malformed) { try zstd.decompress(packed + packed, limit: 10_000) }
        #expect(throws: Zstd.Problem.malformed) { try zstd.decompress(bytes, limit: 10_000) }
        var random = Random(seed: 5)
        for _ in 0..<300 {
            var broken = packed
            broken[Int.random(in: 0..<broken.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            let out = try? zstd.decompress(broken, limit: 10_000)
            #expect(out == nil || out == bytes)
        }
    }
}
