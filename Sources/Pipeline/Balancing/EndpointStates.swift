import Synchronization

/// What all loops know together about one endpoint of one upstream: how many requests are out, and whether it is ejected.
@safe
package struct EndpointState: BitwiseCopyable, @unchecked Sendable {
    /// One cache line: the active count at 0, the accrual word at 16.
    fileprivate let memory: UnsafeMutableRawPointer

    private var activeCell: UnsafeMutablePointer<Atomic<Int>> { unsafe memory.assumingMemoryBound(to: Atomic<Int>.self) }

    /// Requests that are out, over all loops.
    @inline(__always)
    package var active: Int { unsafe activeCell.pointee.load(ordering: .relaxed) }
    @inline(__always)
    func begin() { unsafe _ = activeCell.pointee.wrappingAdd(1, ordering: .relaxed) }
    @inline(__always)
    func end() { unsafe _ = activeCell.pointee.wrappingSubtract(1, ordering: .relaxed) }

    @inline(__always)
    package var accrual: Shared<FailureAccrual> { unsafe Shared(cell: memory + 16) }

    fileprivate static func allocate() -> EndpointState {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        unsafe memory.bindMemory(to: Atomic<Int>.self, capacity: 1).initialize(to: Atomic(0))
        unsafe SharedCell.initialize(memory + 16, to: FailureAccrual())
        return unsafe EndpointState(memory: memory)
    }

    fileprivate func deallocate() { unsafe memory.deallocate() }
}

/// The states of all endpoints of the process, by upstream and endpoint id, for as long as any ``EndpointSet`` contains them.
///
/// So an update of a set, or the same endpoint in two snapshots, loses no count and forgives no failure.
package final class EndpointStates: Sendable {
    struct Key: Hashable, Sendable {
        let upstream: String
        let id: UInt64
    }

    private struct Entry: Sendable {
        let state: EndpointState
        var sets: Int
    }

    private let entries = Lock<[Key: Entry]>([:])

    package init() {}

    /// How many endpoints have a state.
    package var count: Int { entries.withLock { $0.count } }

    func acquire(_ keys: [Key]) -> [EndpointState] {
        entries.withLock { entries in
            keys.map { key in
                if var entry = entries[key] {
                    entry.sets += 1
                    entries[key] = entry
                    return entry.state
                }
                let state = EndpointState.allocate()
                entries[key] = Entry(state: state, sets: 1)
                return state
            }
        }
    }

    func release(_ keys: [Key]) {
        entries.withLock { entries in
            for key in keys {
                guard var entry = entries[key] else { continue }
                entry.sets -= 1
                if entry.sets == 0 {
                    entries[key] = nil
                    entry.state.deallocate()
                } else {
                    entries[key] = entry
                }
            }
        }
    }
}
