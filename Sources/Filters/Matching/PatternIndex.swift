import Pipeline

/// The first of many patterns that a request matches, found by its path: a first-match list that does not grow slower with its length.
///
/// One hash table has the text of every pattern's path. A request's path can match an exact one only as a whole and a prefix
/// only at a segment's end, so one walk over its bytes, with a look at each segment, finds the few patterns whose path matches;
/// of these the first whose method and headers match too is the one. Patterns that share a path, or name none, are tried in
/// their order: what tells them apart are conditions that only trying decides.
struct PatternIndex: BitwiseCopyable {
    private struct Slot: BitwiseCopyable {
        var path: Bytes
        var hash: UInt32
        /// Places of the patterns with this path in `lists`, as the whole path and as its first segments.
        var exact: TableRange
        var prefix: TableRange
        var isTaken: Bool
    }

    /// Open addressing, at most half full. The paths come from config alone, so nobody can choose them to collide.
    private let slots: PinnedTable<Slot>
    /// Pattern numbers, rising within each range.
    private let lists: PinnedTable<Int32>
    /// Patterns that take every path.
    private let anywhere: TableRange
    /// Bytes; no longer path than this can be in the table.
    private let longest: Int
    /// Number of the first pattern.
    private let start: Int32

    private init(slots: PinnedTable<Slot>, lists: PinnedTable<Int32>, anywhere: TableRange, longest: Int, start: Int32) {
        (self.slots, self.lists, self.anywhere, self.longest, self.start) = (slots, lists, anywhere, longest, start)
    }

    /// Of `patterns`, the first of which has the number `start` in the table that `firstMatch` is given.
    init(_ patterns: [RequestPattern], numberedFrom start: Int, in memory: PinnedMemory) {
        var anywhere: [Int32] = []
        var order: [PathPattern.Key] = []
        var numbers: [PathPattern.Key: (exact: [Int32], prefix: [Int32])] = [:]
        for (offset, pattern) in patterns.enumerated() {
            let number = Int32(start + offset)
            switch pattern.path.key {
            case nil: anywhere.append(number)
            case (let key, let isPrefix)?:
                if numbers[key] == nil { order.append(key) }
                if isPrefix { numbers[key, default: ([], [])].prefix.append(number) } else { numbers[key, default: ([], [])].exact.append(number) }
            }
        }
        var lists: [Int32] = []
        var capacity = 2
        while capacity < order.count * 2 { capacity *= 2 }
        let free = Slot(path: .empty, hash: 0, exact: .none, prefix: .none, isTaken: false)
        var slots = [Slot](repeating: free, count: order.isEmpty ? 0 : capacity)
        for key in order {
            let hash = Self.finish(key.path.reduce(Self.basis, Self.add))
            var place = Int(hash) & (capacity - 1)
            while slots[place].isTaken { place = (place + 1) & (capacity - 1) }
            let (exact, prefix) = numbers[key] ?? ([], [])
            slots[place] = Slot(path: key.bytes, hash: hash, exact: Self.place(exact, &lists), prefix: Self.place(prefix, &lists), isTaken: true)
        }
        let everywhere = Self.place(anywhere, &lists)
        self.init(
            slots: memory.table(slots), lists: memory.table(lists), anywhere: everywhere, longest: order.map(\.path.count).max() ?? 0,
            start: Int32(start))
    }

    private static func place(_ numbers: [Int32], _ lists: inout [Int32]) -> TableRange {
        lists += numbers
        return TableRange(start: lists.count - numbers.count, count: numbers.count)
    }

    // MARK: Looking up

    /// The number of the first pattern that matches; -1 if none does. `patterns` is the table the numbers are of.
    func firstMatch(in patterns: PinnedTable<RequestPattern>, _ exchange: borrowing Exchange) -> Int {
        var best = Int32.max
        consider(anywhere, patterns, exchange, &best)
        if longest > 0, best != start { walk(exchange.storage.pathNow, patterns, exchange, &best) }
        return best == .max ? -1 : Int(best)
    }

    private func walk(_ path: Bytes, _ patterns: PinnedTable<RequestPattern>, _ exchange: borrowing Exchange, _ best: inout Int32) {
        let end = min(path.count, longest)
        var hash = Self.basis
        var index = 0
        while index < end {
            let byte = path[index]
            if byte == UInt8(ascii: "/"), index > 0, let slot = slot(path, index, hash) { consider(slot.prefix, patterns, exchange, &best) }
            hash = Self.add(hash, byte)
            index &+= 1
        }
        // Here ends the path, or what of it can be in the table: then a segment must end here too.
        let isWhole = path.count == end
        guard isWhole || path[end] == UInt8(ascii: "/"), let slot = slot(path, end, hash) else { return }
        consider(slot.prefix, patterns, exchange, &best)
        if isWhole { consider(slot.exact, patterns, exchange, &best) }
    }

    private func slot(_ path: Bytes, _ count: Int, _ running: UInt32) -> Slot? {
        let hash = Self.finish(running)
        let mask = slots.count &- 1
        var place = Int(hash) & mask
        // Ends because half of the slots are free.
        while true {
            let slot = slots[place]
            guard slot.isTaken else { return nil }
            if slot.hash == hash, slot.path.count == count, path.hasPrefix(slot.path) { return slot }
            place = (place &+ 1) & mask
        }
    }

    /// Moves `best` to the first of `range` that stands before it and whose method and headers match.
    private func consider(
        _ range: TableRange, _ patterns: PinnedTable<RequestPattern>, _ exchange: borrowing Exchange, _ best: inout Int32
    ) {
        var place = range.start
        while place < range.end {
            let number = lists[Int(place)]
            if number >= best { return }
            if patterns[Int(number)].matchesBesidesPath(exchange) {
                best = number
                return
            }
            place &+= 1
        }
    }

    // MARK: Hashing (FNV-1a, one byte at a time, so that every segment's end has the hash of all before it)

    private static let basis: UInt32 = 2_166_136_261

    @inline(__always)
    private static func add(_ hash: UInt32, _ byte: UInt8) -> UInt32 { (hash ^ UInt32(byte)) &* 16_777_619 }

    @inline(__always)
    private static func finish(_ hash: UInt32) -> UInt32 { hash ^ hash >> 15 }
}
