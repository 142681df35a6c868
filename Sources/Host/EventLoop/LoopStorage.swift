internal import CPlatform
internal import Pipeline

/// What an `EventLoop` handle points to.
struct LoopStorage {
    let epoll: Int32
    let mailbox: Mailbox
    var now: Instant
    var random: Random
    var isStopping = false
    var isEndingTurn = false
    var slots = SlotTable()
    var timers: TimerWheel
    var deferred = DeferredQueue()
    let events: UnsafeMutablePointer<weft_event>

    init(epoll: Int32, mailbox: Mailbox, now: Instant) {
        self.epoll = epoll
        self.mailbox = mailbox
        self.now = now
        random = Random(seed: Entropy.word())
        timers = TimerWheel(startingAt: now)
        events = .allocate(capacity: WEFT_EVENTS_PER_WAIT)
        events.initialize(repeating: weft_event(), count: WEFT_EVENTS_PER_WAIT)
    }

    mutating func free() {
        slots.free()
        timers.free()
        deferred.free()
        events.deallocate()
    }
}

/// Who is called for a descriptor. Slots are reused; a generation tells the tenants apart.
struct SlotTable {
    struct Slot: BitwiseCopyable {
        var callback: LoopCallback
        var context: UnsafeMutableRawPointer
        var descriptor: Int32
        /// Odd while in use, so that a free slot matches no registration.
        var generation: UInt32
        var nextFree: UInt32
    }

    private var slots: UnsafeMutablePointer<Slot>
    private var capacity: Int
    private var used = 0
    private var firstFree = UInt32.max

    /// Doubles when full; the process's descriptor limit is the bound.
    init(capacity: Int = 256) {
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    mutating func take(
        _ descriptor: Int32, _ callback: LoopCallback, _ context: UnsafeMutableRawPointer
    ) -> EventLoop.Registration {
        let index: UInt32
        var generation: UInt32 = 1
        if firstFree != .max {
            index = firstFree
            firstFree = slots[Int(index)].nextFree
            generation = slots[Int(index)].generation &+ 1
        } else {
            if used == capacity { grow() }
            index = UInt32(used)
            used += 1
        }
        slots[Int(index)] = Slot(
            callback: callback, context: context, descriptor: descriptor, generation: generation, nextFree: .max)
        return .init(index: index, generation: generation)
    }

    @inline(__always)
    func find(_ registration: EventLoop.Registration) -> Slot? {
        let index = Int(registration.index)
        guard index < used, slots[index].generation == registration.generation else { return nil }
        return slots[index]
    }

    /// The descriptor it was for; nil if it had ended already.
    @discardableResult
    mutating func release(_ registration: EventLoop.Registration) -> Int32? {
        guard let slot = find(registration) else { return nil }
        let index = Int(registration.index)
        slots[index].generation &+= 1
        slots[index].nextFree = firstFree
        firstFree = registration.index
        return slot.descriptor
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: capacity * 2)
        larger.update(from: slots, count: used)
        slots.deallocate()
        slots = larger
        capacity *= 2
    }

    mutating func free() { slots.deallocate() }
}

/// A ring of work for the end of the turn; grows to the largest turn seen and stays.
struct DeferredQueue {
    struct Entry: BitwiseCopyable {
        var registration: EventLoop.Registration
        var word: UInt32
        var callback: LoopCallback?
        var context: UnsafeMutableRawPointer?
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var capacity: Int
    private var first = 0
    private(set) var count = 0

    init(capacity: Int = 256) {
        self.capacity = capacity
        entries = .allocate(capacity: capacity)
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ entry: Entry) {
        if count == capacity { grow() }
        entries[(first &+ count) & (capacity &- 1)] = entry
        count &+= 1
    }

    mutating func popFirst() -> Entry? {
        guard count > 0 else { return nil }
        let entry = entries[first]
        first = (first &+ 1) & (capacity &- 1)
        count &-= 1
        return entry
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        for index in 0..<count { larger[index] = entries[(first + index) & (capacity - 1)] }
        entries.deallocate()
        entries = larger
        capacity *= 2
        first = 0
    }

    func free() { entries.deallocate() }
}
