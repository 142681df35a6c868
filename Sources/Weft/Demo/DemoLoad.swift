internal import Host
internal import Pipeline

/// The shop's customers: an open loop, so a slow shop does not get fewer of them.
///
/// Each call is due at a fixed instant after the start, however late earlier ones are answered.
final class DemoLoad {
    /// Calls a second. `order` calls payment once per checkout: this stays below the shop's RateLimit of 100/s.
    static let checkoutsPerSecond: Int64 = 50
    static let reportsPerSecond: Int64 = 2
    /// Calls that may wait for an answer; further ones count as failed at once.
    private static let outstandingMax = 500

    struct Tally {
        var sent = 0
        var statuses: [UInt16: Int] = [:]
        /// No answer at all.
        var failures: [String: Int] = [:]

        var answered: Int { statuses.values.reduce(0, +) }
        var failed: Int { failures.values.reduce(0, +) }
        var errors: Int { failed + statuses.filter { $0.key != 200 }.values.reduce(0, +) }
    }

    private(set) var checkouts = Tally()
    private(set) var reports = Tally()
    private var outstanding = 0
    private let order: ServiceTarget
    private let analytics: ServiceTarget
    private let loop: EventLoop
    private let start: Instant
    private var isStopped = false

    init(order: SocketAddress, analytics: SocketAddress, on loop: EventLoop) {
        self.order = ServiceTarget(order)
        self.analytics = ServiceTarget(analytics)
        self.loop = loop
        start = Clock.monotonic()
    }

    var isQuiet: Bool { outstanding == 0 }

    func stop() { isStopped = true }

    /// Sends what has become due; call often.
    func send(at now: Instant) {
        guard !isStopped else { return }
        let elapsed = (now - start).count
        while Int64(checkouts.sent) * 1_000_000_000 / Self.checkoutsPerSecond < elapsed { send("/checkout", order, \.checkouts) }
        while Int64(reports.sent) * 1_000_000_000 / Self.reportsPerSecond < elapsed { send("/report", analytics, \.reports) }
    }

    private func send(_ path: String, _ target: ServiceTarget, _ tally: ReferenceWritableKeyPath<DemoLoad, Tally>) {
        self[keyPath: tally].sent += 1
        guard outstanding < Self.outstandingMax else {
            self[keyPath: tally].failures["too many calls wait for an answer", default: 0] += 1
            return
        }
        outstanding += 1
        ServiceClient.send(ServiceRequest("GET", path), to: target, on: loop) { [self] outcome in
            outstanding -= 1
            switch outcome {
            case .success(let response): self[keyPath: tally].statuses[response.status, default: 0] += 1
            case .failure(let why): self[keyPath: tally].failures[why.description, default: 0] += 1
            }
        }
    }
}
