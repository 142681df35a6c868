import Pipeline
import Testing

@Suite("HPACK decoder")
struct HPACKDecoderTests {
    // MARK: RFC 7541 Appendix C

    @Test("C.2: each representation is decoded by itself")
    func representations() {
        let examples: [(String, HPACKField)] = [
            ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", .init("custom-key", "custom-header")),
            ("040c 2f73 616d 706c 652f 7061 7468", .init(":path", "/sample/path")),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", .init("password", "secret", isSensitive: true)),
            ("82", .init(":method", "GET")),
        ]
        for (block, field) in examples { #expect(DecodingPeer().decode(hex(block)).fields == [field]) }
    }

    static let requests: [[HPACKField]] = [
        [.init(":method", "GET"), .init(":scheme", "http"), .init(":path", "/"), .init(":authority", "www.example.com")],
        [
            .init(":method", "GET"), .init(":scheme", "http"), .init(":path", "/"), .init(":authority", "www.example.com"),
            .init("cache-control", "no-cache"),
        ],
        [
            .init(":method", "GET"), .init(":scheme", "https"), .init(":path", "/index.html"), .init(":authority", "www.example.com"),
            .init("custom-key", "custom-value"),
        ],
    ]

    @Test("C.3 and C.4: three requests on one connection, without and with Huffman code", arguments: [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ])
    func requests(blocks: [String]) {
        for piece in [Int.max, 1, 3] {
            let peer = DecodingPeer()
            for (block, fields) in zip(blocks, Self.requests) { #expect(peer.decode(hex(block), piece: piece).fields == fields) }
        }
    }

    @Test("C.5 and C.6: three responses with a table of 256 bytes, which evicts", arguments: [
        [
            """
            3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e
            1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d
            """, "4803 3330 37c1 c0bf",
            """
            88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153
            444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31
            """,
        ],
        [
            """
            3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b
            97c8 e9ae 82ae 43d3
            """, "4883 640e ffc1 c0bf",
            """
            88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b
            3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07
            """,
        ],
    ])
    func responses(blocks: [String]) {
        let date = "Mon, 21 Oct 2013 20:13:21 GMT"
        let place: [HPACKField] = [.init("location", "https://www.example.com")]
        let lists: [[HPACKField]] = [
            [.init(":status", "302"), .init("cache-control", "private"), .init("date", date)] + place,
            [.init(":status", "307"), .init("cache-control", "private"), .init("date", date)] + place,
            [.init(":status", "200"), .init("cache-control", "private"), .init("date", "Mon, 21 Oct 2013 20:13:22 GMT")] + place + [
                .init("content-encoding", "gzip"), .init("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
            ],
        ]
        let peer = DecodingPeer()
        for (block, fields) in zip(blocks, lists) { #expect(peer.decode(hex(block)).fields == fields) }
    }

    // MARK: Faults

    private static let refused: [(String, HPACKFault)] = [
        ("80", .zeroIndex),
        ("be", .indexOutOfRange),  // 62, the table is empty
        ("82 ff80 01", .indexOutOfRange),
        ("7f00 0161", .indexOutOfRange),  // a name from index 63
        ("ff80 8080 8080 00", .integerTooLarge),
        ("ffff ffff ffff 7f", .integerTooLarge),
        ("3fff ffff ffff 0f", .integerTooLarge),
        ("0400 82 ff", .truncated),
        ("00 ffff ffff ffff ff0f 61", .integerTooLarge),  // a name's length
        ("82 20", .lateSizeUpdate),
        ("3fe2 1f", .sizeUpdateTooLarge),  // 4,097
        ("3fe1 ffff ff0f", .sizeUpdateTooLarge),  // about 4 GiB
        ("00 84ff ffff ff 00", .endOfStringInString),
        ("04 81 fe", .malformedPadding),  // 7 ones and a zero
        ("04 82 1fff", .malformedPadding),  // "a" and 11 ones
        ("04 81 18", .malformedPadding),  // "a" padded with zeros
        ("40", .truncated),
        ("40 01", .truncated),
        ("40 0161 05 6162", .truncated),
        ("ff", .truncated),
        ("3f", .truncated),
    ]

    @Test("What RFC 7541 forbids is refused, whole or byte by byte", arguments: refused)
    func faults(block: String, fault: HPACKFault) {
        #expect(DecodingPeer().decode(hex(block)).fault == fault)
        #expect(DecodingPeer().decode(hex(block), piece: 1).fault == fault)
    }

    @Test("Every fault has an example above, but for the one that needs settings")
    func everyFault() {
        #expect(Set(Self.refused.map(\.1)) == Set(HPACKFault.allCases).subtracting([.missingSizeUpdate]))
    }

    // MARK: Table size

    @Test("Up to two size updates may begin a block, and a table of no bytes keeps nothing")
    func sizeUpdates() {
        let peer = DecodingPeer()
        #expect(peer.decode(hex("4001 6101 62")).fields == [.init("a", "b")])
        #expect(peer.decode(hex("be")).fields == [.init("a", "b")])
        #expect(peer.decode(hex("20 3fe11f 82")).fault == nil)
        #expect(peer.decode(hex("be")).fault == .indexOutOfRange)
    }

    @Test("A peer that acknowledged a smaller table has to say so before its next field")
    func owedUpdate() {
        let silent = DecodingPeer()
        silent.decoder.peerAcknowledged(tableBytes: 100)
        #expect(silent.decode(hex("82")).fault == .missingSizeUpdate)

        let high = DecodingPeer()
        high.decoder.peerAcknowledged(tableBytes: 100)
        high.decoder.peerAcknowledged(tableBytes: 4096)
        #expect(high.decode(hex("3fe11f 82")).fault == .missingSizeUpdate)

        let proper = DecodingPeer()
        proper.decoder.peerAcknowledged(tableBytes: 100)
        proper.decoder.peerAcknowledged(tableBytes: 4096)
        #expect(proper.decode(hex("3f45 3fe11f 82")).fields == [.init(":method", "GET")])
        #expect(proper.decode(hex("82")).fault == nil)
    }

    @Test("A larger table holds only after the settings, and only what its memory was made for")
    func largerTable() {
        let peer = DecodingPeer(tableBytes: 8192)
        #expect(peer.decode(hex("3fe13f 82")).fault == .sizeUpdateTooLarge)
        let told = DecodingPeer(tableBytes: 8192)
        told.decoder.peerAcknowledged(tableBytes: 8192)
        #expect(told.decode(hex("3fe13f 82")).fault == nil)
    }

    @Test("An entry larger than the table empties it and is a field all the same")
    func oversizedEntry() {
        let peer = DecodingPeer()
        _ = peer.decode(hex("4001 6101 62"))
        let value = [UInt8](repeating: 0x78, count: 4096)
        // Length 4,096 is 127 and 3,969 in seven bits each.
        #expect(peer.decode(hex("4001 61 7f811f") + value).fields == [HPACKField(name: [0x61], value: value)])
        #expect(peer.decode(hex("be")).fault == .indexOutOfRange)
    }

    @Test("A name may come from the very entry that its field evicts")
    func evictedName() {
        let peer = DecodingPeer()
        _ = peer.decode(hex("3f45 4003 6162 6301 78"))  // 100 bytes; "abc: x" takes 36
        let value = [UInt8](repeating: 0x79, count: 60)
        #expect(peer.decode([0x7E, 60] + value).fields == [HPACKField(name: Array("abc".utf8), value: value)])
        #expect(peer.decode(hex("be")).fields == [HPACKField(name: Array("abc".utf8), value: value)])
        #expect(peer.decode(hex("bf")).fault == .indexOutOfRange)
    }

    // MARK: Bounds

    @Test("A list over the bound is dropped, and the table follows all the same")
    func listTooLarge() {
        let peer = DecodingPeer(listBytesMax: 200)
        // An entry of 4 + 60 + 32 bytes, three times, and a small entry behind them.
        let block = hex("4004 6c6f 6e67 3c") + [UInt8](repeating: 0x7A, count: 60) + hex("be be 4001 6101 62")
        let result = peer.decode(block)
        #expect(result.isOverLimit && result.fault == nil)
        #expect(result.fields.count == 2)
        let next = peer.decode(hex("be"))
        #expect(next.fields == [.init("a", "b")] && !next.isOverLimit)
    }

    @Test("Many references to one long entry are counted, not copied")
    func bomb() {
        let peer = DecodingPeer()
        let entry = hex("4001 61 7fa11e") + [UInt8](repeating: 0x7A, count: 4000)
        #expect(peer.decode(entry).fields.count == 1)
        let result = peer.decode([UInt8](repeating: 0xBE, count: 16_000))
        #expect(result.isOverLimit && result.fault == nil && result.fields.count <= 15)
        #expect(result.text.count <= HPACKDecoder.textBytesMin)
    }

    @Test("A field longer than all text leaves a table that is empty, as it is at the peer")
    func longerThanText() {
        let peer = DecodingPeer()
        _ = peer.decode(hex("4001 6101 62"))
        let value = [UInt8](repeating: 0x78, count: 70_000)
        let result = peer.decode(hex("4001 61 7ff1a104") + value + hex("4001 6301 64"))
        #expect(result.isOverLimit && result.fault == nil && result.fields.isEmpty)
        #expect(peer.decode(hex("be")).fields == [.init("c", "d")])
        #expect(peer.decode(hex("bf")).fault == .indexOutOfRange)
    }

    @Test("More fields than the bound are dropped", arguments: [100, 101])
    func tooManyFields(count: Int) {
        let result = DecodingPeer(listBytesMax: 1 << 20).decode([UInt8](repeating: 0x82, count: count))
        #expect(result.isOverLimit == (count > 100) && result.fields.count == 100)
    }

    @Test("The list counts 32 bytes a field, as SETTINGS_MAX_HEADER_LIST_SIZE does")
    func listBytes() {
        let peer = DecodingPeer(listBytesMax: 42)
        #expect(!peer.decode(hex("82")).isOverLimit)  // ":method" and "GET"
        #expect(peer.decoder.listBytes == 42)
        #expect(DecodingPeer(listBytesMax: 41).decode(hex("82")).isOverLimit)
    }

    @Test("Text lies in memory as HTTP/1 writes it")
    func wireFormat() {
        let peer = DecodingPeer()
        let result = peer.decode(hex("4001 6101 62 0100 be"))
        #expect(String(decoding: result.text, as: UTF8.self) == "a: b\r\n:authority: \r\na: b\r\n")
    }
}
