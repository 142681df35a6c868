internal import Pipeline

/// How a sidecar leaves: nobody's request is cut that could have ended in time.
///
///     readiness fails, callers are told ─▶ inbound shut, requests in flight end ─▶ the application's own calls end ─▶ metrics out
///
/// Each phase ends as soon as there is nothing left to wait for, and at its bound at the latest.
final class Shutdown {
    private enum Phase { case announcing, inbound, outbound, flushing, done }

    private static let pollInterval = Nanoseconds.milliseconds(50)

    private unowned let sidecar: Sidecar
    private let done: () -> Void
    private var phase = Phase.announcing
    private var deadline = Instant.zero
    private var wakeup: Wakeup?

    init(of sidecar: Sidecar, done: @escaping () -> Void) {
        self.sidecar = sidecar
        self.done = done
        wakeup = Wakeup(on: sidecar.loop) { [unowned self] in poll() }
    }

    func begin() {
        sidecar.push?.announceDraining()
        // Without a control plane nobody hears the announcement but those who ask for readiness.
        enter(.announcing, atMost: sidecar.settings.drain.announcement)
    }

    /// The operator does not want to wait: on to the last phase.
    func hurry() {
        guard phase != .flushing, phase != .done else { return enter(.done, atMost: .zero) }
        flush()
    }

    func close() { wakeup?.cancel() }

    private func poll() {
        let isLate = sidecar.loop.now >= deadline
        switch phase {
        case .announcing where isLate:
            sidecar.dataplane.drainInbound()
            enter(.inbound, atMost: sidecar.settings.drain.inboundMax)
        case .inbound:
            let count = sidecar.dataplane.inboundInFlight()
            guard isLate || count == 0 else { break }
            if count > 0 { sidecar.log.warning("\(count) inbound requests did not end in time and are cut") }
            sidecar.dataplane.cutTunnels(inbound: true)
            enter(.outbound, atMost: sidecar.settings.drain.outboundMax)
        case .outbound:
            // The application may still be working: its port stays until it is gone, or has long enough asked nothing.
            let isGone = sidecar.probe.map { !$0.isAnswering } ?? true
            guard isLate || isGone && sidecar.dataplane.outboundInFlight() == 0 else { break }
            return flush()
        case .flushing where isLate:
            sidecar.log.warning("the last metrics were not acknowledged in time")
            enter(.done, atMost: .zero)
        case .done: return done()
        case .announcing, .flushing: break
        }
        wakeup?.set(min(max(deadline, sidecar.loop.now), sidecar.loop.now + Self.pollInterval))
    }

    private func flush() {
        sidecar.dataplane.cutTunnels(inbound: false)
        enter(.flushing, atMost: sidecar.settings.drain.flushMax)
        guard let exporter = sidecar.exporter else { return enter(.done, atMost: .zero) }
        exporter.flush { [unowned self] in enter(.done, atMost: .zero) }
    }

    private func enter(_ next: Phase, atMost: Nanoseconds) {
        phase = next
        deadline = sidecar.loop.now + atMost
        wakeup?.set(sidecar.loop.now)
    }
}
