import Pipeline
import Testing

private typealias F = FrameBytes

/// Reads whole, byte by byte and unevenly; fails if the answer depends on it.
private func read(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> [FrameStream.Item] {
    let whole = FrameStream(bytes)
    for reads in [[1], [7], [3, 1, 19, 2, 64]] {
        #expect(FrameStream(bytes, reads: reads).items == whole.items, "reads of \(reads)", sourceLocation: sourceLocation)
    }
    return whole.items
}

@Suite("HTTP/2 frame reader")
struct FrameReaderTests {
    @Test("§6: every kind is read, with what it carries")
    func kinds() {
        #expect(read(F.frame(0, flags: 1, stream: 1, [1, 2])) == [.data(stream: 1, [1, 2], windowBytes: 2, endsStream: true)])
        #expect(read(F.frame(1, flags: 5, stream: 3, [0x82])) == [.block(stream: 3, [0x82], isFirst: true, isLast: true, endsStream: true)])
        #expect(read(F.frame(3, stream: 1, F.word(8))) == [.frame(.reset(stream: 1, .cancel))])
        #expect(read(F.settings([(4, 1)])) == [.settings([0, 4, 0, 0, 0, 1])])
        #expect(read(F.frame(4, flags: 1)) == [.frame(.settingsAcknowledged)])
        #expect(read(F.frame(6, [1, 2, 3, 4, 5, 6, 7, 8])) == [.frame(.ping(0x0102_0304_0506_0708))])
        #expect(read(F.frame(6, flags: 1, [0, 0, 0, 0, 0, 0, 0, 9])) == [.frame(.pingAcknowledged(9))])
        #expect(read(F.frame(7, F.word(5) + F.word(0xB) + [1, 2])) == [.frame(.goAway(lastStream: 5, .enhanceYourCalm))])
        #expect(read(F.frame(8, stream: 9, F.word(7))) == [.frame(.windowUpdate(stream: 9, increment: 7))])
    }

    @Test("§4.1: the reserved bits of stream, last stream and increment are ignored")
    func reservedBits() {
        let high: UInt32 = 0x8000_0000
        #expect(read(F.frame(8, stream: high | 9, F.word(high | 7))) == [.frame(.windowUpdate(stream: 9, increment: 7))])
        #expect(read(F.frame(7, F.word(high | 5) + F.word(0))) == [.frame(.goAway(lastStream: 5, .noError))])
        #expect(read(F.frame(4, stream: high)) == [.settings([])])
    }

    @Test("§4.1, §5.5: unknown kinds and unknown flags mean nothing, and what follows is read")
    func unknown() {
        let ping = F.frame(6, flags: 0xFE, [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(read(F.frame(0xFB, flags: 0xFF, stream: 77, [1, 2, 3]) + ping) == [.frame(.ignored), .frame(.ping(1))])
        #expect(read(F.frame(2, stream: 1, [0, 0, 0, 0, 1]) + ping) == [.frame(.ignored), .frame(.ping(1))], "§5.3.2: PRIORITY")
    }

    @Test("§6.1, §6.2: padding and priority are taken off, and padding counts against the windows")
    func padding() {
        #expect(read(F.frame(0, flags: 8, stream: 1, [2, 0x61, 0, 0])) == [.data(stream: 1, [0x61], windowBytes: 4, endsStream: false)])
        #expect(read(F.frame(0, flags: 9, stream: 1, [3, 0, 0, 0])) == [.data(stream: 1, [], windowBytes: 4, endsStream: true)])
        #expect(read(F.frame(0, flags: 9, stream: 1, [0])) == [.data(stream: 1, [], windowBytes: 1, endsStream: true)])
        let block = F.frame(1, flags: 0x2C, stream: 1, [1, 0, 0, 0, 3, 16, 0x82, 0])
        #expect(read(block) == [.block(stream: 1, [0x82], isFirst: true, isLast: true, endsStream: false)])
    }

    private static let wrong: [(String, [UInt8], HTTP2Fault)] = [
        ("§4.2: longer than we take", F.frame(0, stream: 1, length: 16_385), HTTP2Fault(.frameSizeError)),
        ("§4.2: an unknown kind as well", F.frame(0xFB, length: 0xFF_FFFF), HTTP2Fault(.frameSizeError)),
        ("§6.1: DATA on the connection", F.frame(0, [1]), HTTP2Fault(.protocolError)),
        ("§6.1: DATA without its pad length", F.frame(0, flags: 8, stream: 1), HTTP2Fault(.frameSizeError)),
        ("§6.1: padding longer than the payload", F.frame(0, flags: 8, stream: 1, [2, 0]), HTTP2Fault(.protocolError)),
        ("§6.2: HEADERS on the connection", F.frame(1, flags: 4, [0x82]), HTTP2Fault(.protocolError)),
        ("§6.2: padding longer than the payload", F.frame(1, flags: 0xC, stream: 1, [2, 0]), HTTP2Fault(.protocolError)),
        ("§6.2: padding into the priority", F.frame(1, flags: 0x2C, stream: 1, [1, 0, 0, 0, 0, 0]), HTTP2Fault(.protocolError)),
        ("§6.2: too short for priority", F.frame(1, flags: 0x24, stream: 1, [0, 0, 0, 0]), HTTP2Fault(.frameSizeError)),
        ("§6.3: PRIORITY on the connection", F.frame(2, [0, 0, 0, 0, 1]), HTTP2Fault(.protocolError)),
        ("§6.4: RST_STREAM on the connection", F.frame(3, F.word(8)), HTTP2Fault(.protocolError)),
        ("§6.4: RST_STREAM of another length", F.frame(3, stream: 1, [0, 0, 8]), HTTP2Fault(.frameSizeError)),
        ("§6.5: SETTINGS on a stream", F.frame(4, stream: 1), HTTP2Fault(.protocolError)),
        ("§6.5: SETTINGS of no whole settings", F.frame(4, [0, 1, 0, 0, 0]), HTTP2Fault(.frameSizeError)),
        ("§6.5: an acknowledgement that says something", F.frame(4, flags: 1, [0, 1, 0, 0, 0, 0]), HTTP2Fault(.frameSizeError)),
        ("§10.5: more settings than there are", F.frame(4, [UInt8](repeating: 0, count: 33 * 6)), HTTP2Fault(.enhanceYourCalm)),
        ("§6.6, §8.4: PUSH_PROMISE", F.frame(5, flags: 4, stream: 1, F.word(2)), HTTP2Fault(.protocolError)),
        ("§6.7: PING on a stream", F.frame(6, stream: 1, [UInt8](repeating: 0, count: 8)), HTTP2Fault(.protocolError)),
        ("§6.7: PING of another length", F.frame(6, [UInt8](repeating: 0, count: 7)), HTTP2Fault(.frameSizeError)),
        ("§6.8: GOAWAY on a stream", F.frame(7, stream: 1, F.word(0) + F.word(0)), HTTP2Fault(.protocolError)),
        ("§6.8: GOAWAY too short", F.frame(7, F.word(0)), HTTP2Fault(.frameSizeError)),
        ("§6.9: WINDOW_UPDATE of another length", F.frame(8, [0, 0, 1]), HTTP2Fault(.frameSizeError)),
        ("§6.9: no increment of the connection", F.frame(8, F.word(0)), HTTP2Fault(.protocolError)),
        ("§6.10: CONTINUATION of nothing", F.frame(9, flags: 4, stream: 1), HTTP2Fault(.protocolError)),
        ("§6.10: CONTINUATION on the connection", F.frame(9, flags: 4), HTTP2Fault(.protocolError)),
    ]

    @Test("A frame that is wrong ends the connection with its code", arguments: wrong)
    func faults(rule: String, bytes: [UInt8], fault: HTTP2Fault) {
        let ping = F.frame(6, [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(read(bytes + ping) == [.reject(fault)], "\(rule)")
    }

    @Test("§6.3, §6.9: what only concerns a stream ends that stream, and what follows is read")
    func streamFaults() {
        let ping = F.frame(6, [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(read(F.frame(2, stream: 3, [0, 0, 0, 1]) + ping) == [.reject(HTTP2Fault(.frameSizeError, .stream(3))), .frame(.ping(1))])
        #expect(read(F.frame(8, stream: 3, F.word(0)) + ping) == [.reject(HTTP2Fault(.protocolError, .stream(3))), .frame(.ping(1))])
    }

    @Test("§4.3, §6.10: a header block is contiguous, of one stream, and ends with END_HEADERS")
    func blocks() {
        let begin = F.frame(1, flags: 1, stream: 1, [0x82])
        let first = FrameStream.Item.block(stream: 1, [0x82], isFirst: true, isLast: false, endsStream: true)
        #expect(
            read(begin + F.frame(9, stream: 1) + F.frame(9, flags: 4, stream: 1, [0x87])) == [
                first, .block(stream: 1, [], isFirst: false, isLast: false, endsStream: false),
                .block(stream: 1, [0x87], isFirst: false, isLast: true, endsStream: false),
            ])
        let intruders = [
            F.frame(0, stream: 1, [1]), F.frame(1, flags: 4, stream: 3, [0x82]), F.frame(1, flags: 4, stream: 1, [0x82]),
            F.frame(2, stream: 5, [0, 0, 0, 0, 1]), F.frame(3, stream: 1, F.word(8)), F.settings(), F.frame(6, [UInt8](repeating: 0, count: 8)),
            F.frame(8, F.word(1)), F.frame(9, flags: 4, stream: 3), F.frame(0xFB, stream: 1), F.frame(7, F.word(0) + F.word(0)),
        ]
        for intruder in intruders { #expect(read(begin + intruder) == [first, .reject(HTTP2Fault(.protocolError))], "\(intruder)") }
    }

    @Test("§3.4: a client begins with the preface and SETTINGS, a server with SETTINGS")
    func preface() {
        for reads in [[], [1], [5]] {
            let client = FrameStream(F.preface + F.settings(), reads: reads, expectsPreface: true, afterSettings: false)
            #expect(client.items == [.settings([])] && client.waiting == 0)
            #expect(FrameStream(F.settings(), reads: reads, afterSettings: false).items == [.settings([])])
            for wrong in [F.frame(6, [UInt8](repeating: 0, count: 8)), F.frame(4, flags: 1), F.frame(0xFB)] {
                let early = FrameStream(F.preface + wrong, reads: reads, expectsPreface: true, afterSettings: false)
                #expect(early.items == [.reject(HTTP2Fault(.protocolError))])
            }
            let other = FrameStream(Array("GET / HTTP/1.1\r\n".utf8), reads: reads, expectsPreface: true, afterSettings: false)
            #expect(other.items == [.reject(HTTP2Fault(.protocolError))])
        }
    }

    @Test("A fault of the connection ends all reading")
    func afterFault() {
        var reader = FrameReader(expectsPreface: false)
        let wrong = F.frame(6, [0])
        #expect(wrong.withUnsafeBytes { reader.next(Bytes($0)) } == .reject(HTTP2Fault(.protocolError), consumed: 0))
        let settings = F.settings()
        #expect(settings.withUnsafeBytes { reader.next(Bytes($0)) } == .needMore(consumed: settings.count))
    }

    @Test("DATA is handed out as it comes, with what it takes of the windows said once")
    func pieces() {
        var reader = FrameReader(expectsPreface: false)
        _ = F.settings().withUnsafeBytes { reader.next(Bytes($0)) }
        let head = F.frame(0, flags: 9, stream: 1, [1], length: 5) + [0x61]
        let first = Frame.DataPiece(stream: 1, offset: 10, count: 1, windowBytes: 5, isFirst: true, isLast: false, endsStream: false)
        #expect(head.withUnsafeBytes { reader.next(Bytes($0)) } == .frame(.data(first), consumed: 11))
        let rest: [UInt8] = [0x62, 0x63]
        let last = Frame.DataPiece(stream: 1, offset: 0, count: 2, windowBytes: 0, isFirst: false, isLast: true, endsStream: true)
        #expect(rest.withUnsafeBytes { reader.next(Bytes($0)) } == .frame(.data(last), consumed: 2))
        let next = [0] + F.frame(4, flags: 1)
        #expect(next.withUnsafeBytes { reader.next(Bytes($0)) } == .frame(.settingsAcknowledged, consumed: 10))
    }

    @Test("Damaged frames mean the same however reads cut them", arguments: 1...6 as ClosedRange<UInt64>)
    func seeded(seed: UInt64) {
        var random = Random(seed: seed)
        let right: [[UInt8]] = [
            F.frame(0, flags: 8, stream: 1, [2, 0x61, 0, 0]), F.frame(1, flags: 4, stream: 3, [0x82]), F.frame(1, stream: 3, [0x82]),
            F.frame(9, flags: 4, stream: 3, [0x87]), F.frame(8, stream: 1, F.word(5)), F.settings([(3, 9)]), F.frame(3, stream: 1, F.word(8)),
            F.frame(6, [UInt8](repeating: 1, count: 8)), F.frame(7, F.word(1) + F.word(0)), F.frame(2, stream: 1, [0, 0, 0, 0, 1]),
        ]
        var faults: Set<UInt32> = []
        for _ in 0..<400 {
            var bytes = (0..<Int.random(in: 1...6, using: &random)).flatMap { _ in right.randomElement(using: &random)! }
            if Bool.random(using: &random) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...9, using: &random) }
            let whole = FrameStream(bytes)
            let reads = (0..<4).map { _ in Int.random(in: 1...20, using: &random) }
            #expect(FrameStream(bytes, reads: reads).items == whole.items, "SEED=\(seed) reads of \(reads): \(bytes)")
            if case .reject(let fault) = whole.items.last { faults.insert(fault.code.rawValue) }
        }
        #expect(faults.count >= 2)
    }
}
