package import Pipeline

/// Where a service is and how to reach it.
package struct ServiceTarget: Sendable {
    package let address: SocketAddress
    /// The context and the peer it must prove to be; nil: in the clear, for unix sockets and loopback.
    package let tls: (context: TLSContext, peer: ExpectedPeer)?
    /// The `Host` header.
    package let host: String

    package init(_ address: SocketAddress, tls: (context: TLSContext, peer: ExpectedPeer)? = nil, host: String? = nil) {
        self.address = address
        self.tls = tls
        self.host = host ?? (address.family == .unix ? "localhost" : address.description)
    }
}

/// Calls of a service, each on a connection of its own (a TLS session is resumed, so that costs little). Not the data path.
package enum ServiceClient {
    /// Sends `request`; `completion` comes once, from the loop, never from inside this call.
    ///
    /// - Parameter timeout: for all of it, from connecting to the last byte.
    /// - Returns: drop it to forget about the call: `cancel()` ends it without a completion.
    @discardableResult
    package static func send(
        _ request: ServiceRequest, to target: ServiceTarget, on loop: EventLoop, timeout: Nanoseconds = .seconds(10),
        _ limits: ServiceLimits = ServiceLimits(), completion: @escaping (Result<ServiceResponse, ServiceFailure>) -> Void
    ) -> ServiceCall {
        ServiceCall(request, target, loop, timeout, limits, protocolName: nil, onResponse: completion, onStream: nil)
    }

    /// Asks to switch the connection to `name` and hands over the stream; any other answer than 101 is `refused`.
    ///
    /// Set the stream's `onFrame` and `onClose` in `completion`.
    @discardableResult
    package static func upgrade(
        _ request: ServiceRequest, to name: String, at target: ServiceTarget, on loop: EventLoop, timeout: Nanoseconds = .seconds(10),
        _ limits: ServiceLimits = ServiceLimits(), completion: @escaping (Result<FramedStream, ServiceFailure>) -> Void
    ) -> ServiceCall {
        ServiceCall(request, target, loop, timeout, limits, protocolName: name, onResponse: nil, onStream: completion)
    }

    /// Sends `request` and waits for the answer, on a loop of its own: for the command line.
    package static func fetch(
        _ request: ServiceRequest, from target: ServiceTarget, timeout: Nanoseconds = .seconds(10), _ limits: ServiceLimits = ServiceLimits()
    ) throws(ServiceFailure) -> ServiceResponse {
        let loop: EventLoop
        do {
            loop = try EventLoop()
        } catch {
            throw .system(error)
        }
        defer { loop.destroy() }
        var outcome: Result<ServiceResponse, ServiceFailure> = .failure(.closed)
        let call = send(request, to: target, on: loop, timeout: timeout, limits) { result in
            outcome = result
            loop.stop()
        }
        loop.run()
        call.cancel()
        return try outcome.get()
    }
}

/// One call under way: performs what `ClientMachine` decides.
package final class ServiceCall {
    private let request: ServiceRequest
    private let limits: ServiceLimits
    private let host: String
    private let protocolName: String?
    private var onResponse: ((Result<ServiceResponse, ServiceFailure>) -> Void)?
    private var onStream: ((Result<FramedStream, ServiceFailure>) -> Void)?
    private var channel: ServiceChannel?
    private var machine = ClientMachine()
    private var head = ResponseHead()
    private let fields: UnsafeMutableBufferPointer<HeaderField>
    private var response = ServiceResponse()
    private let loop: EventLoop
    private var failure: ServiceFailure?

    init(
        _ request: ServiceRequest, _ target: ServiceTarget, _ loop: EventLoop, _ timeout: Nanoseconds, _ limits: ServiceLimits,
        protocolName: String?, onResponse: ((Result<ServiceResponse, ServiceFailure>) -> Void)?,
        onStream: ((Result<FramedStream, ServiceFailure>) -> Void)?
    ) {
        self.request = request
        self.limits = limits
        self.loop = loop
        host = target.host
        self.protocolName = protocolName
        self.onResponse = onResponse
        self.onStream = onStream
        fields = .allocate(capacity: HTTP1Limits.fieldsMax)
        head.headers = HeaderTable(fields: fields.baseAddress!, capacity: HTTP1Limits.fieldsMax)
        connect(target, timeout)
    }

    deinit { fields.deallocate() }

    /// Ends the call without a completion; after the completion it does nothing.
    package func cancel() {
        onResponse = nil
        onStream = nil
        channel?.close()
        channel = nil
    }

    private func connect(_ target: ServiceTarget, _ timeout: Nanoseconds) {
        let descriptor: Int32
        let isConnecting: Bool
        switch Socket.connect(to: target.address) {
        case .connected(let it): (descriptor, isConnecting) = (it, false)
        case .inProgress(let it): (descriptor, isConnecting) = (it, true)
        case .failed(let code): return failLater(.connect(errno: code))
        }
        var transport = Transport(plain: descriptor)
        if let tls = target.tls {
            guard let secured = tls.context.connect(descriptor, expecting: tls.peer) else {
                Descriptor.close(descriptor)
                return failLater(.protocolError("no memory for TLS"))
            }
            transport = secured
        }
        let channel = ServiceChannel(transport, on: loop, isConnecting: isConnecting)
        // The channel keeps the call alive until either is done.
        channel.onOpen = { self.sendRequest() }
        channel.onBytes = { self.process() }
        channel.onTimeout = { self.complete(.failure(.timeout)) }
        channel.onEnd = { why in self.peerEnded(why) }
        do {
            try channel.start()
        } catch {
            channel.onOpen = nil
            channel.onBytes = nil
            channel.onTimeout = nil
            channel.onEnd = nil
            return failLater(.system(error))
        }
        self.channel = channel
        channel.expect(within: timeout)
    }

    /// What fails at once is told from the loop like everything else.
    private func failLater(_ why: ServiceFailure) {
        failure = why
        loop.atEndOfTurn(
            { context, _ in
                let call = Unmanaged<ServiceCall>.fromOpaque(context).takeRetainedValue()
                call.complete(.failure(call.failure ?? .closed))
            }, Unmanaged.passRetained(self).toOpaque())
    }

    private func sendRequest() {
        machine.begin(Method(methodName), asksUpgrade: protocolName != nil)
        var text = "\(request.method) \(request.path)\(request.query.isEmpty ? "" : "?" + request.query) HTTP/1.1\r\nhost: \(host)\r\n"
        text += request.headers.lines
        if let protocolName {
            text += "connection: upgrade\r\nupgrade: \(protocolName)\r\n"
        } else {
            text += "connection: close\r\n"
        }
        if !request.body.isEmpty || request.method == "POST" || request.method == "PUT" { text += "content-length: \(request.body.count)\r\n" }
        let bytes = Array((text + "\r\n").utf8) + request.body
        machine.wrote(bytes.count)
        machine.requestDidEnd()
        channel?.write(bytes)
    }

    /// Static text for the three methods whose answers are framed differently or often used; any other frames like POST.
    private var methodName: Bytes { request.method == "HEAD" ? Bytes("HEAD") : Bytes("POST") }

    private func process() {
        while let channel {
            let event = channel.input.withUnsafeBytes { machine.receive(Bytes($0), into: &head) }
            switch event {
            case .needMore(let consumed):
                if consumed > 0 { channel.consume(consumed) }
                return
            case .interim(let byteCount): channel.consume(byteCount)
            case .head(let byteCount):
                response = ServiceResponse(head.status, headers: .init(head.headers))
                channel.consume(byteCount)
            case .bodyData(let offset, let count):
                guard response.body.count + count <= limits.bodyMax else { return complete(.failure(.tooLarge)) }
                response.body += channel.input[offset..<offset + count]
                channel.consume(offset + count)
            case .trailer(let trailer): channel.consume(trailer.byteCount)
            case .bodyEnd: return complete(.success(response))
            case .switched(let byteCount):
                channel.consume(byteCount)
                return handOver(channel)
            case .reject(let fault): return complete(.failure(.protocolError("\(fault.reason)")))
            }
        }
    }

    private func peerEnded(_ why: ServiceFailure?) {
        let isReset = why.map { if case .transport(let failure) = $0 { failure.tls?.kind != .truncated } else { true } } ?? false
        if machine.receivedEnd(isReset: isReset || why != nil) == .bodyEnd { return complete(.success(response)) }
        complete(.failure(why ?? .closed))
    }

    private func handOver(_ channel: ServiceChannel) {
        guard let onStream else { return complete(.failure(.protocolError("101 unasked"))) }
        self.channel = nil
        self.onStream = nil
        channel.onOpen = nil
        let stream = FramedStream(channel, limits)
        onStream(.success(stream))
        stream.begin()
    }

    private func complete(_ outcome: Result<ServiceResponse, ServiceFailure>) {
        let response = onResponse, stream = onStream
        onResponse = nil
        onStream = nil
        channel?.close()
        channel = nil
        response?(outcome)
        stream?(outcome.flatMap { .failure(.refused(status: $0.status, body: $0.text)) })
    }
}
