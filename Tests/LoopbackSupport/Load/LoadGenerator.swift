internal import Glibc
package import Host
internal import Synchronization

/// An open-loop load: requests leave at their appointed times, whether or not earlier ones were answered, and none is ever
/// tried again.
///
/// Every request has an id in its path, `/load/<name>/<n>`, so that the application's log can be compared with what was sent.
/// Latency runs from the appointed time, so a stall shows in all the requests it delayed (no coordinated omission).
package final class LoadGenerator: Sendable {
    package struct Plan: Sendable {
        package var name = "a"
        package var rate = 500.0
        /// Of a hundred requests, so many are POST with a body.
        package var postPercent = 30
        package var connections = 32
        package var host = "payment.weft"
        package var bodyBytes = 200
        package var timeout = Duration.seconds(30)
        /// Ends by itself after so many.
        package var total = Int.max

        package init(_ name: String = "a", rate: Double = 500, postPercent: Int = 30, connections: Int = 32, total: Int = .max) {
            self.name = name
            self.rate = rate
            self.postPercent = postPercent
            self.connections = connections
            self.total = total
        }
    }

    package struct Report: Sendable, CustomStringConvertible {
        package var sent = 0
        /// Whole answers, by status.
        package var statuses: [Int: Int] = [:]
        package var byService: [String: Int] = [:]
        /// No answer, or not a whole one: why, and how often.
        package var errors: [String: Int] = [:]
        package var latencies: [Duration] = []
        package var connections = 0
        package var duration = Duration.zero
        /// Bodies of answers that were not 200, a few.
        package var samples: [String] = []

        package var answered: Int { statuses.values.reduce(0, +) }
        package var ok: Int { statuses[200, default: 0] }
        package var failed: Int { sent - ok }
        package func latency(_ quantile: Double) -> Duration {
            guard !latencies.isEmpty else { return .zero }
            return latencies.sorted()[min(latencies.count - 1, Int(Double(latencies.count) * quantile))]
        }

        package var description: String {
            let rate = duration > .zero ? Int(Double(sent) / duration.inSeconds) : 0
            let p = [0.5, 0.99, 1].map { "\((latency($0).inSeconds * 10_000).rounded() / 10) ms" }.joined(separator: " / ")
            return "sent \(sent) (\(rate)/s), statuses \(statuses.sorted { $0.key < $1.key }), errors \(errors), p50/p99/max \(p), connections \(connections)\(samples.isEmpty ? "" : ", e.g. \(samples)")"
        }
    }

    private let plan: Plan
    private let target: SocketAddress
    private let next = Atomic<Int>(0)
    private let stopping = Atomic<Bool>(false)
    private let report = Mutex(Report())
    private let threads = Mutex<[Background]>([])
    private let start: ContinuousClock.Instant

    /// Starts at once.
    package init(_ plan: Plan, to target: SocketAddress) {
        self.plan = plan
        self.target = target
        start = ContinuousClock.now
        for number in 0..<plan.connections {
            let thread = Background("load \(number)") { [self] in work() }
            threads.withLock { $0.append(thread) }
        }
    }

    /// Waits for the answers under way and says what became of every request.
    package func stop() -> Report {
        stopping.store(true, ordering: .relaxed)
        return finish()
    }

    /// Waits until `plan.total` requests are answered.
    package func finish() -> Report {
        threads.withLock { $0 }.forEach { $0.join() }
        return report.withLock { $0 }
    }

    /// Every request that was not begun yet has this number or a higher one.
    package var issued: Int { next.load(ordering: .relaxed) }

    package var sent: Int { report.withLock { $0.sent } }
    package var snapshot: Report { report.withLock { $0 } }

    private func work() {
        let client = HTTPClient(target, host: plan.host, timeout: plan.timeout)
        let body = String(repeating: "b", count: plan.bodyBytes)
        while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard number < plan.total else { break }
            let due = start + .seconds(Double(number) / plan.rate)
            while ContinuousClock.now < due {
                if stopping.load(ordering: .relaxed) { break }
                pause(min(due - ContinuousClock.now, .milliseconds(20)))
            }
            if stopping.load(ordering: .relaxed) { break }
            one(client, number, due, body)
        }
        let (connections, end) = (client.connections, ContinuousClock.now)
        report.withLock { report in
            report.connections += connections
            report.duration = max(report.duration, end - start)
        }
    }

    private func one(_ client: HTTPClient, _ number: Int, _ due: ContinuousClock.Instant, _ body: String) {
        let isPost = (number &* 61) % 100 < plan.postPercent
        var outcome: Result<HTTPClient.Answer, any Error>
        do {
            outcome = .success(
                try client.send(isPost ? "POST" : "GET", "/load/\(plan.name)/\(number)", body: isPost ? body : nil))
        } catch {
            outcome = .failure(error)
        }
        let latency = ContinuousClock.now - due
        report.withLock { report in
            report.sent += 1
            switch outcome {
            case .success(let answer) where answer.isCut: report.errors["cut", default: 0] += 1
            case .success(let answer):
                report.statuses[answer.status, default: 0] += 1
                if let server = answer["x-served-by"] { report.byService[server, default: 0] += 1 }
                if answer.status != 200, report.samples.count < 3 { report.samples.append("\(answer.body.prefix(120))") }
                report.latencies.append(latency)
            case .failure(let error): report.errors["\(error)", default: 0] += 1
            }
        }
    }
}
