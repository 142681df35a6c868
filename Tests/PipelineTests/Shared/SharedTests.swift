import Pipeline
import Synchronization
import Testing

/// Runs `body` on `threads` threads at once and waits for all of them.
func concurrently(threads: Int = 4, _ body: @escaping @Sendable (Int) -> Void) async {
    await withTaskGroup(of: Void.self) { group in
        for thread in 0..<threads { group.addTask { body(thread) } }
    }
}

struct SharedTests {
    private struct Pair: BitwiseCopyable, Sendable {
        var up: Int64 = 0
        var down: Int64 = 0
    }

    @Test("Updates of a 16-byte state from several threads are neither lost nor torn")
    func wide() async {
        let shared = SharedCell.allocate(Pair())
        await concurrently { _ in
            for _ in 0..<5_000 {
                shared.update { $0.up += 1; $0.down -= 1 }
                let seen = shared.read()
                #expect(seen.up == -seen.down)
            }
        }
        #expect(shared.read().up == 20_000)
        SharedCell.deallocate(shared)
    }

    @Test("Updates of an 8-byte and of a 3-byte state are not lost")
    func narrow() async {
        let word = SharedCell.allocate(UInt64(0))
        let triple = SharedCell.allocate((UInt8(1), UInt8(0), UInt8(0)).0)
        await concurrently { _ in
            for _ in 0..<5_000 { word.update { $0 += 1 } }
            triple.update { $0 &+= 1 }
        }
        #expect(word.read() == 20_000)
        #expect(triple.read() == 5)
        SharedCell.deallocate(word)
        SharedCell.deallocate(triple)
    }

    private func key(_ subject: String) -> SharedKey {
        SharedKey(direction: "outbound", stage: "breaker", filter: "breaker", subject: subject)
    }

    @Test("Two chains that name the same state share it, and it outlives the older one")
    func leases() {
        let registry = SharedRegistry()
        var old: SharedLease? = registry.makeLease()
        let first = old!.state(key("payment"), initial: UInt64(0))
        first.update { $0 = 7 }
        let new = registry.makeLease()
        let second = new.state(key("payment"), initial: UInt64(0))
        #expect(second.read() == 7)
        old = nil
        second.update { $0 += 1 }
        #expect(new.state(key("payment"), initial: UInt64(0)).read() == 8)
        #expect(registry.count == 1)
    }

    @Test("A state nobody names any more goes, and its name starts afresh")
    func release() {
        let registry = SharedRegistry()
        var lease: SharedLease? = registry.makeLease()
        lease!.state(key("payment"), initial: UInt64(0)).update { $0 = 7 }
        _ = lease!.table(key("sources"), capacity: 16, initial: UInt64(0)).state(for: 3)
        #expect(registry.count == 2)
        lease = nil
        #expect(registry.count == 0)
        let next = registry.makeLease()
        #expect(next.state(key("payment"), initial: UInt64(1)).read() == 1)
    }

    @Test("Asking twice under one lease counts once")
    func twice() {
        let registry = SharedRegistry()
        var lease: SharedLease? = registry.makeLease()
        _ = lease!.state(key("a"), initial: UInt64(0))
        _ = lease!.state(key("a"), initial: UInt64(0))
        lease = nil
        #expect(registry.count == 0)
    }

    @Test("A name used with two types is two states")
    func types() {
        let lease = SharedRegistry().makeLease()
        let word = lease.state(key("a"), initial: UInt64(5))
        let bucket = lease.state(key("a"), initial: TokenBucket())
        bucket.update { _ in }
        #expect(word.read() == 5)
    }

    @Test("A full registry gives the chain a state of its own and counts that")
    func full() {
        let registry = SharedRegistry(entriesMax: 1)
        let a = registry.makeLease(), b = registry.makeLease()
        _ = a.state(key("kept"), initial: UInt64(0))
        let own = a.state(key("own"), initial: UInt64(0))
        own.update { $0 = 3 }
        #expect(a.state(key("own"), initial: UInt64(0)).read() == 3)
        #expect(b.state(key("own"), initial: UInt64(0)).read() == 0)
        #expect(registry.overflows == 2)
        #expect(registry.count == 1)
    }

    @Test("Leases taken and ended by many threads leave nothing behind")
    func churn() async {
        let registry = SharedRegistry()
        await concurrently { thread in
            for round in 0..<500 {
                let lease = registry.makeLease()
                lease.state(SharedKey(direction: "in", stage: "s", filter: "f", subject: "\(round % 7)"), initial: UInt64(0))
                    .update { $0 += 1 }
            }
        }
        #expect(registry.count == 0)
    }
}

struct KeyedTableTests {
    @Test("A key finds its own state again, and no other's")
    func own() {
        let table = KeyedTable<UInt64>.allocate(initial: 0)
        for key in UInt64(1)...2_000 { table.state(for: key)?.update { $0 = key } }
        for key in UInt64(1)...2_000 { #expect(table.state(for: key)?.read() == key) }
        #expect(table.claimed == 2_000)
        table.deallocate()
    }

    @Test("Threads that claim the same keys at once agree on one slot per key")
    func race() async {
        let table = KeyedTable<UInt64>.allocate(initial: 0)
        await concurrently { _ in
            for key in UInt64(1)...1_000 { table.state(for: key)?.update { $0 += 1 } }
        }
        #expect(table.claimed == 1_000)
        #expect((UInt64(1)...1_000).allSatisfy { table.state(for: $0)?.read() == 4 })
        table.deallocate()
    }

    @Test("A full table refuses new keys, counts them, and keeps serving the old")
    func full() {
        let table = KeyedTable<UInt64>.allocate(capacity: 16, initial: 0)
        var placed: [UInt64] = []
        for key in UInt64(1)...64 where table.state(for: key) != nil { placed.append(key) }
        #expect(placed.count == 16)
        #expect(table.refused == 48)
        #expect(table.state(for: placed[3]) != nil)
        table.deallocate()
    }

    @Test("Nine tenths of the default table can be claimed")
    func load() {
        let table = KeyedTable<UInt64>.allocate(initial: 0)
        #expect((UInt64(0)..<3_686).allSatisfy { table.state(for: $0) != nil })
        table.deallocate()
    }
}
