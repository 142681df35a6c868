import Pipeline

/// Does in every phase what its config says, counts what it sees, and checks that every pass gets exactly one outcome.
final class Probe: RequestHeadFilter, RequestBodyFilter, ResponseHeadFilter, ResponseBodyFilter, FailureFilter, OutcomeFilter {
    static let name: FilterName = "probe"

    enum Request: String, CaseIterable, ConfigValue { case next, reply, fail, suspend }
    enum Response: String, CaseIterable, ConfigValue { case next, reply, retry }
    enum Failure: String, CaseIterable, ConfigValue { case pass, reply, retry }

    struct Config: FilterConfig {
        let head: Request
        let body: Request
        let response: Response
        let failure: Failure
        let retries: Int
        let delay: Nanoseconds
        let keepBody: ByteCount
        let edit: String
        let edits: Int
        /// Percent of calls that do something at random instead.
        let chaos: Int
        init(_ fields: inout ConfigFields) {
            head = fields.read("head", default: .next, "Verdict on the head.")
            body = fields.read("body", default: .next, "Verdict on each piece.")
            response = fields.read("response", default: .next, "Verdict on the response.")
            failure = fields.read("failure", default: .pass, "Verdict on a failure.")
            retries = fields.read("retries", default: 1, "Retries per pass.")
            delay = fields.read("delay", default: .zero, "Back-off, and how long a suspension may last.")
            keepBody = fields.read("keepBody", default: ByteCount(0), "Bytes kept.")
            edit = fields.read("edit", default: "", "Value added to x-edit, both ways.")
            edits = fields.read("edits", default: 1, "How often it is added.")
            chaos = fields.read("chaos", default: 0, "Percent.")
        }
    }

    struct Pass: BitwiseCopyable {
        var began = false
        var ended = false
        var retries: UInt8 = 0
    }

    static let edit: HeaderName = "x-edit"
    let edit: HeaderName
    let config: Config
    let pass: Slot<Pass>
    let heads, bodies, responses, responseBodies, failures, broken: Counter
    let outcomes: [Counter]
    let open: Gauge

    init(_ config: Config, _ stage: inout StageSetup) {
        edit = Self.edit
        self.config = config
        pass = stage.slot(Pass.self)
        heads = stage.counter("heads_total", "Heads.")
        bodies = stage.counter("bodies_total", "Pieces.")
        responses = stage.counter("responses_total", "Responses.")
        responseBodies = stage.counter("response_bodies_total", "Pieces of responses.")
        failures = stage.counter("failures_total", "Failures.")
        broken = stage.counter("broken_total", "Broken promises of the runner.")
        open = stage.gauge("open", "Open passes.")
        outcomes = ["completed", "replied", "failed", "cancelled", "superseded"].map { stage.counter("\($0)_total", "Outcomes.") }
    }

    private func isOpen(_ exchange: borrowing Exchange) {
        let current = exchange[pass]
        if !current.began || current.ended { broken.increment() }
    }

    private func draw(_ exchange: borrowing Exchange, _ count: UInt64) -> Int? {
        guard config.chaos > 0 else { return nil }
        var random = exchange.random
        defer { exchange.random = random }
        return random.next() % 100 < UInt64(config.chaos) ? Int(random.next() % count) : nil
    }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if exchange[pass].began || exchange[pass].ended { broken.increment() }
        exchange[pass].began = true
        open.increment()
        heads.increment()
        if config.keepBody.count > 0 { exchange.keepBody(upTo: Int(config.keepBody.count)) }
        if !config.edit.isEmpty { for _ in 0..<config.edits { exchange.addRequestHeader(edit, config.edit) } }
        return verdict(draw(exchange, 4).map { Request.allCases[$0] } ?? config.head)
    }

    func onRequestBody(_ exchange: borrowing Exchange, _ piece: borrowing BodyPiece) -> RequestVerdict {
        isOpen(exchange)
        bodies.increment()
        return verdict(draw(exchange, 4).map { Request.allCases[$0] } ?? config.body)
    }

    private func verdict(_ request: Request) -> RequestVerdict {
        switch request {
        case .next: .next
        case .reply: .reply(418, "teapot\n", because: "the probe says so")
        case .fail: .fail(ProxyError(.filterFailed), because: "the probe fails")
        case .suspend: .suspend(within: config.delay > .zero ? config.delay : .seconds(5))
        }
    }

    func onResponseHead(_ exchange: borrowing Exchange) -> ResponseVerdict {
        isOpen(exchange)
        responses.increment()
        if !config.edit.isEmpty { exchange.addResponseHeader(edit, config.edit) }
        switch draw(exchange, 3).map({ Response.allCases[$0] }) ?? config.response {
        case .next: return .next
        case .reply: return .reply(299, "replaced\n", because: "the probe replaces it")
        case .retry: return mayRetry(exchange) ? .retry(after: config.delay) : .next
        }
    }

    func onResponseBody(_ exchange: borrowing Exchange, _ piece: borrowing BodyPiece) {
        isOpen(exchange)
        responseBodies.increment()
    }

    func onFailure(_ exchange: borrowing Exchange, _ error: ProxyError) -> FailureVerdict {
        isOpen(exchange)
        failures.increment()
        switch draw(exchange, 3).map({ Failure.allCases[$0] }) ?? config.failure {
        case .pass: return .pass
        case .reply: return .reply(599, "instead of failing\n", because: "the probe answers")
        case .retry: return mayRetry(exchange) ? .retry(after: config.delay) : .pass
        }
    }

    private func mayRetry(_ exchange: borrowing Exchange) -> Bool {
        guard Int(exchange[pass].retries) < config.retries else { return false }
        exchange[pass].retries += 1
        return true
    }

    func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        isOpen(exchange)
        exchange[pass].ended = true
        open.decrement()
        outcomes[Int(outcome.kind.rawValue)].increment()
    }
}
