/// Bounds of HPACK. Each says what it counts and why it is that much.
package enum HPACKLimits {
    /// Bytes of a dynamic table as RFC 7541 §4.1 counts them: what every peer starts with, and what nginx, Envoy and HAProxy stay at.
    package static let tableBytesDefault = 4 * 1024
    /// The most a table can be made for: entries are found by 16-bit lengths.
    package static let tableBytesMax = 64 * 1024
    /// What a field counts beside its name and value, in a table and in a list (§4.1, RFC 9113 §6.5.2).
    package static let fieldOverheadBytes = 32
    /// Bytes of a number behind its prefix: 35 bits, more than any length here, and zeros cannot go on for ever.
    package static let integerBytesMax = 5
    /// A shorter cookie can be guessed byte by byte through the size of what is sent; nghttp2's and Envoy's bound.
    package static let guessableCookieBytes = 20
}
