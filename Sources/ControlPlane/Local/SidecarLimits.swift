internal import Host
package import Pipeline

/// The `limits` of a sidecar's file: every field of ``Bounds``, in words. What happens at each, and which metric counts it, says
/// the README of Host's `Connection`.
package struct SidecarLimits: ConfigRecord {
    let bounds: Bounds

    private static let time = ConfigRule.in(.milliseconds(1)...(.seconds(86_400)))

    package init(_ fields: inout ConfigFields) {
        var bounds = Bounds()
        bounds.headTime = fields.read("headTime", default: bounds.headTime, "For a head, from its first byte on: 408, close.", Self.time)
        bounds.bodyProgressTime = fields.read(
            "bodyProgressTime", default: bounds.bodyProgressTime, "For the next bytes of a body, either way: 408, or a cut.", Self.time)
        bounds.downstreamIdleTime = fields.read(
            "idleTime", default: bounds.downstreamIdleTime, "For a caller's next request: closed in silence.", Self.time)
        bounds.tunnelIdleTime = fields.read("tunnelIdleTime", default: bounds.tunnelIdleTime, "For a tunnel's next byte, either way: cut.", Self.time)
        bounds.upstreamIdleTime = fields.read(
            "upstreamIdleTime", default: bounds.upstreamIdleTime, "For an endpoint's idle connection; below what its servers allow.", Self.time)
        bounds.connectTime = fields.read(
            "connectTime", default: bounds.connectTime, "For connecting to an endpoint, TLS included: 503 UF, or another try.", Self.time)
        bounds.handshakeTime = fields.read(
            "handshakeTime", default: bounds.handshakeTime, "For a caller's first byte and TLS handshake: closed.", Self.time)
        bounds.detectTime = fields.read(
            "detectTime", default: bounds.detectTime,
            "For first bytes that decide what a caller is, on a permissive TCP port or an undeclared one: then it is TCP in the clear.", Self.time)
        bounds.lingerTime = fields.read("lingerTime", default: bounds.lingerTime, "For the last bytes of a connection that ends.", Self.time)
        bounds.deadPeerTime = fields.read(
            "deadPeerTime", default: bounds.deadPeerTime, "For a host that acknowledges nothing: its connections fail.",
            .in(.seconds(6)...(.seconds(86_400))))
        bounds.leaveTime = fields.read(
            "leaveTime", default: bounds.leaveTime, "For an answer to begin after its caller has half-closed: given up.", Self.time)
        bounds.downstreamMax = fields.read(
            "connections", default: bounds.downstreamMax, "Of callers, per event loop: further ones are closed at once.", .in(1...10_000_000))
        bounds.connectionsPerEndpointMax = fields.read(
            "connectionsPerEndpoint", default: bounds.connectionsPerEndpointMax, "Per event loop: 503 UO.", .in(1...1_000_000))
        bounds.memoryMax = Int(
            fields.read(
                "memory", default: ByteCount(Int64(bounds.memoryMax)),
                "In connections' buffers, per event loop: 503 OM, and newcomers are closed at once.",
                .in(ByteCount(1 << 20)...ByteCount(1 << 40))
            ).count)
        let sendBuffer: ByteCount? = fields.read(
            "sendBuffer", "Of each connection in the kernel; left out, the kernel tunes it.", .in(ByteCount(1 << 10)...ByteCount(1 << 30)))
        if let sendBuffer { bounds.sendBufferBytes = Int32(clamping: sendBuffer.count) }
        bounds.takesWebSocketStreams = fields.read(
            "webSocketStreams", default: bounds.takesWebSocketStreams, "Whether callers may open WebSockets on streams of HTTP/2 (RFC 8441).")
        self.bounds = bounds
    }
}
