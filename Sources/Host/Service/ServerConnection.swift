internal import Pipeline

/// One connection of a `ServiceServer`: performs what `ServerMachine` decides.
final class ServerConnection {
    private let channel: ServiceChannel
    private unowned let server: ServiceServer
    private let peerUser: UInt32?
    private var machine = ServerMachine()
    private var head = RequestHead()
    private let fields: UnsafeMutableBufferPointer<HeaderField>
    private let scratch: UnsafeMutableBufferPointer<UInt8>
    /// Being received.
    private var request: ServiceRequest?
    private var protocolAsked: String?
    private var bodyMax = 0
    private var isProcessing = false
    private var isHandshaken = false
    private var isOver = false

    init(_ channel: ServiceChannel, _ server: ServiceServer, peerUser: UInt32?) {
        self.channel = channel
        self.server = server
        self.peerUser = peerUser
        fields = .allocate(capacity: HTTP1Limits.fieldsMax)
        scratch = .allocate(capacity: HTTP1Limits.targetBytesMax)
        head.headers = HeaderTable(fields: fields.baseAddress!, capacity: HTTP1Limits.fieldsMax)
        channel.onOpen = { [unowned self] in
            isHandshaken = true
            expect()
        }
        channel.onBytes = { [unowned self] in process() }
        channel.onTimeout = { [unowned self] in timedOut() }
        channel.onEnd = { [unowned self] why in peerEnded(why) }
        channel.expect(within: server.limits.handshakeTimeout)
    }

    deinit {
        fields.deallocate()
        scratch.deallocate()
    }

    var isOpen: Bool { !isOver && channel.isOpen }

    func close() {
        isOver = true
        channel.close()
    }

    // MARK: Receiving

    private func process() {
        // An answer given inside the handler must not start a second round inside the first.
        guard !isProcessing else { return }
        isProcessing = true
        defer { isProcessing = false }
        while !isOver {
            let event = channel.input.withUnsafeBytes { machine.receive(Bytes($0), scratch: scratch, into: &head) }
            switch event {
            case .needMore(let consumed):
                if consumed > 0 { channel.consume(consumed) }
                return expect()
            case .head(let byteCount):
                takeHead()
                channel.consume(byteCount)
                if machine.wantsBody() { channel.write(Bytes(ReplyWriter.continueHead).array) }
            case .bodyData(let offset, let count):
                guard let soFar = request?.body.count, soFar + count <= bodyMax else { return refuse(413, "the body is too large\n") }
                request?.body += channel.input[offset..<offset + count]
                channel.consume(offset + count)
            case .trailer(let trailer): channel.consume(trailer.byteCount)
            case .bodyEnd(let consumed):
                channel.consume(consumed)
                dispatch()
            case .paused: return expect()
            case .reject(let fault): return refuse(fault.status, "\(fault.reason)\n")
            case .close: return finish()
            }
        }
    }

    private func takeHead() {
        var request = ServiceRequest(
            head.methodText.string, head.path.string, query: head.query.string, headers: .init(head.headers))
        request.peer = channel.transport.peerIdentity
        request.peerUser = peerUser
        protocolAsked = head.asksUpgrade ? request.header("upgrade") : nil
        self.request = request
        bodyMax = server.bodyMax?(request) ?? server.limits.bodyMax
    }

    private func dispatch() {
        // Nil: that was the rest of a request answered before its end.
        guard let request else { return }
        self.request = nil
        server.counts.requests += 1
        channel.expect(within: nil)
        server.handler(request, ServiceReply(self, protocolAsked: protocolAsked))
    }

    private func expect() {
        guard isHandshaken, !isOver else { return }
        switch machine.awaits {
        case .request: channel.expect(within: server.limits.idleTimeout)
        case .restOfHead: if !isHeadTimed { channel.expect(within: server.limits.headTimeout) }
        case .body: channel.expect(within: server.limits.bodyTimeout)
        case .nothing: channel.expect(within: nil)
        }
        // A head has one time limit as a whole, however its bytes trickle.
        isHeadTimed = machine.awaits == .restOfHead
    }

    private var isHeadTimed = false

    private func timedOut() {
        guard isHandshaken, machine.awaits != .request else { return finish() }
        refuse(408, "the request did not arrive in time\n")
    }

    private func peerEnded(_ why: ServiceFailure?) {
        if !isHandshaken, let why {
            server.counts.failedHandshakes += 1
            server.onHandshakeFailure?(why)
        }
        if why == nil, machine.receivedEnd() == .finishResponse { return }
        machine.abort()
        finish()
    }

    // MARK: Answering

    func respond(_ response: ServiceResponse) {
        guard isOpen, machine.canAnswer else { return }
        let plan = machine.sendsHead(status: response.status, framing: .length(Int64(response.body.count)))
        write(response, plan)
        switch machine.responseEnded() {
        case .nextRequest, .drain:
            if !isProcessing { process() }
        case .close: finish()
        }
    }

    private func write(_ response: ServiceResponse, _ plan: ServerMachine.ResponsePlan) {
        var text = "HTTP/1.1 \(response.status) \(ReasonPhrase.of(response.status))\r\n" + response.headers.lines
        if !plan.omitsBody { text += "content-length: \(response.body.count)\r\n" }
        switch plan.connection {
        case .close: text += "connection: close\r\n"
        case .keepAlive: text += "connection: keep-alive\r\n"
        case .none: break
        }
        channel.write(Array((text + "\r\n").utf8) + (plan.omitsBody ? [] : response.body))
    }

    private func refuse(_ status: UInt16, _ text: String) {
        if machine.canAnswer {
            machine.closeSoon()
            write(ServiceResponse(status, text: text), machine.sendsHead(status: status, framing: .length(Int64(text.utf8.count))))
        }
        machine.abort()
        finish()
    }

    func upgrade(to name: String, _ prepare: (FramedStream) -> Void) -> FramedStream {
        channel.write(Array("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: \(name)\r\n\r\n".utf8))
        isOver = true
        channel.onOpen = nil
        let stream = FramedStream(channel, server.limits)
        prepare(stream)
        stream.begin()
        server.ended(self)
        return stream
    }

    private func finish() {
        isOver = true
        channel.finish()
        server.ended(self)
    }
}

extension Bytes {
    var array: [UInt8] { Array(UnsafeBufferPointer(start: base, count: count)) }
}
