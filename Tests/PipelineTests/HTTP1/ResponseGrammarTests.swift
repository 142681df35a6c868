import Pipeline
import Testing
import WeftTesting

/// Responses against the grammar, as ``GrammarTests`` does with requests.
@Suite("HTTP/1 responses by their grammar")
struct ResponseGrammarTests {
    private static let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
        "HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\nConnection: a\r\n\r\n3;q=\"a\"\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        "HTTP/1.0 500 Oh \t no\r\nConnection: close\r\n\r\nuntil the end",
        "HTTP/1.1 304\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
    ]
    private static let bytes: [UInt8] = Array(0...32) + [127, 128, 160, 255] + Array("\"%(,-./0123456789:;<=@AHPX[\\]_afgxz~".utf8)

    private func compare(_ bytes: [UInt8], _ why: @autoclosure () -> String, reads: [Int] = []) {
        for method in [Pipeline.Method.get, .head] {
            let expected = Grammar.response(bytes, toHead: method == .head)
            let stream = HTTP1.responses(bytes, to: [method], reads: reads)
            let agrees: Bool
            switch (expected.end, stream.end) {
            case (.clean, _): agrees = stream.messages.count == 1 && stream.messages[0].status == expected.answer?.status && stream.messages[0].body == expected.answer?.body
            case (.incomplete, .incomplete), (.incomplete, .rejected), (.invalid, .rejected): agrees = stream.messages.isEmpty
            default: agrees = false
            }
            if !agrees {
                Issue.record("\(why()) to \(method): \(Grammar.text(bytes).debugDescription): the grammar says \(expected), the codec \(stream.end) after \(stream.messages.map(\.status))")
            }
        }
    }

    @Test("Any byte in place of any, before any, or left out, is judged as the grammar judges it", arguments: responses)
    func damaged(response: String) {
        let whole = Array(response.utf8)
        compare(whole, "as it is")
        for position in whole.indices {
            for byte in Self.bytes {
                var damaged = whole
                damaged[position] = byte
                compare(damaged, "\(byte) at \(position)", reads: (position + Int(byte)) % 16 == 0 ? [1] : [])
                if byte < 0x30 || byte > 0x7E { compare(Array(whole[..<position]) + [byte] + whole[position...], "\(byte) before \(position)") }
            }
            compare(Array(whole[..<position]) + whole[(position + 1)...], "without \(position)")
            compare(Array(whole[..<position]), "up to \(position)")
        }
    }

    @Test("Lines left out, doubled or moved are judged as the grammar judges them", arguments: responses)
    func lines(response: String) {
        let lines = response.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        let more = lines + ["Content-Length: 5", "Content-Length: 6", "Transfer-Encoding: chunked", "Content_Length: 5", "HTTP/1.1 101 Switching", "HTTP/1.1 100 Continue", " fold", "A : b", "Connection: content-length"]
        for line in lines.indices {
            var fewer = lines
            fewer.remove(at: line)
            compare(Array(fewer.joined(separator: "\r\n").utf8), "without line \(line)")
            for added in more {
                var longer = lines
                longer.insert(added, at: line)
                for reads in [[], [1], [7]] { compare(Array(longer.joined(separator: "\r\n").utf8), "\(added) at line \(line)", reads: reads) }
            }
        }
    }
}
