import Pipeline

/// What was counted in the last minute, by series, for rates and percentiles of now.
///
/// Slots of two seconds, each with what arrived in them. Sidecars report every few seconds, so a figure over less than ten
/// seconds says more about their timing than about traffic. It is not stored: after a restart it fills again in a minute.
struct CallWindow: Sendable {
    static let slotLength = Nanoseconds.seconds(2)
    static let slotsMax = 31

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
        let first = (now + Nanoseconds(-length.count)).nanoseconds / CallWindow.slotLength.count + 1
        var result: [Group: LatencySnapshot] = [:]
        for slot in slots where slot.number >= first {
            for (series, latency) in slot.calls {
                if let group = group(series) { latency.add(to: &result[group, default: LatencySnapshot()]) }
            }
        }
        return result
    }

    /// Over what time a window's counts really came: less than its length in the first minute of the process.
    func span(of length: Nanoseconds, at now: Instant) -> Nanoseconds {
        min(length, max(now - start, CallWindow.slotLength))
    }
}
