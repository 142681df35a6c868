import Pipeline

/// Stands in a chain and watches the runner and the breaker from within: every pass ends once, probes go one at a time.
///
/// With a stamp it marks the requests that pass, so that whoever receives one knows which version of a chain sent it.
final class Witness: RequestHeadFilter, OutcomeFilter {
    static let name: FilterName = "witness"

    struct Config: FilterConfig {
        let stamp: String
        init(_ fields: inout ConfigFields) { stamp = fields.read("stamp", default: "", "Version of the chain.") }
    }

    private enum State: UInt8, BitwiseCopyable { case zeroed, open, probing, ended }

    /// Probes of one upstream, as far as seen here.
    private struct Probes: BitwiseCopyable, Sendable {
        var began = Instant.zero
        var out: UInt32 = 0
    }

    static let stamp: HeaderName = "x-stamp"
    static let probeDeadline = Nanoseconds.seconds(2)

    private let text: String
    private let state: Slot<UInt8>
    /// Whose probe it is: a retry may be bound elsewhere.
    private let probed: Slot<UInt32>
    private let open: Gauge
    private let passes: Counter
    private let probesSeen: Counter
    private let violations: Counter
    private let probes: KeyedTable<Probes>
    private let breakers: KeyedTable<CircuitBreaker>

    init(_ config: Config, _ stage: inout StageSetup) {
        text = config.stamp
        state = stage.slot(UInt8.self)
        probed = stage.slot(UInt32.self)
        open = stage.gauge("open", "Passes that have not ended.")
        passes = stage.counter("passes_total", "Passes.")
        probesSeen = stage.counter("probes_total", "Probes.")
        violations = stage.counter("violations_total", "Passes that ended twice or never began, probes beside probes.")
        func key(_ id: String, _ subject: String) -> SharedKey {
            SharedKey(direction: stage.isInbound ? "inbound" : "outbound", stage: id, filter: id, subject: subject)
        }
        probes = stage.lease.table(key("witness", "probes"), capacity: 64, initial: Probes())
        breakers = stage.lease.table(key("breaker", "upstream"), initial: CircuitBreaker())
    }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        if exchange[state] != State.zeroed.rawValue { violations.increment() }
        exchange[state] = State.open.rawValue
        open.increment()
        passes.increment()
        guard text.isEmpty else {
            exchange.setRequestHeader(Self.stamp, text)
            return .next
        }
        // Unstamped ones stand directly below the breaker: while it probes, what it lets pass is the probe.
        let upstream = UInt64(exchange.storage.pointee.destination.upstreamLabel.number)
        if exchange.storage.pointee.destination.upstream >= 0, breakers.state(for: upstream)?.read().phase == .probing {
            exchange[state] = State.probing.rawValue
            exchange[probed] = UInt32(upstream)
            probesSeen.increment()
            let now = exchange.now
            let isSecond = probes.state(for: upstream)?.update { probes in
                let isSecond = probes.out > 0 && now < probes.began + Self.probeDeadline
                probes.out += 1
                probes.began = now
                return isSecond
            }
            if isSecond == true { violations.increment() }
        }
        return .next
    }

    func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        let before = State(rawValue: exchange[state])
        if before != .open && before != .probing { violations.increment() }
        exchange[state] = State.ended.rawValue
        open.decrement()
        if before == .probing {
            probes.state(for: UInt64(exchange[probed]))?.update { $0.out -= min($0.out, 1) }
        }
    }
}

/// A filter that one sidecar lacks.
final class Exotic: RequestHeadFilter {
    static let name: FilterName = "exotic"

    struct Config: FilterConfig {
        init(_ fields: inout ConfigFields) {}
    }

    init(_ config: Config, _ stage: inout StageSetup) {}
    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict { .next }
}
