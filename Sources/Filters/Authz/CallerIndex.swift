import Pipeline

/// Which rules name a caller, found by its service and its namespace, so that a thousand allowed callers cost what one does.
///
/// Rules that name no caller, callers without identity, or a prefix of identities are in no list of a caller's: they are tried
/// for everybody.
struct CallerIndex: BitwiseCopyable {
    private struct Slot: BitwiseCopyable {
        var namespace: Bytes
        /// Empty: every service of the namespace.
        var service: Bytes
        var hash: UInt32
        /// Places in `lists`.
        var rules: TableRange
        var isTaken: Bool
    }

    /// What one caller's rules are kept under.
    struct Name: Hashable {
        let namespace: String
        /// Empty: every service of the namespace.
        let service: String
    }

    /// Open addressing, at most half full. The names come from config alone, so nobody can choose them to collide.
    private let slots: PinnedTable<Slot>
    private let lists: PinnedTable<Int32>

    /// - Parameter rules: The numbers of the rules under each name, rising.
    init(_ rules: [Name: [Int32]], in memory: PinnedMemory) {
        var capacity = 2
        while capacity < rules.count * 2 { capacity *= 2 }
        let free = Slot(namespace: .empty, service: .empty, hash: 0, rules: .none, isTaken: false)
        var slots = [Slot](repeating: free, count: rules.isEmpty ? 0 : capacity)
        var lists: [Int32] = []
        for (name, numbers) in rules {
            let namespace = memory.text(name.namespace), service = memory.text(name.service)
            let hash = PeerRecord.hash(namespace: namespace, service: service)
            var place = Int(hash) & (capacity - 1)
            while slots[place].isTaken { place = (place + 1) & (capacity - 1) }
            slots[place] = Slot(
                namespace: namespace, service: service, hash: hash, rules: TableRange(start: lists.count, count: numbers.count), isTaken: true)
            lists += numbers
        }
        self.slots = memory.table(slots)
        self.lists = memory.table(lists)
    }

    subscript(place: Int32) -> Int { Int(lists[Int(place)]) }

    /// Rules that name the peer's service.
    func rules(ofServiceOf peer: UnsafePointer<PeerRecord>) -> TableRange {
        rules(peer.pointee.namespace, peer.pointee.service, peer.pointee.serviceHash)
    }

    /// Rules that name all of the peer's namespace.
    func rules(ofNamespaceOf peer: UnsafePointer<PeerRecord>) -> TableRange {
        rules(peer.pointee.namespace, .empty, peer.pointee.namespaceHash)
    }

    private func rules(_ namespace: Bytes, _ service: Bytes, _ hash: UInt32) -> TableRange {
        guard slots.count > 0 else { return .none }
        var place = Int(hash) & (slots.count &- 1)
        // Ends because half of the slots are free.
        while true {
            let slot = slots[place]
            guard slot.isTaken else { return .none }
            if slot.hash == hash, slot.service.equals(service), slot.namespace.equals(namespace) { return slot.rules }
            place = (place &+ 1) & (slots.count &- 1)
        }
    }
}
