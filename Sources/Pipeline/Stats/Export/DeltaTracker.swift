/// Turns running totals into what changed since the last batch.
///
/// The cells themselves are where new counts pile up while a batch is under way, so nothing is queued and nothing grows: the next
/// cut takes all of it. A cut is final; its batch is kept and resent by ``ExportMachine`` until it is acknowledged.
package struct DeltaTracker: Sendable {
    package static let requestDuration = "weft.request.duration"
    /// The same of raw streams: how long connections lasted that have ended.
    package static let streamDuration = "weft.tcp.connection.duration"

    private struct SeriesKey: Hashable {
        let name: String
        let labels: [StatsRegistry.Label]
    }

    private let labels: LabelTable
    private var series: [SeriesKey: StatsSeries.Value] = [:]
    private var calls: [CallKey: LatencySnapshot] = [:]
    /// When the last cut was made, in nanoseconds since 1970: the start of the next deltas.
    private var since: UInt64

    package init(labels: LabelTable, startedAt: UInt64) {
        self.labels = labels
        since = startedAt
    }

    /// What changed, as metrics with delta temporality (gauges as they are); empty if nothing did.
    ///
    /// Open connections are said again in every cut: their receiver keeps nothing on disk, and must notice who stops saying it.
    ///
    /// - Parameters:
    ///   - rows: of all loops; the same key may occur once per loop.
    ///   - now: nanoseconds since 1970.
    package mutating func cut(series current: [StatsSeries], calls rows: [CallRow], at now: UInt64) -> [OTLP.Metric] {
        var metrics: [String: OTLP.Metric] = [:]
        for item in current {
            let key = SeriesKey(name: item.name, labels: item.labels)
            let attributes = item.labels.map { OTLP.Attribute($0.name, $0.value) }
            let before = series[key]
            switch (item.value, before) {
            case (.counter(let total), _):
                let old: UInt64 = if case .counter(let value)? = before { value } else { 0 }
                guard total != old else { continue }
                add(number(Int64(bitPattern: total &- old), attributes, now), to: item, isSum: true, &metrics)
            case (.gauge(let value), _):
                guard before != item.value || item.name == ConnectionSeries.name && value != 0 else { continue }
                add(number(value, attributes, now), to: item, isSum: false, &metrics)
            case (.histogram(let total), _):
                let old = if case .histogram(let value)? = before { value } else { LatencySnapshot() }
                guard total != old else { continue }
                add(point(total.since(old), attributes, now), name: item.name, help: item.help, &metrics)
            }
            series[key] = item.value
        }
        for (key, total) in Self.merged(rows) {
            let old = calls[key] ?? LatencySnapshot()
            guard total != old else { continue }
            calls[key] = total
            add(
                point(total.since(old), attributes(key), now), name: key.answeredBy == .stream ? Self.streamDuration : Self.requestDuration,
                help: key.answeredBy == .stream ? "TCP connections that have ended, by pair and why." : "Requests by pair, route and status.",
                &metrics)
        }
        since = now
        return metrics.values.sorted { $0.name < $1.name }
    }

    /// Rows of several loops as one per key.
    package static func merged(_ rows: [CallRow]) -> [CallKey: LatencySnapshot] {
        var result: [CallKey: LatencySnapshot] = [:]
        for row in rows { result[row.key, default: LatencySnapshot()].merge(row.latency) }
        return result
    }

    private func attributes(_ key: CallKey) -> [OTLP.Attribute] {
        [
            .init("reporter", key.reporter == .source ? "source" : "destination"), .init("source", labels.text(key.source)),
            .init("destination", labels.text(key.destination)), .init("version", labels.text(key.version)),
            .init("route", labels.text(key.route)), .init("code", .int(Int64(CallCode.http(key.status)))),
            .init(CallKey.Answerer.key, key.answeredBy.text),
        ] + (CallCode.grpc(key.status).map { [.init(CallCode.grpcKey, .int(Int64($0.rawValue)))] } ?? [])
    }

    private func number(_ value: Int64, _ attributes: [OTLP.Attribute], _ now: UInt64) -> OTLP.NumberPoint {
        var point = OTLP.NumberPoint()
        point.attributes = attributes
        point.start = since
        point.time = now
        point.value = .int(value)
        return point
    }

    private func point(_ delta: LatencySnapshot, _ attributes: [OTLP.Attribute], _ now: UInt64) -> OTLP.HistogramPoint {
        var point = OTLP.HistogramPoint(fine: delta)
        point.attributes = attributes
        point.start = since
        point.time = now
        return point
    }

    private func add(_ point: OTLP.NumberPoint, to item: StatsSeries, isSum: Bool, _ metrics: inout [String: OTLP.Metric]) {
        var points: [OTLP.NumberPoint] = []
        switch metrics[item.name]?.data {
        case .sum(let known, _, _)?: points = known
        case .gauge(let known)?: points = known
        default: break
        }
        points.append(point)
        metrics[item.name] = OTLP.Metric(
            name: item.name, description: item.help, unit: "1", data: isSum ? .sum(points, .delta, isMonotonic: true) : .gauge(points))
    }

    private func add(_ point: OTLP.HistogramPoint, name: String, help: String, _ metrics: inout [String: OTLP.Metric]) {
        var points: [OTLP.HistogramPoint] = []
        if case .histogram(let known, _)? = metrics[name]?.data { points = known }
        points.append(point)
        metrics[name] = OTLP.Metric(name: name, description: help, unit: "s", data: .histogram(points, .delta))
    }
}
