internal import Pipeline

/// What an operator, a probe or Prometheus may ask a sidecar, over a unix socket and a loopback port. GET changes nothing.
final class AdminServer {
    /// What it tells.
    struct Source {
        /// Nil: ready; otherwise why not.
        var unready: () -> String?
        /// JSON.
        var config: () -> String
        var metrics: () -> [UInt8]
    }

    private let server: ServiceServer
    private(set) var address: SocketAddress?

    /// Throws what listening throws, and `notLoopback`.
    init(on loop: EventLoop, unix path: String, tcp: SocketAddress?, _ source: Source) throws {
        var limits = ServiceLimits()
        limits.connectionsMax = 64
        limits.bodyMax = 0
        server = ServiceServer(on: loop, limits) { request, reply in
            reply.respond(Self.answer(request, source, isUnix: request.peerUser != nil))
        }
        if let tcp {
            guard tcp.isLoopback else { throw AdminFailure.notLoopback(tcp) }
            address = try server.listen(at: tcp)
        }
        guard let socket = SocketAddress(unix: path) else { throw AdminFailure.pathTooLong(path) }
        try server.listen(at: socket)
    }

    func close() { server.close() }

    private static func answer(_ request: ServiceRequest, _ source: Source, isUnix: Bool) -> ServiceResponse {
        guard isUnix || isLocal(request.header("host")) else { return ServiceResponse(421, text: "this port answers to local names alone\n") }
        let known = ["/livez", "/readyz", "/config", "/metrics"]
        guard known.contains(request.path) else { return ServiceResponse(404, text: "there are \(known.joined(separator: ", "))\n") }
        guard request.method == "GET" || request.method == "HEAD" else {
            var refusal = ServiceResponse(405, text: "GET alone\n")
            refusal.headers.append(("allow", "GET, HEAD"))
            return refusal
        }
        switch request.path {
        case "/livez": return ServiceResponse(200, text: "alive\n")
        case "/readyz":
            guard let why = source.unready() else { return ServiceResponse(200, text: "ready\n") }
            return ServiceResponse(503, text: "not ready: \(why)\n")
        case "/config": return ServiceResponse(200, json: source.config())
        default: return ServiceResponse(200, headers: [("content-type", PrometheusText.contentType)], body: source.metrics())
        }
    }

    /// A page in a browser can make its own name point here; then the Host header gives it away.
    private static func isLocal(_ host: String?) -> Bool {
        guard let host else { return false }
        if host == "localhost" || host.hasPrefix("localhost:") && host.dropFirst(10).allSatisfy(\.isNumber) { return true }
        let withPort = host.hasPrefix("[") && host.hasSuffix("]") || !host.contains(":") ? host + ":80" : host
        return SocketAddress(withPort)?.isLoopback ?? false
    }
}

enum AdminFailure: Error, CustomStringConvertible {
    case notLoopback(SocketAddress)
    case pathTooLong(String)

    var description: String {
        switch self {
        case .notLoopback(let address): "the admin port must be on a loopback address, not \(address)"
        case .pathTooLong(let path): "\(path) is too long for a unix socket (107 bytes): choose a shorter state folder"
        }
    }
}
