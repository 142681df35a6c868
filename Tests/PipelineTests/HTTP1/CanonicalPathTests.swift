import Pipeline
import Testing
import WeftTesting

@Suite("Canonical paths")
struct CanonicalPathTests {
    /// The path and target of a request for `target`, or why it was refused.
    private func read(_ target: String) -> ParsedStream { readRequests("GET \(target) HTTP/1.1\r\nHost: a.test\r\n\r\n") }

    @Test("A path has one spelling", arguments: [
        ("/", "/"), ("/a/b", "/a/b"), ("/a/", "/a/"), ("/%61", "/a"), ("/%7Ea", "/~a"), ("/a%2d%2E%5f", "/a-._"), ("/%e4%c3", "/%E4%C3"),
        ("/a%3ab", "/a%3Ab"), ("/a:b@c", "/a:b@c"), ("/a%20b", "/a%20b"), ("//a///b//", "/a/b/"), ("//", "/"), ("/.", "/"), ("/./a", "/a"),
        ("/a/.", "/a/"), ("/a/..", "/"), ("/a/b/..", "/a/"), ("/a/../b", "/b"), ("/a/b/../../c", "/c"), ("/a/%2e%2E/b", "/b"), ("/a//../b", "/b"),
        ("/.well-known/x", "/.well-known/x"), ("/...", "/..."), ("/..a", "/..a"), ("/a..", "/a.."), ("/a;p=1/b", "/a;p=1/b"), ("/;x", "/;x"),
        ("/a|b", "/a%7Cb"), ("/a{b}", "/a%7Bb%7D"), ("/[x]", "/%5Bx%5D"), ("/a\"<>^`", "/a%22%3C%3E%5E%60"), ("/a%0d%0ax", "/a%0D%0Ax"), ("/a%25", "/a%25"), ("/a%25zz", "/a%25zz"),
        ("/a%25b", "/a%25b"), ("/!$&'()*+,=", "/!$&'()*+,="), ("http://a.test", "/"), ("http://a.test/x/../y", "/y"),
    ])
    func canonical(target: String, path: String) {
        #expect(read(target).messages.first?.path == path)
        // What is forwarded is what was matched.
        #expect(read(target).messages.first?.target == path)
        // The form is a fixed point.
        #expect(read(path).messages.first?.path == path)
    }

    @Test("The query travels unchanged", arguments: [
        ("/?a=/../b", "/", "a=/../b"), ("/a/../b?x=%zz", "/b", "x=%zz"), ("/?", "/", ""), ("/a?b?c", "/a", "b?c"), ("http://a.test?q=1", "/", "q=1"),
        ("//a?//", "/a", "//"),
    ])
    func query(target: String, path: String, query: String) {
        let message = read(target).messages.first
        #expect(message?.path == path)
        #expect(message?.query == query)
        #expect(message?.target == path + "?" + query)
    }

    @Test("Paths that servers read differently are refused", arguments: [
        ("/a%2fb", .encodedPathByte), ("/a%2Fb", .encodedPathByte), ("/a%5cb", .encodedPathByte), ("/a%00", .encodedPathByte),
        ("/a%252e", .encodedPathByte), ("/%25%32%65", .encodedPathByte), ("/%252%65", .encodedPathByte),
        ("/a\\b", .malformedPath), ("/%", .malformedPath), ("/%4", .malformedPath), ("/%4g", .malformedPath), ("/%%41", .malformedPath),
        ("/..", .pathAboveRoot), ("/../a", .pathAboveRoot), ("/a/../../b", .pathAboveRoot), ("/%2e%2e/", .pathAboveRoot), ("//../", .pathAboveRoot),
        ("/a/..;/b", .malformedPath), ("/a/..;x=1/b", .malformedPath), ("/.;/a", .malformedPath), ("/a/%2e%2e;/b", .malformedPath),
        ("/a/..%3b/b", .malformedPath), ("/a/.%3B", .malformedPath),
    ] as [(String, HTTP1Fault)])
    func refused(target: String, fault: HTTP1Fault) {
        #expect(read(target).end == .rejected(fault))
    }

    @Test("A path that outgrows the room for it is too long, not cut")
    func room() {
        let storage = HeadStorage()
        let path = Array("/||||".utf8)
        path.withUnsafeBytes { buffer in
            let small = UnsafeMutableBufferPointer(start: storage.scratch.baseAddress, count: 12)
            #expect(CanonicalPath.write(Bytes(buffer), into: small) == .reject(.targetTooLong))
            let enough = UnsafeMutableBufferPointer(start: storage.scratch.baseAddress, count: 13)
            #expect(CanonicalPath.write(Bytes(buffer), into: enough) == .written(13))
        }
    }
}
