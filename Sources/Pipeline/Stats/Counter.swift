public import Synchronization

/// Counts up. A handle to one loop's cell of a series: an increment is a load, an add and a store.
///
/// One thread writes a cell, its loop's; others may read it at any time. So the store need not be an atomic addition.
@frozen
@safe
public struct Counter: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    package init(cell: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.cell = cell }

    @inlinable
    public func increment() { add(1) }

    /// Adds `amount`; wraps after 2^64.
    @inlinable
    public func add(_ amount: UInt64) {
        unsafe cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// What this loop has counted.
    @inlinable
    public var value: UInt64 { unsafe cell.pointee.load(ordering: .relaxed) }
}

/// Goes up and down. A handle to one loop's cell of a series; the series is the sum over loops, so a thing that begins on one loop
/// and ends on another still counts right.
@frozen
@safe
public struct Gauge: BitwiseCopyable, @unchecked Sendable {
    @usableFromInline let cell: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    package init(cell: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.cell = cell }

    @inlinable
    public func increment() { add(1) }
    @inlinable
    public func decrement() { add(-1) }

    @inlinable
    public func add(_ amount: Int64) {
        let now = Int64(bitPattern: unsafe cell.pointee.load(ordering: .relaxed))
        unsafe cell.pointee.store(UInt64(bitPattern: now &+ amount), ordering: .relaxed)
    }

    /// Makes this loop's part `amount`; for series that one loop alone writes.
    @inlinable
    public func set(_ amount: Int64) { unsafe cell.pointee.store(UInt64(bitPattern: amount), ordering: .relaxed) }

    /// This loop's part.
    @inlinable
    public var value: Int64 { Int64(bitPattern: unsafe cell.pointee.load(ordering: .relaxed)) }
}

/// Distributes lengths of time over ``LatencyBuckets``. A handle to one loop's cells of a series.
@frozen
@safe
public struct Histogram: BitwiseCopyable, @unchecked Sendable {
    /// Bucket counts, then the sum in nanoseconds.
    package let cells: UnsafeMutablePointer<Atomic<UInt64>>

    package static let cellCount = LatencyBuckets.count + 1

    package init(cells: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.cells = cells }

    /// A negative length counts as none.
    public func record(_ length: Nanoseconds) {
        let bucket = unsafe cells + LatencyBuckets.index(of: length)
        unsafe bucket.pointee.store(bucket.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        let sum = unsafe cells + LatencyBuckets.count
        unsafe sum.pointee.store(sum.pointee.load(ordering: .relaxed) &+ UInt64(max(0, length.count)), ordering: .relaxed)
    }

    /// Adds what this loop has recorded to `snapshot`. From another thread it may miss a record that is just being made.
    package func add(to snapshot: inout LatencySnapshot) {
        for index in 0..<LatencyBuckets.count {
            snapshot.counts[index] &+= unsafe cells[index].load(ordering: .relaxed)
        }
        snapshot.sum &+= unsafe cells[LatencyBuckets.count].load(ordering: .relaxed)
    }
}
