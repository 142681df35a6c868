/// Where a TLS connection wants to go, read from its ClientHello (RFC 8446 §4.1.2) without taking part in it: for routing by
/// server name and for pass-through.
package struct ClientHello: BitwiseCopyable {
    package enum Limits {
        /// Records and all; a hello of a browser has 2 KiB, with post-quantum keys 4. Envoy's inspector has the same bound.
        package static let bytesMax = 16 * 1024
        /// A host name (RFC 1035 §2.3.4).
        package static let nameBytesMax = 253
    }

    package enum Step {
        /// Keep the bytes, and ask again with more.
        case needMore
        case hello(ClientHello)
        /// No ClientHello, or one that two readers could understand differently: it is nobody's.
        case malformed
        case tooLong
    }

    /// The host asked for (RFC 6066 §3), in lower case; empty if none is named. Lies in the memory that was given.
    package private(set) var serverName = Bytes.empty
    /// What it would speak inside (RFC 7301).
    package private(set) var offersHTTP2 = false
    package private(set) var offersHTTP1 = false
    package private(set) var offersOthers = false

    private init() {}

    /// Reads the hello that `input` begins with: all bytes that came so far, of which none was taken.
    ///
    /// - Parameter name: takes the server name, ``Limits/nameBytesMax`` bytes; lives as long as the answer.
    package static func read(_ input: Bytes, name: UnsafeMutableBufferPointer<UInt8>) -> Step {
        var reader = HandshakeReader(input.slice(0, min(input.count, Limits.bytesMax)))
        var hello = ClientHello()
        do {
            try unsafe hello.take(&reader, name)
            return .hello(hello)
        } catch {
            switch error {
            case .malformed: return .malformed
            case .tooLong: return .tooLong
            case .ended: return input.count >= Limits.bytesMax ? .tooLong : .needMore
            }
        }
    }

    private mutating func take(_ reader: inout HandshakeReader, _ name: UnsafeMutableBufferPointer<UInt8>) throws(HandshakeReader.Stop) {
        guard try reader.number(1) == 1 else { throw .malformed }
        var left = try reader.number(3)
        guard left <= Limits.bytesMax else { throw .tooLong }
        func spend(_ count: Int) throws(HandshakeReader.Stop) {
            guard count <= left else { throw .malformed }
            left -= count
        }
        try spend(35)
        guard try reader.number(2) >> 8 == 3 else { throw .malformed }
        try reader.skip(32)
        let session = try reader.number(1)
        guard session <= 32 else { throw .malformed }
        try spend(session + 2)
        try reader.skip(session)
        let suites = try reader.number(2)
        guard suites >= 2, suites % 2 == 0 else { throw .malformed }
        try spend(suites + 1)
        try reader.skip(suites)
        let compressions = try reader.number(1)
        guard compressions >= 1 else { throw .malformed }
        try spend(compressions)
        try reader.skip(compressions)
        // Before TLS 1.3 a hello may end here.
        guard left > 0 else { return }
        try spend(2)
        guard try reader.number(2) == left else { throw .malformed }
        var hasName = false, hasProtocols = false
        while left > 0 {
            try spend(4)
            let (kind, count) = (try reader.number(2), try reader.number(2))
            try spend(count)
            switch kind {
            case 0 where !hasName:
                hasName = true
                try unsafe takeName(&reader, count, name)
            case 16 where !hasProtocols:
                hasProtocols = true
                try takeProtocols(&reader, count)
            // RFC 8446 §4.2: not twice.
            case 0, 16: throw .malformed
            default: try reader.skip(count)
            }
        }
    }

    /// One name, of a host: there is no other kind, and no two of one kind.
    private mutating func takeName(
        _ reader: inout HandshakeReader, _ count: Int, _ name: UnsafeMutableBufferPointer<UInt8>
    ) throws(HandshakeReader.Stop) {
        guard count >= 5, try reader.number(2) == count - 2, try reader.number(1) == 0 else { throw .malformed }
        let length = try reader.number(2)
        guard length == count - 5, length >= 1, length <= min(Limits.nameBytesMax, name.count) else { throw .malformed }
        // No label is empty, and no dot stands at either end.
        var mayBeDot = false
        for index in 0..<length {
            let byte = ASCII.lowercased(UInt8(truncatingIfNeeded: try reader.number(1)))
            let isDot = byte == UInt8(ascii: ".")
            let isPlain = byte &- 0x61 < 26 || ASCII.isDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            guard isPlain || isDot && mayBeDot && index < length - 1 else { throw .malformed }
            mayBeDot = !isDot
            unsafe name[index] = byte
        }
        serverName = unsafe Bytes(name.baseAddress.map { unsafe UnsafePointer($0) }, count: length)
    }

    private mutating func takeProtocols(_ reader: inout HandshakeReader, _ count: Int) throws(HandshakeReader.Stop) {
        guard count >= 4, try reader.number(2) == count - 2 else { throw .malformed }
        var left = count - 2
        while left > 0 {
            let length = try reader.number(1)
            guard length >= 1, length < left else { throw .malformed }
            left -= length + 1
            // The two that are known have at most eight bytes: as a number they are compared at once.
            var text: UInt64 = 0
            for _ in 0..<length { text = text << 8 | UInt64(try reader.number(1)) }
            switch (length, text) {
            case (2, 0x6832): offersHTTP2 = true
            case (8, 0x6874_7470_2F31_2E31): offersHTTP1 = true
            default: offersOthers = true
            }
        }
    }
}

/// The bytes of handshake messages, across the records that carry them (RFC 8446 §5.1).
private struct HandshakeReader {
    enum Stop: Error { case ended, malformed, tooLong }

    private let input: Bytes
    private var position = 0
    /// Bytes of the current record's fragment to come.
    private var recordLeft = 0

    init(_ input: Bytes) { self.input = input }

    /// An unsigned number of `count` bytes, the highest first.
    mutating func number(_ count: Int) throws(Stop) -> Int {
        var value = 0
        for _ in 0..<count {
            try enterRecord()
            value = value << 8 | Int(input[position])
            position += 1
            recordLeft -= 1
        }
        return value
    }

    mutating func skip(_ count: Int) throws(Stop) {
        var left = count
        while left > 0 {
            try enterRecord()
            let step = min(left, recordLeft, input.count - position)
            position += step
            recordLeft -= step
            left -= step
        }
    }

    /// Afterwards there is a byte at `position`.
    private mutating func enterRecord() throws(Stop) {
        if recordLeft == 0 {
            // What can be judged is judged at once: a peer that speaks something else is not waited for.
            if input.count > position, input[position] != 22 { throw .malformed }
            if input.count > position + 1, input[position + 1] != 3 { throw .malformed }
            guard input.count >= position + 5 else { throw .ended }
            recordLeft = Int(input[position + 3]) << 8 | Int(input[position + 4])
            // A fragment is never empty, and never longer.
            guard recordLeft >= 1, recordLeft <= 1 << 14 else { throw .malformed }
            position += 5
        }
        guard position < input.count else { throw .ended }
    }
}
