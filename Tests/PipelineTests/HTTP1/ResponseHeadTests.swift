import Pipeline
import Testing
import WeftTesting

@Suite("Responses")
struct ResponseHeadTests {
    @Test("Responses are framed as RFC 9112 §6.3 says", arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", .get, 200, "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", .get, 200, "hello"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", .get, 200, "hello"),
        ("HTTP/1.0 200 OK\r\n\r\nhello", .get, 200, "hello"),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", .get, 200, ""),
        ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", .get, 200, ""),
        ("HTTP/1.1 404 Nicht da \u{e4}\t!\r\nContent-Length: 0\r\n\r\n", .get, 404, ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", .head, 200, ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .head, 200, ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", .get, 204, ""),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", .get, 204, ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", .get, 304, ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", .get, 200, "a"),
    ] as [(String, Pipeline.Method, Int, String)])
    func framing(text: String, method: Pipeline.Method, status: Int, body: String) {
        let stream = readResponse(text, to: method)
        #expect(stream.end == .clean)
        #expect(stream.messages.count == 1)
        #expect(stream.messages.first?.status == status)
        #expect(stream.messages.first?.text == body)
    }

    @Test("Interim responses are told apart from the final one")
    func interim() {
        let stream = readResponse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(stream.messages.first?.interim == [100, 103])
    }

    @Test("Responses with two readings are refused", arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndCoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", .repeatedLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .repeatedLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", .malformedLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", .malformedLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedCoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", .unknownCoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInHTTP10),
        ("HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n", .disguisedFraming),
        ("HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n", .protectedConnectionOption),
        ("HTTP/1.1 2000 OK\r\n\r\n", .malformedStatusLine), ("HTTP/1.1 20 OK\r\n\r\n", .malformedStatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", .malformedStatusLine), ("HTTP/1.1 600 OK\r\n\r\n", .malformedStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", .malformedStatusLine), ("HTTP/1.1\t200 OK\r\n\r\n", .malformedStatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", .malformedStatusLine), ("HTTP/1.1 +20 OK\r\n\r\n", .malformedStatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", .malformedStatusLine), ("http/1.1 200 OK\r\n\r\n", .malformedStatusLine), ("ICY 200 OK\r\n\r\n", .malformedStatusLine),
        ("<html>", .malformedStatusLine), ("HTTP/1.1 200 O\u{0}K\r\n\r\n", .malformedStatusLine), ("HTTP/1.1 200 OK\n\n", .bareLineFeed),
        ("HTTP/1.1 200\n", .bareLineFeed), ("HTTP/1.1 200 OK\rX", .bareCarriageReturn),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", .lineFold), ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", .spaceInName), ("HTTP/1.1 200 OK\r\nX\r\n\r\n", .missingColon),
        ("HTTP/1.1 200 OK\r\nX: a\u{0}\r\n\r\n", .controlByte), ("HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n", .bareLineFeed),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", .bodyNotAllowed), ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", .bodyNotAllowed),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", .bodyNotAllowed), ("HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", .bodyNotAllowed),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", .unaskedSwitch),
        (String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 1_000), .tooManyInterimResponses),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", .malformedChunk),
    ] as [(String, HTTP1Fault)])
    func refused(text: String, fault: HTTP1Fault) {
        #expect(readResponse(text).end == .rejected(fault))
    }

    @Test("A response that stops short is cut, unless it says that it ends with the connection", arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", .incomplete), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", .incomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", .incomplete), ("HTTP/1.1 200 OK\r\nContent", .incomplete),
        ("HTTP/1.1 100 Continue\r\n\r\n", .incomplete), ("HTTP/1.1 200 OK\r\n\r\nhell", .clean),
    ] as [(String, StreamEnd)])
    func truncated(text: String, end: StreamEnd) {
        #expect(readResponse(text).end == end)
    }

    @Test("The content-length of a response without a body travels on, that of one with a body is written anew")
    func keptLength() {
        func dropsLength(_ text: String, isToHead: Bool) -> Bool {
            let storage = HeadStorage()
            var head = storage.responseHead()
            return Array(text.utf8).withUnsafeBytes { buffer in
                var parser = ResponseHeadParser()
                let step = parser.parse(Bytes(buffer), isToHead: isToHead, into: &head)
                #expect(step == .complete(byteCount: buffer.count))
                return head.dropped.contains(0)
            }
        }
        #expect(dropsLength("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", isToHead: false))
        #expect(!dropsLength("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", isToHead: true))
        #expect(!dropsLength("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", isToHead: false))
        #expect(dropsLength("HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n", isToHead: false))
    }
}
