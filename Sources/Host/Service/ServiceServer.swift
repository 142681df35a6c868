internal import Pipeline

/// A small HTTP/1.1 server for the control plane's API, push and admin: whole requests in, whole answers out. Not the data path.
///
/// Lives on one loop: create, use and `close` it there.
package final class ServiceServer {
    /// Called with a whole request. Answer through the reply, now or later, on the same loop.
    package typealias Handler = (ServiceRequest, ServiceReply) -> Void

    package struct Counts: BitwiseCopyable, Sendable {
        package var requests: UInt64 = 0
        /// Connections over `connectionsMax`, closed at once.
        package var refused: UInt64 = 0
        /// Handshakes that failed.
        package var failedHandshakes: UInt64 = 0
    }

    package let limits: ServiceLimits
    package internal(set) var counts = Counts()
    /// Why a connection failed its handshake, for the log.
    package var onHandshakeFailure: ((ServiceFailure) -> Void)?

    /// How many bytes of a body are read, as a request's head says who asks; nil: `limits.bodyMax`.
    package var bodyMax: ((ServiceRequest) -> Int)?

    let handler: Handler
    private let loop: EventLoop
    private var listeners: [Listener] = []
    private var connections: [ObjectIdentifier: ServerConnection] = [:]

    package init(on loop: EventLoop, _ limits: ServiceLimits = ServiceLimits(), handler: @escaping Handler) {
        self.loop = loop
        self.limits = limits
        self.handler = handler
    }

    /// Listens at `address` and returns it as bound. `tls` is asked per connection, so that new certificates take effect at once;
    /// nil stands for plaintext, and a closure that returns nil refuses the connection.
    @discardableResult
    package func listen(
        at address: SocketAddress, _ options: Listener.Options = Listener.Options(), tls: (() -> TLSContext?)? = nil
    ) throws(SystemError) -> SocketAddress {
        let isUnix = address.family == .unix
        let listener = try Listener(on: loop, at: address, options) { [unowned self] descriptor, _ in
            self.accept(descriptor, tls, isUnix: isUnix)
        }
        listeners.append(listener)
        return listener.address
    }

    /// Stops listening and cuts every connection that was not upgraded; upgraded streams are their owners'.
    package func close() {
        for listener in listeners { listener.close() }
        listeners = []
        for connection in connections.values { connection.close() }
        connections = [:]
    }

    package var connectionCount: Int { connections.count }

    private func accept(_ descriptor: Int32, _ tls: (() -> TLSContext?)?, isUnix: Bool) {
        guard connections.count < limits.connectionsMax else {
            counts.refused += 1
            return Descriptor.close(descriptor)
        }
        var transport = Transport(plain: descriptor)
        if let tls {
            guard let secured = tls()?.accept(descriptor) else {
                counts.refused += 1
                return Descriptor.close(descriptor)
            }
            transport = secured
        }
        let channel = ServiceChannel(transport, on: loop, isConnecting: false)
        let connection = ServerConnection(channel, self, peerUser: isUnix ? Socket.peerUser(descriptor) : nil)
        // On failure the channel has closed the descriptor.
        guard (try? channel.start()) != nil else { return }
        connections[ObjectIdentifier(connection)] = connection
    }

    func ended(_ connection: ServerConnection) { connections[ObjectIdentifier(connection)] = nil }
}

/// The one answer to a request. A reply that is dropped unanswered answers 500.
package final class ServiceReply {
    private var connection: ServerConnection?
    private let protocolAsked: String?
    /// Sent with whatever the answer has.
    package var headers: [(name: String, value: String)] = []

    init(_ connection: ServerConnection, protocolAsked: String?) {
        self.connection = connection
        self.protocolAsked = protocolAsked
    }

    deinit { connection?.respond(ServiceResponse(500, text: "no answer\n")) }

    package func respond(_ response: ServiceResponse) {
        guard let connection else { return }
        self.connection = nil
        var response = response
        response.headers += headers
        connection.respond(response)
    }

    /// Whether the caller is still there to be answered.
    package var isWanted: Bool { connection?.isOpen ?? false }

    /// Answers 101 and hands the connection over, if the request asked for this protocol; otherwise nil, and an answer is still due.
    ///
    /// - Parameter prepare: sets `onFrame` and `onClose`.
    @discardableResult
    package func upgrade(to name: String, prepare: (FramedStream) -> Void) -> FramedStream? {
        guard protocolAsked == name, let connection, connection.isOpen else { return nil }
        self.connection = nil
        return connection.upgrade(to: name, prepare)
    }
}
