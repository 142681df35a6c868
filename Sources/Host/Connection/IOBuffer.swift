internal import Pipeline

/// Buffers of one size, kept by a loop: a connection has them while bytes are under way and gives them back when it idles.
struct BufferPool: ~Copyable {
    /// One read's worth: the longest head and body behind it, or a common answer of 64 KiB with its head, so that it leaves in one
    /// write. A body never has more than this on its way in and out of the sidecar, per direction. Pages nobody wrote to cost nothing.
    static let bufferBytes = 72 * 1024
    /// Of a buffer that is to get a head: bytes left for the body behind it.
    static let spareBytes = 4 * 1024
    /// Buffers kept for reuse, 18 MiB a loop if all had long bodies; more go back to the allocator.
    private static let keptMax = 256

    private var free: UnsafeMutableRawPointer?
    private var kept = 0
    /// Bytes in buffers that connections hold.
    private(set) var used = 0
    private let budget: Int

    init(budget: Int) {
        precondition(Self.bufferBytes == HTTP1Limits.headBytesMax + 12 * 1024, "a buffer holds the longest head and body behind it")
        self.budget = budget
    }

    /// No new work: what is under way needs the rest.
    var isExhausted: Bool { used > budget }
    /// Callers are better served elsewhere.
    var isShort: Bool { used > budget / 4 * 3 }

    mutating func take() -> UnsafeMutableRawPointer {
        used += Self.bufferBytes
        guard let buffer = free else { return .allocate(byteCount: Self.bufferBytes, alignment: 64) }
        free = buffer.load(as: UnsafeMutableRawPointer?.self)
        kept -= 1
        return buffer
    }

    /// One larger than the pool's, which only `give` knows again.
    mutating func take(byteCount: Int) -> UnsafeMutableRawPointer {
        used += byteCount
        return .allocate(byteCount: byteCount, alignment: 64)
    }

    mutating func give(_ buffer: UnsafeMutableRawPointer, capacity: Int) {
        used -= capacity
        guard capacity == Self.bufferBytes, kept < Self.keptMax else { return buffer.deallocate() }
        buffer.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
        free = buffer
        kept += 1
    }

    deinit {
        var next = free
        while let buffer = next {
            next = buffer.load(as: UnsafeMutableRawPointer?.self)
            buffer.deallocate()
        }
    }
}

/// The bytes of one direction of a connection, in one piece: `start..<end` of `capacity`.
///
/// Plain data over memory of the loop's pool. `pinned` bytes at the front (a head that an exchange reads) never move while
/// they are pinned.
struct IOBuffer: BitwiseCopyable {
    private(set) var base: UnsafeMutableRawPointer?
    @Packed private(set) var capacity = 0
    @Packed private(set) var start = 0
    @Packed private(set) var end = 0
    /// Bytes from the front that must stay where they are.
    @Packed private(set) var pinned = 0

    private static let alignment = 64

    var isEmpty: Bool { start == end }
    var count: Int { end - start }
    var unread: Bytes { Bytes(base.map { UnsafePointer(($0 + start).assumingMemoryBound(to: UInt8.self)) }, count: end - start) }
    var room: Int { capacity - end }

    // MARK: Reading side

    /// Makes room behind `end` without moving what is pinned; false if there is none to be had.
    mutating func makeRoom(_ pool: inout BufferPool) -> Bool {
        if base == nil {
            base = pool.take()
            capacity = BufferPool.bufferBytes
            return true
        }
        if start == end, start > pinned || start % Self.alignment != 0 {
            // Copying out of the kernel to an odd address takes half as long again.
            start = (pinned + Self.alignment - 1) / Self.alignment * Self.alignment
            end = start
        } else if room == 0, start > pinned {
            let kept = end - start
            (base! + pinned).copyMemory(from: base! + start, byteCount: kept)
            start = pinned
            end = pinned + kept
        }
        return room > 0
    }

    var tail: UnsafeMutableRawPointer { base! + end }
    mutating func filled(_ count: Int) { end += count }
    mutating func drop(_ count: Int) { start += count }

    /// All that was read so far stays in place until `unpin`.
    mutating func pin() { pinned = start }

    /// What is pinned.
    var front: Bytes { Bytes(base.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }, count: pinned) }

    /// The exchange is over: what is unread moves to the front; nothing unread, and the memory goes back to the pool.
    mutating func unpin(_ pool: inout BufferPool) {
        pinned = 0
        guard let base else { return }
        if start == end {
            pool.give(base, capacity: capacity)
            self = IOBuffer()
        } else if start > 0 {
            let kept = end - start
            base.copyMemory(from: base + start, byteCount: kept)
            start = 0
            end = kept
        }
    }

    // MARK: Writing side

    /// `count` bytes at the end to be filled; the buffer grows past the pool's size if it must.
    mutating func reserve(_ count: Int, _ pool: inout BufferPool) -> UnsafeMutableRawBufferPointer {
        if base == nil {
            capacity = BufferPool.bufferBytes
            base = pool.take()
        }
        if room < count {
            let kept = end - start
            if kept + count <= capacity {
                base!.copyMemory(from: base! + start, byteCount: kept)
                start = 0
                end = kept
            } else {
                resize(to: max(capacity * 2, kept + count), &pool)
            }
        }
        return UnsafeMutableRawBufferPointer(start: base! + end, count: room)
    }

    mutating func append(_ bytes: Bytes, _ pool: inout BufferPool) {
        guard let source = bytes.base, bytes.count > 0 else { return }
        let target = reserve(bytes.count, &pool)
        target.baseAddress!.copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
    }

    mutating func free(_ pool: inout BufferPool) {
        if let base { pool.give(base, capacity: capacity) }
        self = IOBuffer()
    }

    private mutating func resize(to size: Int, _ pool: inout BufferPool) {
        let fresh = pool.take(byteCount: size)
        let kept = end - start
        if kept > 0 { fresh.copyMemory(from: base! + start, byteCount: kept) }
        if let base { pool.give(base, capacity: capacity) }
        base = fresh
        capacity = size
        start = 0
        end = kept
    }
}
