import Pipeline
import Testing

@testable import Host

/// What a connection that idles keeps, beside its descriptor: counted, because resident memory is noise.
struct FootprintTests {
    @Test("An idle caller takes half a kibibyte: its storage, its slot and its timer")
    func caller() {
        let allocators = 8  // glibc's word before each block, which are multiples of 16
        let block = (MemoryLayout<DownstreamStorage>.size + allocators + 15) & ~15
        #expect(block + MemoryLayout<SlotTable.Slot>.stride + TimerWheel.bytesPerTimer <= 512)
    }
}
