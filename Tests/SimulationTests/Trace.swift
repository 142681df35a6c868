import FoundationEssentials

/// Everything that happened, folded into one number: the same seed gives the same, to the last event.
struct Trace {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private(set) var events = 0
    /// The last lines, for whoever looks into a violation.
    private(set) var tail: [String] = []
    private static let tailMax = 60
    private static let printsAll = ProcessInfo.processInfo.environment["WEFT_TRACE"] != nil

    mutating func note(_ line: String) {
        events += 1
        for byte in line.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        if Self.printsAll { print(line) }
        tail.append(line)
        if tail.count > 2 * Self.tailMax { tail.removeFirst(Self.tailMax) }
    }
}
