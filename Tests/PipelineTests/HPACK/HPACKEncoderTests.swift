import Pipeline
import Testing

@Suite("HPACK encoder")
struct HPACKEncoderTests {
    @Test("The requests of RFC 7541 C.4 come out byte by byte")
    func appendixC() {
        let peer = EncodingPeer()
        let blocks = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ]
        for (fields, block) in zip(HPACKDecoderTests.requests, blocks) { #expect(peer.encode(fields) == hex(block)) }
    }

    @Test("What repeats takes one byte from the second time on")
    func repeats() {
        let peer = EncodingPeer()
        let fields = [HPACKField("x-tenant", "blue"), .init("user-agent", "curl/8.0")]
        #expect(peer.encode(fields)!.count > 10)
        #expect(peer.encode(fields)!.count == 2)
    }

    @Test("A path is indexed when it comes the second time, not before")
    func changing() {
        let peer = EncodingPeer()
        let path = [HPACKField(":path", "/shop.Orders/Place")]
        #expect(peer.encode(path)!.first! & 0xF0 == 0)
        #expect(peer.encode(path)!.first! & 0xC0 == 0x40)
        #expect(peer.encode(path)!.count == 1)
    }

    @Test("A request id leaves its name in the table and never its value")
    func requestID() {
        let peer = EncodingPeer()
        _ = peer.encode([.init("x-request-id", "0")])
        for id in 1...40 {
            let block = peer.encode([.init("x-request-id", "\(id)-\(id)")])!
            #expect(block[0] == 0x0F && block[1] == 62 - 15, "literal without indexing, name 62")
        }
    }

    @Test("A secret is never indexed, however often it comes", arguments: [
        HPACKField("authorization", "Bearer abc"), .init("proxy-authorization", "Basic abc"), .init("cookie", "a=b"),
        .init("x-secret", "s", isSensitive: true), .init(":method", "GET", isSensitive: true),
    ])
    func secrets(field: HPACKField) {
        let peer = EncodingPeer()
        let decoder = DecodingPeer()
        for _ in 0..<3 {
            let block = peer.encode([field])!
            #expect(block[0] & 0xF0 == 0x10)
            let read = decoder.decode(block).fields
            #expect(read == [HPACKField(name: field.name, value: field.value, isSensitive: true)])
        }
    }

    @Test("A long cookie is indexed: nobody guesses it byte by byte")
    func longCookie() {
        let peer = EncodingPeer()
        let cookie = [HPACKField("cookie", "session=0123456789abcdef")]
        _ = peer.encode(cookie)
        #expect(peer.encode(cookie)!.count == 1)
    }

    @Test("A smaller table is announced at the next block, and both sizes if it grew again (RFC 7541 §4.2)")
    func sizeUpdates() {
        let peer = EncodingPeer()
        peer.encoder.peerAllows(tableBytes: 4096)
        #expect(peer.encode([]) == [])
        peer.encoder.peerAllows(tableBytes: 100)
        #expect(peer.encode([]) == hex("3f45"))
        #expect(peer.encode([]) == [])
        peer.encoder.peerAllows(tableBytes: 0)
        peer.encoder.peerAllows(tableBytes: 1 << 30)
        #expect(peer.encode([]) == hex("20 3fe11f"), "never more than its own memory")
        #expect(EncodingPeer(tableBytes: 0).encode([.init("a", "b")]) == hex("20 0001 6101 62"))
    }

    @Test("What does not fit changes nothing")
    func noRoom() {
        let peer = EncodingPeer()
        let field = [HPACKField("x-tenant", "blue")]
        let needed = 12 + HPACKEncoder.fieldBytesMax
        #expect(peer.encode(field, room: needed - 1) == nil)
        let block = peer.encode(field, room: needed)!
        #expect(DecodingPeer().decode(block).fields == field)
        peer.encoder.peerAllows(tableBytes: 0)
        #expect(peer.encode([], room: HPACKEncoder.beginBytesMax - 1) == nil)
        #expect(peer.encode([]) == [0x20])
    }
}
