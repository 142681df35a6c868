import Pipeline

/// What was counted in the last minute, by series, for rates and percentiles of now.
///
/// Slots of two seconds, each with what arrived in them. Sidecars report every two seconds, so less than ``lengthMin`` would say
/// more about their timing than about traffic: from there on a pair that has calls is never empty. It is not stored: after a
/// restart it fills again in a minute.
struct CallWindow: Sendable {
    static let slotLength = Nanoseconds.seconds(2)
    static let slotsMax = 31
    static let lengthMin = Nanoseconds.seconds(5)
    static let lengthMax = Nanoseconds.seconds(60)

    private struct Slot {
        /// Slots since the origin.
        let number: Int64
        var calls: [CallSeries: SparseLatency] = [:]
    }

    /// The newest last.
    private var slots: [Slot] = []
    private let start: Instant

    init(at now: Instant) { start = now }

    mutating func add(_ latency: SparseLatency, to series: CallSeries, at now: Instant) {
        let number = now.nanoseconds / CallWindow.slotLength.count
        if slots.last?.number != number {
            slots.append(Slot(number: number))
            slots.removeAll { $0.number <= number - Int64(CallWindow.slotsMax) }
        }
        slots[slots.count - 1].calls[series, default: SparseLatency()].merge(latency)
    }

    /// Merged per group; `length` is at most a minute.
    func merged<Group: Hashable>(over length: Nanoseconds, at now: Instant, by group: (CallSeries) -> Group?) -> [Group: LatencySnapshot] {
        let first = firstSlot(of: length, at: now)
        var result: [Group: LatencySnapshot] = [:]
        for slot in slots where slot.number >= first {
            for (series, latency) in slot.calls {
                if let group = group(series) { latency.add(to: &result[group, default: LatencySnapshot()]) }
            }
        }
        return result
    }

    /// Over what time a window's counts really came: its whole slots up to now, and less in the first minute of the process.
    func span(of length: Nanoseconds, at now: Instant) -> Nanoseconds {
        let slots = now - Instant(nanoseconds: firstSlot(of: length, at: now) * CallWindow.slotLength.count)
        return max(min(slots, now - start), CallWindow.slotLength)
    }

    /// The first that began within the window. Time before the process's origin has no slots.
    private func firstSlot(of length: Nanoseconds, at now: Instant) -> Int64 {
        let since = (now + Nanoseconds(-length.count)).nanoseconds
        return since <= 0 ? 0 : (since - 1) / CallWindow.slotLength.count + 1
    }
}
