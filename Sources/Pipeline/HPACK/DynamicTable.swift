/// The dynamic table (RFC 7541 §2.3.2, §4): the newest entry has index 0 here, the oldest goes first.
///
/// Plain old data over memory that the connection owns and frees:
///
///     entries: [ oldest … newest ]            a ring of as many as can ever be, 32 counted bytes each
///     text:    [ name value name value … ]    a ring of twice the table's bytes
///
/// An entry's text never wraps: what does not fit before the end begins at the start. Twice the bytes make that possible always.
/// Live text of at most M, n of it about to come: if it does not fit behind the head (over 2M - n), the tail is over M ≥ n; if the
/// ring has wrapped, its upper part ended over M, so tail - head ≥ M - (M - n) = n.
@safe
package struct DynamicTable: BitwiseCopyable {
    private struct Entry: BitwiseCopyable {
        let offset: UInt32
        let nameCount: UInt16
        let valueCount: UInt16
    }

    private let entries: UnsafeMutablePointer<Entry>?
    private let text: UnsafeMutablePointer<UInt8>?
    /// What the memory was made for, in counted bytes.
    package let capacity: Int
    /// At most this many counted bytes; entries are evicted to hold it.
    package private(set) var bytesMax: Int
    /// Counted bytes: names, values, and 32 per entry.
    package private(set) var bytes = 0
    package private(set) var count = 0
    /// Entries ever inserted, wrapping: an entry's own number is what this was before it came.
    package private(set) var inserted: UInt32 = 0
    private var newest = -1
    private var head = 0

    /// Bytes of memory for a table of `capacity` counted bytes, which is at most `HPACKLimits.tableBytesMax`.
    package static func memoryBytes(capacity: Int) -> Int {
        entriesMax(capacity) * MemoryLayout<Entry>.stride + 2 * capacity
    }

    /// `memory`, aligned to 8: ``memoryBytes(capacity:)`` bytes that outlive the table and all its copies.
    package init(memory: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity >= 0 && capacity <= HPACKLimits.tableBytesMax)
        let entriesBytes = Self.entriesMax(capacity) * MemoryLayout<Entry>.stride
        unsafe entries = memory.bindMemory(to: Entry.self, capacity: Self.entriesMax(capacity))
        unsafe text = (memory + entriesBytes).bindMemory(to: UInt8.self, capacity: 2 * capacity)
        self.capacity = capacity
        bytesMax = capacity
    }

    private static func entriesMax(_ capacity: Int) -> Int { capacity / HPACKLimits.fieldOverheadBytes }

    /// The entry with this index, 0 being the newest. The caller promises 0 ≤ index < ``count``.
    @inline(__always)
    package func entry(_ index: Int) -> HPACKEntry {
        let entry = unsafe entries.unsafelyUnwrapped[slot(index)]
        let name = unsafe text.unsafelyUnwrapped + Int(entry.offset)
        return unsafe HPACKEntry(
            name: Bytes(UnsafePointer(name), count: Int(entry.nameCount)),
            value: Bytes(UnsafePointer(name + Int(entry.nameCount)), count: Int(entry.valueCount)))
    }

    @inline(__always)
    private func slot(_ index: Int) -> Int {
        assert(index >= 0 && index < count)
        let slot = newest &- index
        return slot < 0 ? slot &+ Self.entriesMax(capacity) : slot
    }

    /// Evicts what has to go. The caller promises at most ``capacity``.
    package mutating func resize(to bytesMax: Int) {
        assert(bytesMax >= 0 && bytesMax <= capacity)
        self.bytesMax = min(max(bytesMax, 0), capacity)
        evict(downTo: self.bytesMax)
    }

    /// Adds an entry. One that is larger than the table empties it and is not kept (§4.4): false.
    ///
    /// `name` and `value` must not be views into this table: eviction comes first.
    @discardableResult
    package mutating func insert(name: Bytes, value: Bytes) -> Bool {
        let size = name.count &+ value.count &+ HPACKLimits.fieldOverheadBytes
        guard size <= bytesMax else {
            evict(downTo: 0)
            return false
        }
        evict(downTo: bytesMax &- size)
        if count == 0 { head = 0 }
        let textBytes = name.count &+ value.count
        if head &+ textBytes > 2 &* capacity { head = 0 }
        let target = unsafe text.unsafelyUnwrapped + head
        if let base = unsafe name.base { unsafe target.update(from: base, count: name.count) }
        if let base = unsafe value.base { unsafe (target + name.count).update(from: base, count: value.count) }
        newest = newest &+ 1 == Self.entriesMax(capacity) ? 0 : newest &+ 1
        unsafe entries.unsafelyUnwrapped[newest] = Entry(
            offset: UInt32(truncatingIfNeeded: head), nameCount: UInt16(truncatingIfNeeded: name.count),
            valueCount: UInt16(truncatingIfNeeded: value.count))
        head &+= textBytes
        bytes &+= size
        count &+= 1
        inserted &+= 1
        return true
    }

    /// An entry came that is larger than any table: it empties this one (§4.4).
    package mutating func removeAll() { evict(downTo: 0) }

    private mutating func evict(downTo limit: Int) {
        while bytes > limit, count > 0 {
            let oldest = unsafe entries.unsafelyUnwrapped[slot(count &- 1)]
            bytes &-= Int(oldest.nameCount) &+ Int(oldest.valueCount) &+ HPACKLimits.fieldOverheadBytes
            count &-= 1
        }
    }
}
