/// Writes what a hop says of itself and of its caller into a request that goes on.
///
/// | header | what goes on |
/// |---|---|
/// | `x-forwarded-for` | what a trusted caller said, and the caller's address behind it |
/// | `x-forwarded-proto`, `-host` | what a trusted caller said, else how the request came in |
/// | `x-request-id` | the caller's if it is one, else a new UUID; the same for every attempt |
/// | `via` | all of it, and this hop |
/// | `max-forwards` | of an OPTIONS or a TRACE: one less |
///
/// Lines that a filter has set or removed are the filter's.
package struct HopWriter: BitwiseCopyable {
    /// Bytes of a request id that are taken over from a caller.
    private static let requestIDBytesMax = 128

    private var address: CallerAddress
    private let isTLS: Bool
    private let hop: HopName
    private var writesProto = true
    private var writesHost = true
    private var writesID = true
    private var writesVia = true
    private var givenFor = -1
    private var forwards: UInt64?

    /// Decides what to write, and adds to `dropped` the lines that are written anew.
    package init(_ head: borrowing RequestHead, from address: CallerAddress, isTLS: Bool, hop: HopName, dropping dropped: inout FieldMask) {
        self.address = address
        self.isTLS = isTLS
        self.hop = hop
        let given = unsafe head.forwarding
        writesProto = given.forwardedProto < 0
        writesHost = given.forwardedHost < 0
        if given.hasClaims {
            if !address.isNone, given.forwardedFor != -1 {
                givenFor = unsafe head.headers.firstIndex(of: Self.forName)
                unsafe Self.drop(Self.forName, of: head, from: &dropped)
            }
            // Of two contradicting ones neither is believed.
            if given.forwardedProto == -2 { unsafe Self.drop(Self.protoName, of: head, from: &dropped) }
            if given.forwardedHost == -2 { unsafe Self.drop(Self.hostName, of: head, from: &dropped) }
        }
        if given.requestID != -1 {
            let value = unsafe given.requestID < 0 ? Bytes.empty : head.headers.value(Int(given.requestID))
            writesID = !Self.isRequestID(value)
            if writesID { unsafe Self.drop(Self.idName, of: head, from: &dropped) }
        }
        if unsafe MaxForwards.isAsked(by: head.method), case .hops(let count, let line) = unsafe MaxForwards(head) {
            dropped.insert(line)
            forwards = count &- 1
        }
    }

    /// Leaves to filters what they have edited.
    package mutating func yield(to edits: EditLog) {
        if case .untouched = edits.answer(for: Self.forName) {} else { address = CallerAddress() }
        if case .untouched = edits.answer(for: Self.protoName) {} else { writesProto = false }
        if case .untouched = edits.answer(for: Self.hostName) {} else { writesHost = false }
        if case .untouched = edits.answer(for: Self.idName) {} else { writesID = false }
        if case .untouched = edits.answer(for: Self.viaName) {} else { writesVia = false }
        if case .untouched = edits.answer(for: MaxForwards.name) {} else { forwards = nil }
    }

    /// - Parameters:
    ///   - authority: the request's, as received.
    ///   - table: its lines.
    ///   - id: 128 random bits, the same for all attempts of an exchange.
    package func write(_ authority: Bytes, _ table: HeaderTable, id: (UInt64, UInt64), to writer: inout HeadWriter) {
        if !address.isNone { unsafe writeFor(table, to: &writer) }
        if writesProto { writer.lines(isTLS ? Bytes("x-forwarded-proto: https\r\n") : Bytes("x-forwarded-proto: http\r\n")) }
        if writesHost, !authority.isEmpty {
            writer.append(Bytes("x-forwarded-host: "))
            writer.append(authority)
            writer.append(Bytes("\r\n"))
        }
        if writesID { writeID(id, to: &writer) }
        if writesVia { writer.lines(hop.line) }
        if let forwards { writer.field(MaxForwards.name, number: forwards) }
    }

    private func writeFor(_ table: HeaderTable, to writer: inout HeadWriter) {
        writer.append(Bytes("x-forwarded-for: "))
        var line = givenFor
        while line >= 0 {
            let value = unsafe table.value(line)
            if !value.isEmpty {
                writer.append(value)
                writer.append(Bytes(", "))
            }
            line = unsafe table.firstIndex(of: Self.forName, from: line &+ 1)
        }
        address.write(to: &writer)
        writer.append(Bytes("\r\n"))
    }

    /// A random UUID (RFC 9562 §5.4).
    private func writeID(_ id: (UInt64, UInt64), to writer: inout HeadWriter) {
        let high = id.0 & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = id.1 & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        guard let room = unsafe writer.reserve(52) else { return }
        let name = Bytes("x-request-id: 01234567-89ab-cdef-0123-456789abcdef\r\n")
        unsafe room.copyMemory(from: name.base.unsafelyUnwrapped, byteCount: 52)
        let (first, second) = (Self.digits(high &>> 32), Self.digits(high))
        let (third, fourth) = (Self.digits(low &>> 32), Self.digits(low))
        unsafe room.storeBytes(of: first, toByteOffset: 14, as: UInt64.self)
        unsafe room.storeBytes(of: UInt32(truncatingIfNeeded: second), toByteOffset: 23, as: UInt32.self)
        unsafe room.storeBytes(of: UInt32(truncatingIfNeeded: second &>> 32), toByteOffset: 28, as: UInt32.self)
        unsafe room.storeBytes(of: UInt32(truncatingIfNeeded: third), toByteOffset: 33, as: UInt32.self)
        unsafe room.storeBytes(of: UInt32(truncatingIfNeeded: third &>> 32), toByteOffset: 38, as: UInt32.self)
        unsafe room.storeBytes(of: fourth, toByteOffset: 42, as: UInt64.self)
    }

    /// The eight hexadecimal digits of the low 32 bits of `number`, the first in the lowest byte: one nibble per byte, and the
    /// distance from `9` to `a` added where it is more.
    @inline(__always)
    private static func digits(_ number: UInt64) -> UInt64 {
        var lanes = (number & 0xFFFF_0000) &<< 16 | number & 0xFFFF
        lanes = (lanes &<< 8 | lanes) & 0x00FF_00FF_00FF_00FF
        lanes = (lanes &<< 4 | lanes) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = (lanes &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
        return (lanes &+ 0x3030_3030_3030_3030 &+ letters &* 0x27).byteSwapped.littleEndian
    }

    private static func isRequestID(_ value: Bytes) -> Bool {
        value.count > 0 && value.count <= requestIDBytesMax && value.firstInvisible(from: 0, to: value.count) == value.count
    }

    private static func drop(_ name: HeaderName, of head: borrowing RequestHead, from dropped: inout FieldMask) {
        var index = unsafe head.headers.firstIndex(of: name)
        while index >= 0 {
            dropped.insert(index)
            index = unsafe head.headers.firstIndex(of: name, from: index &+ 1)
        }
    }

    private static let forName: HeaderName = "x-forwarded-for"
    private static let protoName: HeaderName = "x-forwarded-proto"
    private static let hostName: HeaderName = "x-forwarded-host"
    private static let idName: HeaderName = "x-request-id"
    private static let viaName: HeaderName = "via"
}
