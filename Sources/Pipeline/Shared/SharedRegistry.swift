/// Names one lasting state of the process. Position in the chain is no part of it, so reordering keeps state.
package struct SharedKey: Hashable, Sendable {
    /// `inbound` or `outbound`.
    package var direction: String
    package var stage: String
    package var filter: String
    /// What within the stage: an upstream, a rule, "total".
    package var subject: String

    package init(direction: String, stage: String, filter: String, subject: String) {
        self.direction = direction
        self.stage = stage
        self.filter = filter
        self.subject = subject
    }
}

/// All lasting state of the process, by name.
///
/// Every chain that is built takes a ``SharedLease`` and asks it for states. The same name yields the same memory while any
/// lease that
/// asked for it lives: old and new chains share it, so permits balance across a swap. When the last such lease ends, the
/// state goes.
package final class SharedRegistry: Sendable {
    /// States and tables at once. Past it a chain gets a state of its own, which limits per loop instead of per process; counted.
    package static let entriesMax = 65_536

    fileprivate struct Name: Hashable, Sendable {
        let key: SharedKey
        /// Two types under one key are two states: a changed filter never reads the bits of another type.
        let type: ObjectIdentifier
    }

    @safe
    fileprivate struct Entry: @unchecked Sendable {
        let memory: UnsafeMutableRawPointer
        let free: @Sendable (UnsafeMutableRawPointer) -> Void
        var leases: Int
    }

    private struct Contents: Sendable {
        var entries: [Name: Entry] = [:]
        var overflows = 0
    }

    private let contents = Lock(Contents())
    private let entriesMax: Int

    package init(entriesMax: Int = SharedRegistry.entriesMax) { self.entriesMax = entriesMax }

    /// One per chain; the chain keeps it until its last outcome.
    package func makeLease() -> SharedLease { SharedLease(self) }

    /// How many states live.
    package var count: Int { contents.withLock { $0.entries.count } }
    /// How many states were made outside the registry because it was full.
    package var overflows: Int { contents.withLock { $0.overflows } }

    /// The entry's memory, made by `make` if the name is new; nil if it is new and there is no room.
    fileprivate func acquire(_ name: Name, make: () -> Entry) -> Entry? {
        contents.withLock { contents in
            if var entry = contents.entries[name] {
                entry.leases += 1
                contents.entries[name] = entry
                return entry
            }
            guard contents.entries.count < entriesMax else {
                contents.overflows += 1
                return nil
            }
            let entry = make()
            contents.entries[name] = entry
            return entry
        }
    }

    fileprivate func release(_ names: some Sequence<Name>) {
        contents.withLock { contents in
            for name in names {
                guard var entry = contents.entries[name] else { continue }
                entry.leases -= 1
                if entry.leases == 0 {
                    contents.entries[name] = nil
                    unsafe entry.free(entry.memory)
                } else {
                    contents.entries[name] = entry
                }
            }
        }
    }
}

/// A chain's hold on the states it names. Ends with its last reference; handles taken from it must not be used after that.
package final class SharedLease: Sendable {
    private struct Held: Sendable {
        var names: Set<SharedRegistry.Name> = []
        var memory: [SharedRegistry.Name: SharedRegistry.Entry] = [:]
    }

    private let registry: SharedRegistry
    private let held = Lock(Held())

    fileprivate init(_ registry: SharedRegistry) { self.registry = registry }

    /// The process's state under `key`; `initial` if nobody holds one yet.
    package func state<State: BitwiseCopyable & Sendable>(_ key: SharedKey, initial: State) -> Shared<State> {
        let entry = entry(.init(key: key, type: ObjectIdentifier(State.self))) {
            let cell = unsafe SharedCell.allocate(initial).cell
            return unsafe .init(memory: cell, free: { unsafe $0.deallocate() }, leases: 1)
        }
        return unsafe Shared(cell: entry.memory)
    }

    /// The process's table under `key`; empty, with every slot `initial`, if nobody holds one yet.
    package func table<State: BitwiseCopyable & Sendable>(
        _ key: SharedKey, capacity: Int = KeyedTableLimits.slotsDefault, initial: State
    ) -> KeyedTable<State> {
        let entry = entry(.init(key: key, type: ObjectIdentifier(KeyedTable<State>.self))) {
            let memory = unsafe KeyedTable<State>.allocate(capacity: capacity, initial: initial).opaque
            return unsafe .init(memory: memory, free: { unsafe KeyedTable<State>(opaque: $0).deallocate() }, leases: 1)
        }
        return unsafe KeyedTable(opaque: entry.memory)
    }

    private func entry(_ name: SharedRegistry.Name, make: () -> SharedRegistry.Entry) -> SharedRegistry.Entry {
        held.withLock { held in
            if let known = held.memory[name] { return known }
            if let entry = registry.acquire(name, make: make) {
                held.names.insert(name)
                held.memory[name] = entry
                return entry
            }
            let own = make()
            held.memory[name] = own
            return own
        }
    }

    deinit {
        held.withLock { held in
            for (name, entry) in held.memory where !held.names.contains(name) { unsafe entry.free(entry.memory) }
            registry.release(held.names)
        }
    }
}
