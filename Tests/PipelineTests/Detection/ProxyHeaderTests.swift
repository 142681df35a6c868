import Pipeline
import Testing

@Suite("PROXY header, version 2")
struct ProxyHeaderTests {
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    /// 192.168.0.1:4000 to 10.0.0.2:443, as the standard's example lays it out.
    static let ipv4 = signature + [0x21, 0x11, 0, 12, 192, 168, 0, 1, 10, 0, 0, 2, 0x0F, 0xA0, 0x01, 0xBB]

    private func read(_ bytes: [UInt8]) -> ProxyHeader.Reading {
        bytes.withUnsafeBufferPointer { ProxyHeader.read(Bytes($0.baseAddress, count: $0.count)) }
    }

    private func text(_ bytes: [UInt8]) -> String {
        switch read(bytes) {
        case .needMore: "more"
        case .malformed: "malformed"
        case .header(let header, let count):
            "\(header.source.description):\(header.sourcePort) > \(header.destination.description):\(header.destinationPort) \(count)"
        }
    }

    private func written(_ header: ProxyHeader) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: ProxyHeader.writtenMax) { buffer, count in count = header.write(to: buffer.baseAddress!) }
    }

    @Test("Addresses of both families are read, with what follows them; every prefix asks for more")
    func addresses() {
        #expect(text(Self.ipv4 + [9, 9]) == "192.168.0.1:4000 > 10.0.0.2:443 28")
        for count in 0..<Self.ipv4.count { #expect(text(Array(Self.ipv4[..<count])) == "more", "\(count)") }
        let source: [UInt8] = [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
        let ipv6 = Self.signature + [0x21, 0x21, 0, 36] + source + source.dropLast() + [2, 0, 80, 1, 0]
        #expect(text(ipv6) == "2001:db8::1:80 > 2001:db8::2:256 52")
        // TLVs behind the addresses are skipped, unread.
        var longer = Self.ipv4 + [0xEE, 0xFF, 0xFF]
        longer[15] = 15
        #expect(text(longer) == "192.168.0.1:4000 > 10.0.0.2:443 31")
    }

    @Test("A proxy that speaks for itself, for a unix socket or for nobody it names leaves the caller as it is")
    func local() {
        for start in [[0x20, 0x00, 0, 0], [0x20, 0x11, 0, 12] + [UInt8](repeating: 7, count: 12), [0x21, 0x00, 0, 3, 1, 2, 3], [0x21, 0x31, 0, 0]] as [[UInt8]] {
            #expect(text(Self.signature + start) == ":0 > :0 \(12 + start.count)")
        }
    }

    @Test("Anything else is refused at its first wrong byte: version 1, other versions and commands, datagrams, too short, too long")
    func malformed() {
        #expect(text(Array("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".utf8)) == "malformed" && text([0x16]) == "malformed" && text([0x0D, 0x0A, 0x0D, 0x0B]) == "malformed")
        for start in [[0x11, 0x11, 0, 12], [0x22, 0x11, 0, 12], [0x21, 0x12, 0, 12], [0x21, 0x41, 0, 12], [0x21, 0x11, 0, 11], [0x21, 0x21, 0, 35], [0x21, 0x11, 0xFF, 0xFF]] as [[UInt8]] {
            #expect(text(Self.signature + start + [UInt8](repeating: 1, count: 64)) == "malformed", "\(start)")
        }
    }

    @Test("What is written is read back; two families meet as IPv6")
    func writing() {
        var header = ProxyHeader()
        (header.source, header.sourcePort) = (CallerAddress(ipv4: 0xC0A8_0001), 4000)
        (header.destination, header.destinationPort) = (CallerAddress(ipv4: 0x0A00_0002), 443)
        #expect(written(header) == Self.ipv4)
        header.destination = CallerAddress(ipv6: 0x2001_0DB8_0000_0000, 2)
        #expect(written(header).count == 52 && read(written(header)) == .header(header, count: 52))
        header.source = CallerAddress()
        #expect(written(header) == Self.signature + [0x20, 0, 0, 0])
    }

    @Test("No bytes make it read past their end")
    func seeded() {
        var random = Random(seed: 9)
        for _ in 0..<20_000 {
            var bytes = Self.ipv4 + [1, 2, 3]
            for _ in 0..<Int(random.next() % 3 + 1) { bytes[12 + Int(random.next() % UInt64(bytes.count - 12))] = UInt8(truncatingIfNeeded: random.next()) }
            bytes.removeLast(Int(random.next() % UInt64(bytes.count)))
            _ = read(bytes)
        }
    }
}
