internal import Pipeline

/// Asks the application every so often whether it is there: a connection, or a GET that must be answered below 400.
final class HealthProbe {
    struct Policy: Sendable {
        var interval = Nanoseconds.seconds(2)
        /// For one answer.
        var timeout = Nanoseconds.seconds(1)
        /// Failures in a row that make a healthy application unhealthy (as Envoy and Kubernetes do).
        var failuresMax = 3
        /// Successes in a row that make it healthy again.
        var successesMin = 1
        /// Nil: a connection is enough.
        var path: String?
    }

    private enum State { case unknown, healthy(failures: Int), unhealthy(successes: Int) }

    /// Called when the verdict changes, and for the first.
    var onChange: ((_ isHealthy: Bool, _ reason: String) -> Void)?
    /// Whether the last probe succeeded, whatever the thresholds say.
    private(set) var isAnswering = false

    private let loop: EventLoop
    private let application: SocketAddress
    private let policy: Policy
    private var state = State.unknown
    private var call: ServiceCall?
    private var connection: ServiceChannel?
    private var wakeup: Wakeup?

    init(on loop: EventLoop, application: SocketAddress, _ policy: Policy = Policy()) {
        self.loop = loop
        self.application = application
        self.policy = policy
        wakeup = Wakeup(on: loop) { [unowned self] in probe() }
    }

    var isHealthy: Bool { if case .healthy = state { true } else { false } }

    func start() { wakeup?.set(loop.now) }

    func close() {
        wakeup?.cancel()
        call?.cancel()
        connection?.close()
    }

    private func probe() {
        wakeup?.set(loop.now + policy.interval)
        guard call == nil, connection == nil else { return }
        if let path = policy.path { ask(path) } else { connect() }
    }

    private func ask(_ path: String) {
        var limits = ServiceLimits()
        limits.bodyMax = 64 << 10
        call = ServiceClient.send(
            ServiceRequest("GET", path), to: ServiceTarget(application), on: loop, timeout: policy.timeout, limits
        ) { [unowned self] result in
            call = nil
            switch result {
            case .success(let response) where response.status < 400: answered(nil)
            case .success(let response): answered("GET \(path) is answered \(response.status)")
            case .failure(let why): answered("GET \(path): \(why)")
            }
        }
    }

    private func connect() {
        switch Socket.connect(to: application) {
        case .connected(let descriptor):
            Descriptor.close(descriptor)
            answered(nil)
        case .failed(let code): answered("cannot connect: \(SystemError.text(code))")
        case .inProgress(let descriptor):
            let channel = ServiceChannel(Transport(plain: descriptor), on: loop, isConnecting: true)
            let end: (String?) -> Void = { [unowned self, unowned channel] problem in
                connection = nil
                channel.onOpen = nil
                channel.onEnd = nil
                channel.onTimeout = nil
                channel.close()
                answered(problem)
            }
            channel.onOpen = { end(nil) }
            channel.onTimeout = { end("no connection in time") }
            channel.onEnd = { why in end(why.map { "\($0)" } ?? "closed") }
            guard (try? channel.start()) != nil else { return answered("no descriptor left to probe with") }
            connection = channel
            channel.expect(within: policy.timeout)
        }
    }

    private func answered(_ problem: String?) {
        isAnswering = problem == nil
        let was = state
        switch (state, problem) {
        case (.unknown, nil): state = .healthy(failures: 0)
        case (.unknown, _?): state = .unhealthy(successes: 0)
        case (.healthy, nil): state = .healthy(failures: 0)
        case (.healthy(let failures), _?): state = failures + 1 >= policy.failuresMax ? .unhealthy(successes: 0) : .healthy(failures: failures + 1)
        case (.unhealthy, _?): state = .unhealthy(successes: 0)
        case (.unhealthy(let successes), nil):
            state = successes + 1 >= policy.successesMin ? .healthy(failures: 0) : .unhealthy(successes: successes + 1)
        }
        switch (was, state) {
        case (.unknown, _), (.healthy, .unhealthy), (.unhealthy, .healthy): onChange?(isHealthy, problem ?? "")
        default: break
        }
    }
}
