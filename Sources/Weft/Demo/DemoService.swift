internal import Glibc
internal import Host
internal import Pipeline

/// A small service of the demo's shop: plain HTTP on a unix socket. It knows of no mesh: where others are comes from the
/// environment, as for any program (`HTTP_PROXY`, `INVENTORY_URL`).
final class DemoService {
    enum Name: String, CaseIterable { case order, payment, inventory, analytics }

    /// How it misbehaves when asked to: `POST /break?mode=503`.
    private enum Mode: String, CaseIterable {
        case off, unavailable = "503", slow
    }

    /// An answer when slow: longer than any attempt's time limit in the shop's config.
    private static let slowness = Nanoseconds.seconds(1)
    /// Answers that wait; more are given at once.
    private static let waitingMax = 1_000

    private let name: Name
    private let version: String
    private let loop: EventLoop
    private let proxy: SocketAddress?
    private let inventory: SocketAddress?
    private var server: ServiceServer?
    private var mode = Mode.off
    /// The request log: how often each method and path was asked for.
    private var requests: [String: Int] = [:]
    private var statuses: [UInt16: Int] = [:]
    private var waiting: [(reply: ServiceReply, response: ServiceResponse, due: Instant)] = []
    private var timer = Timer.none
    private var orders = 0

    init(_ name: Name, version: String, on loop: EventLoop, environment: (String) -> String?) {
        self.name = name
        self.version = version
        self.loop = loop
        proxy = environment("HTTP_PROXY").flatMap(Self.address)
        inventory = environment("INVENTORY_URL").flatMap(Self.address)
    }

    func listen(at address: SocketAddress) throws(SystemError) {
        let server = ServiceServer(on: loop) { [unowned self] request, reply in handle(request, reply) }
        try server.listen(at: address)
        self.server = server
    }

    func close() {
        server?.close()
        loop.cancel(timer)
    }

    private static func address(_ url: String) -> SocketAddress? {
        SocketAddress(url.hasPrefix("http://") ? String(url.dropFirst(7).prefix { $0 != "/" }) : url)
    }

    // MARK: Requests

    private func handle(_ request: ServiceRequest, _ reply: ServiceReply) {
        switch (request.method, request.path) {
        // Not part of the shop: for whoever watches the demo.
        case ("GET", "/stats"): return reply.respond(ServiceResponse(json: statistics))
        case ("POST", "/break"): return changeMode(request, reply)
        default: break
        }
        let line = "\(request.method) \(request.path)"
        // Paths come from callers: a bounded log, whatever they ask for.
        requests[requests.count < 100 || requests[line] != nil ? line : "other", default: 0] += 1
        switch mode {
        case .unavailable: return answer(reply, ServiceResponse(503, text: "\(name.rawValue) is out of order\n"))
        case .slow where waiting.count < Self.waitingMax:
            waiting.append((reply, work(request), loop.now + Self.slowness))
            if waiting.count == 1 { arm() }
            return
        case .slow, .off: break
        }
        switch (name, request.method, request.path) {
        case (.order, "GET", "/checkout"): checkOut(reply)
        case (.analytics, "GET", "/report"): makeReport(reply)
        default: answer(reply, work(request))
        }
    }

    /// What needs nobody else.
    private func work(_ request: ServiceRequest) -> ServiceResponse {
        switch (name, request.method, request.path) {
        case (.payment, "POST", "/charge"): ServiceResponse(json: "{\"charged\":\(request.body.count),\"by\":\"payment \(version)\"}\n")
        case (.payment, "GET", "/price"): ServiceResponse(json: "{\"price\":995,\"by\":\"payment \(version)\"}\n")
        case (.payment, "GET", "/accounts"): ServiceResponse(json: "{\"accounts\":[\"4111-1111\"]}\n")
        case (.inventory, "GET", "/stock"): ServiceResponse(json: "{\"left\":42}\n")
        default: ServiceResponse(404, text: "\(name.rawValue) has no \(request.method) \(request.path)\n")
        }
    }

    private func answer(_ reply: ServiceReply, _ response: ServiceResponse) {
        statuses[response.status, default: 0] += 1
        reply.respond(response)
    }

    // MARK: What the services do for each other

    /// Looks whether there is any, then charges for it: one GET through the local port, one POST through the proxy.
    private func checkOut(_ reply: ServiceReply) {
        orders += 1
        let order = orders
        guard let inventory, let proxy else { return answer(reply, ServiceResponse(503, text: "order was not told where the others are\n")) }
        ServiceClient.send(ServiceRequest("GET", "/stock"), to: ServiceTarget(inventory), on: loop) { [unowned self] stock in
            guard case .success(let stock) = stock, stock.status == 200 else { return answer(reply, Self.trouble("inventory", stock)) }
            var charge = ServiceRequest("POST", "http://payment.weft/charge")
            charge.body = Array("order \(order)".utf8)
            ServiceClient.send(charge, to: ServiceTarget(proxy, host: "payment.weft"), on: loop) { [unowned self] paid in
                guard case .success(let paid) = paid, paid.status == 200 else { return answer(reply, Self.trouble("payment", paid)) }
                answer(reply, ServiceResponse(json: "{\"order\":\(order),\"payment\":\(paid.text.split(separator: "\n").first ?? "null")}\n"))
            }
        }
    }

    /// Reads the customers' accounts, which is none of its business.
    private func makeReport(_ reply: ServiceReply) {
        guard let proxy else { return answer(reply, ServiceResponse(503, text: "analytics was not told where the others are\n")) }
        let request = ServiceRequest("GET", "http://payment.weft/accounts")
        ServiceClient.send(request, to: ServiceTarget(proxy, host: "payment.weft"), on: loop) { [unowned self] accounts in
            guard case .success(let accounts) = accounts else { return answer(reply, Self.trouble("payment", accounts)) }
            answer(reply, ServiceResponse(accounts.status, text: accounts.text))
        }
    }

    private static func trouble(_ whom: String, _ outcome: Result<ServiceResponse, ServiceFailure>) -> ServiceResponse {
        switch outcome {
        case .success(let response): ServiceResponse(502, text: "\(whom) answered \(response.status): \(response.text.prefix(200).prefix { $0 != "\n" })\n")
        case .failure(let why): ServiceResponse(502, text: "\(whom): \(why)\n")
        }
    }

    // MARK: Breaking it

    private func changeMode(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard request.query.hasPrefix("mode="), let mode = Mode(rawValue: String(request.query.dropFirst(5))) else {
            let modes = Mode.allCases.map(\.rawValue).joined(separator: ", ")
            return reply.respond(ServiceResponse(400, text: "say /break?mode=…, one of: \(modes)\n"))
        }
        self.mode = mode
        reply.respond(ServiceResponse(text: "\(name.rawValue) \(version): \(mode.rawValue)\n"))
    }

    private func arm() {
        guard let first = waiting.first else { return }
        timer = loop.arm(
            at: first.due,
            { context, _ in Unmanaged<DemoService>.fromOpaque(context).takeUnretainedValue().answerDue() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    private func answerDue() {
        while let first = waiting.first, first.due <= loop.now {
            waiting.removeFirst()
            answer(first.reply, first.response)
        }
        arm()
    }

    private var statistics: String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("name", name.rawValue)
            writer.member("version", version)
            writer.member("mode", mode.rawValue)
            writer.member("total", requests.values.reduce(0, +))
            writer.key("requests")
            writer.object { for (line, count) in requests.sorted(by: { $0.key < $1.key }) { $0.member(line, count) } }
            writer.key("statuses")
            writer.object { for (status, count) in statuses.sorted(by: { $0.key < $1.key }) { $0.member("\(status)", count) } }
        }
        return writer.text + "\n"
    }
}

enum DemoServiceCommand {
    static let command = Command(
        "demo-service", "run one of the demo's services", operands: "NAME", count: 1...1,
        flags: [
            Flag("listen", .address, required: true, "Where to listen."),
            Flag("version", .text("LABEL"), default: "v1", "What it says it is."),
        ],
        details: "Names: \(DemoService.Name.allCases.map(\.rawValue).joined(separator: ", ")). It answers GET /stats with its request log, and POST /break?mode=503|slow|off.",
        examples: ["weft demo-service payment --version v2 --listen unix:/tmp/payment.sock"], isHidden: true,
        run: { invocation in
            guard let name = DemoService.Name(rawValue: invocation.operands[0]) else {
                throw CommandFailure.usage("the demo has no service \"\(Printable.text(invocation.operands[0]))\"")
            }
            Signals.block([SIGTERM, SIGINT])
            let loop = try EventLoop()
            let service = DemoService(name, version: invocation.text("version"), on: loop, environment: Environment.value)
            try service.listen(at: invocation.address("listen"))
            let signals = try Signals([SIGTERM, SIGINT], on: loop) { _ in loop.stop() }
            loop.run()
            signals.close()
            return withExtendedLifetime(service) { .ok }
        })
}
