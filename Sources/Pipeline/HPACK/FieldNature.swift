/// How an encoder should think of a field.
enum FieldNature {
    /// Likely the same next time.
    case stable
    /// Likely different next time; nghttp2's list, and what proxies put on every request.
    case changing
    /// Never to be in a table, where its length could be probed against guesses (RFC 7541 §7.1).
    case secret

    /// Bits by index of the static table: `:path`, `age`, `content-length`, `etag`, `if-modified-since`, `if-none-match`, `location`,
    /// `set-cookie`.
    private static let changingNames: UInt64 = 1 << 4 | 1 << 21 | 1 << 28 | 1 << 34 | 1 << 40 | 1 << 41 | 1 << 46 | 1 << 55
    /// `authorization` and `proxy-authorization`.
    private static let secretNames: UInt64 = 1 << 23 | 1 << 49
    private static let cookie = 32

    @inline(__always)
    init(name: Bytes, value: Bytes, staticIndex: Int) {
        if staticIndex > 0 {
            let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: staticIndex)
            if Self.secretNames & bit != 0 || staticIndex == Self.cookie && value.count < HPACKLimits.guessableCookieBytes {
                self = .secret
            } else {
                self = Self.changingNames & bit != 0 ? .changing : .stable
            }
        } else {
            let isChanging =
                switch name.count {
                case 11: name.equals("traceparent")
                case 12: name.equals("x-request-id") || name.equals("grpc-timeout")
                default: false
                }
            self = isChanging ? .changing : .stable
        }
    }
}
