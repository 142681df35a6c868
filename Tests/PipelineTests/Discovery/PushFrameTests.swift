import Pipeline
import Testing

struct PushFrameTests {
    private let messages: [PushMessage] = [
        .hello(
            .init(
                sidecar: "payment-7f", incarnation: "b3", namespace: "default", service: "payment", version: "v2", software: "0.1",
                endpoints: [.init(port: 8080, address: "[::1]:15006")],
                filters: [.init(name: "tenant-gate", schema: #"{"type":"object"}"#)], have: [.trust: "t1", .chain: "c\"1"])),
        .welcome(heartbeat: .seconds(10)),
        .part(.init(part: .traffic, version: "é", generation: 12, body: Array(#"{"routes":[{"a":"}"}]}"#.utf8))),
        .ack(.access, version: "1", generation: 3),
        .nack(.chain, version: "1", generation: 4, reason: "inbound[2]: no filter \"x\"\nsecond line"),
        .heartbeat, .health(isHealthy: false, reason: "503"), .draining, .leaving, .renewCertificate(within: .seconds(60)), .refused(reason: "it is revoked"),
    ]

    @Test("Every message is read back as it was written, in pieces of any size")
    func roundTrip() throws {
        let bytes = try messages.flatMap { try PushFrame.encode($0, session: 7) }
        for size in [1, 3, 7, 100, bytes.count] {
            var reader = PushFrame.Reader(bytesMax: PushLimits.frameBytesMax)
            var read: [PushMessage] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                reader.append(bytes[start..<min(start + size, bytes.count)])
                while let (message, session) = try reader.next() {
                    read.append(message)
                    #expect(session == 7)
                }
            }
            #expect(read == messages)
            #expect(reader.bytesBuffered == 0)
        }
    }

    private func read(_ json: String) throws(PushFrame.Failure) -> PushMessage? {
        var reader = PushFrame.Reader(bytesMax: 1 << 16)
        let count = json.utf8.count
        reader.append([0, 0, UInt8(count >> 8), UInt8(count & 255)] + Array(json.utf8))
        return try reader.next()?.message
    }

    @Test("A frame beyond the limit is refused by its length alone, before it is buffered")
    func tooLarge() {
        var reader = PushFrame.Reader(bytesMax: 1000)
        reader.append([0, 0, 3, 0xE9])
        #expect(throws: PushFrame.Failure.tooLarge(bytes: 1001, bytesMax: 1000)) { try reader.next() }
    }

    @Test("Types and keys of a later version are ignored; what is missing or out of range is refused")
    func meaning() throws {
        #expect(try read(#"{"type":"sing","session":1,"song":3}"#) == .unknown("sing"))
        #expect(try read(#"{"type":"draining","session":1,"new":{}}"#) == .draining)
        for bad in [
            #"{"session":1}"#, #"{"type":"ack"}"#, "[]", "", "{", #"{"type":"ack","session":-1,"part":"chain","version":"1","generation":1}"#,
            #"{"type":"ack","session":1,"part":"song","version":"1","generation":1}"#,
            #"{"type":"ack","session":1,"part":"chain","version":"1","generation":1.5}"#,
            #"{"type":"part","session":1,"part":"chain","version":"1","generation":1}"#,
            #"{"type":"welcome","session":1,"heartbeatMilliseconds":0}"#,
            #"{"type":"hello","session":1,"sidecar":"s","incarnation":"i","namespace":"n","service":"s","version":"","software":"","endpoints":[{"port":70000,"address":"a"}]}"#,
        ] { #expect(throws: PushFrame.Failure.self, "\(bad)") { try read(bad) } }
    }

    @Test("A reason that is too long is cut at a character, so that it can be read")
    func longReason() throws {
        let message = PushMessage.nack(.chain, version: "1", generation: 1, reason: String(repeating: "é", count: 5000))
        var reader = PushFrame.Reader(bytesMax: 1 << 16)
        reader.append(try PushFrame.encode(message, session: 1))
        guard case .nack(_, _, _, let reason) = try reader.next()?.message else {
            Issue.record("not a nack")
            return
        }
        #expect(reason.hasSuffix("é…") && reason.utf8.count <= PushLimits.reasonBytesMax)
    }

    @Test("Frames with bytes changed, cut or added never trap the reader", arguments: 0..<4)
    func mutated(seed: UInt64) throws {
        var random = Random(seed: seed)
        let frames = try messages.map { try PushFrame.encode($0, session: 7) }
        var (readable, refused) = (0, 0)
        for _ in 0..<1500 {
            var frame = frames.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...4, using: &random) where !frame.isEmpty {
                let index = Int.random(in: 0..<frame.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: frame[index] = UInt8.random(in: .min ... .max, using: &random)
                case 1: frame.remove(at: index)
                default: frame.insert(UInt8.random(in: .min ... .max, using: &random), at: index)
                }
            }
            var reader = PushFrame.Reader(bytesMax: 4096)
            reader.append(frame)
            do { if try reader.next() != nil { readable += 1 } } catch { refused += 1 }
        }
        #expect(readable > 0 && refused > 0)
    }
}
