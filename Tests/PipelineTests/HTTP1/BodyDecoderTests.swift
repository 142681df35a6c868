import Pipeline
import Testing
import WeftTesting

@Suite("Request bodies")
struct BodyDecoderTests {
    private func chunked(_ body: String) -> ParsedStream {
        readRequests("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    }

    @Test("A body of a length ends there, and the next request begins")
    func length() {
        let stream = readRequests(
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        #expect(stream.messages.map(\.text) == ["hello", ""])
        #expect(stream.messages.map(\.path) == ["/", "/2"])
        #expect(stream.end == .clean)
    }

    @Test("Chunks are joined, extensions and unlisted trailers fall away", arguments: [
        ("5\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", "abc", []),
        ("0\r\n\r\n", "", []),
        ("A;x=y;\"q\r", "", nil),
        ("5;name=\"v;1\"\r\nhello\r\n0;end\r\n\r\n", "hello", []),
        ("5; x ;y\r\nhello\r\n0;a = \"b\" ; c\r\n\r\n", "hello", []),
        ("0\r\nGrpc-Status: 0\r\nX-Other: 1\r\nServer-Timing:  a \r\n\r\n", "", ["grpc-status=0", "server-timing=a"]),
        ("0\r\nX-Forwarded-For: 1\r\nAuthorization: x\r\nConnection: close\r\n\r\n", "", []),
    ] as [(String, String, [String]?)])
    func chunks(body: String, text: String, trailers: [String]?) {
        let stream = chunked(body)
        guard let trailers else {
            #expect(stream.messages.isEmpty)
            return
        }
        #expect(stream.end == .clean)
        #expect(stream.messages.first?.text == text)
        #expect(stream.messages.first?.trailers.map { "\($0.name)=\($0.value)" } == trailers)
    }

    @Test("Chunks with two readings are refused", arguments: [
        ("+5\r\nhello", .malformedChunkSize), ("-5\r\n", .malformedChunkSize), ("0x5\r\n", .malformedChunkSize), ("5_0\r\n", .malformedChunkSize),
        (" 5\r\n", .malformedChunkSize), ("5 \r\n", .malformedChunkSize), ("\t5\r\n", .malformedChunkSize), ("5 ;x\r\n", .malformedChunkSize),
        ("\r\n", .malformedChunkSize), (";x\r\n", .malformedChunkSize), ("g\r\n", .malformedChunkSize), ("5\u{e9}", .malformedChunkSize),
        ("8000000000000000\r\n", .malformedChunkSize), ("FFFFFFFFFFFFFFFF\r\n", .malformedChunkSize), ("10000000000000000\r\n", .malformedChunkSize),
        ("00000000000000005\r\n", .malformedChunkSize), ("5\nhello", .bareLineFeed), ("\n", .bareLineFeed), ("5\rh", .bareCarriageReturn),
        ("5;a \r\n", .malformedExtension), ("5;a=b\t\r\n", .malformedExtension), ("5;a=\"b\" \r\n", .malformedExtension), ("5;a=\r\n", .malformedExtension),
        ("5;a\nhello", .bareLineFeed), ("5;a\rb", .bareCarriageReturn), ("5;a\u{0}b", .controlByte), ("5;\u{7f}", .controlByte),
        ("5\r\nhelloX", .malformedChunk), ("5\r\nhello\n", .malformedChunk), ("5\r\nhello\rX", .malformedChunk), ("5\r\nhello0\r\n\r\n", .malformedChunk),
        ("0\r\nXX", nil), ("0\r\nXX\r\n", .missingColon), ("0\r\n\n", .bareLineFeed), ("0\r\n\rX", .bareCarriageReturn),
        ("0\r\nX : 1\r\n\r\n", .spaceInName), ("0\r\nX: 1\r\n y\r\n", .lineFold), ("0\r\nX: \u{0}\r\n", .controlByte),
        ("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer), ("0\r\ntransfer-encoding: chunked\r\n\r\n", .forbiddenTrailer),
        ("0\r\nHost: b.test\r\n\r\n", .forbiddenTrailer), ("0\r\nContent_Length: 5\r\n\r\n", .forbiddenTrailer),
    ] as [(String, HTTP1Fault?)])
    func refused(body: String, fault: HTTP1Fault?) {
        #expect(chunked(body).end == fault.map { .rejected($0) } ?? .incomplete)
    }

    @Test("Extensions, trailers and zeros are bounded over the message")
    func bounds() {
        func end(_ body: String) -> StreamEnd {
            let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            return HTTP1.requests(Array((head + body).utf8), reads: [97]).end
        }
        let chunk = "1;" + String(repeating: "x", count: 63) + "\r\na\r\n"
        let count = HTTP1Limits.extensionBytesMax / 63
        #expect(end(String(repeating: chunk, count: count) + "0\r\n\r\n") == .clean)
        #expect(end(String(repeating: chunk, count: count + 2) + "0\r\n\r\n") == .rejected(.extensionsTooLarge))
        #expect(end(String(repeating: "0", count: 20_000)) == .rejected(.malformedChunkSize))

        let line = "x: 1\r\n"
        #expect(end("0\r\n" + String(repeating: line, count: HTTP1Limits.trailersMax) + "\r\n") == .clean)
        #expect(end("0\r\n" + String(repeating: line, count: HTTP1Limits.trailersMax + 1) + "\r\n") == .rejected(.trailersTooLarge))
        #expect(end("0\r\nx: " + String(repeating: "y", count: HTTP1Limits.trailersBytesMax)) == .rejected(.trailersTooLarge))
    }

    @Test("A body that stops short is incomplete, whatever its framing", arguments: ["5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "0\r\nx: 1\r\n"])
    func truncated(body: String) {
        #expect(chunked(body).end == .incomplete)
    }

    @Test("Only a body without framing ends properly with its connection")
    func end() {
        func endsProperly(_ framing: BodyFraming) -> Bool {
            var decoder = BodyDecoder(framing)
            return decoder.end()
        }
        #expect(endsProperly(.untilClose))
        #expect(endsProperly(.none))
        #expect(endsProperly(.length(0)))
        #expect(!endsProperly(.length(1)))
        #expect(!endsProperly(.chunked))
    }
}
