import Pipeline
import Testing

@Suite("ClientHello")
struct ClientHelloTests {
    /// A record with a ClientHello of these extensions, as any client writes it.
    static func hello(_ extensions: [UInt8]?, session: Int = 32) -> [UInt8] {
        func sized(_ bytes: [UInt8], _ width: Int) -> [UInt8] {
            (0..<width).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
        }
        let random = [UInt8](repeating: 7, count: 32), suites: [UInt8] = [0x13, 1, 0x13, 2]
        let body = [3, 3] + random + sized([UInt8](repeating: 9, count: session), 1) + sized(suites, 2) + [1, 0] + (extensions.map { sized($0, 2) } ?? [])
        return [0x16, 3, 1] + sized([1] + sized(body, 3), 2)
    }

    static func serverName(_ name: String) -> [UInt8] {
        let count = UInt8(name.utf8.count)
        return [0, 0, 0, count + 5, 0, count + 3, 0, 0, count] + Array(name.utf8)
    }

    static func protocols(_ names: [String]) -> [UInt8] {
        let list = names.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        return [0, 16, 0, UInt8(list.count + 2), 0, UInt8(list.count)] + list
    }

    private func read(_ bytes: [UInt8]) -> String {
        bytes.withUnsafeBufferPointer { buffer in
            switch ClientHello.read(Bytes(buffer.baseAddress, count: buffer.count)) {
            case .needMore: "more"
            case .notTLS: "not TLS"
            case .unreadable: "unreadable"
            case .hello(let hello): "\(hello.serverName.string)\(hello.offers("weft-tcp") ? " ours" : "")\(hello.offers("h2") ? " h2" : "")"
            }
        }
    }

    @Test("Names are read wherever they stand, and each prefix of the record asks for more")
    func names() {
        let other: [UInt8] = [0xFF, 1, 0, 1, 0]
        let whole = Self.hello(other + Self.serverName("db.example") + Self.protocols(["h2", "weft-tcp"]))
        #expect(read(whole) == "db.example ours h2")
        #expect(read(whole + [1, 2, 3]) == "db.example ours h2")
        for count in 0..<whole.count { #expect(read(Array(whole[..<count])) == "more", "\(count)") }
        #expect(read(Self.hello(Self.protocols(["weft-tcp2", "weft-tc"]))) == "")
        #expect(read(Self.hello(nil)) == "" && read(Self.hello([], session: 0)) == "")
    }

    @Test("What is no ClientHello is told at its first wrong byte; what cannot be read is TLS all the same")
    func others() {
        #expect(read([0x15]) == "not TLS" && read([0x16, 2]) == "not TLS" && read(Array("GET /".utf8)) == "not TLS" && read([0, 0, 0, 8]) == "not TLS")
        // A ServerHello, a record too short and one too long, a message over several records.
        #expect(read([0x16, 3, 1, 0, 9, 2]) == "unreadable")
        #expect(read([0x16, 3, 1, 0, 3]) == "unreadable" && read([0x16, 3, 1, 0x40, 0]) == "unreadable")
        var split = Self.hello(Self.serverName("a"))
        split[4] -= 1
        #expect(read(split) == "unreadable")
        for wrong in [
            Self.serverName("a") + Self.serverName("b"), Self.protocols(["h2"]) + Self.protocols(["weft-tcp"]), [0, 0, 0, 9, 0, 4, 0, 0, 1, 97],
            [0, 16, 0, 3, 0, 1, 0], [0, 16, 0, 4, 0, 2, 5, 1], [0, 0, 0, 5, 0, 3, 0, 0, 0], [0], [0, 0, 0],
        ] {
            #expect(read(Self.hello(wrong)) == "unreadable", "\(wrong)")
        }
    }

    @Test("No bytes make it read past their end or trap; a changed byte never makes a longer record")
    func seeded() {
        var random = Random(seed: 4)
        let whole = Self.hello(Self.serverName("payment.weft") + Self.protocols(["weft-tcp", "http/1.1"]))
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0..<Int(random.next() % 4 + 1) { bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next()) }
            if random.next() % 3 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
            _ = read(bytes)
        }
    }
}
