internal import Pipeline

/// A caller's first bytes: which protocol begins with them, and the way from there.
///
/// | port declares | first bytes | goes on as |
/// |---|---|---|
/// | `http`, `http2`, `grpc` | HTTP/2's preface | HTTP/2 |
/// | | anything else | HTTP/1, whose parser refuses what is none |
/// | nothing (`auto`) | as `ProtocolDetector` says | HTTP/2, HTTP/1, or a raw stream |
/// | | none within `detectTime` | a raw stream, whose service speaks first |
/// | `tcp` | not looked at | a raw stream |
///
/// A raw stream on a port that could have been HTTP is refused, and the log says by what, where a policy or a rule of a route asks for
/// something that only HTTP has: never is one let through past it.
extension Downstream {
    enum Detected { case undecided, http1, http2, stream }

    /// What the bytes that are here begin; nothing of them is taken.
    func detect() -> Detected {
        guard !d.pointee.transport.isTLS, d.pointee.filters.bytesReceived == 0 else { return .http1 }
        let input = d.pointee.input.unread
        guard d.pointee.filters.isDetecting else { return beginsHTTP2(input) }
        // From the front each time: it is one pass over a request line, and most come whole.
        var detector = ProtocolDetector(openedAt: now)
        let counters = worker.w.pointee.stats
        switch detector.look(at: input, now: now) {
        case .undecided: return .undecided
        case .found(.http1):
            counters.detectedHTTP1.increment()
            d.pointee.filters.isDetecting = false
            awaitUntil(worker.w.pointee.bounds.downstreamIdleTime)
            return .http1
        case .found(.http2):
            counters.detectedHTTP2.increment()
            d.pointee.filters.isDetecting = false
            return .http2
        case .found(.tls): counters.detectedTLS.increment()
        case .opaque: counters.detectedOther.increment()
        }
        return .stream
    }

    /// No method of HTTP/1 begins with `PRI`, so nobody waits for bytes that are not to come (RFC 9113 §3.4).
    private func beginsHTTP2(_ input: Bytes) -> Detected {
        let preface = Bytes(FrameReader.preface)
        let count = min(preface.count, input.count)
        guard input.slice(0, count).isSame(as: preface.slice(0, count)) else { return .http1 }
        return count == preface.count ? .http2 : .undecided
    }

    /// Another sidecar brings a raw stream to the port of HTTP: it found out that it is none.
    func takeAsStream() {
        guard d.pointee.filters.isDetecting else {
            d.pointee.isStream = true
            return refuseStream("its port declares a protocol of HTTP")
        }
        worker.w.pointee.stats.detectedOther.increment()
        becomeStream()
    }

    /// What came so far waits until the service is connected to, and is the first that it gets.
    func becomeStream() {
        d.pointee.filters.isDetecting = false
        d.pointee.isStream = true
        d.pointee.filters.isStream = true
        d.pointee.filters.isUndeclared = true
        guard admitted() else { return }
        beginStream()
    }
}
