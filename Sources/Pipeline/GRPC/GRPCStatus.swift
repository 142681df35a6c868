/// A status of gRPC (grpc/doc/statuscodes.md), 0 to 16. What nobody defined counts as `unknown`.
@frozen
public struct GRPCStatus: BitwiseCopyable, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue <= 16 ? rawValue : 2 }

    public static let ok = GRPCStatus(rawValue: 0), cancelled = GRPCStatus(rawValue: 1), unknown = GRPCStatus(rawValue: 2)
    public static let deadlineExceeded = GRPCStatus(rawValue: 4), permissionDenied = GRPCStatus(rawValue: 7)
    public static let resourceExhausted = GRPCStatus(rawValue: 8), unimplemented = GRPCStatus(rawValue: 12), `internal` = GRPCStatus(rawValue: 13)
    public static let unavailable = GRPCStatus(rawValue: 14), unauthenticated = GRPCStatus(rawValue: 16)

    /// In `grpc-status`.
    package init?(_ text: Bytes) {
        guard text.count == 1 || text.count == 2 else { return nil }
        var number: UInt8 = 0
        for index in 0..<text.count {
            guard ASCII.isDigit(text[index]) else { return nil }
            number = number &* 10 &+ (text[index] & 0x0F)
        }
        self.init(rawValue: number)
    }

    package init?(name: String) {
        guard let number = Self.names.firstIndex(of: name) else { return nil }
        rawValue = UInt8(number)
    }

    /// What a sidecar's own answer is to a caller that speaks gRPC.
    ///
    /// For the statuses that gRPC knows of proxies (grpc/doc/http-grpc-status-mapping.md) what a client would make of them, but for
    /// deadlines and limits, for which there is a better word.
    package init(ofReply status: UInt16) {
        switch status {
        case 401: self = .unauthenticated
        case 403: self = .permissionDenied
        case 404: self = .unimplemented
        case 408, 504: self = .deadlineExceeded
        case 413, 429, 431: self = .resourceExhausted
        case 502, 503: self = .unavailable
        case 400, 500, 508: self = .internal
        default: self = .unknown
        }
    }

    /// The service failed, rather than having something to say (Linkerd's list).
    public var isFailure: Bool {
        switch rawValue {
        case 2, 4, 13, 14, 15: true
        default: false
        }
    }

    public var name: String { Self.names[Int(rawValue)] }

    package static let names = [
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED",
    ]
}

/// How a call was answered, as the one number it is counted under: an HTTP status, or 1,000 and a gRPC status, whose HTTP status is 200.
package enum CallCode {
    /// In metrics, beside `code`.
    package static let grpcKey = "grpc_status"

    package static func of(_ status: GRPCStatus) -> UInt16 { 1_000 + UInt16(status.rawValue) }

    package static func grpc(_ code: UInt16) -> GRPCStatus? { 1_000...1_016 ~= code ? GRPCStatus(rawValue: UInt8(code - 1_000)) : nil }

    package static func isValid(_ code: UInt16) -> Bool { code < 600 || grpc(code) != nil }

    package static func http(_ code: UInt16) -> UInt16 { grpc(code) == nil ? code : 200 }

    package static func labels(_ code: UInt16) -> [StatsRegistry.Label] {
        [.init("code", "\(http(code))")] + (grpc(code).map { [.init(grpcKey, "\($0.rawValue)")] } ?? [])
    }

    /// For people: `503`, `UNAVAILABLE`.
    package static func text(_ code: UInt16) -> String { grpc(code)?.name ?? "\(code)" }

    /// Its class: what calls are counted under that have no row of their own.
    package static func folded(_ code: UInt16) -> UInt16 {
        if let status = grpc(code) { return of(status == .ok ? .ok : status.isFailure ? .unavailable : .unknown) }
        return code < 600 ? code / 100 * 100 : 500
    }
}
