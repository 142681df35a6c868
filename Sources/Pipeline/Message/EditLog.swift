/// One change that a filter made to a head.
@safe
package struct Edit: BitwiseCopyable {
    package enum Operation: UInt8, BitwiseCopyable {
        /// Replaces every line of that name by one.
        case set
        /// Adds a line and keeps those that are there.
        case add
        /// Removes every line of that name.
        case remove
        /// Replaces path and query, of a request only.
        case path
        /// Replaces the authority, of a request only.
        case authority
    }

    package let operation: Operation
    /// The stage whose filter made it, so that a retry can take back what was done below the asker.
    package let stage: UInt8
    package let name: HeaderName
    package let value: Bytes
    package var next: UnsafeMutablePointer<Edit>?
}

/// The changes to one head, in the order they were made; the received bytes are never touched.
///
/// Reads look here first, so filters see what the stages above them did. Encoding applies the log while it copies lines.
@safe
package struct EditLog: BitwiseCopyable {
    package private(set) var first: UnsafeMutablePointer<Edit>?
    private var last: UnsafeMutablePointer<Edit>?

    package init() {}

    package var isEmpty: Bool { unsafe first == nil }

    /// False when the arena is full, or when `value` holds a CR, LF or NUL: it would end its line and begin another.
    package mutating func append(
        _ operation: Edit.Operation, _ name: HeaderName, _ value: Bytes, stage: UInt8, arena: inout Arena
    ) -> Bool {
        var index = 0
        while index < value.count {
            let byte = value[index]
            if byte == 0x0D || byte == 0x0A || byte == 0 { return false }
            index &+= 1
        }
        guard let kept = arena.copy(value), let memory = unsafe arena.allocate(MemoryLayout<Edit>.size) else {
            return false
        }
        let edit = unsafe memory.bindMemory(to: Edit.self, capacity: 1)
        unsafe edit.initialize(to: Edit(operation: operation, stage: stage, name: name, value: kept, next: nil))
        if let last = unsafe last { unsafe last.pointee.next = edit } else { unsafe first = edit }
        unsafe last = edit
        return true
    }

    /// Forgets what stages after `stage` did.
    package mutating func rollBack(keepingThrough stage: Int) {
        var kept: UnsafeMutablePointer<Edit>?
        var edit = unsafe first
        unsafe first = nil
        while let current = unsafe edit {
            unsafe edit = current.pointee.next
            guard unsafe Int(current.pointee.stage) <= stage else { continue }
            unsafe current.pointee.next = nil
            if let previous = unsafe kept { unsafe previous.pointee.next = current } else { unsafe first = current }
            unsafe kept = current
        }
        unsafe last = kept
    }

    /// What the log says about a header, for a read.
    package enum Answer {
        /// Nothing: the received lines count.
        case untouched
        /// The received lines count, and one more was added.
        case alsoAdded
        case removed
        case value(Bytes)
        /// More than one line was added after a removal or a set.
        case several
    }

    package func answer(for name: HeaderName) -> Answer {
        var answer = Answer.untouched
        var edit = unsafe first
        while let current = unsafe edit {
            if unsafe current.pointee.name == name {
                switch unsafe current.pointee.operation {
                case .set: answer = unsafe .value(current.pointee.value)
                case .remove: answer = .removed
                case .add:
                    switch answer {
                    case .untouched, .alsoAdded: answer = .alsoAdded
                    case .removed: answer = unsafe .value(current.pointee.value)
                    case .value, .several: answer = .several
                    }
                case .path, .authority: break
                }
            }
            unsafe edit = current.pointee.next
        }
        return answer
    }

    /// The value of the last edit of this kind, nil if there is none.
    package func last(_ operation: Edit.Operation) -> Bytes? {
        var found: Bytes?
        var edit = unsafe first
        while let current = unsafe edit {
            if unsafe current.pointee.operation == operation { found = unsafe current.pointee.value }
            unsafe edit = current.pointee.next
        }
        return found
    }
}
