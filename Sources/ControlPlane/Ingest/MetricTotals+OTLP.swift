package import Pipeline

extension MetricTotals.Batch {
    /// The calls and open connections in what a sidecar of ours sent.
    ///
    /// - Returns: nil if it carries no batch id. `malformed` counts points that are no deltas of calls: other temporality,
    ///   labels missing, counts that do not add up, NaN or negative figures. Other metrics are not looked at.
    package static func read(_ resource: OTLP.Resource) -> (batch: MetricTotals.Batch, malformed: Int)? {
        guard let id = resource.batchID else { return nil }
        var (points, malformed): ([MetricTotals.Point], Int) = ([], 0)
        var connections: [OpenConnections.Point] = []
        for metric in resource.metrics {
            if metric.name == ConnectionSeries.name {
                guard case .gauge(let gauges) = metric.data else {
                    malformed += 1
                    continue
                }
                for gauge in gauges {
                    if let point = OpenConnections.Point(gauge) { connections.append(point) } else { malformed += 1 }
                }
            }
            let isStream = metric.name == DeltaTracker.streamDuration
            guard isStream || metric.name == DeltaTracker.requestDuration else { continue }
            guard case .histogram(let histograms, let temporality) = metric.data else {
                malformed += 1
                continue
            }
            for histogram in histograms {
                guard temporality == .delta, let point = MetricTotals.Point(histogram), (point.series.answeredBy == .stream) == isStream else {
                    malformed += 1
                    continue
                }
                points.append(point)
            }
        }
        return (MetricTotals.Batch(incarnation: id.incarnation, sequence: id.sequence, points: points, connections: connections), malformed)
    }
}

extension OpenConnections.Point {
    fileprivate init?(_ gauge: OTLP.NumberPoint) {
        guard case .int(let open) = gauge.value, open >= 0,
            let series = CallSeries(gauge.attributes + [OTLP.Attribute("route", "none"), OTLP.Attribute("code", .int(0))])
        else { return nil }
        self.init(pair: OpenConnections.Pair(series), open: open)
    }
}

extension MetricTotals.Point {
    fileprivate init?(_ histogram: OTLP.HistogramPoint) {
        guard let series = CallSeries(histogram.attributes) else { return nil }
        if let sum = histogram.sum { guard sum.isFinite, sum >= 0 else { return nil } }
        guard histogram.bounds.allSatisfy({ $0.isFinite && $0 >= 0 }), zip(histogram.bounds, histogram.bounds.dropFirst()).allSatisfy({ $0 < $1 })
        else { return nil }
        var count: UInt64 = 0
        for amount in histogram.bucketCounts {
            let (sum, overflow) = count.addingReportingOverflow(amount)
            guard !overflow else { return nil }
            count = sum
        }
        guard count == histogram.count, let latency = histogram.latency else { return nil }
        self.init(series: series, latency: latency)
    }
}

extension CallSeries {
    /// Nil unless every label is there once, and of its kind.
    fileprivate init?(_ attributes: [OTLP.Attribute]) {
        var texts: [String: String] = [:]
        var code: Int64?
        var grpc: Int64?
        for attribute in attributes {
            switch (attribute.key, attribute.value) {
            case ("code", .int(let number)):
                guard code == nil else { return nil }
                code = number
            case (CallCode.grpcKey, .int(let number)):
                guard grpc == nil, (0...16).contains(number) else { return nil }
                grpc = number
            case (let key, .string(let text)):
                guard texts.updateValue(text, forKey: key) == nil else { return nil }
            default: continue
            }
        }
        guard let code, (0...599).contains(code), code == 0 || code >= 100,
            let source = texts["source"], let destination = texts["destination"], let version = texts["version"], let route = texts["route"]
        else { return nil }
        guard grpc == nil || code == 200 else { return nil }
        let reporter: Reporter
        switch texts["reporter"] {
        case "source": reporter = .source
        case "destination": reporter = .destination
        default: return nil
        }
        let answeredBy: CallKey.Answerer
        switch texts[CallKey.Answerer.key] {
        case nil: answeredBy = .service
        case let text?:
            guard let known = CallKey.Answerer(text: text) else { return nil }
            answeredBy = known
        }
        self.init(
            reporter: reporter, source: source, destination: destination, version: version, route: route,
            code: grpc.map { CallCode.of(GRPCStatus(rawValue: UInt8($0))) } ?? UInt16(code), answeredBy: answeredBy)
    }
}
