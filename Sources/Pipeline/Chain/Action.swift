/// What the host does for an exchange after the runner returned, in order.
@safe
package enum Action: BitwiseCopyable {
    /// Connect to `endpoint` (or reuse a connection), send the request head with its edits, then the replay buffer, then
    /// the body as it comes. Report with `attemptFailed`, `responseHead`, `responseBody`.
    case startAttempt
    /// Give up the attempt that is out; nothing of it is reported any more. A connection in the middle of a message closes.
    case cancelAttempt
    /// Send a piece of the request's body upstream.
    case forwardRequestBody(Bytes, isLast: Bool)
    /// Send the service's response head downstream, with its edits.
    case sendResponseHead
    /// Send the upstream's 101 downstream, with its edits, and then whatever comes from either end to the other. Report with
    /// `tunnelPassed`, `tunnelEnded`, `attemptFailed`, `downstreamFailed`.
    case openTunnel
    /// Send a piece of the response's body downstream.
    case forwardResponseBody(Bytes, isLast: Bool)
    /// Send our own answer downstream: `response.status`, the response edits and `replyBody`.
    case sendReply
    /// The response has begun and cannot be finished: cut the connection so that the caller sees it.
    case cutDownstream
    /// Call `timer` at this time; the previous request is void. `distantFuture`: not at all.
    case setTimer(Instant)
    /// The last outcome has been given; the storage may be reused once the answer is out.
    case finished
}

/// The runner's orders, a small ring that the loop owns; emptied by the host after every call.
@safe
package struct ActionRing: ~Copyable {
    /// The longest list one event gives rise to is four; a power of two above it.
    package static let capacity = 16

    private let memory: UnsafeMutablePointer<Action>
    private var head = 0
    private var tail = 0

    package init() { unsafe memory = .allocate(capacity: Self.capacity) }
    deinit { unsafe memory.deallocate() }

    package mutating func push(_ action: Action) {
        precondition(tail &- head < Self.capacity, "an event gave rise to more actions than the ring holds")
        unsafe (memory + (tail & (Self.capacity - 1))).initialize(to: action)
        tail &+= 1
    }

    package mutating func pop() -> Action? {
        guard head != tail else { return nil }
        defer { head &+= 1 }
        return unsafe memory[head & (Self.capacity - 1)]
    }
}
