import Pipeline
import Testing
import WeftTesting

/// An upstream connection: receives text, sees events.
private final class Upstream {
    var machine = ClientMachine()
    let storage = HeadStorage()
    var head: ResponseHead

    init(_ method: Pipeline.Method = .get, asksUpgrade: Bool = false, sendsAll: Bool = true) {
        head = storage.responseHead()
        machine.begin(method, asksUpgrade: asksUpgrade)
        machine.wrote(100)
        if sendsAll { machine.requestDidEnd() }
    }

    func answer(_ text: String) -> ClientEvent {
        Array(text.utf8).withUnsafeBytes { machine.receive(Bytes($0), into: &head) }
    }

    func answerHead(_ text: String) { #expect(answer(text) == .head(byteCount: text.utf8.count)) }
}

@Suite("Client machine")
struct ClientMachineTests {
    @Test("A connection is reusable when request and response are complete and nothing follows")
    func reuse() {
        let upstream = Upstream()
        upstream.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        #expect(upstream.answer("ok") == .bodyData(offset: 0, count: 2))
        #expect(upstream.answer("") == .bodyEnd(consumed: 0, isReusable: true))
        #expect(upstream.machine.isIdle)
        upstream.machine.begin(.get)
        #expect(upstream.machine.isUnsent && upstream.machine.isUnanswered)
    }

    @Test("A connection is not reused when its response, or the request, leaves a doubt", arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "", true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", "x", true),
    ])
    func noReuse(head: String, rest: String, sendsAll: Bool) {
        let upstream = Upstream(sendsAll: sendsAll)
        upstream.answerHead(head)
        #expect(upstream.answer(rest) == .bodyEnd(consumed: 0, isReusable: false))
        #expect(!upstream.machine.isIdle)
    }

    @Test("The end of a body of known length can be taken with its last piece, and only then")
    func endWithLastPiece() {
        let upstream = Upstream()
        upstream.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        #expect(upstream.answer("ok") == .bodyData(offset: 0, count: 2))
        #expect(upstream.machine.takeEnd(unread: 0) == nil)
        #expect(upstream.answer("ok") == .bodyData(offset: 0, count: 2))
        #expect(upstream.machine.takeEnd(unread: 0) == true)
        #expect(upstream.machine.isIdle && upstream.machine.takeEnd(unread: 0) == nil)

        let followed = Upstream()
        followed.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        #expect(followed.answer("okHTTP/1.1 200 OK\r\n") == .bodyData(offset: 0, count: 2))
        #expect(followed.machine.takeEnd(unread: 17) == false)

        let chunked = Upstream()
        chunked.answerHead("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(chunked.answer("2\r\nok\r\n0\r\n\r\n") == .bodyData(offset: 3, count: 2))
        #expect(chunked.machine.takeEnd(unread: 7) == nil)
    }

    @Test("Bytes on an idle connection break it: they would answer the next request")
    func idleBytes() {
        let upstream = Upstream()
        upstream.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(upstream.answer("") == .bodyEnd(consumed: 0, isReusable: true))
        #expect(upstream.answer("HTTP/1.1 200 OK\r\n\r\n") == .reject(.unexpectedBytes))
    }

    @Test("An answer that was there before a byte of the question is nobody's")
    func early() {
        let storage = HeadStorage()
        var head = storage.responseHead()
        var machine = ClientMachine()
        machine.begin(.get)
        let event = Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8).withUnsafeBytes { machine.receive(Bytes($0), into: &head) }
        #expect(event == .reject(.unexpectedBytes))
        #expect(machine.isUnsent)
    }

    @Test("Interim responses are passed on up to a limit")
    func interim() {
        let upstream = Upstream()
        let text = "HTTP/1.1 103 Early Hints\r\n\r\n"
        for _ in 0..<HTTP1Limits.interimResponsesMax { #expect(upstream.answer(text) == .interim(byteCount: text.utf8.count)) }
        #expect(upstream.answer(text) == .reject(.tooManyInterimResponses))
    }

    @Test("A response to HEAD has no body, whatever it announces")
    func head() {
        let upstream = Upstream(.head)
        upstream.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        #expect(upstream.answer("") == .bodyEnd(consumed: 0, isReusable: true))
    }

    @Test("The upstream's end means something else in each state")
    func ends() {
        let silent = Upstream()
        #expect(silent.machine.receivedEnd() == .unanswered)
        #expect(!silent.machine.isUnsent)

        let cut = Upstream()
        #expect(cut.answer("HTTP/1.1") == .needMore(consumed: 0))
        #expect(!cut.machine.isUnanswered)
        #expect(cut.machine.receivedEnd() == .truncated)

        let short = Upstream()
        short.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        #expect(short.machine.receivedEnd() == .truncated)

        let open = Upstream()
        open.answerHead("HTTP/1.1 200 OK\r\n\r\n")
        #expect(open.answer("all") == .bodyData(offset: 0, count: 3))
        #expect(open.machine.receivedEnd() == .bodyEnd)

        let reset = Upstream()
        reset.answerHead("HTTP/1.1 200 OK\r\n\r\n")
        #expect(reset.machine.receivedEnd(isReset: true) == .truncated)

        // All of it had come before the reset.
        let late = Upstream()
        late.answerHead("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        #expect(late.answer("ok") == .bodyData(offset: 0, count: 2))
        #expect(late.machine.receivedEnd(isReset: true) == .bodyEnd)

        var idle = ClientMachine()
        let idleEnd = idle.receivedEnd()
        #expect(idleEnd == .idle)
    }

    @Test("A request is unsent until the operating system took a byte")
    func unsent() {
        var machine = ClientMachine()
        machine.begin(.post)
        #expect(machine.isUnsent)
        machine.wrote(1)
        #expect(!machine.isUnsent)
    }
}
