/// A filter takes part in the phases whose protocols it conforms to; the chain sorts it into one list per phase, so a phase
/// without participants costs nothing and a misspelt method does not compile.
///
/// | phase | protocol | when | verdicts |
/// |---|---|---|---|
/// | connection | ``ConnectionFilter`` | a downstream connection was accepted and its peer is known; it ended | next, refuse |
/// | request head | ``RequestHeadFilter`` | the head is complete | next, reply, fail, suspend |
/// | request body | ``RequestBodyFilter`` | per piece; observes, never changes bytes | next, reply, fail, suspend |
/// | response head | ``ResponseHeadFilter`` | per final response head, upwards | next, reply, retry |
/// | response body | ``ResponseBodyFilter`` | per piece, upwards | – |
/// | failure | ``FailureFilter`` | something below failed, upwards | pass, reply, retry |
/// | outcome | ``OutcomeFilter`` | exactly once per pass, bottom-up | – |
/// | review | ``ReviewFilter`` | the config changed while a tunnel is open: once per tunnel | next, refuse |
/// | stream | ``StreamFilter`` | a raw stream (TCP) was let in by the connection phase; its connection to the endpoint is there | next, refuse |
///
/// A raw stream knows the phases connection, stream, review and outcome; a filter that takes part in none of these is skipped there.
///
/// Filters are made once per event loop and distinct config, and hold nothing that must survive a config change: that is
/// what ``StageSetup/shared(_:)`` is for. They are called on one thread, never re-entrantly.
public protocol Filter: AnyObject, SendableMetatype {
    associatedtype Config: FilterConfig

    /// What a chain calls it; one name, one filter.
    static var name: FilterName { get }
    /// What it does, in one line without full stop, for `weft filters list`.
    static var summary: String { get }
    init(_ config: Config, _ stage: inout StageSetup)
}

extension Filter {
    public static var summary: String { "" }
}

/// The name of a filter, as chains write it: lower-case letters, digits and hyphens.
public struct FilterName: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let description: String
    public init(stringLiteral text: String) { description = text }
    package init(_ text: String) { description = text }
}

public protocol ConnectionFilter: Filter {
    func onConnection(_ connection: borrowing Connection) -> ConnectionVerdict
    func onConnectionEnd(_ connection: borrowing Connection)
}

extension ConnectionFilter {
    public func onConnectionEnd(_ connection: borrowing Connection) {}
}

public protocol RequestHeadFilter: Filter {
    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict
}

public protocol RequestBodyFilter: Filter {
    /// `piece` may be empty when it is the last one.
    func onRequestBody(_ exchange: borrowing Exchange, _ piece: borrowing BodyPiece) -> RequestVerdict
}

public protocol ResponseHeadFilter: Filter {
    func onResponseHead(_ exchange: borrowing Exchange) -> ResponseVerdict
}

public protocol ResponseBodyFilter: Filter {
    func onResponseBody(_ exchange: borrowing Exchange, _ piece: borrowing BodyPiece)
}

public protocol FailureFilter: Filter {
    func onFailure(_ exchange: borrowing Exchange, _ error: ProxyError) -> FailureVerdict
}

public protocol OutcomeFilter: Filter {
    /// Gives back what the pass took: permits, probes, gauges.
    func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome)
}

/// Takes part in raw streams (TCP), where an exchange is a connection without heads: its pass begins with `onStream`.
public protocol StreamFilter: OutcomeFilter {
    /// The connection phase let it in; the stages below have not seen it yet.
    func onStream(_ exchange: borrowing Exchange) -> StreamVerdict
    /// The endpoint is connected, and bytes begin to flow; called bottom-up. A stream that gets no connection ends without it.
    func onStreamOpen(_ exchange: borrowing Exchange)
}

extension StreamFilter {
    public func onStreamOpen(_ exchange: borrowing Exchange) {}
}

/// Decides anew on what was let through under an older config and still goes on: tunnels, such as WebSockets.
public protocol ReviewFilter: Filter {
    /// `exchange` is the tunnel's request as it came, edits included. It has no pass of this filter: its slots are another's, and
    /// edits are of no effect. A refused tunnel is cut.
    func onReview(_ exchange: borrowing Exchange) -> ConnectionVerdict
}

/// The chain's last request stage: knows where a request is bound and picks the endpoint.
package protocol DestinationResolver: RequestHeadFilter {
    /// A pure function of head, way in and the exchange's one draw. Does not pick an endpoint.
    func resolve(_ exchange: borrowing Exchange) -> Destination
}

/// A stage that decides how connections are secured; it stands in no phase of the exchange.
package protocol TransportFilter: Filter {
    var transport: TransportSecurity { get }
}

/// What the `tls` stage asks of the host, which does the handshakes and keeps the keys.
package struct TransportSecurity: Sendable, Equatable {
    package enum Mode: String, Sendable, Equatable, CaseIterable {
        /// mTLS with a peer of the mesh, or nothing.
        case strict
        /// mTLS where the peer can, plaintext where it cannot; counted by source.
        case permissive
        /// Plaintext.
        case disabled
    }

    package var mode: Mode
    package init(mode: Mode) { self.mode = mode }
}
