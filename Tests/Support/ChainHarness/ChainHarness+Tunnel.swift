public import Pipeline

/// What happens in a tunnel once an upstream has answered `.switchProtocol`.
extension ChainHarness {
    /// So many bytes go from the caller to the service and back.
    public func pass(_ exchange: HarnessExchange, up: Int = 0, down: Int = 0) {
        exchange.run.tunnelPassed(up, .request)
        exchange.run.tunnelPassed(down, .response)
    }

    /// The caller has finished sending, or the service has; the other direction goes on.
    public func finish(_ exchange: HarnessExchange, caller: Bool = false, service: Bool = false) {
        if caller { exchange.run.tunnelEnded(.request, at: now) }
        if service { exchange.run.tunnelEnded(.response, at: now) }
        if caller, service { exchange.attemptIsOver() }
        perform(exchange)
    }

    /// The service's end of the tunnel breaks.
    public func breakOff(_ exchange: HarnessExchange) {
        exchange.attemptIsOver()
        exchange.run.attemptFailed(ProxyError(.responseCut), at: now)
        perform(exchange)
    }

    /// The host ends the tunnel, as it does with one that idles.
    public func cut(_ exchange: HarnessExchange, _ kind: ProxyError.Kind) {
        exchange.run.cutTunnel(ProxyError(kind), because: "cut by the test", at: now)
        perform(exchange)
    }
}
