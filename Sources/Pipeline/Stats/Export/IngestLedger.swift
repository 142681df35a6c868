/// Remembers per sidecar incarnation the last batch that was counted, so that one sent twice is counted once.
///
/// The receiver stores ledger and totals together, durably, before it acknowledges. Then a batch whose acknowledgement was
/// lost comes again, is
/// known, and is acknowledged without being counted, also after a restart.
package struct IngestLedger: Sendable, Equatable {
    package enum Verdict: Sendable, Equatable {
        /// Count it, store, acknowledge.
        case count
        /// Acknowledge; it is counted already.
        case duplicate
        /// Count it, store, acknowledge; `missing` batches before it never came: somebody else acknowledged them, or a store
        /// was lost.
        case countAfterGap(missing: UInt64)
    }

    package struct Entry: Sendable, Equatable {
        package var incarnation: String
        package var last: UInt64
        /// Rises with every counted batch of anybody: the smallest was quiet the longest.
        package var order: UInt64

        package init(incarnation: String, last: UInt64, order: UInt64) {
            self.incarnation = incarnation
            self.last = last
            self.order = order
        }
    }

    /// Past it the incarnations that were quiet the longest are forgotten, a sixteenth at a time.
    package static let incarnationsMax = 65_536

    private var entries: [String: Entry] = [:]
    private var order: UInt64 = 0
    private let incarnationsMax: Int
    /// Batches that were missing, over all; a sender that lies can only saturate it.
    package private(set) var missing: UInt64 = 0

    package init(incarnationsMax: Int = IngestLedger.incarnationsMax) { self.incarnationsMax = max(1, incarnationsMax) }

    /// As it was stored.
    package init(restoring stored: [Entry], incarnationsMax: Int = IngestLedger.incarnationsMax) {
        self.init(incarnationsMax: incarnationsMax)
        for entry in stored { entries[entry.incarnation] = entry }
        order = stored.map(\.order).max() ?? 0
        forgetQuiet { _ in }
    }

    /// What to store, in a fixed order.
    package var stored: [Entry] { entries.values.sorted { ($0.order, $0.incarnation) < ($1.order, $1.incarnation) } }

    package func isCounted(_ id: BatchID) -> Bool { id.sequence <= entries[id.incarnation]?.last ?? 0 }

    /// A batch has come.
    ///
    /// - Parameter forget: called with each incarnation that is no longer remembered.
    package mutating func received(_ id: BatchID, forgetting forget: (String) -> Void = { _ in }) -> Verdict {
        let last = entries[id.incarnation]?.last ?? 0
        guard !isCounted(id) else { return .duplicate }
        order += 1
        entries[id.incarnation] = Entry(incarnation: id.incarnation, last: id.sequence, order: order)
        forgetQuiet(forget)
        let gap = id.sequence - last - 1
        let (sum, overflow) = missing.addingReportingOverflow(gap)
        missing = overflow ? .max : sum
        return gap == 0 ? .count : .countAfterGap(missing: gap)
    }

    private mutating func forgetQuiet(_ forget: (String) -> Void) {
        guard entries.count > incarnationsMax else { return }
        let excess = entries.count - incarnationsMax + incarnationsMax / 16
        for entry in stored.prefix(excess) {
            entries[entry.incarnation] = nil
            forget(entry.incarnation)
        }
    }
}
