import Pipeline

/// What the exchanges of a harness share: orders under way, and the blocks that their arenas come from.
final class HarnessMemory {
    let actions: UnsafeMutablePointer<ActionRing>
    let pool: UnsafeMutablePointer<BlockPool>

    init() {
        actions = .allocate(capacity: 1)
        actions.initialize(to: ActionRing())
        pool = .allocate(capacity: 1)
        pool.initialize(to: BlockPool())
    }

    deinit {
        actions.deinitialize(count: 1)
        actions.deallocate()
        pool.deinitialize(count: 1)
        pool.deallocate()
    }
}
