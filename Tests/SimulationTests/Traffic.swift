import Pipeline
import WeftTesting

/// Requests from every sidecar's application to services of the mesh, through both chains of the road.
enum Traffic {
    /// One on its way, and whether it mattered.
    struct Request {
        let exchange: HarnessExchange
        let service: String
    }

    static let targets = ["payment", "inventory"]
}

/// What a retry budget may ever have paid for, reckoned apart from the code that enforces it: a floor that refills, and a
/// share of the requests that fades. Sound, not exact: it grants each upstream its floor, and fades more slowly.
struct BudgetModel {
    static let minPerSecond = 1.0
    static let share = 0.2
    /// Services times versions that a sidecar may call.
    private static let upstreams = 3.0
    /// What rounding, and the wait between paying and sending, may shift.
    private static let tolerance = 3.0
    private static let fadeSeconds = 12.0

    private var asOf: Instant
    private var earned = 0.0
    private var floor = BudgetModel.minPerSecond * BudgetModel.upstreams

    init(at now: Instant) { asOf = now }

    private mutating func advance(to now: Instant) {
        let seconds = (now - asOf).seconds
        asOf = now
        // The first order of the exponential, from above.
        earned /= 1 + seconds / Self.fadeSeconds
        floor = min(floor + seconds * Self.minPerSecond * Self.upstreams, Self.minPerSecond * Self.upstreams)
    }

    mutating func request(at now: Instant) {
        advance(to: now)
        earned += Self.share
    }

    /// Whether the retry can have been within budget.
    mutating func retry(at now: Instant) -> Bool {
        advance(to: now)
        if earned >= 1 { earned -= 1 } else { floor -= 1 }
        return floor + earned >= -Self.tolerance
    }
}

extension World {
    /// Sets out some requests of a sidecar's application.
    func send(from node: Node, _ sidecar: Sidecar) {
        var count = Int.random(in: 0..<100, using: &random) < 22 ? 1 : 0
        // Several at once are what a breaker's probe has to be alone among.
        if chance(8) { count += 6 }
        // So many that fail together would be retried far beyond any budget.
        if chance(3) { count += 30 }
        for _ in 0..<count {
            let service = Traffic.targets.randomElement(using: &random) ?? ""
            requestNumber += 1
            let request = HarnessRequest(
                Int.random(in: 0..<8, using: &random) == 0 ? "POST" : "GET", "/", headers: ["x-request": "\(requestNumber)"],
                body: [], authority: "\(service).weft")
            sidecar.budget.request(at: sidecar.outbound.now)
            sidecar.requests.append(Traffic.Request(exchange: sidecar.outbound.start(request.by(.proxy)), service: service))
        }
        if chance(4), let request = sidecar.requests.randomElement(using: &random), !request.exchange.answer.isFinished {
            sidecar.outbound.abort(request.exchange)
        }
    }

    /// What an attempt of `node`'s sidecar meets.
    func meet(_ forwarded: ForwardedRequest, from node: Node) -> UpstreamBehaviour {
        guard let sidecar = node.sidecar else { return .hang }
        attempts += 1
        if let stamp = forwarded["x-stamp"], !sidecar.acceptedStamps.contains(stamp) || sidecar.refusedStamps.contains(stamp) {
            violate("\(node.name) sent a request through chain \(stamp), which it did not accept")
        }
        if let number = forwarded["x-request"], !sidecar.attempted.insert(number).inserted {
            retries += 1
            if !sidecar.budget.retry(at: sidecar.outbound.now) { violate("\(node.name) retries beyond its budget") }
        }
        guard let target = nodes.first(where: { $0.address == forwarded.endpoint }) else {
            violate("\(node.name) calls \(forwarded.endpoint), which never was")
            return .refuse
        }
        if target.service != forwarded.service || target.version != forwarded.version {
            violate("\(node.name) calls \(target.name) as \(forwarded.service) \(forwarded.version)")
        }
        // Inbound is shut until a sidecar has been told whom to let in.
        guard let called = target.sidecar, called.isComplete else { return .refuse }
        guard target.isRunning, target.hangingUntil <= tick else { return .hang }
        guard node.isolatedUntil <= tick, target.isolatedUntil <= tick else { return Bool.random(using: &random) ? .hang : .refuse }
        if chance(20) {
            return [.resetBeforeHead, .closeUnsent, .garbage, .resetWithinBody(200), .refuse].randomElement(using: &random) ?? .hang
        }
        let answer = called.inbound.send(HarnessRequest(forwarded.method, forwarded.path, source: node.identity, authority: forwarded.authority))
        let isDenied = called.denied.contains(node.service)
        if (answer.status == 403) != isDenied {
            violate("\(target.name) answers \(answer.status) to \(node.service), which its access part \(isDenied ? "denies" : "allows")")
        }
        return .answer(answer.status, body: answer.body, after: .milliseconds(Int64.random(in: 1...300, using: &random)))
    }

    /// Looks at what came back, and lets go of it.
    func settle(_ node: Node, _ sidecar: Sidecar) {
        for request in sidecar.requests where request.exchange.answer.isFinished {
            let answer = request.exchange.answer
            trace.note("\(node.name) \(request.service) \(answer.status) \(answer.flag) \(answer.attempts)")
            answers[answer.status, default: 0] += 1
            if answer.status == 200 { flowed.insert("\(node.name) \(request.service)") }
        }
        sidecar.requests.removeAll { $0.exchange.answer.isFinished }
    }
}
