import Synchronization

/// Shared states by key: one per source, per upstream, per route, without a lock on lookup.
///
/// An open-addressing table of fixed size. A slot is claimed for a key by one compare-and-swap and keeps it until the table goes.
/// A key that finds no slot within ``probesMax`` steps gets none (nil), which is counted: then the total alone limits.
@safe
package struct KeyedTable<State: BitwiseCopyable & Sendable>: BitwiseCopyable, @unchecked Sendable {
    private let header: UnsafeMutablePointer<KeyedTableHeader>

    fileprivate init(header: UnsafeMutablePointer<KeyedTableHeader>) { unsafe self.header = header }

    /// The state of `key`, claimed on first use; nil if the table has no room for it.
    ///
    /// Every key is legal; 0 and `UInt64.max` are folded onto one inner value.
    package func state(for key: UInt64) -> Shared<State>? {
        let wanted = key == 0 ? UInt64.max : key
        let mask = unsafe header.pointee.mask
        var index = Int(truncatingIfNeeded: KeyedTableHeader.mix(wanted)) & mask
        var probe = 0
        while probe < Swift.min(KeyedTableLimits.probesMax, mask &+ 1) {
            let slot = unsafe header.pointee.slots + index &* KeyedTableLimits.slotBytes
            let name = unsafe (slot + KeyedTableLimits.keyOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
            let known = unsafe name.pointee.load(ordering: .acquiring)
            if known == wanted { return unsafe Shared(cell: slot) }
            if known == 0 {
                let result = unsafe name.pointee.compareExchange(expected: 0, desired: wanted, ordering: .acquiringAndReleasing)
                if result.exchanged {
                    unsafe header.pointee.claimed.wrappingAdd(1, ordering: .relaxed)
                    return unsafe Shared(cell: slot)
                }
                if result.original == wanted { return unsafe Shared(cell: slot) }
            }
            index = (index &+ 1) & mask
            probe &+= 1
        }
        unsafe header.pointee.refused.wrappingAdd(1, ordering: .relaxed)
        return nil
    }

    /// How many keys have a slot.
    package var claimed: Int { unsafe header.pointee.claimed.load(ordering: .relaxed) }
    /// How many lookups found no room.
    package var refused: Int { unsafe header.pointee.refused.load(ordering: .relaxed) }

    /// A table whose every slot starts as `initial`. Whoever asks frees it with ``deallocate()``.
    package static func allocate(capacity: Int = KeyedTableLimits.slotsDefault, initial: State) -> KeyedTable {
        precondition(capacity > 0 && capacity <= KeyedTableLimits.slotsMax && capacity & (capacity - 1) == 0,
            "a keyed table has a power of two of slots")
        let slots = UnsafeMutableRawPointer.allocate(byteCount: capacity * KeyedTableLimits.slotBytes, alignment: 64)
        for index in 0..<capacity {
            let slot = unsafe slots + index * KeyedTableLimits.slotBytes
            unsafe SharedCell.initialize(slot, to: initial)
            unsafe (slot + KeyedTableLimits.keyOffset).bindMemory(to: Atomic<UInt64>.self, capacity: 1).initialize(to: Atomic(0))
        }
        let header = UnsafeMutablePointer<KeyedTableHeader>.allocate(capacity: 1)
        unsafe header.initialize(to: KeyedTableHeader(slots: slots, mask: capacity - 1))
        return unsafe KeyedTable(header: header)
    }

    /// The table as one pointer, for the registry.
    var opaque: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(header) }

    init(opaque: UnsafeMutableRawPointer) {
        unsafe self.init(header: opaque.assumingMemoryBound(to: KeyedTableHeader.self))
    }

    package func deallocate() {
        unsafe header.pointee.slots.deallocate()
        unsafe header.deinitialize(count: 1)
        unsafe header.deallocate()
    }
}

package enum KeyedTableLimits {
    /// Sources or upstreams that one stage tells apart.
    package static let slotsDefault = 4_096
    package static let slotsMax = 65_536
    /// Slots looked at before a key is refused; a table that is nine tenths full still finds room within it.
    package static let probesMax = 256
    /// 16 bytes of state, 8 of key, 8 of padding.
    fileprivate static let slotBytes = 32
    fileprivate static let keyOffset = 16
}

@safe
private struct KeyedTableHeader: ~Copyable {
    let slots: UnsafeMutableRawPointer
    let mask: Int
    let claimed = Atomic<Int>(0)
    let refused = Atomic<Int>(0)

    init(slots: UnsafeMutableRawPointer, mask: Int) {
        unsafe self.slots = slots
        self.mask = mask
    }

    /// Dense ids must not become dense slots: the finalizer of SplitMix64.
    static func mix(_ key: UInt64) -> UInt64 {
        var z = key
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
