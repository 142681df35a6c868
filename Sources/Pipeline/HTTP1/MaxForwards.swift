/// How many hops an OPTIONS or a TRACE may still take (RFC 9110 §7.6.2). Of other methods the header means nothing here.
package enum MaxForwards: BitwiseCopyable, Equatable {
    /// It does not say.
    case unlimited
    /// More than one line, or no number.
    case malformed
    /// This hop is the last.
    case spent
    /// As the only line says, at least 1. What is beyond this hop's own limit counts as that.
    case hops(UInt64, line: Int)

    static let name: HeaderName = "max-forwards"
    /// What is more than any way has hops.
    private static let most: UInt64 = 1_000_000

    /// Whether it means anything; for nearly all requests this is all that needs to be known.
    @inline(__always)
    package static func isAsked(by method: Method) -> Bool { method == .options || method == .trace }

    package init(_ head: borrowing RequestHead) {
        let line = unsafe Self.isAsked(by: head.method) ? head.headers.firstIndex(of: Self.name) : -1
        guard line >= 0 else {
            self = .unlimited
            return
        }
        let value = unsafe head.headers.value(line)
        guard !value.isEmpty, unsafe head.headers.firstIndex(of: Self.name, from: line &+ 1) < 0 else {
            self = .malformed
            return
        }
        var count: UInt64 = 0
        var index = 0
        while index < value.count {
            let digit = value[index] &- UInt8(ascii: "0")
            guard digit < 10 else {
                self = .malformed
                return
            }
            count = min(count &* 10 &+ UInt64(digit), Self.most)
            index &+= 1
        }
        self = count == 0 ? .spent : .hops(count, line: line)
    }
}
