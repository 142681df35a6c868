import Pipeline
import Testing
import WeftTesting

@testable import Pipeline

@Suite("A connection of HTTP/2")
struct HTTP2MachineTests {
    typealias Peer = MachinePeer

    // MARK: Beginning

    @Test("§3.4: settings come first from both ends, and are acknowledged; a wrong preface is an error")
    func preface() {
        let peer = Peer(opens: false)
        check(peer.sent == ["settings"] && peer.givenBack == [0: HTTP2Limits.connectionWindowBytes - 65_535])
        peer.send(FrameBytes.preface + FrameBytes.settings([(4, 100)]))
        check(peer.sent == ["settings", "settings ack"] && peer.told == ["room"])
        for bytes in [FrameBytes.preface + Peer.ping(), Array("PRI * HTTP/2.0\r\n\r\nSX".utf8), FrameBytes.preface + FrameBytes.frame(4, flags: 1)] {
            let peer = Peer(opens: false)
            peer.send(bytes)
            check(peer.told == ["failed 1"] && peer.sent.last == "goaway 0 1")
        }
    }

    @Test("§3.4: a client says the preface, and pushes are off")
    func client() {
        let peer = Peer(isServer: false, opens: false)
        check(peer.sent == ["settings"])
        peer.send(FrameBytes.settings([(2, 1)]))
        check(peer.told == ["failed 1"])
    }

    // MARK: Blocks

    @Test("§4.3, §6.10: a head in one frame or in many is the same head", arguments: 1...8)
    func blocks(pieces: Int) {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.get + [("x-a", "b")], pieces: pieces))
        check(peer.told == ["head 1 GET / end"])
    }

    @Test("§6.2, §6.10: nothing comes between the frames of a block; no CONTINUATION without one")
    func interleaved() {
        for between in [Peer.ping(), Peer.data(1, "x"), FrameBytes.frame(9, flags: 4, stream: 3), FrameBytes.frame(0x42)] {
            let peer = Peer()
            peer.send(FrameBytes.frame(1, flags: 1, stream: 1, peer.block(Peer.get)) + between)
            check(peer.told == ["failed 1"])
        }
        let peer = Peer()
        peer.send(FrameBytes.frame(9, flags: 4, stream: 1))
        check(peer.told == ["failed 1"])
    }

    @Test("§4.3: what cannot be decompressed ends the connection, on a stream of whatever state")
    func compression() {
        let peer = Peer()
        peer.send(FrameBytes.frame(1, flags: 5, stream: 1, [0x80]))
        check(peer.told == ["failed 9"])
        let closed = Peer()
        closed.send(closed.headers(1, ends: false))
        closed.output { closed.machine.reset(closed.place(1), .cancel, into: &$0) }
        closed.send(FrameBytes.frame(1, flags: 5, stream: 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]))
        check(closed.told.last == "failed 9")
    }

    @Test("§4.3: the block of a refused stream counts for the table all the same")
    func refusedBlock() {
        let peer = Peer(streams: 1)
        peer.send(peer.headers(1, Peer.post, ends: false) + peer.headers(3, Peer.get + [("x-new", "entry")], pieces: 3))
        check(peer.told == ["head 1 POST /"] && peer.sent == ["reset 3 7"])
        peer.send(Peer.reset(1) + peer.headers(5, Peer.get + [("x-new", "entry")]))
        check(peer.told.last == "head 5 GET / end")
    }

    // MARK: Streams

    /// What each kind of frame is on a stream in each state: what the machine tells or sends.
    @Test("§5.1: frames in every state of a stream", arguments: ["idle", "open", "half-closed", "ended", "reset by peer", "reset by us"])
    func states(state: String) {
        func at() -> Peer {
            let peer = Peer()
            switch state {
            case "open": peer.send(peer.headers(1, Peer.post, ends: false))
            case "half-closed": peer.send(peer.headers(1))
            case "ended":
                peer.send(peer.headers(1))
                peer.answered(1)
                peer.finish(1)
            case "reset by peer": peer.send(peer.headers(1, Peer.post, ends: false) + Peer.reset(1))
            case "reset by us":
                peer.send(peer.headers(1, Peer.post, ends: false))
                peer.output { peer.machine.reset(peer.place(1), .cancel, into: &$0) }
            default: break
            }
            peer.forget()
            return peer
        }
        func outcome(_ bytes: (Peer) -> [UInt8]) -> [String] {
            let peer = at()
            peer.send(bytes(peer))
            return peer.told + peer.sent
        }
        let data = outcome { _ in Peer.data(1, "x") }, headers = outcome { $0.headers(1, [("x-a", "b")]) }
        let reset = outcome { _ in Peer.reset(1) }, update = outcome { _ in Peer.update(1, 1) }
        let priority = outcome { _ in FrameBytes.frame(2, stream: 1, FrameBytes.word(0) + [1]) }
        check(priority == [])
        switch state {
        case "idle":
            check(data == ["failed 1", "goaway 0 1"] && reset == ["failed 1", "goaway 0 1"] && update == ["failed 1", "goaway 0 1"])
            check(headers == ["malformed 1", "reset 1 1"])
        case "open":
            check(data == ["data 1 x"] && headers == ["trailers 1 x-a: b"] && reset == ["reset 1 8"] && update == ["room 1"])
        case "half-closed":
            check(data == ["reset 1 5", "reset 1 5"] && headers == ["reset 1 5", "reset 1 5"] && reset == ["reset 1 8"] && update == ["room 1"])
        case "ended":
            check(data == ["failed 5", "goaway 1 5"] && headers == ["failed 5", "goaway 1 5"] && reset == [] && update == [])
        case "reset by peer":
            check(data == ["reset 1 5"] && headers == ["failed 5", "goaway 1 5"] && reset == [] && update == [])
        default:
            check(data == [] && headers == [] && reset == [] && update == [])
        }
    }

    @Test("§5.1.1: a client's streams are odd and grow")
    func numbers() {
        for (first, second, told) in [(UInt32(2), UInt32(0), "failed 1"), (5, 3, "failed 1"), (5, 4, "failed 1"), (1, 7, "head 7 GET / end")] {
            let peer = Peer()
            peer.send(peer.headers(first) + (second > 0 ? peer.headers(second) : []))
            check(peer.told.last == told)
        }
    }

    @Test("§5.1.2: streams over the bound are refused, which is no fault, and those before live on")
    func concurrency() {
        let peer = Peer(streams: 2)
        peer.send(peer.headers(1, Peer.post, ends: false) + peer.headers(3, Peer.post, ends: false) + peer.headers(5) + Peer.data(5, "late") + Peer.data(1, "x", ends: true))
        check(peer.told == ["head 1 POST /", "head 3 POST /", "data 1 x", "end 1"] && peer.sent == ["reset 5 7"])
        peer.answered(1)
        peer.finish(1)
        peer.send(peer.headers(7))
        check(peer.told.last == "head 7 GET / end")
    }

    // MARK: Settings, PING, GOAWAY

    @Test("§6.5: settings of the peer are acknowledged, ranges are held")
    func settings() {
        for (identifier, value, told) in [
            (UInt16(2), UInt32(2), "failed 1"), (4, 1 << 31, "failed 3"), (5, 16_383, "failed 1"), (5, 1 << 24, "failed 1"), (0x99, 7, "room"),
        ] {
            let peer = Peer()
            peer.send(FrameBytes.settings([(identifier, value)]))
            check(peer.told == [told])
        }
    }

    @Test("§6.7: a PING is answered, an answer is told")
    func ping() {
        let peer = Peer()
        peer.send(Peer.ping() + Peer.ping(1))
        check(peer.sent == ["ping ack"] && peer.told == ["pong"])
    }

    @Test("§6.8: who leaves says so twice: what is on its way is taken, what is opened afterwards is not looked at")
    func leaving() {
        let peer = Peer()
        peer.send(peer.headers(1))
        peer.output { peer.machine.prepareToLeave(into: &$0) }
        check(peer.sent == ["goaway 2147483647 0", "ping"])
        peer.send(peer.headers(3) + Peer.ping(1))
        check(peer.told.suffix(2) == ["head 3 GET / end", "pong"])
        peer.output { peer.machine.leave(into: &$0) }
        check(peer.sent.last == "goaway 3 0")
        peer.send(peer.headers(5, Peer.post, ends: false) + Peer.data(5, "x", ends: true))
        check(peer.told.last == "pong" && peer.sent.last == "goaway 3 0")
        // §6.8: the last stream never grows.
        peer.send(FrameBytes.frame(9, stream: 1))
        check(peer.sent.last == "goaway 3 1")
    }

    @Test("§6.8: after the peer's GOAWAY no stream is opened")
    func goneAway() {
        let peer = Peer(isServer: false)
        check(peer.machine.open() >= 0)
        peer.send(FrameBytes.frame(7, FrameBytes.word(1) + FrameBytes.word(0)))
        check(peer.told == ["goaway 1"] && peer.machine.open() == -1 && peer.machine.isSpent())
    }

    // MARK: Windows

    @Test("§6.9.1: windows end at 2^31 - 1: of a stream its end, of the connection the connection's")
    func overflow() {
        let stream = Peer()
        stream.send(stream.headers(1, Peer.post, ends: false) + Peer.update(1, 0x7FFF_FFFF))
        check(stream.told.last == "reset 1 3" && stream.sent == ["reset 1 3"])
        let connection = Peer()
        connection.send(Peer.update(0, 0x7FFF_FFFF))
        check(connection.told == ["failed 3"])
        let settings = Peer()
        settings.send(settings.headers(1, Peer.post, ends: false) + Peer.update(1, 0x7FFF_0000) + FrameBytes.settings([(4, 0x7FFF_FFFF)]))
        check(settings.told.last == "failed 3")
    }

    @Test("§6.9: an increment of nothing is an error of what it was for")
    func nothing() {
        let stream = Peer()
        stream.send(stream.headers(1, Peer.post, ends: false) + Peer.update(1, 0))
        check(stream.sent == ["reset 1 1"])
        let connection = Peer()
        connection.send(Peer.update(0, 0))
        check(connection.told == ["failed 1"])
    }

    @Test("§6.9: a stream takes no more than its window, and gets it back as its bytes are let go of")
    func streamWindow() {
        let peer = Peer()
        peer.releases = false
        peer.send(peer.headers(1, Peer.post, ends: false))
        let frame = Peer.data(1, String(repeating: "x", count: 16_384))
        for _ in 0..<(HTTP2Limits.callerWindowBytes / 16_384) { peer.send(frame) }
        check(peer.sent == [] && peer.givenBack[1] == nil)
        peer.output { peer.machine.release(HTTP2Limits.callerWindowBytes, at: peer.place(1), into: &$0) }
        check(peer.givenBack[1] == HTTP2Limits.callerWindowBytes)
        for _ in 0...(HTTP2Limits.callerWindowBytes / 16_384) { peer.send(frame) }
        check(peer.told.last == "reset 1 3" && peer.sent == ["reset 1 3"])
    }

    @Test("§6.1, §6.9.1: padding counts, and is given back; so are bytes for streams that are gone")
    func padding() {
        let peer = Peer()
        peer.releases = false
        peer.send(peer.headers(1, Peer.post, ends: false))
        for _ in 0..<600 { peer.send(Peer.data(1, "", padding: 255)) }
        // All of it but what half a window may hold back.
        check(peer.told == ["head 1 POST /"] || peer.told.last == "failed 11")
        let gone = Peer()
        gone.send(gone.headers(1, Peer.post, ends: false))
        gone.output { gone.machine.reset(gone.place(1), .cancel, into: &$0) }
        let frame = Peer.data(1, String(repeating: "x", count: 16_384))
        for _ in 0..<200 { gone.send(frame) }
        check(!gone.hasFailed && abs(gone.givenBack[0, default: 0] - 200 * 16_384) <= HTTP2Limits.connectionWindowBytes / 2 + 16_384)
    }

    @Test("§6.9.2: what is sent keeps to both windows and the frame size")
    func sending() {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.post, ends: false))
        check(peer.machine.room(at: peer.place(1)) == 16_384)
        var left = 65_535
        while left > 0 {
            let count = peer.machine.room(at: peer.place(1))
            check(count == min(16_384, left))
            var space = [UInt8](repeating: 0, count: 16)
            space.withUnsafeMutableBufferPointer { memory in
                var output = OutputSpace(memory)
                peer.machine.data(count, isLast: false, at: peer.place(1), into: &output)
            }
            left -= count
        }
        check(peer.machine.room(at: peer.place(1)) == 0)
        peer.send(Peer.update(1, 10))
        check(peer.machine.room(at: peer.place(1)) == 0)
        peer.send(Peer.update(0, 5))
        check(peer.machine.room(at: peer.place(1)) == 5)
    }

    // MARK: Messages

    @Test("§8.1: trailers end a message, a second head does not")
    func trailers() {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.post, ends: false) + Peer.data(1, "a") + peer.headers(1, [("x-a", "b"), ("x-c", "d")]))
        check(peer.told == ["head 1 POST /", "data 1 a", "trailers 1 x-a: b, x-c: d"])
        let second = Peer()
        second.send(second.headers(1, Peer.post, ends: false) + second.headers(1, Peer.post, ends: false))
        check(second.sent == ["reset 1 1"])
        for bad in [(":path", "/"), ("connection", "close"), ("content-length", "1"), ("X-A", "b")] {
            let peer = Peer()
            peer.send(peer.headers(1, Peer.post, ends: false) + peer.headers(1, [bad]))
            check(peer.told.last == "malformed 1" && peer.sent == ["reset 1 1"])
        }
    }

    @Test("§8.1.1: content-length is what comes", arguments: [("abc", true), ("abcd", false), ("ab", false), ("", false)])
    func length(body: String, isRight: Bool) {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.post + [("content-length", "3")], ends: false) + Peer.data(1, body, ends: true))
        check(isRight ? peer.told.last == "end 1" : peer.sent == ["reset 1 1"])
        let behind = Peer()
        behind.send(behind.headers(1, Peer.post + [("content-length", "3")], ends: false) + Peer.data(1, body) + behind.headers(1, [("x-a", "b")]))
        check(isRight ? behind.told.last == "trailers 1 x-a: b" : behind.sent == ["reset 1 1"])
    }

    @Test("§8.1: an answer that is over before its request stops it without blame; a client's cancels")
    func early() {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.post, ends: false))
        peer.answered(1)
        peer.finish(1)
        check(peer.sent == ["data 1 end", "reset 1 0"])
        peer.send(Peer.data(1, "late", ends: true))
        check(!peer.hasFailed && peer.sent == ["data 1 end", "reset 1 0"])
        let client = Peer(isServer: false)
        _ = client.machine.open()
        client.finish(1)
        check(client.sent == ["reset 1 8"])
    }

    @Test("Requests that HTTP/1 would refuse are told apart from those that are none")
    func refused() {
        let peer = Peer()
        peer.send(peer.headers(1, Peer.get.dropLast() + [(":path", "/../x")]))
        check(peer.told == ["refused 1 400"])
        peer.send(peer.headers(3, Peer.get + [("x-a", "b\r\nc")]))
        check(peer.told.last == "malformed 3" && peer.sent == ["reset 3 1"])
        peer.send(peer.headers(5, Peer.get + (0..<200).map { ("x-\($0)", "y") }))
        check(peer.told.last == "refused 5 431")
    }

    // MARK: A client's

    @Test("A client's streams: heads, interim heads, bodies, trailers")
    func responses() {
        let peer = Peer(isServer: false)
        check(peer.machine.open() >= 0 && peer.machine.open() >= 0)
        peer.send(peer.headers(3, [(":status", "103"), ("link", "x")], ends: false) + peer.headers(1, [(":status", "200")], ends: false))
        peer.send(Peer.data(1, "abc") + peer.headers(3, [(":status", "204")]) + peer.headers(1, [("grpc-status", "0")]))
        check(peer.told == ["interim 3 103", "status 1 200", "data 1 abc", "status 3 204 end", "trailers 1 grpc-status: 0"])
        for bad in [[(":status", "101")], [(":status", "20")], [], [(":status", "200"), ("x", "\r")], [(":status", "200"), ("upgrade", "x")]] {
            let peer = Peer(isServer: false)
            _ = peer.machine.open()
            peer.send(peer.headers(1, bad, ends: false))
            check(peer.told == ["malformed 1"] && peer.sent == ["reset 1 1"])
        }
        let head = Peer(isServer: false)
        head.isToHead = true
        _ = head.machine.open()
        head.send(head.headers(1, [(":status", "200"), ("content-length", "5")], ends: false) + Peer.data(1, "x"))
        check(head.told == ["status 1 200", "reset 1 1"])
    }

    @Test("A client has no streams opened for it, and keeps to the peer's bound")
    func bound() {
        for stream in [UInt32(2), 1, 3] {
            let peer = Peer(isServer: false)
            peer.send(peer.headers(stream, [(":status", "200")]))
            check(peer.told == ["failed 1"])
        }
        let peer = Peer(isServer: false)
        peer.send(FrameBytes.settings([(3, 1)]))
        check(peer.machine.open() >= 0 && peer.machine.open() == -1)
        peer.send(FrameBytes.settings([(3, 100)]))
        check(peer.machine.open() >= 0)
        let interims = Peer(isServer: false)
        _ = interims.machine.open()
        for _ in 0...16 { interims.send(interims.headers(1, [(":status", "100")], ends: false)) }
        check(interims.told.last == "malformed 1")
    }

    // MARK: Floods

    @Test("§10.5: what costs its sender nothing is not taken for ever", arguments: 0..<9)
    func floods(kind: Int) {
        let peer = Peer()
        if kind == 2 { peer.send(peer.headers(1, Peer.post, ends: false)) }
        if kind >= 7 { peer.send(FrameBytes.frame(1, flags: 1, stream: 1, peer.block(Peer.get))) }
        var count: UInt32 = 0
        while !peer.hasFailed, count < 5_000 {
            let stream = 2 * count + 1
            switch kind {
            case 0: peer.send(peer.headers(stream) + Peer.reset(stream))
            case 1: peer.send(peer.headers(stream, Peer.post, ends: false) + Peer.update(stream, 0x7FFF_FFFF))
            case 2: peer.send(Peer.data(1, ""))
            case 3: peer.send(FrameBytes.settings())
            case 4: peer.send(Peer.ping())
            case 5: peer.send(FrameBytes.frame(0x42))
            case 6: peer.send(Peer.update(0, 1))
            case 7: peer.send(FrameBytes.frame(9, stream: 1))
            default: peer.send(FrameBytes.frame(9, stream: 1, [UInt8](repeating: 0x82, count: 10_000)))
            }
            count += 1
        }
        check(peer.told.last == "failed 11" && count < 1_100)
    }

    @Test("A caller that is merely busy is not taken for a flood")
    func busy() {
        let peer = Peer()
        for index in 0..<5_000 {
            let stream = UInt32(2 * index + 1)
            peer.now = peer.now + .milliseconds(1)
            peer.send(peer.headers(stream) + Peer.update(stream, 100))
            peer.answered(stream)
            peer.finish(stream)
            if index % 50 == 0 { peer.send(Peer.ping()) }
        }
        check(!peer.hasFailed && peer.told.count == 10_000)
    }

    // MARK: Seeded

    @Test("Seeded: how reads cut the bytes changes nothing", arguments: 0..<60)
    func segmentation(seed: UInt64) {
        var random = Random(seed: seed)
        func conversation(_ reads: [Int]) -> (told: [String], sent: [String], givenBack: [UInt32: Int]) {
            var random = Random(seed: seed)
            let peer = Peer(streams: 4)
            var bytes: [UInt8] = []
            for step in 0..<40 {
                let stream = UInt32(2 * (step / 4) + 1)
                switch random.next() % 12 {
                case 0...3: bytes += peer.headers(stream, Peer.post + [("x-\(random.next() % 4)", "v")], ends: random.next() % 4 == 0, pieces: Int(random.next() % 3) + 1)
                case 4...7: bytes += Peer.data(stream, String(repeating: "d", count: Int(random.next() % 900)), ends: random.next() % 3 == 0, padding: random.next() % 3 == 0 ? Int(random.next() % 200) : nil)
                case 8: bytes += Peer.update(random.next() % 2 == 0 ? 0 : stream, UInt32(random.next() % 1_000))
                case 9: bytes += Peer.reset(stream)
                case 10: bytes += Peer.ping()
                default: bytes += random.next() % 8 == 0 ? FrameBytes.frame(UInt8(random.next() % 12), stream: stream, [1, 2, 3, 4]) : FrameBytes.frame(0x42, [1, 2, 3])
                }
            }
            peer.send(bytes, reads: reads)
            return (peer.told, peer.sent, peer.givenBack)
        }
        let whole = conversation([])
        for _ in 0..<4 {
            let cut = conversation((0..<5).map { _ in Int(random.next() % 40) + 1 })
            check(cut.told == whole.told && cut.sent == whole.sent && cut.givenBack == whole.givenBack)
        }
        check(conversation([1]).told == whole.told)
    }
}
