/// Reads a request target (RFC 9112 §3.2) and brings its path into the one form that policies match and upstreams get.
package enum RequestTarget {
    /// Fills `target`, `path`, `query`, and for an absolute-form target `authority`. `text` is visible ASCII; `head.method` and
    /// the Host in `head.authority` are already there.
    package static func read(
        _ text: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> HTTP1Fault? {
        unsafe head.isAbsoluteForm = false
        if text.count > 0, text[0] == UInt8(ascii: "/") { return unsafe readPath(text, scratch: scratch, into: &head) }
        if text.equals("*") {
            guard unsafe head.method == .options else { return .malformedTarget }
            unsafe head.target = text
            unsafe head.path = text
            unsafe head.query = .empty
            return nil
        }
        return unsafe readAbsolute(text, scratch: scratch, into: &head)
    }

    private static func readAbsolute(
        _ text: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> HTTP1Fault? {
        let start: Int
        let defaultPort: StaticString
        if text.hasFoldedPrefix("http://") {
            (start, defaultPort) = (7, ":80")
        } else if text.hasFoldedPrefix("https://") {
            (start, defaultPort) = (8, ":443")
        } else {
            return .malformedTarget
        }
        var end = start
        while end < text.count, text[end] != UInt8(ascii: "/"), text[end] != UInt8(ascii: "?") { end &+= 1 }
        let authority = text.slice(start, end)
        // User information, a fragment and everything else that is no host fall here.
        guard Authority.isValid(authority) else { return .malformedTarget }
        let host = unsafe head.authority
        if !host.isEmpty, !Authority.areSame(host, authority, defaultPort: defaultPort) { return .differingHost }
        unsafe head.authority = authority
        unsafe head.isAbsoluteForm = true
        if end == text.count, unsafe head.method == .options {
            // The server as a whole is meant; without its authority that is written so (RFC 9112 §3.2.4).
            unsafe head.target = Bytes("*")
            unsafe head.path = Bytes("*")
            unsafe head.query = .empty
            return nil
        }
        return unsafe readPath(text.slice(end, text.count), scratch: scratch, into: &head)
    }

    /// `text` is a path and perhaps a query; an absolute form may have left the path out.
    private static func readPath(
        _ text: Bytes, scratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead
    ) -> HTTP1Fault? {
        let pathCount = CanonicalPath.canonicalPrefix(of: text)
        if pathCount > 0 {
            // The common case: nothing to copy, the received bytes are the canonical ones.
            unsafe head.target = text
            unsafe head.path = text.slice(0, pathCount)
            let query = text.slice(min(pathCount &+ 1, text.count), text.count)
            unsafe head.query = query
            return query.contains(UInt8(ascii: "#")) ? .malformedTarget : nil
        }
        if text.contains(UInt8(ascii: "#")) { return .malformedTarget }
        var pathEnd = 0
        while pathEnd < text.count, text[pathEnd] != UInt8(ascii: "?") { pathEnd &+= 1 }
        switch unsafe CanonicalPath.write(text.slice(0, pathEnd), into: scratch) {
        case .reject(let fault): return fault
        case .written(let count):
            let rest = text.slice(pathEnd, text.count)
            guard count &+ rest.count <= scratch.count, let memory = scratch.baseAddress else { return .targetTooLong }
            if let source = unsafe rest.base {
                unsafe (memory + count).update(from: source, count: rest.count)
            }
            let target = unsafe Bytes(UnsafePointer(memory), count: count &+ rest.count)
            unsafe head.target = target
            unsafe head.path = target.slice(0, count)
            unsafe head.query = target.slice(min(count &+ 1, target.count), target.count)
            return nil
        }
    }
}

extension Bytes {
    package func contains(_ wanted: UInt8) -> Bool { first(wanted, from: 0, to: count) < count }
}
