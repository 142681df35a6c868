/// Blocks of one size for arenas, kept by an event loop so that steady traffic never reaches the allocator.
@safe
package struct BlockPool: ~Copyable {
    /// What an arena takes at a time.
    package static let blockBytes = 4 * 1024
    /// Blocks kept for reuse, 4 MiB a loop; more are given back to the allocator.
    private static let keptMax = 1_024

    private var free: UnsafeMutableRawPointer?
    private var kept = 0

    package init() {}

    package mutating func take() -> UnsafeMutableRawPointer {
        guard let block = unsafe free else {
            return UnsafeMutableRawPointer.allocate(byteCount: Self.blockBytes, alignment: 16)
        }
        unsafe free = block.load(as: UnsafeMutableRawPointer?.self)
        kept -= 1
        return unsafe block
    }

    package mutating func give(_ block: UnsafeMutableRawPointer) {
        guard kept < Self.keptMax else { return unsafe block.deallocate() }
        unsafe block.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
        unsafe free = block
        kept += 1
    }

    deinit {
        var next = unsafe free
        while let block = unsafe next {
            unsafe next = unsafe block.load(as: UnsafeMutableRawPointer?.self)
            unsafe block.deallocate()
        }
    }
}

/// Memory of one exchange, freed as a whole at its end: header edits, rewritten paths, names for replies.
///
/// Plain old data; the blocks form a list through their first word. At most 64 KiB (ARCHITECTURE §6): over that an edit
/// fails and the exchange is answered 500.
@safe
package struct Arena: BitwiseCopyable {
    package static let blocksMax = 16

    private var newest: UnsafeMutableRawPointer?
    private var used = BlockPool.blockBytes
    private var blocks = 0
    private let pool: UnsafeMutablePointer<BlockPool>

    package init(pool: UnsafeMutablePointer<BlockPool>) { unsafe self.pool = pool }

    /// Uninitialised memory aligned to 8 bytes, nil when the arena is full or `count` does not fit a block.
    package mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        let rounded = (count + 7) & ~7
        if used + rounded > BlockPool.blockBytes {
            guard rounded <= BlockPool.blockBytes - 16, blocks < Self.blocksMax else { return nil }
            let block = unsafe pool.pointee.take()
            unsafe block.storeBytes(of: newest, as: UnsafeMutableRawPointer?.self)
            unsafe newest = block
            used = 16
            blocks += 1
        }
        defer { used += rounded }
        return unsafe newest.unsafelyUnwrapped + used
    }

    /// A copy of `bytes` that lives as long as the exchange, nil when the arena is full.
    package mutating func copy(_ bytes: Bytes) -> Bytes? {
        guard !bytes.isEmpty else { return .empty }
        guard let memory = unsafe allocate(bytes.count) else { return nil }
        unsafe memory.copyMemory(from: bytes.base.unsafelyUnwrapped, byteCount: bytes.count)
        return unsafe Bytes(UnsafePointer(memory.assumingMemoryBound(to: UInt8.self)), count: bytes.count)
    }

    package mutating func freeAll() {
        while let block = unsafe newest {
            unsafe newest = block.load(as: UnsafeMutableRawPointer?.self)
            unsafe pool.pointee.give(block)
        }
        used = BlockPool.blockBytes
        blocks = 0
    }
}
