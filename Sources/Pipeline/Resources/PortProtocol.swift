/// What is spoken on a port of a service. All but `tcp` is HTTP to routes, policies and chains.
package enum PortProtocol: String, CaseIterable, Sendable, ConfigValue {
    /// Nobody says: one look at the first bytes of each connection tells (`ProtocolDetector`).
    case auto
    /// The application speaks HTTP/1.1.
    case http
    /// It speaks HTTP/2 in the clear with prior knowledge (RFC 9113 §3.3).
    case http2
    /// The same, and what it serves is gRPC.
    case grpc
    /// Raw streams.
    case tcp

    package var isHTTP: Bool { self != .tcp }
    package var isHTTP2: Bool { self == .http2 || self == .grpc }

    /// Ports whose protocols let the server speak first, so that a look at the caller's bytes would wait in vain; Linkerd's opaque ports
    /// (SMTP, its submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch, memcached).
    private static let serverFirstPorts: Set = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211]

    /// What a port speaks that is declared as this.
    package func resolved(onPort port: Int) -> PortProtocol {
        self == .auto && Self.serverFirstPorts.contains(port) ? .tcp : self
    }
}
