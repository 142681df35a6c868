import Pipeline
import Testing

@testable import Pipeline

@Suite("gRPC: statuses and deadlines")
struct GRPCTests {
    private func timeout(_ text: String) -> Int64? { Array(text.utf8).withUnsafeBytes { GRPCTimeout.read(Bytes($0))?.count } }

    private func written(_ time: Nanoseconds) -> String {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { room in
            var writer = HeadWriter(into: room)
            GRPCTimeout.write(time, to: &writer)
            return String(decoding: room[..<writer.needed], as: UTF8.self)
        }
    }

    @Test("grpc-timeout: a number of at most eight digits and a unit; anything else is none")
    func reading() {
        #expect(timeout("100m") == 100_000_000)
        #expect(timeout("1S") == 1_000_000_000)
        #expect(timeout("2M") == 120_000_000_000)
        #expect(timeout("3H") == 10_800_000_000_000)
        #expect(timeout("7u") == 7_000)
        #expect(timeout("9n") == 9)
        #expect(timeout("99999999H") == .max)
        for bad in ["", "5", "m", "1s", "123456789S", "-1S", "1 S", "1.5S", "S1"] { #expect(timeout(bad) == nil, "\(bad)") }
    }

    @Test("What is left is written in the finest unit that has the digits, and never more than there is")
    func writing() {
        #expect(written(.milliseconds(20)) == "grpc-timeout: 20000000n\r\n")
        #expect(written(.seconds(1)) == "grpc-timeout: 1000000u\r\n")
        #expect(written(.seconds(3_600)) == "grpc-timeout: 3600000m\r\n")
        #expect(written(.seconds(864_000)) == "grpc-timeout: 864000S\r\n")
        #expect(written(Nanoseconds(-5)) == "grpc-timeout: 0n\r\n")
        #expect(written(Nanoseconds(.max)) == "grpc-timeout: 2562047H\r\n" || written(Nanoseconds(.max)) == "grpc-timeout: 153722867M\r\n")
        for time in [Nanoseconds(1), .microseconds(99), .milliseconds(123_456), .seconds(77_777), .seconds(99_999_999)] {
            let text = written(time)
            let value = String(text.dropFirst("grpc-timeout: ".count).dropLast())
            #expect(value.count <= GRPCTimeout.bytesMax)
            #expect((timeout(value) ?? .max) <= time.count)
        }
    }

    @Test("A sidecar's own answers have a status of gRPC's each")
    func replies() {
        let table: [(UInt16, GRPCStatus)] = [
            (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented), (408, .deadlineExceeded), (429, .resourceExhausted),
            (431, .resourceExhausted), (500, .internal), (502, .unavailable), (503, .unavailable), (504, .deadlineExceeded), (418, .unknown),
        ]
        for (status, grpc) in table { #expect(GRPCStatus(ofReply: status) == grpc, "\(status)") }
    }

    @Test("grpc-status is a number from 0 to 16; another one is unknown, and no number is none")
    func statuses() {
        func read(_ text: String) -> GRPCStatus? { Array(text.utf8).withUnsafeBytes { GRPCStatus(Bytes($0)) } }
        for number in 0...16 { #expect(read("\(number)")?.rawValue == UInt8(number)) }
        #expect(read("17") == .unknown && read("99") == .unknown)
        for bad in ["", "x", "-1", "100", "1 "] { #expect(read(bad) == nil, "\(bad)") }
        #expect(GRPCStatus.names.count == 17 && GRPCStatus(name: "UNAVAILABLE") == .unavailable && GRPCStatus(name: "x") == nil)
    }

    @Test("Calls are counted under one number, which says what both HTTP and gRPC say")
    func codes() {
        #expect(CallCode.of(.ok) == 1_000 && CallCode.grpc(1_014) == .unavailable && CallCode.grpc(200) == nil && CallCode.grpc(1_017) == nil)
        #expect(CallCode.http(1_007) == 200 && CallCode.http(503) == 503)
        #expect(CallCode.text(1_007) == "PERMISSION_DENIED" && CallCode.text(404) == "404")
        #expect([CallCode.folded(1_000), CallCode.folded(1_005), CallCode.folded(1_013), CallCode.folded(404), CallCode.folded(0)] == [1_000, 1_002, 1_014, 400, 0])
        #expect(CallCode.isValid(599) && CallCode.isValid(1_016) && !CallCode.isValid(600) && !CallCode.isValid(1_017))
    }
}
