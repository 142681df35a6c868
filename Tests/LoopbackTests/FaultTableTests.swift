import LoopbackTesting
import Testing

extension Loopback {
    /// Line 5.
    @Suite("Faults and methods")
    struct FaultTableTests {
        struct Row: Sendable {
            var fault: String
            var behaviour: FaultService.Behaviour?
            var method: String
            /// Requests that reach the application.
            var arrivals: Int
            /// One more, where the first try goes over a kept connection: its loss before an answer looks like one that went
            /// stale, and the attempt of an idempotent request moves to a fresh one (RFC 9112 §9.3.1).
            var movesFromKept = false
            var tries: Int
            var status: Int
            var isCut = false
            var body: String?
        }

        /// Two retries, 300 ms for each try. Without a behaviour the application is gone: its sidecar says so, and that nothing
        /// was sent, so that even a POST may be tried again.
        static let rows: [Row] = [
            Row(fault: "hangs", behaviour: .hang, method: "GET", arrivals: 3, tries: 3, status: 504, body: "did not answer in time"),
            Row(fault: "hangs", behaviour: .hang, method: "POST", arrivals: 1, tries: 1, status: 504, body: "did not answer in time"),
            Row(fault: "refuses", behaviour: nil, method: "GET", arrivals: 0, tries: 3, status: 503, body: "refused the connection"),
            Row(fault: "refuses", behaviour: nil, method: "POST", arrivals: 0, tries: 3, status: 503, body: "refused the connection"),
            Row(fault: "resets before the head", behaviour: .resetBeforeHead, method: "GET", arrivals: 3, movesFromKept: true, tries: 3, status: 503, body: "before it answered"),
            Row(fault: "resets before the head", behaviour: .resetBeforeHead, method: "POST", arrivals: 1, tries: 1, status: 503, body: "before it answered"),
            Row(fault: "resets after the head", behaviour: .resetAfterHead, method: "GET", arrivals: 1, tries: 1, status: 200, isCut: true),
            Row(fault: "resets after the head", behaviour: .resetAfterHead, method: "POST", arrivals: 1, tries: 1, status: 200, isCut: true),
            Row(fault: "resets within the body", behaviour: .resetWithinBody, method: "GET", arrivals: 1, tries: 1, status: 200, isCut: true),
            Row(fault: "resets within the body", behaviour: .resetWithinBody, method: "POST", arrivals: 1, tries: 1, status: 200, isCut: true),
            Row(fault: "answers 503", behaviour: .answer(503), method: "GET", arrivals: 3, tries: 3, status: 503, body: "ok"),
            Row(fault: "answers 503", behaviour: .answer(503), method: "POST", arrivals: 1, tries: 1, status: 503, body: "ok"),
            Row(fault: "answers 500", behaviour: .answer(500), method: "GET", arrivals: 1, tries: 1, status: 500, body: "ok"),
            Row(fault: "answers slowly", behaviour: .slow(.milliseconds(150)), method: "GET", arrivals: 1, tries: 1, status: 200, body: "late"),
            Row(fault: "answers slowly", behaviour: .slow(.milliseconds(150)), method: "POST", arrivals: 1, tries: 1, status: 200, body: "late"),
        ]

        private static let settings =
            #""retry":{"maxRetries":2,"backoff":{"base":"1ms","max":"2ms"},"budget":{"percent":"100%","minPerSecond":1000}},"attempt-timeout":{"after":"300ms"},"breaker":{"consecutiveFailures":0},"router":{"ejection":{"consecutiveFailures":0}}"#

        @Test("Tries, status and answer are those of ARCHITECTURE §9", arguments: [false, true])
        func table(onKept: Bool) throws {
            let pair = try Pair(also: Shop.retry(Self.settings))
            let application = pair.payment.application
            for row in Self.rows {
                application.always(.answer(200))
                let client = pair.order.client(for: "payment")
                if onKept {
                    #expect(try client.get("/warm").status == 200, "before \(row.fault)")
                } else {
                    application.refuse()
                    try application.reopen()
                    pause(.milliseconds(20))
                }
                if let behaviour = row.behaviour { application.always(behaviour) } else { application.refuse() }
                application.forget()
                let before = try pair.retries()
                let answer = try client.send(row.method, "/fault", body: row.method == "POST" ? "charge once" : nil)
                let name = "\(row.method), payment \(row.fault): \(answer)"
                #expect(answer.status == row.status, "\(name)")
                #expect(answer.isCut == row.isCut, "\(name)")
                if let body = row.body { #expect(answer.body.contains(body), "\(name)") }
                #expect(application.count == row.arrivals + (onKept && row.movesFromKept ? 1 : 0), "\(name)")
                #expect(try 1 + pair.retries() - before == row.tries, "\(name)")
                if row.method == "POST" { #expect(application.log.allSatisfy { $0.bodyBytes == 11 }) }
                if row.behaviour == nil { try application.reopen() }
            }
            try pair.expectNothingHeld()
        }

        @Test("payment dies under a call: a GET is tried where it is safe, a POST arrives once")
        func dies() throws {
            let pair = try Pair(also: Shop.retry(Self.settings))
            let application = pair.payment.application
            for (method, tries) in [("GET", 3), ("POST", 1)] {
                application.run { [weak application] _ in
                    application?.refuse()
                    return .resetBeforeHead
                }
                application.forget()
                let before = try pair.retries()
                let answer = try pair.order.client(for: "payment").send(method, "/dies", body: method == "POST" ? "x" : nil)
                #expect(answer.status == 503, "\(method): \(answer)")
                #expect(application.count == 1)
                #expect(try 1 + pair.retries() - before == tries, "\(method)")
                try application.reopen()
            }
        }

        @Test("The breaker opens, lets exactly one probe through, and recovers")
        func breaker() throws {
            let pair = try Pair(
                also: Shop.retry(#""breaker":{"consecutiveFailures":5,"backoff":{"base":"700ms","max":"10s"}},"router":{"ejection":{"consecutiveFailures":0}}"#))
            let application = pair.payment.application
            let client = pair.order.client(for: "payment")
            application.always(.answer(503))
            for _ in 0..<5 { #expect(try client.get("/").body == "ok\n") }
            for _ in 0..<20 {
                let answer = try client.get("/")
                #expect(answer.status == 503 && answer.body.contains("circuit breaker"), "\(answer)")
            }
            #expect(application.count == 5)
            // Past the back-off many callers come at once: one of them is the probe.
            application.always(.slow(.milliseconds(300), status: 503))
            pause(.milliseconds(1_200))
            let crowd = LoadGenerator(.init(rate: 10_000, postPercent: 0, connections: 20, total: 20), to: pair.order.address(for: "payment")).finish()
            #expect(crowd.statuses == [503: 20], "\(crowd)")
            #expect(application.count == 6, "one probe")
            application.always(.answer(200))
            #expect(try eventually(within: .seconds(5)) { try client.get("/").status == 200 })
            for _ in 0..<20 { #expect(try client.get("/").status == 200) }
            try pair.expectNothingHeld()
        }

        @Test("10,000 aborted calls leave every gauge at zero, a probe among them does not jam the breaker")
        func aborted() throws {
            let pair = try Pair(also: Shop.retry(#""breaker":{"maxRequests":100,"consecutiveFailures":3,"backoff":{"base":"100ms","max":"200ms"}}"#))
            pair.payment.application.run { entry in entry.number % 3 == 0 ? .slow(.milliseconds(5)) : .slow(.milliseconds(20), status: 503) }
            let address = pair.order.address(for: "payment")
            let workers = (0..<16).map { worker in
                Background("abort") {
                    for number in 0..<625 {
                        guard let socket = try? BlockingSocket(to: address) else { continue }
                        // Gone within the head, right after it, within the body, and while the answer is on its way.
                        let text = ["GET /a HTTP/1.1\r\nho", "GET /a HTTP/1.1\r\nhost: payment\r\n\r\n", "POST /a HTTP/1.1\r\nhost: payment\r\ncontent-length: 9\r\n\r\nfour", "GET /a HTTP/1.1\r\nhost: payment\r\n\r\n"][number % 4]
                        try? socket.write(text)
                        if number % 4 == 3 { pause(.milliseconds(worker % 6)) }
                        if number % 2 == 0 { socket.reset() } else { socket.finish() }
                    }
                }
            }
            workers.forEach { $0.join() }
            try pair.expectNothingHeld()
            pair.payment.application.always(.answer(200))
            #expect(try eventually(within: .seconds(15)) { try pair.order.client(for: "payment").get("/after").status == 200 })
        }
    }
}

extension Pair {
    /// Tries beyond the first, so far.
    func retries() throws -> Int { Int(try MetricsPage(order.metrics()).sum("weft_retry_retries_total")) }

    /// Permits, probes and gauges all came back.
    func expectNothingHeld(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let gauges = ["weft_breaker_active", "weft_breaker_state", "weft_stats_in_flight"]
        for sidecar in [order, payment] {
            var held: [String] = []
            let empty = try eventually(within: .seconds(10)) {
                let page = MetricsPage(try sidecar.metrics())
                held = page.samples.filter { gauges.prefix(1).contains($0.name) || $0.name == gauges[2] }.filter { $0.value != 0 }.map(\.description)
                return held.isEmpty
            }
            #expect(empty, "\(sidecar.name) holds \(held)", sourceLocation: sourceLocation)
            let page = MetricsPage(try sidecar.metrics())
            #expect(page.samples.contains { $0.name == gauges[2] }, "\(sidecar.name) has no \(gauges[2])", sourceLocation: sourceLocation)
        }
    }
}
