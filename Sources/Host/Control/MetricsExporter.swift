internal import Pipeline

/// Sends what the data path counted to the control plane: performs what `ExportMachine` decides, on the control loop.
///
/// The loops' cells are read, never locked, so the data path does not notice. While the control plane is away nothing is
/// queued: one batch is kept and resent, and everything since piles up in the cells as part of the next. A cut that is more
/// than one batch may hold (`BatchLimits`) goes out as several, each with a number of its own, before the next cut.
final class MetricsExporter {
    private struct Counters {
        let batches: Counter
        let failures: Counter
        let bytes: Counter
        let compressedBytes: Counter
        let dropped: Counter

        init(_ stats: StatsRegistry, loop: Int) {
            batches = stats.counter("weft_export_batches_total", "Metric batches that the control plane acknowledged.", loop: loop)
            failures = stats.counter("weft_export_failures_total", "Tries to send a metric batch that failed.", loop: loop)
            bytes = stats.counter("weft_export_bytes_total", "Bytes of metric batches before compression.", loop: loop)
            compressedBytes = stats.counter("weft_export_compressed_bytes_total", "Bytes of metric batches after compression.", loop: loop)
            dropped = stats.counter("weft_export_dropped_total", "Metric batches given up: the control plane will never take them.", loop: loop)
        }
    }

    private let loop: EventLoop
    private let context: BuildContext
    private let service: String
    private let incarnation: String
    private let target: () -> ServiceTarget?
    private let log: SidecarLog
    private let counters: Counters
    private let zstd: Zstd
    private var machine: ExportMachine
    private var tracker: DeltaTracker
    /// The batch under way, compressed.
    private var kept: [UInt8] = []
    /// What was cut with it and is more than one batch takes.
    private var waiting: ArraySlice<[OTLP.Metric]> = []
    private var call: ServiceCall?
    private var wakeup: Wakeup?
    private var isFailing = false
    private var whenFlushed: (() -> Void)?

    /// - Parameters:
    ///   - target: nil while there is no identity to go there with.
    ///   - counterLoop: the registry's index of the control loop.
    init(
        on loop: EventLoop, _ context: BuildContext, service: String, incarnation: String, interval: Nanoseconds, counterLoop: Int, log: SidecarLog,
        target: @escaping () -> ServiceTarget?
    ) throws(Zstd.Problem) {
        self.loop = loop
        self.context = context
        self.service = service
        self.incarnation = incarnation
        self.target = target
        self.log = log
        counters = Counters(context.stats, loop: counterLoop)
        zstd = try Zstd()
        var policy = ExportMachine.Policy()
        policy.interval = interval
        machine = ExportMachine(policy, at: loop.now)
        tracker = DeltaTracker(labels: context.labels, startedAt: UInt64(max(0, Clock.unixNanoseconds())))
        wakeup = Wakeup(on: loop) { [unowned self] in poll() }
    }

    func start() { poll() }

    func close() {
        wakeup?.cancel()
        call?.cancel()
        call = nil
    }

    /// The number of the batch under way, or of the last one; and whether it waits for its acknowledgement.
    var state: (sequence: UInt64, isUnderWay: Bool) { (machine.sequence, machine.isUnderWay) }

    /// Sends what is there now, and calls back once it is acknowledged; whoever cannot wait that long closes.
    func flush(_ done: @escaping () -> Void) {
        // A batch under way holds older counts: what came since goes in one more.
        let rounds = machine.isUnderWay ? 2 : 1
        flush(rounds: rounds, done)
    }

    private func flush(rounds: Int, _ done: @escaping () -> Void) {
        guard rounds > 0 else { return done() }
        whenFlushed = { [unowned self] in flush(rounds: rounds - 1, done) }
        machine.flush(at: loop.now)
        poll()
    }

    // MARK: Sending

    private func poll() {
        while true {
            switch machine.poll(at: loop.now, using: &loop.random.pointee) {
            case .wait(let until):
                wakeup?.set(until)
                return
            case .cut(let sequence):
                guard cut(sequence) else { continue }
                send(sequence)
            case .resend(let sequence): send(sequence)
            }
        }
    }

    /// False if there was nothing to send.
    private func cut(_ sequence: UInt64) -> Bool {
        if waiting.isEmpty {
            let now = UInt64(max(0, Clock.unixNanoseconds()))
            waiting = BatchLimits.split(tracker.cut(series: context.stats.read(), calls: context.calls.flatMap { $0.read() }, at: now))[...]
        }
        guard let metrics = waiting.popFirst() else {
            machine.nothingToSend(at: loop.now)
            flushed()
            return false
        }
        let id = BatchID(incarnation: incarnation, sequence: sequence)
        let bytes = OTLP.encode([OTLP.Resource(service: service, id: id, metrics: metrics)])
        kept = (try? zstd.compress(bytes)) ?? []
        counters.bytes.add(UInt64(bytes.count))
        counters.compressedBytes.add(UInt64(kept.count))
        return true
    }

    private func send(_ sequence: UInt64) {
        guard let target = target() else { return failed(sequence, "there is no identity yet") }
        let request = ServiceRequest(
            "POST", "/v1/metrics", headers: [("content-type", "application/x-protobuf"), ("content-encoding", "zstd")], body: kept)
        call?.cancel()
        call = ServiceClient.send(request, to: target, on: loop) { [unowned self] result in
            call = nil
            switch result {
            case .success(let response) where response.status == 200: acknowledged(sequence)
            case .success(let response) where response.status == 400 || response.status == 413:
                // Sent again it would be refused again: better one batch lost, and said so, than all after it.
                counters.dropped.increment()
                log.error("metric batch \(sequence) is lost: the control plane answers \(response.status) \(response.text)")
                acknowledged(sequence)
            case .success(let response): failed(sequence, "the control plane answers \(response.status)")
            case .failure(let why): failed(sequence, "\(why)")
            }
            poll()
        }
    }

    private func acknowledged(_ sequence: UInt64) {
        guard machine.acknowledged(sequence: sequence, more: !waiting.isEmpty, at: loop.now) else { return }
        kept = []
        counters.batches.increment()
        if isFailing { log.note("metrics reach the control plane again") }
        isFailing = false
        if waiting.isEmpty { flushed() }
    }

    private func failed(_ sequence: UInt64, _ why: String) {
        counters.failures.increment()
        if !isFailing { log.warning("metrics do not reach the control plane: \(why)") }
        isFailing = true
        machine.failed(sequence: sequence, at: loop.now, using: &loop.random.pointee)
    }

    private func flushed() {
        let done = whenFlushed
        whenFlushed = nil
        done?()
    }
}
