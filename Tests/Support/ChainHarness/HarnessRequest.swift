public import Pipeline

/// A request to send through a ``ChainHarness``.
public struct HarnessRequest: Sendable {
    public var method: String
    /// Path and query.
    public var target: String
    public var headers: [(name: String, value: String)]
    /// Pieces of the body, delivered one by one; empty: no body.
    public var body: [String]
    /// SPIFFE id that the caller's certificate proved; nil: none.
    public var source: String?
    public var authority: String
    package var wayIn: WayIn?

    public init(
        _ method: String, _ target: String, headers: [String: String] = [:], body: [String] = [], source: String? = nil,
        authority: String = "payment.weft"
    ) {
        self.method = method
        self.target = target
        self.headers = headers.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
        self.body = body
        self.source = source
        self.authority = authority
    }

    public static func get(_ target: String, headers: [String: String] = [:], source: String? = nil) -> HarnessRequest {
        HarnessRequest("GET", target, headers: headers, source: source)
    }

    public static func post(_ target: String, _ body: String = "x", headers: [String: String] = [:], source: String? = nil) -> HarnessRequest {
        HarnessRequest("POST", target, headers: headers, body: [body], source: source)
    }

    /// Through the HTTP proxy port, by authority.
    public static func proxied(_ authority: String, _ target: String = "/") -> HarnessRequest {
        var request = HarnessRequest("GET", target, authority: authority)
        request.wayIn = .proxy
        return request
    }

    package func by(_ wayIn: WayIn) -> HarnessRequest {
        var request = self
        request.wayIn = wayIn
        return request
    }
}

/// What the fake upstream received in one attempt.
public struct ForwardedRequest: Sendable, Equatable {
    public var method: String
    public var path: String
    public var authority: String
    /// With every edit of the chain, names in lower case.
    public var headers: [String]
    public var body: String
    /// `host:port` of the endpoint; `application` in an inbound chain.
    public var endpoint: String
    public var at: Instant
    /// Its service and version, as the router chose them.
    public var service: String
    public var version: String

    /// The sole value of a header.
    public subscript(name: String) -> String? {
        let found = headers.filter { $0.hasPrefix(name + ": ") }
        return found.count == 1 ? String(found[0].dropFirst(name.count + 2)) : nil
    }
}

/// What the fake upstream does with one attempt.
public enum UpstreamBehaviour: Sendable {
    /// A response: its head after a while, its body at once behind it.
    case answer(Int, headers: [String: String] = [:], body: String = "ok", after: Nanoseconds = .zero)
    /// A head at once, the body so much later.
    case slowBody(Int, after: Nanoseconds)
    /// The connection is refused.
    case refuse
    /// The connection closes before a byte went out on it.
    case closeUnsent
    /// The connection breaks after bytes went out and before a head.
    case resetBeforeHead
    /// A head, and then the connection breaks.
    case resetAfterHead(Int)
    /// A head, half of the body, and then the connection breaks.
    case resetWithinBody(Int)
    /// A 101 to this protocol.
    case switchProtocol(String)
    /// Bytes that are no HTTP.
    case garbage
    /// Nothing, ever.
    case hang

    public static let ok = UpstreamBehaviour.answer(200)
}
