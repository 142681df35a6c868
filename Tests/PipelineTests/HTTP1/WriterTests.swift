import Pipeline
import Testing
import WeftTesting

/// What `write` put into `room` bytes; nil if it did not fit.
private func written(room: Int = 4096, _ write: (UnsafeMutableRawBufferPointer) -> Int?) -> String? {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
    defer { memory.deallocate() }
    return write(memory).map { String(decoding: memory[..<$0], as: UTF8.self) }
}

/// Parses a request and hands its head on while its bytes live.
private func withHead<R>(_ text: String, _ body: (RequestHead) -> R) -> R {
    let storage = HeadStorage()
    var head = storage.requestHead()
    return Array(text.utf8).withUnsafeBytes { buffer in
        var parser = RequestHeadParser()
        let step = parser.parse(Bytes(buffer), scratch: storage.scratch, into: &head)
        #expect(step == .complete(byteCount: buffer.count))
        return body(head)
    }
}

@Suite("Writers")
struct WriterTests {
    private let received =
        "GET /a/../b?q HTTP/1.1\r\nAccept:  */*  \r\nConnection: x-hop\r\nHost: a.test\r\nX-Hop: 1\r\nA: 1\r\nB: 2\r\nContent-Length: 3\r\nC:\t3 \r\n\r\n"
    private let sent =
        "GET /b?q HTTP/1.1\r\nhost: a.test\r\nAccept:  */*  \r\nA: 1\r\nB: 2\r\nC:\t3 \r\nx-added: yes\r\ncontent-length: 3\r\n\r\n"

    private func forward(_ head: RequestHead, _ memory: UnsafeMutableRawBufferPointer) -> HeadWriter {
        var writer = HeadWriter(into: memory)
        writer.requestLine(head)
        writer.copyFields(head.headers, skipping: head.dropped)
        writer.field("x-added", Bytes("yes"))
        return writer
    }

    @Test("A request travels on without what ends at this hop, its framing written anew")
    func forwards() {
        withHead(received) { head in
            let text = written { memory in
                var writer = forward(head, memory)
                return writer.finish(head.framing)
            }
            #expect(text == sent)
        }
    }

    @Test("A length of zero is passed on: some servers answer 411 without one")
    func lengthZero() {
        withHead("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n") { head in
            #expect(head.framing == .length(0) && head.framing.isEmpty)
            let text = written { memory in
                var writer = HeadWriter(into: memory)
                writer.requestLine(head)
                writer.copyFields(head.headers, skipping: head.dropped)
                return writer.finish(head.framing)
            }
            #expect(text == "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n")
        }
    }

    @Test("A head that does not fit is not cut: the writer says how much room it takes")
    func room() {
        withHead(received) { head in
            for room in 0..<sent.utf8.count {
                let text = written(room: room) { memory in
                    var writer = forward(head, memory)
                    let count = writer.finish(head.framing)
                    #expect(writer.needed == sent.utf8.count)
                    return count
                }
                #expect(text == nil)
            }
            let text = written(room: sent.utf8.count) { memory in
                var writer = forward(head, memory)
                return writer.finish(head.framing)
            }
            #expect(text == sent)
        }
    }

    @Test("Lines that are not in wire order are written one by one")
    func otherTables() {
        withHead("GET / HTTP/1.1\r\nHost: a.test\r\nX:   1  \r\nY: 2\r\n\r\n") { head in
            var table = head.headers
            table.isWireFormat = false
            let text = written { memory in
                var writer = HeadWriter(into: memory)
                writer.copyFields(table, skipping: head.dropped)
                return writer.finish(.none)
            }
            #expect(text == "X: 1\r\nY: 2\r\n\r\n")
        }
    }

    @Test("A value that would end its line is left out and counted")
    func injection() {
        for value in ["a\r\nX: y", "a\n", "\u{0}", "a\u{7f}"] {
            let text = written { memory in
                var writer = HeadWriter(into: memory)
                let isWritten = Array(value.utf8).withUnsafeBytes { writer.field("x-a", Bytes($0)) }
                #expect(!isWritten)
                #expect(writer.refusedFields == 1)
                return writer.finish(.none)
            }
            #expect(text == "\r\n")
        }
    }

    @Test("Framing and connection are said once", arguments: [
        (.none, .none, "\r\n"), (.untilClose, .close, "connection: close\r\n\r\n"), (.chunked, .none, "transfer-encoding: chunked\r\n\r\n"),
        (.length(0), .keepAlive, "content-length: 0\r\nconnection: keep-alive\r\n\r\n"),
        (.length(.max), .none, "content-length: 9223372036854775807\r\n\r\n"),
    ] as [(BodyFraming, ConnectionOption, String)])
    func finish(framing: BodyFraming, connection: ConnectionOption, text: String) {
        let line = written { memory in
            var writer = HeadWriter(into: memory)
            return writer.finish(framing, connection: connection)
        }
        #expect(line == text)
    }

    @Test("A chunk's size line is short and exact", arguments: [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xABC, "abc\r\n"), (Int.max, "7fffffffffffffff\r\n")])
    func chunkHead(count: Int, text: String) {
        #expect(written { ChunkWriter.head(of: count, into: $0) } == text)
        #expect(written(room: text.utf8.count - 1) { ChunkWriter.head(of: count, into: $0) } == nil)
        #expect(text.utf8.count <= ChunkWriter.headBytesMax)
    }

    @Test("Trailers stand between the last chunk and the empty line")
    func chunkEnd() {
        #expect(written { ChunkWriter.end(trailers: Bytes("grpc-status: 0\r\n"), into: $0) } == "0\r\ngrpc-status: 0\r\n\r\n")
        #expect(written { ChunkWriter.end(trailers: .empty, into: $0) } == "0\r\n\r\n")
    }

    @Test("A reply of our own is complete: length, type, date, extra lines, body")
    func reply() {
        let plan = ServerMachine.ResponsePlan(framing: .length(3), omitsBody: false, connection: .close)
        let text =
            "HTTP/1.1 403 Forbidden\r\ndate: now\r\ncontent-type: text/plain; charset=utf-8\r\nx-weft-reason: RBAC\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n"
        func write(_ memory: UnsafeMutableRawBufferPointer) -> Int? {
            ReplyWriter.write(
                403, body: Bytes("no\n"), plan: plan, date: Bytes("date: now\r\n"), extra: Bytes("x-weft-reason: RBAC\r\n"), into: memory)
        }
        #expect(written { write($0) } == text)
        #expect(written(room: text.utf8.count) { write($0) } == text)
        #expect(written(room: text.utf8.count - 1) { write($0) } == nil)
    }

    @Test("A reply to HEAD keeps the length and leaves the body out; 204 has neither")
    func bodilessReply() {
        let toHead = ServerMachine.ResponsePlan(framing: .none, omitsBody: true, connection: .none)
        #expect(written { ReplyWriter.write(404, body: Bytes("no\n"), plan: toHead, into: $0) }
            == "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\n")
        #expect(written { ReplyWriter.write(204, body: .empty, plan: toHead, into: $0) } == "HTTP/1.1 204 No Content\r\n\r\n")
    }

    @Test("Every fault has a reason and a status that is an error", arguments: HTTP1Fault.allCases)
    func faults(fault: HTTP1Fault) {
        #expect(fault.status >= 400 && fault.status < 600)
        #expect(!ReasonPhrase.of(fault.status).description.isEmpty)
        #expect(!fault.reason.description.isEmpty)
    }
}
