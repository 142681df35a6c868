/// A set of header lines by index: one bit each.
package struct FieldMask: BitwiseCopyable, Equatable, Sendable {
    /// Lines a mask can name; at least `HTTP1Limits.fieldsMax`.
    package static let capacity = 128

    private var low: UInt64 = 0
    private var high: UInt64 = 0

    package init() {}

    @inline(__always)
    package func contains(_ index: Int) -> Bool {
        let word = index < 64 ? low : high
        return index >= 0 && index < Self.capacity && word &>> UInt64(truncatingIfNeeded: index) & 1 == 1
    }

    /// An index outside of the capacity is ignored.
    @inline(__always)
    package mutating func insert(_ index: Int) {
        guard index >= 0, index < Self.capacity else { return }
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index)
        if index < 64 { low |= bit } else { high |= bit }
    }

    @inline(__always)
    package mutating func remove(_ index: Int) {
        guard index >= 0, index < Self.capacity else { return }
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index)
        if index < 64 { low &= ~bit } else { high &= ~bit }
    }

    @inline(__always)
    package mutating func formUnion(_ other: FieldMask) {
        low |= other.low
        high |= other.high
    }
}
