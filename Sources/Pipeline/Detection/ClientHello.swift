/// What a TLS client says in the clear before anything is agreed on (RFC 8446 §4.1.2): for whom it asks and what it wants to speak.
///
/// A look, not a judgment: nothing in it is proved. It is read from the first record alone, which clients do not split; whatever is
/// longer than ``bytesMax``, split or malformed is `unreadable`: TLS, of which nothing is known.
@safe
package struct ClientHello: BitwiseCopyable {
    package enum Reading: BitwiseCopyable {
        /// May become a ClientHello.
        case needMore
        case notTLS
        case unreadable
        case hello(ClientHello)
    }

    /// With the record's header. Key shares against quantum computers make some 2 KiB.
    package static let bytesMax = 16 * 1024

    /// Of the server name extension (RFC 6066 §3); empty if there is none. Points into the bytes that were read.
    package private(set) var serverName = Bytes.empty
    /// Of the ALPN extension (RFC 7301 §3.1): names, each after a byte with its length.
    private var protocols = Bytes.empty

    package static func read(_ bytes: Bytes) -> Reading {
        if bytes.count > 0, bytes[0] != 0x16 { return .notTLS }
        if bytes.count > 1, bytes[1] != 0x03 { return .notTLS }
        guard bytes.count >= 5 else { return .needMore }
        let length = Int(bytes[3]) << 8 | Int(bytes[4])
        guard length >= 4, length <= bytesMax - 5 else { return .unreadable }
        if bytes.count > 5, bytes[5] != 1 { return .unreadable }
        guard bytes.count >= 5 + length else { return .needMore }
        var record = Cursor(bytes.slice(5, 5 + length))
        guard record.skip(1), let message = record.vector(3), let hello = ClientHello(message) else { return .unreadable }
        return .hello(hello)
    }

    /// Whether `name` is among what it wants to speak.
    package func offers(_ name: StaticString) -> Bool {
        var list = Cursor(protocols)
        while let offered = list.vector(1) {
            if offered.equals(Bytes(name)) { return true }
        }
        return false
    }

    private init?(_ message: Bytes) {
        var body = Cursor(message)
        // Version and random; session id, cipher suites, compression methods.
        guard body.skip(34), body.vector(1) != nil, body.vector(2) != nil, body.vector(1) != nil else { return nil }
        guard !body.isAtEnd else { return }
        guard let list = body.vector(2), body.isAtEnd else { return nil }
        var extensions = Cursor(list)
        var (hasName, hasProtocols) = (false, false)
        while !extensions.isAtEnd {
            guard let kind = extensions.number(2), let content = extensions.vector(2) else { return nil }
            switch kind {
            case 0:
                guard !hasName, let name = Self.serverName(content) else { return nil }
                (hasName, serverName) = (true, name)
            case 16:
                var content = Cursor(content)
                guard !hasProtocols, let names = content.vector(2), content.isAtEnd, Self.isList(names) else { return nil }
                (hasProtocols, protocols) = (true, names)
            default: break
            }
        }
    }

    private static func serverName(_ content: Bytes) -> Bytes? {
        var content = Cursor(content)
        guard let list = content.vector(2), content.isAtEnd else { return nil }
        var names = Cursor(list)
        // The one kind that there is: a host name.
        guard names.number(1) == 0, let name = names.vector(2), names.isAtEnd, name.count > 0, name.count <= 255 else { return nil }
        return name
    }

    private static func isList(_ names: Bytes) -> Bool {
        var names = Cursor(names)
        while !names.isAtEnd {
            guard let name = names.vector(1), name.count > 0 else { return false }
        }
        return true
    }

    /// Reads on from the front, never past the end.
    @safe
    private struct Cursor {
        private var rest: Bytes
        init(_ bytes: Bytes) { rest = bytes }

        var isAtEnd: Bool { rest.count == 0 }

        mutating func skip(_ count: Int) -> Bool {
            guard count <= rest.count else { return false }
            rest = rest.slice(count, rest.count)
            return true
        }

        mutating func number(_ width: Int) -> Int? {
            guard width <= rest.count else { return nil }
            var value = 0
            for index in 0..<width { value = value << 8 | Int(rest[index]) }
            rest = rest.slice(width, rest.count)
            return value
        }

        /// As long as the number of `width` bytes before it says.
        mutating func vector(_ width: Int) -> Bytes? {
            guard let count = number(width), count <= rest.count else { return nil }
            let content = rest.slice(0, count)
            rest = rest.slice(count, rest.count)
            return content
        }
    }
}
