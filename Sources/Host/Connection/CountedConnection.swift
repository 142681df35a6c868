internal import Pipeline

/// Between whom a connection is: what open connections are counted apart by.
struct ConnectionPair: BitwiseCopyable, Hashable {
    let reporter: CallKey.Reporter
    let source: LabelID
    let destination: LabelID
    let version: LabelID

    /// Asked once per exchange; the one that the compiler would write calls itself four times through a witness table.
    static func == (a: Self, b: Self) -> Bool {
        a.source.number == b.source.number && a.destination.number == b.destination.number && a.version.number == b.version.number
            && a.reporter == b.reporter
    }
}

/// What one connection adds to the gauge of its pair: one while it is counted, and nothing before and after.
struct CountedConnection: BitwiseCopyable {
    private var pair: ConnectionPair?
    private var gauge: Gauge?

    /// Counts it under `pair`, and no longer under another. Nothing is done, or allocated, if it is counted there already.
    @inline(__always)
    mutating func count(under pair: ConnectionPair, _ worker: Worker) {
        if self.pair != pair { move(to: pair, worker) }
    }

    @inline(never)
    private mutating func move(to pair: ConnectionPair, _ worker: Worker) {
        end()
        let gauge = worker.connections(of: pair)
        gauge.increment()
        self.pair = pair
        self.gauge = gauge
    }

    mutating func end() {
        gauge?.decrement()
        gauge = nil
        pair = nil
    }
}

/// What metrics call the service that a sidecar stands before.
struct OwnLabels: BitwiseCopyable, Equatable, Sendable {
    var service = LabelID.unknown
    var version = LabelID.none
}

extension Worker {
    /// This loop's part of the gauge of open connections between `pair`. Costs a lock the first time, a look-up from then on.
    func connections(of pair: ConnectionPair) -> Gauge {
        if let known = w.pointee.connectionGauges[pair] { return known }
        let labels = w.pointee.context.labels
        let gauge = w.pointee.context.stats.gauge(
            ConnectionSeries.name, ConnectionSeries.help,
            labels: ConnectionSeries.labels(
                reporter: pair.reporter, source: labels.text(pair.source), destination: labels.text(pair.destination),
                version: labels.text(pair.version)),
            loop: w.pointee.index)
        w.pointee.connectionGauges[pair] = gauge
        return gauge
    }

    /// The service is called otherwise from now on (a sidecar learns its name with its first snapshot): what is open moves along.
    func rename(_ own: OwnLabels) {
        guard w.pointee.own != own else { return }
        w.pointee.own = own
        var next = w.pointee.connections
        while let d = next {
            next = d.pointee.next
            Downstream(d).countForPair()
        }
    }
}
