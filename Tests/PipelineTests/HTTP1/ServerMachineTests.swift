import Pipeline
import Testing
import WeftTesting

/// A downstream connection: sends text, sees events.
private final class Caller {
    var machine = ServerMachine()
    let storage = HeadStorage()
    var head: RequestHead

    init() { head = storage.requestHead() }

    func send(_ text: String) -> ServerEvent {
        // Views in `head` die with this array; these tests look at none.
        Array(text.utf8).withUnsafeBytes { machine.receive(Bytes($0), scratch: storage.scratch, into: &head) }
    }

    func wantsBody() -> Bool { machine.wantsBody() }
    func mayForwardInterim(status: UInt16) -> Bool { machine.mayForwardInterim(status: status) }

    /// Sends a whole request without a body and checks that it is taken.
    func get(_ lines: String = "", version: String = "1.1") {
        let text = "GET / HTTP/\(version)\r\nHost: a.test\r\n\(lines)\r\n"
        #expect(send(text) == .head(byteCount: text.utf8.count))
        #expect(send("") == .bodyEnd(consumed: 0))
    }

    /// Sends the head of a request with a body.
    func post(_ lines: String, version: String = "1.1") {
        let text = "POST / HTTP/\(version)\r\nHost: a.test\r\n\(lines)\r\n"
        #expect(send(text) == .head(byteCount: text.utf8.count))
    }
}

@Suite("Server machine")
struct ServerMachineTests {
    @Test("A connection serves one request after the other")
    func keepsAlive() {
        let caller = Caller()
        for _ in 0..<50 {
            #expect(caller.machine.awaits == .request)
            caller.get()
            #expect(caller.machine.awaits == .nothing)
            #expect(caller.machine.sendsHead(status: 200, framing: .length(3)) == .init(framing: .length(3), omitsBody: false, connection: .none))
            #expect(caller.machine.responseEnded() == .nextRequest)
        }
        #expect(caller.machine.receivedEnd() == .close)
    }

    @Test("A pipelined request waits until the response before it has ended")
    func pipelining() {
        let caller = Caller()
        caller.get()
        #expect(caller.send("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n") == .paused)
        _ = caller.machine.sendsHead(status: 200, framing: .length(0))
        #expect(caller.send("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n") == .paused)
        #expect(caller.machine.responseEnded() == .nextRequest)
        caller.get()
    }

    @Test("What follows a request that closes is never parsed")
    func pipeliningAfterClose() {
        let caller = Caller()
        caller.get("Connection: close\r\n")
        #expect(caller.send("GARBAGE\n") == .paused)
        #expect(caller.machine.sendsHead(status: 200, framing: .chunked) == .init(framing: .chunked, omitsBody: false, connection: .close))
        #expect(caller.machine.responseEnded() == .close)
        #expect(caller.send("GET / HTTP/1.1\r\n") == .close)
    }

    @Test("HTTP/1.0 gets no chunks: an unknown length ends with the connection, a known one may keep it")
    func http10() {
        let caller = Caller()
        caller.get(version: "1.0")
        #expect(caller.machine.sendsHead(status: 200, framing: .chunked) == .init(framing: .untilClose, omitsBody: false, connection: .close))
        #expect(caller.machine.responseEnded() == .close)

        let patient = Caller()
        patient.get("Connection: keep-alive\r\n", version: "1.0")
        #expect(patient.machine.sendsHead(status: 200, framing: .length(1)) == .init(framing: .length(1), omitsBody: false, connection: .keepAlive))
        #expect(patient.machine.responseEnded() == .nextRequest)
        patient.get("Connection: keep-alive\r\n", version: "1.0")
        #expect(patient.machine.sendsHead(status: 200, framing: .untilClose).connection == .close)
    }

    @Test("A response without a body is framed by its status or by HEAD", arguments: [204, 304] as [UInt16])
    func bodiless(status: UInt16) {
        let caller = Caller()
        caller.get()
        #expect(caller.machine.sendsHead(status: status, framing: .none) == .init(framing: .none, omitsBody: true, connection: .none))

        let header = Caller()
        let text = "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n"
        #expect(header.send(text) == .head(byteCount: text.utf8.count))
        #expect(header.machine.sendsHead(status: 200, framing: .none).omitsBody)
        #expect(header.machine.responseEnded() == .nextRequest)
        #expect(header.machine.awaits == .request)
    }

    @Test("A body that ends with the upstream's connection reaches the caller in chunks")
    func untilClose() {
        let caller = Caller()
        caller.get()
        #expect(caller.machine.sendsHead(status: 200, framing: .untilClose).framing == .chunked)
    }

    @Test("100 Continue goes out once, and only to a caller that still holds its body back")
    func continues() {
        let caller = Caller()
        caller.post("Expect: 100-continue\r\nContent-Length: 5\r\n")
        #expect(caller.send("") == .needMore(consumed: 0))
        #expect(caller.wantsBody())
        #expect(!caller.wantsBody())
        #expect(!caller.mayForwardInterim(status: 100), "the upstream's own 100 would be a second one")
        #expect(caller.mayForwardInterim(status: 103))
        #expect(caller.send("hello") == .bodyData(offset: 0, count: 5))
        #expect(caller.send("") == .bodyEnd(consumed: 0))
        #expect(caller.machine.sendsHead(status: 200, framing: .length(0)).connection == .none)
        #expect(!caller.mayForwardInterim(status: 103), "never behind the final head")

        let eager = Caller()
        eager.post("Expect: 100-continue\r\nContent-Length: 5\r\n")
        #expect(eager.send("hel") == .bodyData(offset: 0, count: 3))
        #expect(!eager.wantsBody())

        let empty = Caller()
        empty.get("Expect: 100-continue\r\n")
        #expect(!empty.wantsBody())

        let old = Caller()
        old.post("Expect: 100-continue\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", version: "1.0")
        #expect(!old.wantsBody())
        #expect(!old.mayForwardInterim(status: 103))
    }

    @Test("A final answer instead of 100 Continue closes: the body may come or not (0.CL)")
    func refusedExpectation() {
        let caller = Caller()
        caller.post("Expect: 100-continue\r\nContent-Length: 5\r\n")
        #expect(caller.machine.sendsHead(status: 403, framing: .length(0)).connection == .close)
        #expect(caller.machine.responseEnded() == .close)
    }

    @Test("The rest of a short body is dropped to keep the connection, a long one closes it")
    func unreadBody() {
        let caller = Caller()
        caller.post("Content-Length: 10\r\n")
        #expect(caller.machine.sendsHead(status: 403, framing: .length(0)).connection == .none)
        #expect(caller.machine.responseEnded() == .drain)
        #expect(caller.machine.awaits == .body)
        #expect(caller.send("01234") == .needMore(consumed: 5))
        #expect(caller.send("56789GET /") == .bodyEnd(consumed: 5))
        caller.get()

        let long = Caller()
        long.post("Content-Length: \(HTTP1Limits.drainBytesMax + 1)\r\n")
        #expect(long.machine.sendsHead(status: 403, framing: .length(0)).connection == .close)

        let endless = Caller()
        endless.post("Transfer-Encoding: chunked\r\n")
        #expect(endless.machine.sendsHead(status: 403, framing: .length(0)).connection == .none)
        #expect(endless.machine.responseEnded() == .drain)
        let chunk = "1000\r\n" + String(repeating: "x", count: 0x1000) + "\r\n"
        for _ in 0..<(HTTP1Limits.drainBytesMax / 0x1000) { #expect(endless.send(chunk) == .needMore(consumed: chunk.utf8.count)) }
        #expect(endless.send(chunk) == .close)

        let broken = Caller()
        broken.post("Transfer-Encoding: chunked\r\n")
        _ = broken.machine.sendsHead(status: 403, framing: .length(0))
        _ = broken.machine.responseEnded()
        #expect(broken.send("nonsense") == .close)
    }

    @Test("A refused message is answered once and ends the connection")
    func refused() {
        let caller = Caller()
        #expect(caller.send("GET / HTTP/1.1\n") == .reject(.bareLineFeed))
        #expect(caller.machine.canAnswer)
        #expect(caller.machine.sendsHead(status: 400, framing: .length(1)).connection == .close)
        #expect(!caller.machine.canAnswer)
        #expect(caller.machine.responseEnded() == .close)

        let body = Caller()
        body.post("Transfer-Encoding: chunked\r\n")
        _ = body.machine.sendsHead(status: 200, framing: .chunked)
        #expect(body.send("x") == .reject(.malformedChunkSize))
        #expect(!body.machine.canAnswer, "the response is under way: only closing is left")
    }

    @Test("The peer's end means something else in each state")
    func halfClose() {
        let idle = Caller()
        #expect(idle.machine.receivedEnd() == .close)

        let inHead = Caller()
        #expect(inHead.send("GET /") == .needMore(consumed: 0))
        #expect(inHead.machine.awaits == .restOfHead)
        #expect(inHead.machine.receivedEnd() == .truncated)

        let inBody = Caller()
        inBody.post("Content-Length: 5\r\n")
        #expect(inBody.send("hel") == .bodyData(offset: 0, count: 3))
        #expect(inBody.machine.receivedEnd() == .truncated)

        // The end may come with the last bytes, before anybody asked whether the body is over.
        let hasty = Caller()
        hasty.post("Content-Length: 2\r\n")
        #expect(hasty.send("ok") == .bodyData(offset: 0, count: 2))
        #expect(hasty.machine.awaits == .nothing)
        #expect(hasty.machine.receivedEnd() == .finishResponse)
        #expect(hasty.send("") == .bodyEnd(consumed: 0))

        let waiting = Caller()
        waiting.get()
        #expect(waiting.machine.receivedEnd() == .finishResponse)
        #expect(waiting.machine.sendsHead(status: 200, framing: .length(0)).connection == .close)
        #expect(waiting.machine.responseEnded() == .close)
    }

    @Test("A connection told to close soon says so in its next response")
    func closesSoon() {
        let caller = Caller()
        caller.machine.closeSoon()
        caller.get()
        #expect(caller.machine.sendsHead(status: 200, framing: .length(0)).connection == .close)
        #expect(caller.machine.responseEnded() == .close)
    }
}
