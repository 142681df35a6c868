import Pipeline

/// Host names to numbers, case folded: one hash and about one comparison, no allocation.
///
/// Open addressing, at most half full. The names come from config alone, so nobody can choose them to collide.
struct NameTable: BitwiseCopyable {
    private struct Slot: BitwiseCopyable {
        var name: Bytes
        var hash: UInt32
        /// -1: the slot is empty.
        var value: Int32
    }

    private let slots: PinnedTable<Slot>
    private let longest: Int

    /// The first of several equal names counts.
    init(_ entries: [(name: String, value: Int)], in memory: PinnedMemory) {
        var capacity = 2
        while capacity < entries.count * 2 { capacity *= 2 }
        var slots = [Slot](repeating: Slot(name: .empty, hash: 0, value: -1), count: capacity)
        var longest = 0
        for entry in entries {
            let name = memory.text(entry.name.lowercased())
            let hash = Self.hash(name)
            longest = max(longest, name.count)
            var index = Int(hash) & (capacity - 1)
            while slots[index].value >= 0, !slots[index].name.equals(name) { index = (index + 1) & (capacity - 1) }
            if slots[index].value < 0 { slots[index] = Slot(name: name, hash: hash, value: Int32(entry.value)) }
        }
        self.slots = memory.table(slots)
        self.longest = longest
    }

    /// -1 for a name that is not there.
    func value(of name: Bytes) -> Int {
        guard name.count <= longest else { return -1 }
        let hash = Self.hash(name)
        var index = Int(hash) & (slots.count &- 1)
        // Ends because half of the slots are empty.
        while true {
            let slot = slots[index]
            if slot.value < 0 { return -1 }
            if slot.hash == hash, slot.name.equalsFolded(name) { return Int(slot.value) }
            index = (index &+ 1) & (slots.count &- 1)
        }
    }

    /// FNV-1a over the folded bytes.
    private static func hash(_ name: Bytes) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        var index = 0
        while index < name.count {
            hash = (hash ^ UInt32(ASCII.lowercased(name[index]))) &* 16_777_619
            index &+= 1
        }
        return hash ^ hash >> 15
    }
}
