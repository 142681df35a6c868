/// What the bytes of a downstream connection mean. Positions count from the first byte given.
package enum ServerEvent: Equatable, Sendable {
    /// Drop `consumed` bytes, keep the rest, read more. What may be waited for is ``ServerMachine/awaits``.
    case needMore(consumed: Int)
    /// A request head is complete and fills `head`. Start an exchange; keep the head's `byteCount` bytes where they are until
    /// its last outcome, and go on with the bytes behind them.
    case head(byteCount: Int)
    /// As ``BodyStep/data(offset:count:)``.
    case bodyData(offset: Int, count: Int)
    /// As ``BodyStep/trailer(_:)``.
    case trailer(BodyStep.Trailer)
    /// The request is complete. Drop `consumed` bytes; what follows is the next request, for later. After
    /// ``ServerMachine/AfterResponse/drain`` it is the rest of the last request that is over: call again for the next.
    case bodyEnd(consumed: Int)
    /// The bytes belong to the next request. Keep them and read no more until ``ServerMachine/responseEnded()``. Or, behind a
    /// request for another protocol, to nobody yet: see ``ServerMachine/switched()``.
    case paused
    /// If no response head has gone out: answer with the fault's status. Then close. Ends the exchange if there is one.
    case reject(HTTP1Fault)
    /// Nothing more is wanted from this peer. Close once everything written has left.
    case close
}

/// One downstream HTTP/1 connection: which request comes when, how its response is framed, whether the connection lives on.
///
///     request:   idle --> head --> body --> complete ----------------+
///     response:             none --> head sent --> complete ---------+--> idle, or closed
///                            +-----> switched (101): the bytes are no longer the machine's
///
/// Requests are served one at a time: pipelined ones wait in the receive buffer, so answers cannot change places (RFC 9112
/// §9.3.2). Plain old data; the machine points into no buffer and knows no clock.
package struct ServerMachine: BitwiseCopyable {
    private enum Request: UInt8 {
        case head, body, complete
        /// The response is over; the rest of the body is read and dropped.
        case draining
        case closed
    }
    private enum Response: UInt8 { case none, headSent, complete, switched }

    private var decoder = BodyDecoder(.none)
    private var drained: Int64 = 0
    private var parser = RequestHeadParser()
    private var request: Request = .head
    private var response: Response = .none
    private var hasHeadBytes = false
    private var isHead = false
    private var asksUpgrade = false
    private var minorVersion: UInt8 = 1
    /// The connection may serve another request, as far as is known.
    private var keepsAlive = true
    /// Nobody told the caller yet to send the body it holds back.
    private var owesContinue = false
    private var hasBodyBytes = false

    package init() {}

    // MARK: Bytes

    /// Takes what is unread. `head` and `scratch` as in ``RequestHeadParser/parse(_:scratch:into:)``; `head` is only written
    /// while a head is being read, never during its exchange.
    package mutating func receive(
        _ input: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> ServerEvent {
        switch request {
        case .head:
            hasHeadBytes = hasHeadBytes || !input.isEmpty
            switch unsafe parser.parse(input, scratch: scratch, into: &head) {
            case .needMore: return .needMore(consumed: 0)
            case .reject(let fault): return refuse(fault)
            case .complete(let byteCount):
                unsafe begin(head)
                return .head(byteCount: byteCount)
            }
        case .body:
            switch decoder.decode(input) {
            case .data(let offset, let count):
                hasBodyBytes = true
                owesContinue = false
                return .bodyData(offset: offset, count: count)
            case .trailer(let trailer): return .trailer(trailer)
            case .needMore(let consumed):
                if consumed > 0 { owesContinue = false }
                return .needMore(consumed: consumed)
            case .reject(let fault): return refuse(fault)
            case .end(let consumed):
                request = .complete
                return .bodyEnd(consumed: consumed)
            }
        case .complete: return .paused
        case .draining: return drain(input)
        case .closed: return .close
        }
    }

    package enum OnEnd: Equatable, Sendable {
        /// Nothing is in flight: close.
        case close
        /// The request was cut. End the exchange as cancelled by the caller, then close.
        case truncated
        /// The caller has only finished sending. Go on with the response; the connection closes behind it.
        case finishResponse
    }

    /// The peer closed its sending side.
    package mutating func receivedEnd() -> OnEnd {
        keepsAlive = false
        switch request {
        case .complete where response == .none || response == .headSent: return .finishResponse
        // Complete too, only that nobody has fetched ``ServerEvent/bodyEnd(consumed:)`` yet.
        case .body where decoder.hasEnded: return .finishResponse
        case .head where !hasHeadBytes, .complete, .draining, .closed:
            request = .closed
            return .close
        case .head, .body:
            request = .closed
            return .truncated
        }
    }

    // MARK: Request

    /// Whether to send `100 Continue` now: call it when the exchange wants the body, that is when nothing can refuse the
    /// request without it any more. True at most once per request, and only before any response or body.
    package mutating func wantsBody() -> Bool {
        guard owesContinue, request == .body, response == .none else { return false }
        owesContinue = false
        return true
    }

    /// Whether an upstream's interim response may be passed on (RFC 9110 §15.2): not to HTTP/1.0, not after the final head;
    /// and a 100 only to a caller that still waits for one.
    package mutating func mayForwardInterim(status: UInt16) -> Bool {
        guard minorVersion >= 1, response == .none, request != .closed, status != 101 else { return false }
        return status == 100 ? wantsBody() : true
    }

    // MARK: Response

    /// How a response's head is to be written.
    package struct ResponsePlan: Equatable, Sendable {
        /// What to write, and how to frame the body: `.chunked` means chunks of our own, `.untilClose` bytes as they come.
        package var framing: BodyFraming
        /// Write no body whatever comes: the response is to HEAD, or its status has none.
        package var omitsBody: Bool
        package var connection: ConnectionOption

        package init(framing: BodyFraming, omitsBody: Bool, connection: ConnectionOption) {
            self.framing = framing
            self.omitsBody = omitsBody
            self.connection = connection
        }
    }

    /// The final response head is about to be written. `framing` is that of the response as it came or was made.
    ///
    /// `holdsBytes`: something has come behind a request that is complete. If that asked for another protocol and is refused, it may
    /// be of that protocol, or a request smuggled behind (CVE-2025-64763, CVE-2026-2833): nobody reads it, the connection closes.
    package mutating func sendsHead(status: UInt16, framing: BodyFraming, holdsBytes: Bool = false) -> ResponsePlan {
        assert(response == .none && status >= 200)
        response = .headSent
        if asksUpgrade, holdsBytes { keepsAlive = false }
        let omitsBody = isHead || status == 204 || status == 304
        var plan = ResponsePlan(framing: .none, omitsBody: omitsBody, connection: .none)
        if !omitsBody {
            switch framing {
            case .none: plan.framing = .length(0)
            case .length: plan.framing = framing
            case .chunked, .untilClose:
                plan.framing = minorVersion >= 1 ? .chunked : .untilClose
                if minorVersion == 0 { keepsAlive = false }
            }
        }
        if request == .body {
            // A caller that was never told to continue may or may not send its body now: nobody can tell the next
            // request from it. Nor is a long rest worth reading.
            if owesContinue || (decoder.remainingLength ?? 0) > HTTP1Limits.drainBytesMax { keepsAlive = false }
        }
        if !keepsAlive {
            plan.connection = .close
        } else if minorVersion == 0 {
            plan.connection = .keepAlive
        }
        return plan
    }

    /// The 101 that the upstream answered to this request's wish goes out: what has come and comes behind the request is of the
    /// protocol agreed on, and the machine takes no more part. Not before: no byte of the caller's is a tunnel's until then.
    package mutating func switched() {
        assert(asksUpgrade && response == .none && (request == .complete || decoder.hasEnded))
        request = .complete
        response = .switched
        keepsAlive = false
    }

    package enum AfterResponse: Equatable, Sendable {
        /// Call ``receive(_:scratch:into:)`` with what is unread, then read.
        case nextRequest
        /// As `nextRequest`; what comes first is the rest of this request, which the machine drops.
        case drain
        /// Close once everything written has left. Half-close first and read a little, or the reset may overtake the response.
        case close
    }

    /// The last byte of the response is written.
    package mutating func responseEnded() -> AfterResponse {
        assert(response == .headSent)
        response = .complete
        guard keepsAlive, request != .closed else {
            request = .closed
            return .close
        }
        if request == .body, !decoder.hasEnded {
            request = .draining
            return .drain
        }
        reset()
        return .nextRequest
    }

    /// The connection shall end with this exchange, or now if it is idle: drain of the process, lifetime over.
    package mutating func closeSoon() { keepsAlive = false }

    /// The response cannot be finished, or the caller went away: nothing more is read or written.
    package mutating func abort() {
        keepsAlive = false
        request = .closed
    }

    // MARK: What is going on

    package enum Awaits: Equatable, Sendable {
        /// Nothing of a request is here: the idle timeout. Closing is silent.
        case request
        /// A head has begun: the head timeout, from its first byte. 408.
        case restOfHead
        /// The request's body, or the rest of it that is dropped: the idle timeout of bodies. 408 if no head has gone out.
        case body
        /// Nothing from the caller.
        case nothing
    }

    package var awaits: Awaits {
        switch request {
        case .head: hasHeadBytes ? .restOfHead : .request
        case .body, .draining: decoder.hasEnded ? .nothing : .body
        case .complete, .closed: .nothing
        }
    }

    /// Whether a response head may still be written for the current request, even a 400 for one that was refused.
    package var canAnswer: Bool { response == .none }

    // MARK: Parts

    @inline(__always)
    private mutating func begin(_ head: borrowing RequestHead) {
        unsafe decoder = BodyDecoder(head.framing)
        isHead = unsafe head.method == .head
        asksUpgrade = unsafe head.asksUpgrade
        minorVersion = unsafe head.minorVersion
        let asked = unsafe head.keepsAlive
        keepsAlive = keepsAlive && asked
        // Without a body there is nothing to hold back.
        owesContinue = unsafe head.expectsContinue && !decoder.hasEnded
        request = .body
    }

    private mutating func refuse(_ fault: HTTP1Fault) -> ServerEvent {
        keepsAlive = false
        request = .closed
        return .reject(fault)
    }

    /// Drops the rest of a request whose answer is already out, up to a limit.
    private mutating func drain(_ input: Bytes) -> ServerEvent {
        var position = 0
        while true {
            let step = decoder.decode(input.slice(position, input.count))
            switch step {
            case .end(let consumed):
                reset()
                return .bodyEnd(consumed: position &+ consumed)
            case .reject:
                request = .closed
                return .close
            case .needMore(let consumed):
                return .needMore(consumed: position &+ consumed)
            case .trailer(let trailer):
                position &+= trailer.byteCount
            case .data(let offset, let count):
                position &+= offset &+ count
                drained &+= Int64(count)
                if drained > HTTP1Limits.drainBytesMax {
                    request = .closed
                    return .close
                }
            }
        }
    }

    private mutating func reset() {
        let survives = keepsAlive
        self = ServerMachine()
        keepsAlive = survives
    }
}

/// What to say about the connection in a head.
package enum ConnectionOption: BitwiseCopyable, Equatable, Sendable { case none, close, keepAlive }
