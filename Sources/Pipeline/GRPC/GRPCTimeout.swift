/// The time that a caller of gRPC gives a call, `grpc-timeout: 100m` (grpc/doc/PROTOCOL-HTTP2.md).
package enum GRPCTimeout {
    package static let name: HeaderName = "grpc-timeout"
    /// Digits of a value.
    private static let digitsMax = 8
    package static let bytesMax = digitsMax + 1

    /// Nil: malformed, and as good as none.
    package static func read(_ text: Bytes) -> Nanoseconds? {
        guard text.count >= 2, text.count <= bytesMax else { return nil }
        var number: Int64 = 0
        for index in 0..<(text.count - 1) {
            guard ASCII.isDigit(text[index]) else { return nil }
            number = number &* 10 &+ Int64(text[index] & 0x0F)
        }
        let unit: Int64
        switch text[text.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        return Nanoseconds(overflow ? .max : product)
    }

    /// What is left of it, in the finest unit that has the digits: never more than there is.
    package static func write(_ time: Nanoseconds, to writer: inout HeadWriter) {
        let left = max(0, time.count)
        for (letter, unit) in [("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000)] as [(StaticString, Int64)]
        where left / unit < 100_000_000 {
            return writer.field(name, number: UInt64(left / unit), unit: letter)
        }
        writer.field(name, number: UInt64(min(left / 3_600_000_000_000, 99_999_999)), unit: "H")
    }
}

/// Interned once: a name made of a literal costs a look-up under a lock.
private enum GRPCNames {
    static let contentType: HeaderName = "content-type"
    static let status: HeaderName = "grpc-status"
}

extension UnsafeMutablePointer where Pointee == ExchangeStorage {
    /// Whether the call is one of gRPC, which only ever comes by HTTP/2.
    package var isGRPC: Bool {
        guard unsafe pointee.callerSpeaksHTTP2, case let line = unsafe pointee.request.headers.firstIndex(of: GRPCNames.contentType), line >= 0 else { return false }
        let value = unsafe pointee.request.headers.value(line)
        let type = Bytes("application/grpc")
        guard value.count >= type.count, value.slice(0, type.count).equalsFolded("application/grpc") else { return false }
        return value.count == type.count || value[type.count] == UInt8(ascii: "+") || value[type.count] == UInt8(ascii: ";")
    }

    /// What the caller of a gRPC call gives it in all; nil: nothing is said.
    package var grpcTimeout: Nanoseconds? {
        guard unsafe isGRPC, case let line = unsafe pointee.request.headers.firstIndex(of: GRPCTimeout.name), line >= 0 else { return nil }
        return unsafe GRPCTimeout.read(pointee.request.headers.value(line))
    }

    /// The service's status, from the head of an answer without a body, or from trailers.
    package func noteGRPCStatus(in table: HeaderTable) {
        let line = unsafe table.firstIndex(of: GRPCNames.status)
        guard line >= 0, unsafe isGRPC else { return }
        unsafe pointee.grpcStatus = GRPCStatus(table.value(line)) ?? .unknown
    }
}
