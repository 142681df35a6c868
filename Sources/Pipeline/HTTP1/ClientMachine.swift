/// What the bytes of an upstream connection mean. Positions count from the first byte given.
package enum ClientEvent: Equatable, Sendable {
    /// Drop `consumed` bytes, keep the rest, read more.
    case needMore(consumed: Int)
    /// An interim response fills `head`: pass it on if the caller may have it, drop its bytes, call again.
    case interim(byteCount: Int)
    /// The final head fills `head`. Keep its bytes where they are until the exchange's last outcome.
    case head(byteCount: Int)
    /// As ``BodyStep/data(offset:count:)``.
    case bodyData(offset: Int, count: Int)
    /// As ``BodyStep/trailer(_:)``.
    case trailer(BodyStep.Trailer)
    /// The response is complete. `isReusable`: the connection may go to the pool; otherwise close it now, together with a
    /// request that may still be under way.
    case bodyEnd(consumed: Int, isReusable: Bool)
    /// A protocol switch, to somebody who asked for one: `head` is filled, bytes behind it are of the new protocol. That it is one
    /// of those asked for is left to be checked (``Upgrade/isAgreed(_:on:)``); the machine takes no more part.
    case switched(byteCount: Int)
    /// The upstream broke the protocol: close. 502 if no response head has gone out, else cut the response without a terminator.
    case reject(HTTP1Fault)
}

/// One upstream HTTP/1 connection: one exchange after the other, and whether the connection is fit for another.
///
///     idle --begin--> waiting --head--> body --end--> idle, or closed
///
/// It also keeps what a retry needs to know: whether any byte of the request has left.
package struct ClientMachine: BitwiseCopyable {
    private enum State: UInt8 { case idle, head, body, switched, closed }

    private var parser = ResponseHeadParser()
    private var decoder = BodyDecoder(.none)
    private var state: State = .idle
    private var isHead = false
    private var asksUpgrade = false
    private var keepsAlive = true
    private var requestEnded = false
    private var hasResponseBytes = false
    private var interimCount: UInt8 = 0
    private var sentBytes: Int64 = 0

    package init() {}

    // MARK: Request

    /// An exchange takes the connection. `asksUpgrade`: the request carries `Upgrade`, so that 101 is an answer.
    package mutating func begin(_ method: Method, asksUpgrade: Bool = false) {
        assert(state == .idle)
        self = ClientMachine()
        isHead = method == .head
        self.asksUpgrade = asksUpgrade
        state = .head
    }

    /// The operating system took `count` bytes of the request.
    package mutating func wrote(_ count: Int) { sentBytes = sentBytes.addingReportingOverflow(Int64(count)).partialValue }

    /// The request's last byte was handed over for writing.
    package mutating func requestDidEnd() { requestEnded = true }

    /// No byte of the request has left: sending it elsewhere is safe for any method.
    package var isUnsent: Bool { sentBytes == 0 }

    /// Nothing of a response has come.
    package var isUnanswered: Bool { !hasResponseBytes }

    package var isIdle: Bool { state == .idle }

    /// The answer's head has come, and once its rest has too, the connection is fit for another exchange.
    package var canServeAgain: Bool { state == .body && keepsAlive && requestEnded }

    // MARK: Bytes

    /// Takes what is unread. `head.headers` brings the storage for header lines.
    package mutating func receive(_ input: Bytes, into head: inout ResponseHead) -> ClientEvent {
        switch state {
        case .idle:
            // Nothing was asked: a late 408, or an attempt to poison the next answer (RFC 9112 §9.2).
            return input.isEmpty ? .needMore(consumed: 0) : refuse(.unexpectedBytes)
        case .head:
            // An answer to nothing: it was there before a byte of the question had left.
            if sentBytes == 0, !input.isEmpty { return refuse(.unexpectedBytes) }
            hasResponseBytes = hasResponseBytes || !input.isEmpty
            switch unsafe parser.parse(input, isToHead: isHead, into: &head) {
            case .needMore: return .needMore(consumed: 0)
            case .reject(let fault): return refuse(fault)
            case .complete(let byteCount): return unsafe takeHead(head, byteCount: byteCount)
            }
        case .body:
            switch decoder.decode(input) {
            case .data(let offset, let count): return .bodyData(offset: offset, count: count)
            case .trailer(let trailer): return .trailer(trailer)
            case .needMore(let consumed): return .needMore(consumed: consumed)
            case .reject(let fault): return refuse(fault)
            case .end(let consumed): return finish(consumed: consumed, unread: input.count &- consumed)
            }
        case .switched, .closed:
            return refuse(.unexpectedBytes)
        }
    }

    /// Takes the end of an answer all of whose body has been delivered already, and says whether the connection is fit for another
    /// exchange; nil if more is to come, or might. `unread`: how many bytes stand behind it.
    package mutating func takeEnd(unread: Int) -> Bool? {
        guard state == .body, decoder.hasEnded, case .bodyEnd(_, let isReusable) = finish(consumed: 0, unread: unread) else { return nil }
        return isReusable
    }

    package enum OnEnd: Equatable, Sendable {
        /// No exchange was on it: forget the connection.
        case idle
        /// It closed before a byte of the response. Whether trying again is safe: ``ClientMachine/isUnsent``, the method,
        /// and whether the connection had served before.
        case unanswered
        /// The body ended with the connection, as its head said. The response is complete.
        case bodyEnd
        /// The response was cut: 502 if its head has not gone out, else cut the response to the caller too.
        case truncated
    }

    /// The upstream closed, or its connection broke; `isReset` tells a reset from an orderly end, which alone completes a body.
    package mutating func receivedEnd(isReset: Bool = false) -> OnEnd {
        let was = state
        state = .closed
        keepsAlive = false
        switch was {
        case .idle, .closed, .switched: return .idle
        case .head: return hasResponseBytes ? .truncated : .unanswered
        case .body:
            let wasComplete = decoder.hasEnded
            return wasComplete || decoder.end() && !isReset ? .bodyEnd : .truncated
        }
    }

    // MARK: Parts

    private mutating func takeHead(_ head: borrowing ResponseHead, byteCount: Int) -> ClientEvent {
        let status = unsafe head.status
        if status == 101 {
            let namesUpgrade = unsafe head.namesUpgrade
            // Before all of the request is out, the rest of it would be read as the other protocol.
            guard asksUpgrade, namesUpgrade, requestEnded else { return refuse(.unaskedSwitch) }
            state = .switched
            keepsAlive = false
            return .switched(byteCount: byteCount)
        }
        if status < 200 {
            interimCount &+= 1
            guard interimCount <= HTTP1Limits.interimResponsesMax else { return refuse(.tooManyInterimResponses) }
            parser = ResponseHeadParser()
            return .interim(byteCount: byteCount)
        }
        let staysOpen = unsafe head.keepsAlive
        keepsAlive = keepsAlive && staysOpen
        unsafe decoder = BodyDecoder(head.framing)
        state = .body
        return .head(byteCount: byteCount)
    }

    /// An end with bytes behind it, or ahead of the request's end, leaves a connection nobody can trust.
    private mutating func finish(consumed: Int, unread: Int) -> ClientEvent {
        let isReusable = keepsAlive && requestEnded && unread == 0
        state = isReusable ? .idle : .closed
        return .bodyEnd(consumed: consumed, isReusable: isReusable)
    }

    private mutating func refuse(_ fault: HTTP1Fault) -> ClientEvent {
        state = .closed
        keepsAlive = false
        return .reject(fault)
    }
}
