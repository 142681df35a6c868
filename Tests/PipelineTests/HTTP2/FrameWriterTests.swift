import Pipeline
import Testing

/// Bytes of what `write` writes, nil if it says that there was no room.
private func written(room: Int = 64, _ write: (inout OutputSpace) -> Bool) -> [UInt8]? {
    var memory = [UInt8](repeating: 0xEE, count: room)
    var count = 0
    let isWritten = memory.withUnsafeMutableBufferPointer { buffer in
        var output = OutputSpace(buffer)
        let isWritten = write(&output)
        count = output.count
        return isWritten
    }
    return isWritten ? Array(memory[..<count]) : count == 0 ? nil : []
}

@Suite("HTTP/2 frame writer")
struct FrameWriterTests {
    @Test("Frames are written as RFC 9113 §6 draws them")
    func frames() {
        #expect(written { FrameWriter.settings([(identifier: 3, value: 100)], into: &$0) } == FrameBytes.settings([(3, 100)]))
        #expect(written { FrameWriter.settingsAcknowledgement(into: &$0) } == FrameBytes.frame(4, flags: 1))
        #expect(written { FrameWriter.ping(0x0102_0304_0506_0708, isAcknowledgement: true, into: &$0) } == FrameBytes.frame(6, flags: 1, [1, 2, 3, 4, 5, 6, 7, 8]))
        #expect(written { FrameWriter.ping(1, isAcknowledgement: false, into: &$0) } == FrameBytes.frame(6, [0, 0, 0, 0, 0, 0, 0, 1]))
        #expect(written { FrameWriter.goAway(lastStream: 7, .enhanceYourCalm, into: &$0) } == FrameBytes.frame(7, FrameBytes.word(7) + FrameBytes.word(11)))
        #expect(written { FrameWriter.reset(stream: 5, .cancel, into: &$0) } == FrameBytes.frame(3, stream: 5, FrameBytes.word(8)))
        #expect(written { FrameWriter.windowUpdate(stream: 0, increment: 0x7FFF_FFFF, into: &$0) } == FrameBytes.frame(8, FrameBytes.word(0x7FFF_FFFF)))
        let header = FrameHeader(length: 0x01_0203, kind: 0, flags: 1, stream: 9)
        #expect(written { FrameWriter.header(header, into: &$0) } == [1, 2, 3, 0, 1, 0, 0, 0, 9])
    }

    @Test("A frame that does not fit is not begun", arguments: 0..<13)
    func noRoom(room: Int) {
        #expect(written(room: room) { FrameWriter.reset(stream: 5, .cancel, into: &$0) } == nil)
    }
}

@Suite("HTTP/2 settings")
struct PeerSettingsTests {
    private static func apply(_ values: [(UInt16, UInt32)], isServer: Bool = false) -> (PeerSettings, HTTP2Fault?) {
        var settings = PeerSettings()
        let payload = Array(FrameBytes.settings(values).dropFirst(9))
        let fault = payload.withUnsafeBytes { settings.apply(Bytes($0), isServer: isServer) }
        return (settings, fault)
    }

    @Test("§6.5.2, §6.5.3: values are taken in order, and the last one counts")
    func values() {
        let (settings, fault) = Self.apply([(1, 0), (3, 5), (4, 10), (5, 20_000), (6, 9_000), (8, 1), (4, 0x7FFF_FFFF), (0xFACE, 1)])
        #expect(fault == nil && settings.headerTableBytes == 0 && settings.streamsMax == 5 && settings.windowBytes == 0x7FFF_FFFF)
        #expect(settings.frameBytesMax == 20_000 && settings.headerListBytesMax == 9_000 && settings.enablesConnect)
    }

    @Test("§6.5.2: values out of range are the connection's fault", arguments: [
        (2, 2, HTTP2ErrorCode.protocolError), (4, 0x8000_0000, .flowControlError), (5, 16_383, .protocolError), (5, 1 << 24, .protocolError),
        (8, 2, .protocolError),
    ] as [(UInt16, UInt32, HTTP2ErrorCode)])
    func outOfRange(identifier: UInt16, value: UInt32, code: HTTP2ErrorCode) {
        #expect(Self.apply([(identifier, value)]).1 == HTTP2Fault(code))
    }

    @Test("§6.5.2: the values at the ends of the ranges are taken")
    func ends() {
        #expect(Self.apply([(2, 0), (2, 1), (4, 0), (5, 16_384), (5, (1 << 24) - 1), (8, 0), (1, .max), (3, 0)]).1 == nil)
    }

    @Test("§6.5.2: a server must not enable push; RFC 8441 §3: extended CONNECT is not taken back")
    func byRole() {
        #expect(Self.apply([(2, 1)], isServer: true).1 == HTTP2Fault(.protocolError))
        #expect(Self.apply([(2, 0)], isServer: true).1 == nil)
        #expect(Self.apply([(8, 1), (8, 0)]).1 == HTTP2Fault(.protocolError))
    }
}
