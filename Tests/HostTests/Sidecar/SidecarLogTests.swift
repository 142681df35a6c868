import Glibc
import Pipeline
import Testing

@testable import Host

@Suite("Log", .serialized)
struct SidecarLogTests {
    @Test("A full disk, or a reader that sleeps, costs lines and no time; they are counted")
    func full() throws {
        let before = SidecarLog.dropped
        let full = open("/dev/full", O_WRONLY)
        defer { Descriptor.close(full) }
        SidecarLog.write("lost", to: full)
        #expect(SidecarLog.dropped == before + 1)

        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { Descriptor.close(end) } }
        let line = String(repeating: "x", count: 9_999)
        let start = Clock.monotonic()
        for _ in 0..<20 { SidecarLog.write(line, to: ends[1]) }
        #expect(Clock.monotonic() - start < .seconds(2))
        // A pipe holds 64 KiB.
        #expect(SidecarLog.dropped >= before + 10)
    }

    @Test("A line is one line, whatever bytes somebody put into it, and comes whole however long")
    func clean() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { Descriptor.close(end) } }
        SidecarLog.write("a\u{1b}[2Jb\rc\u{0}d\u{7f}é", to: ends[1])
        var bytes = [UInt8](repeating: 0, count: 65_536)
        #expect(String(decoding: bytes[..<read(ends[0], &bytes, bytes.count)], as: UTF8.self) == "a?[2Jb?c?d?é\n")
        SidecarLog.write(String(repeating: "y", count: 20_000), to: ends[1])
        #expect(read(ends[0], &bytes, bytes.count) == 20_001)
    }
}
