import Pipeline
import Testing
import WeftTesting

/// How reads may cut a stream: whole, byte by byte, in sevens, unevenly.
let cuts: [[Int]] = [[], [1], [7], [3, 1, 19, 2, 64]]

/// The stream as the server reads it; fails if the answer depends on how reads cut it.
func readRequests(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> ParsedStream {
    readRequests(Array(text.utf8), sourceLocation: sourceLocation)
}

func readRequests(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> ParsedStream {
    let whole = HTTP1.requests(bytes)
    for cut in cuts.dropFirst() {
        #expect(HTTP1.requests(bytes, reads: cut) == whole, "reads of \(cut)", sourceLocation: sourceLocation)
    }
    return whole
}

/// The stream as the client reads it: one response, then the upstream closes.
func readResponse(
    _ text: String, to method: Pipeline.Method = .get, sourceLocation: SourceLocation = #_sourceLocation
) -> ParsedStream {
    let whole = HTTP1.responses(Array(text.utf8), to: [method])
    for cut in cuts.dropFirst() {
        #expect(
            HTTP1.responses(Array(text.utf8), to: [method], reads: cut) == whole, "reads of \(cut)", sourceLocation: sourceLocation)
    }
    return whole
}

/// A request with one header line of interest.
func request(_ line: String, version: String = "1.1") -> String { "GET / HTTP/\(version)\r\nHost: a.test\r\n\(line)\r\n\r\n" }
