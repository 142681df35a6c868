import Pipeline
import Testing
import WeftTesting

@Suite("What a hop says")
struct HopTests {
    private static let hop = HopName("weft-abc-in")
    private static let local = CallerAddress(ipv4: 0x0A00_0005)

    /// The header lines of a request behind Host, as they go on; nil if it was refused.
    private func forwarded(
        _ lines: [String], trusted: Bool, from address: CallerAddress = local, isTLS: Bool = false
    ) -> (lines: [String], shown: [String])? {
        let bytes = Array(("GET / HTTP/1.1\r\nHost: a.test\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        let storage = HeadStorage()
        var head = storage.requestHead()
        return bytes.withUnsafeBytes { buffer -> ([String], [String])? in
            var parser = RequestHeadParser()
            guard case .complete = parser.parse(Bytes(buffer), scratch: storage.scratch, into: &head),
                head.judgeHops(callerIsTrusted: trusted, hop: Self.hop) == nil
            else { return nil }
            var dropped = head.dropped
            let hops = HopWriter(head, from: address, isTLS: isTLS, hop: Self.hop, dropping: &dropped)
            var room = [UInt8](repeating: 0, count: 8192)
            let count = room.withUnsafeMutableBytes { memory in
                var writer = HeadWriter(into: memory)
                writer.requestLine(head)
                writer.copyFields(head.headers, skipping: dropped)
                hops.write(head.authority, head.headers, id: (0x0123_4567_89AB_CDEF, 0x0FED_CBA9_8765_4321), to: &writer)
                return writer.finish(.none) ?? 0
            }
            let text = String(decoding: room[..<count], as: UTF8.self)
            let shown = lines.filter { line in
                let name = HeaderName(String(line.prefix { $0 != ":" }))
                return name.map { head.headers.firstIndex(of: $0) >= 0 } ?? false
            }
            return (text.split(separator: "\r\n").map(String.init).dropFirst(2).map { $0 }, shown)
        }
    }

    private static let plain = [
        "x-forwarded-for: 10.0.0.5", "x-forwarded-proto: http", "x-forwarded-host: a.test", "x-request-id: 01234567-89ab-4def-8fed-cba987654321",
        "via: 1.1 weft-abc-in",
    ]

    @Test("A request that says nothing gets all of it")
    func nothingSaid() {
        #expect(forwarded([], trusted: false)?.lines == Self.plain)
        #expect(forwarded([], trusted: true, isTLS: true)?.lines.contains("x-forwarded-proto: https") == true)
        #expect(forwarded([], trusted: true, from: CallerAddress())?.lines == Array(Self.plain.dropFirst()))
    }

    @Test("Of a stranger no word about earlier hops is believed, shown to filters or passed on")
    func stranger() {
        let claims = [
            "X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 5.6.7.8", "X-FORWARDED-PROTO: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1",
            "X-Forwarded-Prefix: /x", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Original-URL: /admin", "X-Rewrite-Url: /admin",
            "X-Original-Host: b.test",
        ]
        let result = forwarded(claims + ["X-Mine: 1"], trusted: false)
        #expect(result?.lines == ["X-Mine: 1"] + Self.plain)
        #expect(result?.shown == ["X-Mine: 1"])
    }

    @Test("What a trusted caller says is kept, and this hop's part added")
    func trusted() {
        let lines = [
            "X-Forwarded-For: 1.2.3.4", "Accept: */*", "x-forwarded-for: 5.6.7.8, 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test",
            "X-Forwarded-Port: 443", "Forwarded: for=1.2.3.4", "X-Request-Id: abc/1=", "Via: 1.0 old, 1.1 other (x)",
        ]
        let result = forwarded(lines, trusted: true)
        #expect(result?.lines == [
            "Accept: */*", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test", "X-Forwarded-Port: 443", "Forwarded: for=1.2.3.4",
            "X-Request-Id: abc/1=", "Via: 1.0 old, 1.1 other (x)", "x-forwarded-for: 1.2.3.4, 5.6.7.8, 9.9.9.9, 10.0.0.5", "via: 1.1 weft-abc-in",
        ])
        #expect(result?.shown == lines)
        // Where the caller's address means nothing, its list stays as it is.
        #expect(forwarded(["X-Forwarded-For: 1.2.3.4"], trusted: true, from: CallerAddress())?.lines.first == "X-Forwarded-For: 1.2.3.4")
    }

    @Test("Contradictions of a trusted caller are replaced by what is known")
    func contradictions() {
        let result = forwarded(
            ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http", "X-Forwarded-Host: a", "X-Forwarded-Host: b", "X-Request-Id: 1", "X-Request-Id: 2"],
            trusted: true)
        #expect(result?.lines == Self.plain)
    }

    @Test("A request id is taken over if it is one", arguments: [
        ("abc", true), (String(repeating: "a", count: 128), true), ("", false), ("a b", false), (String(repeating: "a", count: 129), false), ("caf\u{e9}", false),
    ])
    func requestID(value: String, kept: Bool) {
        let lines = forwarded(["X-Request-Id: \(value)"], trusted: false)?.lines ?? []
        #expect(lines.contains("X-Request-Id: \(value)") == kept)
        #expect(lines.filter { $0.lowercased().hasPrefix("x-request-id") }.count == 1)
    }

    @Test("Identities, words between sidecars and imitations end here, whoever sends them", arguments: [
        "X-Forwarded-Client-Cert: By=spiffe://a;URI=spiffe://b", "x-weft-reason: UO", "X-WEFT-ANYTHING: 1", "X-Weft-: 1", "x_weft_reason: UO", "X_Forwarded_For: 1.2.3.4",
        "X-Forwarded_For: 1.2.3.4", "x_forwarded-client_cert: a", "X_Real_IP: 1", "X_Original_URL: /", "X_Rewrite_URL: /", "Proxy: http://evil.test",
    ])
    func reserved(line: String) {
        for trusted in [true, false] {
            let result = forwarded([line], trusted: trusted)
            #expect(result?.lines == Self.plain)
            #expect(result?.shown == [])
        }
    }

    @Test("Names that only resemble them pass", arguments: ["X-Weftless: 1", "X-Forwarded: 1", "XForwarded-For: 1", "X-Real-IPs: 1", "Proxyx: 1", "X_Mine: 1", "Vib: 1", "X-Original: 1"])
    func resembling(line: String) {
        #expect(forwarded([line], trusted: false)?.lines == [line] + Self.plain)
    }

    @Test("A request that came through this hop too often is a loop; other hops do not count", arguments: [
        (["Via: 1.1 weft-abc-in"], true), (["Via: 1.1 weft-abc-in, 1.1 weft-abc-in, 1.1 weft-abc-in"], true),
        (["Via: 1.1 weft-abc-in, 1.1 weft-abc-in", "Via: HTTP/1.1 weft-abc-in (x), 1.1  weft-abc-in"], false),
        (Array(repeating: "Via: 1.1 weft-abc-in", count: 4), false), (Array(repeating: "Via: 1.1 weft-abc-out", count: 50), true),
        (Array(repeating: "Via: 1.1 weft-abd-in", count: 50), true), (Array(repeating: "Via: 1.1 weft-abc-in2", count: 50), true),
        (["Via: weft-abc-in, , \t, x"], true),
    ])
    func loops(lines: [String], passes: Bool) {
        #expect((forwarded(lines, trusted: true) != nil) == passes)
        #expect((forwarded(lines, trusted: false) != nil) == passes)
        #expect(HTTP1Fault.loop.status == 508)
    }

    @Test("A filter's edit of such a line is the last word", arguments: [
        (HeaderName("x-forwarded-for"), "x-forwarded-for"), (HeaderName("x-forwarded-proto"), "x-forwarded-proto"), (HeaderName("x-forwarded-host"), "x-forwarded-host"),
        (HeaderName("x-request-id"), "x-request-id"), (HeaderName("via"), "via"),
    ])
    func edits(name: HeaderName?, text: String) throws {
        let name = try #require(name)
        var pool = BlockPool()
        try withUnsafeMutablePointer(to: &pool) { pool in
            var arena = Arena(pool: pool)
            var edits = EditLog()
            let isKept = edits.append(.remove, name, .empty, stage: 0, arena: &arena)
            #expect(isKept)
            let head = HeadStorage()
            var request = head.requestHead()
            request.authority = Bytes("a.test")
            var dropped = FieldMask()
            var hops = HopWriter(request, from: Self.local, isTLS: false, hop: Self.hop, dropping: &dropped)
            hops.yield(to: edits)
            var room = [UInt8](repeating: 0, count: 1024)
            let count = room.withUnsafeMutableBytes { memory in
                var writer = HeadWriter(into: memory)
                hops.write(request.authority, request.headers, id: (1, 2), to: &writer)
                return writer.needed
            }
            let names = String(decoding: room[..<count], as: UTF8.self).split(separator: "\r\n").map { String($0.prefix { $0 != ":" }) }
            let all = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "via"]
            #expect(names == all.filter { $0 != text })
            arena.freeAll()
            try #require(names.count == 4)
        }
    }

    @Test("Addresses are written as RFC 5952 says", arguments: [
        (CallerAddress(ipv4: 0x7F00_0001), "127.0.0.1"), (CallerAddress(ipv4: 0xFFFF_FFFF), "255.255.255.255"), (CallerAddress(ipv6: 0, 0x0000_FFFF_0A00_0005), "10.0.0.5"),
        (CallerAddress(ipv6: 0, 1), "::1"), (CallerAddress(ipv6: 0, 0), "::"), (CallerAddress(ipv6: 0x2001_0DB8_0000_0000, 1), "2001:db8::1"),
        (CallerAddress(ipv6: 0x2001_0DB8_0000_0001, 0x0001_0001_0001_0001), "2001:db8:0:1:1:1:1:1"), (CallerAddress(ipv6: 0x2001_0000_0000_0001, 0x0000_0000_0000_0001), "2001:0:0:1::1"),
        (CallerAddress(ipv6: 0x2001_0DB8_0000_0000, 0x0001_0000_0000_0001), "2001:db8::1:0:0:1"), (CallerAddress(ipv6: 0xFE80_0000_0000_0000, 0), "fe80::"),
        (CallerAddress(ipv6: 0x1234_0ABC_00DE_000F, 0x1111_2222_3333_4444), "1234:abc:de:f:1111:2222:3333:4444"), (CallerAddress(), ""),
    ])
    func addresses(address: CallerAddress, text: String) {
        var room = [UInt8](repeating: 0, count: 64)
        let count = room.withUnsafeMutableBytes { memory in
            var writer = HeadWriter(into: memory)
            address.write(to: &writer)
            return writer.needed
        }
        #expect(String(decoding: room[..<count], as: UTF8.self) == text)
        #expect(address.isLoopback == ["127.0.0.1", "::1", ""].contains(text))
    }
}
