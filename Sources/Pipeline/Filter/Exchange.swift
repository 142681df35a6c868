/// One request and its response, however many tries it takes, as a filter sees it for the length of a call.
///
/// A view over plain memory of the loop: it cannot be copied or kept, and nothing read through it can be kept without an
/// explicit copy (`.string`).
@safe
public struct Exchange: ~Copyable {
    package let storage: UnsafeMutablePointer<ExchangeStorage>

    @inline(__always)
    package init(_ storage: UnsafeMutablePointer<ExchangeStorage>) { unsafe self.storage = storage }

    public var request: RequestView {
        @_lifetime(borrow self) get { unsafe _overrideLifetime(RequestView(storage), borrowing: self) }
    }

    public var response: ResponseView {
        @_lifetime(borrow self) get { unsafe _overrideLifetime(ResponseView(storage), borrowing: self) }
    }

    public var source: SourceView {
        @_lifetime(borrow self)
        get { unsafe _overrideLifetime(SourceView(storage.pointee.connection.pointee.peer), borrowing: self) }
    }

    /// When the loop's turn began; the same for all filters of a call.
    public var now: Instant { unsafe storage.pointee.now }
    /// When the request's head was complete.
    public var startedAt: Instant { unsafe storage.pointee.startedAt }
    /// 0 for the first try, 1 for the first retry.
    public var attempt: Int { unsafe Int(storage.pointee.attempt) }
    /// The loop's generator; replays exactly in tests.
    public var random: Random {
        get { unsafe storage.pointee.random }
        nonmutating set { unsafe storage.pointee.random = newValue }
    }

    /// A raw stream: it has no heads, `request` and `response` are empty.
    public var isStream: Bool { unsafe storage.pointee.isStream }

    /// Whether it was this stage's deadline that ended what is below it.
    public var isExpiredHere: Bool { unsafe Int(storage.pointee.expiredStage) == Int(storage.pointee.stage) }

    /// What resumes this exchange after `.suspend`; take it before answering that. Good for one resumption.
    public var resumeToken: ResumeToken {
        unsafe ResumeToken(
            loop: storage.pointee.loop, slot: storage.pointee.slot, generation: storage.pointee.suspendGeneration)
    }

    // MARK: Edits

    /// Replaces every line of that name in the request.
    public func setRequestHeader(_ name: HeaderName, _ value: String) { editRequest(.set, name, value) }
    public func addRequestHeader(_ name: HeaderName, _ value: String) { editRequest(.add, name, value) }
    public func removeRequestHeader(_ name: HeaderName) {
        unsafe storage.pointee.editRequest(.remove, name, .empty)
    }
    /// Replaces path and query by `target`, which begins with `/`.
    public func setPath(_ target: String) { editRequest(.path, "path", target) }
    public func setAuthority(_ authority: String) { editRequest(.authority, "host", authority) }

    public func setResponseHeader(_ name: HeaderName, _ value: String) { editResponse(.set, name, value) }
    public func addResponseHeader(_ name: HeaderName, _ value: String) { editResponse(.add, name, value) }
    public func removeResponseHeader(_ name: HeaderName) {
        unsafe storage.pointee.editResponse(.remove, name, .empty)
    }

    private func editRequest(_ operation: Edit.Operation, _ name: HeaderName, _ value: String) {
        var value = value
        value.withUTF8 { text in
            unsafe storage.pointee.editRequest(operation, name, Bytes(text.baseAddress, count: text.count))
        }
    }

    private func editResponse(_ operation: Edit.Operation, _ name: HeaderName, _ value: String) {
        var value = value
        value.withUTF8 { text in
            unsafe storage.pointee.editResponse(operation, name, Bytes(text.baseAddress, count: text.count))
        }
    }

    // MARK: Retry, deadlines, memory

    /// Keeps a copy of the request's body, so that a retry can send it again; past `bytes` it can not.
    public func keepBody(upTo bytes: Int) { unsafe storage.pointee.replay.keep(upTo: bytes) }

    /// Whether the stages below can be entered once more: all of the body that went out is still here, and no final
    /// response head has gone to the caller.
    public var canRetry: Bool { unsafe storage.canRetry }

    /// Ends everything below this stage `after` the request has ended, with a `timedOut` failure at this stage.
    public func setDeadline(after duration: Nanoseconds, coversHeadOnly: Bool = false) {
        unsafe storage.pointee.setDeadline(duration, coversHeadOnly: coversHeadOnly)
    }

    /// This pass's memory of type `T`, zeroed when the pass begins.
    public subscript<T: BitwiseCopyable>(slot: Slot<T>) -> T {
        get { unsafe memory(of: slot).pointee }
        nonmutating set { unsafe memory(of: slot).pointee = newValue }
    }

    @inline(__always)
    private func memory<T: BitwiseCopyable>(of slot: Slot<T>) -> UnsafeMutablePointer<T> {
        unsafe (storage.pointee.slots + slot.offset).assumingMemoryBound(to: T.self)
    }
}

/// Names one suspension of one exchange: loop, slot, generation. A token that comes too late is dropped.
@frozen
public struct ResumeToken: BitwiseCopyable, Hashable, Sendable {
    package let loop: UInt16
    package let slot: UInt32
    package let generation: UInt32

    package init(loop: UInt16, slot: UInt32, generation: UInt32) {
        self.loop = loop
        self.slot = slot
        self.generation = generation
    }
}

/// A place for a filter's own plain data in every exchange; ask ``StageSetup/slot(_:)`` for one.
@frozen
public struct Slot<T: BitwiseCopyable>: BitwiseCopyable, Sendable {
    package let offset: Int
    package init(offset: Int) { self.offset = offset }
}

/// A downstream connection as a filter sees it for the length of a call.
@safe
public struct Connection: ~Copyable {
    package let storage: UnsafeMutablePointer<ConnectionStorage>
    public let now: Instant

    package init(_ storage: UnsafeMutablePointer<ConnectionStorage>, now: Instant) {
        unsafe self.storage = storage
        self.now = now
    }

    public var source: SourceView {
        @_lifetime(borrow self) get { unsafe _overrideLifetime(SourceView(storage.pointee.peer), borrowing: self) }
    }
    public var isTLS: Bool { unsafe storage.pointee.isTLS }
    /// A raw stream: nothing but the connection itself can be decided on.
    public var isStream: Bool { unsafe storage.pointee.isStream }
    /// It was let in before, and is asked about again because the config changed.
    public var isAskedAgain: Bool { unsafe storage.pointee.admittedBy != 0 }
    public var openedAt: Instant { unsafe storage.pointee.openedAt }
    public var bytesReceived: UInt64 { unsafe storage.pointee.bytesReceived }
    public var bytesSent: UInt64 { unsafe storage.pointee.bytesSent }
}

extension ExchangeStorage {
    package mutating func editRequest(_ operation: Edit.Operation, _ name: HeaderName, _ value: Bytes) {
        if !requestEdits.append(operation, name, value, stage: stage, arena: &arena) { editFailed = true }
        // What the edit may have changed is found again at the next need.
        isResolved = false
    }

    package mutating func editResponse(_ operation: Edit.Operation, _ name: HeaderName, _ value: Bytes) {
        if !responseEdits.append(operation, name, value, stage: stage, arena: &arena) { editFailed = true }
    }

    /// As the other one, at a time that is known: it counts whether or not the request has ended.
    package mutating func setDeadline(at deadline: Instant) {
        guard Int(timerCount) < Self.timersMax else {
            editFailed = true
            return
        }
        var timer = StageTimer()
        timer.stage = stage
        timer.duration = Nanoseconds(.max)
        timer.deadline = deadline
        timers[Int(timerCount)] = timer
        timerCount += 1
    }

    package mutating func setDeadline(_ duration: Nanoseconds, coversHeadOnly: Bool) {
        guard Int(timerCount) < Self.timersMax else {
            editFailed = true
            return
        }
        var timer = StageTimer()
        timer.stage = stage
        timer.coversHeadOnly = coversHeadOnly
        timer.duration = duration
        if requestEnded { timer.deadline = now + duration }
        timers[Int(timerCount)] = timer
        timerCount += 1
    }
}
