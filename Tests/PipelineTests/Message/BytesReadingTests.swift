import Pipeline
import Testing

/// What looks at eight bytes at a time, against what looks at one.
@Suite("Reading bytes")
struct BytesReadingTests {
    private static let searches: [(name: String, fast: @Sendable (Bytes, Int) -> Int, isMeant: @Sendable (UInt8) -> Bool)] = [
        ("control", { $0.firstControl(from: $1, to: $0.count) }, { $0 < 0x20 || $0 == 0x7F }),
        ("invisible", { $0.firstInvisible(from: $1, to: $0.count) }, { $0 < 0x21 || $0 > 0x7E }),
        ("uncommon", { $0.firstUncommon(from: $1, to: $0.count) }, { !(0x61...0x7A ~= $0 | 0x20 && $0 < 0x80) && !(0x30...0x39 ~= $0) && $0 != 0x2D }),
        ("comma", { $0.first(UInt8(ascii: ","), from: $1, to: $0.count) }, { $0 == UInt8(ascii: ",") }),
    ]

    @Test("A search finds the first byte that is meant, whichever it is and wherever it stands", arguments: searches.indices)
    func finds(number: Int) {
        let (name, fast, isMeant) = Self.searches[number]
        for count in 0...20 {
            for place in 0..<max(count, 1) {
                for byte in UInt8.min...UInt8.max {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: count)
                    if place < count { bytes[place] = byte }
                    // The byte behind the next place is one that every search means: it must not be found before its time.
                    if place + 2 < count { bytes[place + 2] = 0x0A }
                    for start in [0, place, place / 2] where start <= count {
                        let wanted = bytes[start...].firstIndex(where: isMeant) ?? count
                        let found = bytes.withUnsafeBytes { fast(Bytes($0), start) }
                        if found != wanted { Issue.record("\(name): \(found) instead of \(wanted) from \(start) in \(bytes)") }
                    }
                }
            }
        }
    }

    @Test("Letters are folded, and nothing else is")
    func folds() {
        for byte in UInt8.min...UInt8.max {
            for place in 0..<8 {
                let word = 0x4020_5B60_C17A_8041 & ~(0xFF &<< UInt64(8 * place)) | UInt64(byte) &<< UInt64(8 * place)
                let folded = ASCII.lowercased(word)
                for lane in 0..<8 {
                    let (before, after) = (UInt8(truncatingIfNeeded: word &>> UInt64(8 * lane)), UInt8(truncatingIfNeeded: folded &>> UInt64(8 * lane)))
                    #expect(after == ASCII.lowercased(before))
                }
            }
        }
    }

    @Test("Texts are equal if every byte is, and folded if every byte is but for case")
    func compares() {
        for count in 0...20 {
            let text = (0..<count).map { UInt8(ascii: "a") + UInt8($0) }
            let upper = text.map { $0 & ~0x20 }
            for other in [text, text + [0x21]] {
                #expect(Self.with(other, text) { $0.hasPrefix($1) && $0.hasFoldedPrefix($1) })
                #expect(Self.with(upper + other.dropFirst(count), text) { $0.hasFoldedPrefix($1) })
                #expect(Self.with(other, text) { $0.equals($1) } == (other.count == count))
            }
            for place in 0..<count {
                for bit in 0..<8 {
                    var other = text
                    other[place] ^= 1 << UInt8(bit)
                    #expect(!Self.with(other, text) { $0.hasPrefix($1) || $0.equals($1) })
                    #expect(Self.with(other, text) { $0.hasFoldedPrefix($1) } == (bit == 5))
                }
            }
        }
        #expect(Self.with([], [1]) { !$0.hasPrefix($1) && !$0.hasFoldedPrefix($1) && !$0.equals($1) })
    }

    private static func with<Result>(_ a: [UInt8], _ b: [UInt8], _ body: (Bytes, Bytes) -> Result) -> Result {
        a.withUnsafeBytes { first in b.withUnsafeBytes { second in body(Bytes(first), Bytes(second)) } }
    }
}
