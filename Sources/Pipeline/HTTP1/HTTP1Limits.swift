/// Bounds of the HTTP/1 codec. Each says what it counts, why it is that much, and the answer at the bound.
///
/// All of them are counted over the wire bytes, so the answer never depends on how the bytes were cut into reads.
package enum HTTP1Limits {
    /// Bytes of a head with its final empty line: Envoy's default, and the most 16-bit offsets allow for. 431.
    package static let headBytesMax = 60 * 1024
    /// Header lines of a head: Envoy's default. 431.
    package static let fieldsMax = 100
    /// Bytes of one header name; a registered name has at most 35. 431.
    package static let nameBytesMax = 255
    /// Bytes of a method; the longest registered one (`UPDATEREDIRECTREF`) has 17. 400.
    package static let methodBytesMax = 32
    /// Bytes of a request target, as received and in canonical form: twice the 8,000 that RFC 9110 §4.1 asks for. 414.
    package static let targetBytesMax = 16 * 1024
    /// Options of all Connection lines of a head; each may name lines to drop, so many of them are work for nothing. 400.
    package static let connectionOptionsMax = 32
    /// Times a request may have come through this hop before: an application that calls itself in turn does that, a loop does
    /// it for ever. 508.
    package static let passesMax = 3
    /// Hexadecimal digits of a chunk size, zeros included: what 64 bits need. 400.
    package static let chunkSizeDigitsMax = 16
    /// Bytes of chunk extensions in one message; nobody uses any (CVE-2023-39326 class). 400.
    package static let extensionBytesMax = 4 * 1024
    /// Bytes of a trailer section: a gRPC status with details fits. 431.
    package static let trailersBytesMax = 8 * 1024
    /// Lines of a trailer section. 431.
    package static let trailersMax = 32
    /// 1xx responses before one final response; more is a loop of the upstream's. 502.
    package static let interimResponsesMax = 16
    /// Bytes of an unwanted request body that are read and dropped to save the connection; past it a new connection is
    /// cheaper for both. Close.
    package static let drainBytesMax: Int64 = 64 * 1024
}
