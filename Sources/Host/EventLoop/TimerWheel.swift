internal import Pipeline

/// A timer that was armed. Stale tokens are harmless.
package struct Timer: BitwiseCopyable, Equatable, Sendable {
    let index: UInt32
    let generation: UInt32
    package static let none = Timer(index: .max, generation: 0)
}

/// Timers by the millisecond: a hierarchical wheel (Varghese & Lauck 1987, in the shape of Tokio's).
///
/// Six levels of 64 slots. Level 0 holds the timers of the next 64 ms, one slot per millisecond; each level above covers 64
/// times as much, one slot per turn of the level below: 2³⁶ ms, two years, in all. When the clock reaches a slot of a higher
/// level, its timers move down. Arming, moving and cancelling unlink and link a list node: O(1), no comparison, and no malloc
/// once the pool has grown. A word of occupancy bits per level finds the next due slot.
///
/// Pure: time is an argument. A deadline is rounded up to the millisecond, so a timer is never early.
struct TimerWheel {
    struct Due {
        let callback: LoopCallback
        let context: UnsafeMutableRawPointer
        let kind: UInt32
    }

    private struct Node: BitwiseCopyable {
        var callback: LoopCallback?
        var context: UnsafeMutableRawPointer?
        /// In ms since the wheel's origin.
        var due: UInt64
        /// Odd while armed.
        var generation: UInt32
        var next: UInt32
        var previous: UInt32
        var kind: UInt16
        var list: UInt16
    }

    private struct List: BitwiseCopyable {
        var first = TimerWheel.nobody
        var last = TimerWheel.nobody
    }

    static let bytesPerTimer = MemoryLayout<Node>.stride

    private static let nobody = UInt32.max
    private static let levels = 6
    private static let slots = 64
    /// The list of timers that are due, after those of all the slots.
    private static let dueList = levels * slots
    private static let reach: UInt64 = 1 << 36
    /// What one slot of the top level covers.
    private static let topWidth: UInt64 = 1 << 30

    private let origin: Instant
    /// Everything due at or before this has left the slots.
    private var elapsed: UInt64 = 0
    private var nodes: UnsafeMutablePointer<Node>
    private var capacity: Int
    private var used = 0
    private var firstFree = nobody
    private let lists: UnsafeMutablePointer<List>
    private let occupied: UnsafeMutablePointer<UInt64>
    private(set) var count = 0

    init(startingAt origin: Instant, capacity: Int = 256) {
        self.origin = origin
        self.capacity = capacity
        nodes = .allocate(capacity: capacity)
        lists = .allocate(capacity: Self.dueList + 1)
        lists.initialize(repeating: List(), count: Self.dueList + 1)
        occupied = .allocate(capacity: Self.levels)
        occupied.initialize(repeating: 0, count: Self.levels)
    }

    func free() {
        nodes.deallocate()
        lists.deallocate()
        occupied.deallocate()
    }

    // MARK: Arming

    mutating func arm(
        at deadline: Instant, _ callback: LoopCallback, _ context: UnsafeMutableRawPointer, kind: UInt16
    ) -> Timer {
        let index: UInt32
        var generation: UInt32 = 1
        if firstFree != Self.nobody {
            index = firstFree
            firstFree = nodes[Int(index)].next
            generation = nodes[Int(index)].generation &+ 1
        } else {
            if used == capacity { grow() }
            index = UInt32(used)
            used += 1
        }
        nodes[Int(index)] = Node(
            callback: callback, context: context, due: milliseconds(deadline), generation: generation, next: Self.nobody,
            previous: Self.nobody, kind: kind, list: 0)
        count += 1
        link(index)
        return Timer(index: index, generation: generation)
    }

    mutating func cancel(_ timer: Timer) {
        guard isArmed(timer) else { return }
        unlink(timer.index)
        release(timer.index)
    }

    mutating func move(_ timer: Timer, to deadline: Instant) -> Bool {
        guard isArmed(timer) else { return false }
        unlink(timer.index)
        nodes[Int(timer.index)].due = milliseconds(deadline)
        link(timer.index)
        return true
    }

    private func isArmed(_ timer: Timer) -> Bool {
        Int(timer.index) < used && nodes[Int(timer.index)].generation == timer.generation
    }

    // MARK: Firing

    /// The next timer due at `now`, in order of deadline; it is no longer armed.
    mutating func takeDue(at now: Instant) -> Due? {
        // Rounded down, where deadlines are rounded up: never early.
        let reached = now < origin ? 0 : UInt64((now - origin).count) / 1_000_000
        while true {
            let index = lists[Self.dueList].first
            if index != Self.nobody {
                unlink(index)
                let node = nodes[Int(index)]
                release(index)
                guard let callback = node.callback, let context = node.context else { continue }
                return Due(callback: callback, context: context, kind: UInt32(node.kind))
            }
            guard let next = nextSlot(), next.start <= reached else {
                elapsed = max(elapsed, reached)
                return nil
            }
            expire(next)
        }
    }

    /// When `takeDue` has something to do at the earliest; nil if nothing is armed. It may be the moment when timers move down
    /// a level, which is never later than the first deadline.
    var nextDeadline: Instant? {
        if lists[Self.dueList].first != Self.nobody { return .zero }
        return nextSlot().map { origin + .milliseconds(Int64(clamping: min($0.start, 1 << 42))) }
    }

    private struct DueSlot {
        let level: Int
        let slot: Int
        /// In ms.
        let start: UInt64
    }

    private func nextSlot() -> DueSlot? {
        for level in 0..<Self.levels where occupied[level] != 0 {
            let width = UInt64(1) << UInt64(6 * level)
            let current = Int(elapsed / width % 64)
            let bits = occupied[level]
            let rotated = bits >> UInt64(current) | (current == 0 ? 0 : bits << UInt64(64 - current))
            let slot = (rotated.trailingZeroBitCount + current) % 64
            var start = elapsed & ~(width * 64 - 1) &+ UInt64(slot) * width
            // Only the top level wraps: below it a timer stands in the current turn by construction.
            if start <= elapsed { start += width * 64 }
            return DueSlot(level: level, slot: slot, start: start)
        }
        return nil
    }

    /// Moves the slot's timers to where they belong now that the clock has reached it.
    private mutating func expire(_ due: DueSlot) {
        elapsed = due.start
        let list = due.level * Self.slots + due.slot
        // The whole list at once: a timer beyond the wheel's reach may come back to this very slot.
        var index = lists[list].first
        lists[list] = List()
        occupied[due.level] &= ~(1 << UInt64(due.slot))
        while index != Self.nobody {
            let next = nodes[Int(index)].next
            link(index)
            index = next
        }
    }

    // MARK: Lists

    private func milliseconds(_ deadline: Instant) -> UInt64 {
        guard deadline > origin else { return 0 }
        let away = UInt64((deadline - origin).count)
        return away / 1_000_000 + (away % 1_000_000 == 0 ? 0 : 1)
    }

    private func link(_ index: UInt32) {
        let due = nodes[Int(index)].due
        let list: Int
        if due <= elapsed {
            list = Self.dueList
        } else {
            // Beyond the reach it parks in the farthest slot, the one behind the current of the top level, and is placed anew
            // when that comes up. Not in the current one, where it would hide the slots before its next turn.
            let placed = min(due, elapsed & ~(Self.topWidth - 1) + Self.reach - 1)
            let differing = min((elapsed ^ placed) | 63, Self.reach - 1)
            let level = (63 - differing.leadingZeroBitCount) / 6
            let slot = Int(placed >> UInt64(6 * level) & 63)
            list = level * Self.slots + slot
            occupied[level] |= 1 << UInt64(slot)
        }
        let last = lists[list].last
        nodes[Int(index)].list = UInt16(truncatingIfNeeded: list)
        nodes[Int(index)].next = Self.nobody
        nodes[Int(index)].previous = last
        if last == Self.nobody { lists[list].first = index } else { nodes[Int(last)].next = index }
        lists[list].last = index
    }

    private func unlink(_ index: UInt32) {
        let node = nodes[Int(index)]
        let list = Int(node.list)
        if node.previous == Self.nobody { lists[list].first = node.next } else { nodes[Int(node.previous)].next = node.next }
        if node.next == Self.nobody { lists[list].last = node.previous } else { nodes[Int(node.next)].previous = node.previous }
        if lists[list].first == Self.nobody, list != Self.dueList {
            occupied[list / Self.slots] &= ~(1 << UInt64(list % Self.slots))
        }
    }

    private mutating func release(_ index: UInt32) {
        nodes[Int(index)].generation &+= 1
        nodes[Int(index)].next = firstFree
        firstFree = index
        count -= 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Node>.allocate(capacity: capacity * 2)
        larger.update(from: nodes, count: used)
        nodes.deallocate()
        nodes = larger
        capacity *= 2
    }
}
