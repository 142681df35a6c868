/// Where reads cut a stream: the first byte of an input says how many cuts there are, the next ones how long each piece is.
///
/// `@` is a piece of one byte, `A` of two, so a kept input can be read and written by hand: `1@GET / …` comes byte by byte,
/// `0GET / …` in one piece. Sizes repeat.
struct Cuts {
    let sizes: [Int]
    /// What is cut: the input behind the sizes.
    let payload: UnsafeRawBufferPointer

    init(_ input: UnsafeRawBufferPointer) {
        let count = input.isEmpty ? 0 : min(Int(input[0] & 7), input.count - 1)
        sizes = input.dropFirst().prefix(count).map { Int($0 & 63) + 1 }
        payload = UnsafeRawBufferPointer(rebasing: input.dropFirst(1 + count))
    }

    /// Hands the payload over in pieces of the sizes, each time with what was kept of the earlier ones, each time in memory
    /// of its own that ends where the bytes do: whoever reads past them, or keeps a view into old memory, is caught.
    ///
    /// - Parameter take: how many bytes it is done with; nil to stop.
    func drive(cut: Bool, _ take: (UnsafeRawBufferPointer) throws -> Int?) throws {
        var start = 0
        var end = 0
        var turn = 0
        repeat {
            let size = cut && !sizes.isEmpty ? sizes[turn % sizes.count] : payload.count
            turn += 1
            end = min(payload.count, end + size)
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 1)
            defer { memory.deallocate() }
            memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: payload[start..<end]))
            guard let done = try take(UnsafeRawBufferPointer(memory)) else { return }
            try expect(done >= 0 && done <= memory.count, "consumed \(done) of \(memory.count) bytes")
            start += done
        } while end < payload.count
    }
}
