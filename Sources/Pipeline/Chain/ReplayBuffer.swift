/// The one copy of a request body that a retry may need, up to a limit that the asking stage names.
@safe
package struct ReplayBuffer: BitwiseCopyable {
    /// Bytes a stage wants kept; 0 means no stage asked.
    package private(set) var limit = 0
    package private(set) var count = 0
    /// More than `limit` went by, or a piece that not every stage let pass: the exchange can no longer be tried again.
    package private(set) var isLost = false
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0

    package init() {}

    package mutating func keep(upTo bytes: Int) { limit = max(limit, bytes) }

    package mutating func append(_ piece: Bytes) {
        guard !isLost, !piece.isEmpty, let base = unsafe piece.base else { return }
        guard count + piece.count <= limit else {
            lose()
            return
        }
        reserve(count + piece.count)
        unsafe memory.unsafelyUnwrapped.advanced(by: count).copyMemory(from: base, byteCount: piece.count)
        count += piece.count
    }

    /// A piece is missing that a retry would have to send.
    package mutating func lose() {
        free()
        isLost = true
    }

    package var bytes: Bytes {
        unsafe Bytes(memory.map { unsafe UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }, count: count)
    }

    /// Nothing will be replayed any more.
    package mutating func free() {
        unsafe memory?.deallocate()
        unsafe memory = nil
        capacity = 0
        count = 0
    }

    private mutating func reserve(_ needed: Int) {
        guard needed > capacity else { return }
        let grown = min(max(needed, capacity * 2, 1024), max(limit, needed))
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 16)
        if let old = unsafe memory {
            unsafe fresh.copyMemory(from: old, byteCount: count)
            unsafe old.deallocate()
        }
        unsafe memory = fresh
        capacity = grown
    }
}
