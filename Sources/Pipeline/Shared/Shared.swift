public import Synchronization

/// One small state that all event loops of the process share: a bucket, a breaker, a budget.
///
/// The state is plain old data of at most 16 bytes, advanced by a pure function in a compare-and-swap loop, so an update takes
/// no lock, no reference count and no allocation. The handle is a pointer: whoever made it (a ``SharedLease``, held by the chain) keeps
/// the memory for as long as anybody may call it.
///
/// The function may run more than once per update; it must depend on nothing but its arguments.
@frozen
@safe
public struct Shared<State: BitwiseCopyable & Sendable>: BitwiseCopyable, @unchecked Sendable {
    /// 16 bytes, aligned to 16; the first 8 alone are used when `State` fits in them.
    @usableFromInline let cell: UnsafeMutableRawPointer

    /// Over existing memory of ``SharedCell/bytes`` bytes that outlives every call.
    @inlinable
    init(cell: UnsafeMutableRawPointer) {
        unsafe self.cell = cell
    }

    /// Replaces the state by what `change` makes of it and returns what `change` answers.
    ///
    /// A state that comes back unchanged is not written. A lost race means that another loop has won it, so somebody always
    /// advances; losing ``SharedCell/attemptsMax`` times in a row is a defect of this process.
    @inlinable
    @inline(__always)
    public func update<Answer>(_ change: (inout State) -> Answer) -> Answer {
        if MemoryLayout<State>.size <= 8 {
            let word = unsafe cell.assumingMemoryBound(to: Atomic<UInt64>.self)
            var old = unsafe word.pointee.load(ordering: .acquiring)
            var attempt = 0
            while attempt < SharedCell.attemptsMax {
                var state = Self.unpack(old)
                let answer = change(&state)
                let new = Self.word(state)
                if new == old { return answer }
                let result = unsafe word.pointee.weakCompareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
                if result.exchanged { return answer }
                old = result.original
                attempt &+= 1
            }
        } else {
            let pair = unsafe cell.assumingMemoryBound(to: Atomic<WordPair>.self)
            var old = unsafe pair.pointee.load(ordering: .acquiring)
            var attempt = 0
            while attempt < SharedCell.attemptsMax {
                var state = Self.unpack(old)
                let answer = change(&state)
                let new = Self.pair(state)
                if new == old { return answer }
                let result = unsafe pair.pointee.weakCompareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
                if result.exchanged { return answer }
                old = result.original
                attempt &+= 1
            }
        }
        preconditionFailure("a shared state lost every race: its memory is not what it should be")
    }

    /// The state as it is now; another loop may change it the next moment.
    @inlinable
    public func read() -> State {
        if MemoryLayout<State>.size <= 8 {
            return Self.unpack(unsafe cell.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .acquiring))
        }
        return Self.unpack(unsafe cell.assumingMemoryBound(to: Atomic<WordPair>.self).pointee.load(ordering: .acquiring))
    }

    @inlinable
    @inline(__always)
    static func word(_ state: State) -> UInt64 {
        var word: UInt64 = 0
        unsafe withUnsafeMutableBytes(of: &word) { unsafe $0.storeBytes(of: state, as: State.self) }
        return word
    }

    @inlinable
    @inline(__always)
    static func unpack(_ word: UInt64) -> State {
        unsafe withUnsafeBytes(of: word) { unsafe $0.loadUnaligned(as: State.self) }
    }

    @inlinable
    @inline(__always)
    static func pair(_ state: State) -> WordPair {
        var words: (UInt, UInt) = (0, 0)
        unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.storeBytes(of: state, as: State.self) }
        return WordPair(first: words.0, second: words.1)
    }

    @inlinable
    @inline(__always)
    static func unpack(_ pair: WordPair) -> State {
        let words = (pair.first, pair.second)
        return unsafe withUnsafeBytes(of: words) { unsafe $0.loadUnaligned(as: State.self) }
    }
}

/// The memory behind a ``Shared``.
@frozen
public enum SharedCell {
    /// A state's size limit.
    public static var stateBytesMax: Int { 16 }
    /// Lost races in a row before we call it a defect; with 64 loops a few dozen are already improbable.
    public static var attemptsMax: Int { 1_000_000 }
    /// One cache line per cell: two loops that work on two states do not slow each other down.
    package static let bytes = 64

    /// A cell that holds `state`. Whoever asks frees it with ``deallocate(_:)``.
    package static func allocate<State: BitwiseCopyable & Sendable>(_ state: State) -> Shared<State> {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: bytes)
        unsafe initialize(memory, to: state)
        return unsafe Shared(cell: memory)
    }

    package static func deallocate<State>(_ shared: Shared<State>) { unsafe shared.cell.deallocate() }

    /// Writes `state` into fresh memory that no other thread knows yet.
    static func initialize<State: BitwiseCopyable & Sendable>(_ memory: UnsafeMutableRawPointer, to state: State) {
        precondition(MemoryLayout<State>.size <= stateBytesMax, "a shared state is at most 16 bytes")
        if MemoryLayout<State>.size <= 8 {
            unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1).initialize(to: Atomic(Shared<State>.word(state)))
        } else {
            unsafe memory.bindMemory(to: Atomic<WordPair>.self, capacity: 1).initialize(to: Atomic(Shared<State>.pair(state)))
        }
    }
}
