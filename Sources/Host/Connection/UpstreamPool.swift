internal import Pipeline

/// Connections to one endpoint, of one loop. Not copyable, for every exchange asks it something, and a copy counts references.
struct UpstreamPool: ~Copyable {
    let address: SocketAddress
    /// Nil: plaintext.
    let expected: ExpectedPeer?
    /// Connections that speak HTTP/2 and have streams to give, or will have when one ends.
    var shared: UnsafeMutablePointer<UpstreamStorage>?
    /// It was offered HTTP/2 and chose HTTP/1.
    var refusesHTTP2 = false
    /// By the word of the application's port.
    var spoken = EndpointDirectory.HTTPVersion.http1
    /// Newest first: the connection used last is the least likely to be stale, and the oldest can idle out.
    var idle: UnsafeMutablePointer<UpstreamStorage>?
    var idleCount = 0
    var count = 0

    /// Whether an exchange goes there on a stream of HTTP/2.
    ///
    /// In the clear the service's port says so, or the caller knows. To a sidecar, which speaks both: what came by HTTP/2 goes on by it, and what came by
    /// HTTP/1 does not, for a connection of its own costs less there than a stream (see the note in `HTTP2/README.md`).
    func multiplexes(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        // A WebSocket has a connection of its own, whatever it came by.
        let isShared = x.pointee.callerSpeaksHTTP2 && !x.pointee.request.asksUpgrade
        guard expected == nil else { return isShared && !refusesHTTP2 }
        return spoken == .http2 || spoken == .asCalled && isShared
    }
}
