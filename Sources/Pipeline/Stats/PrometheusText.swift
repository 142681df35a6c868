/// Prometheus' text exposition format 0.0.4: `text/plain; version=0.0.4; charset=utf-8`.
package enum PrometheusText {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Series of one name must have one kind; HELP and TYPE are written once per name. Names and label names are made legal,
    /// counters end in `_total`.
    package static func render(_ series: [StatsSeries]) -> [UInt8] {
        var families: [String: [StatsSeries]] = [:]
        for item in series { families[exposedName(item), default: []].append(item) }
        var out = Writer()
        for (name, items) in families.sorted(by: { $0.key < $1.key }) {
            let kind = kind(items[0].value)
            out.text("# HELP \(name) \(escapedHelp(items[0].help))\n# TYPE \(name) \(kind)\n")
            for item in items.sorted(by: { $0.labels.lexicographicallyPrecedes($1.labels) }) where self.kind(item.value) == kind {
                out.samples(name, item)
            }
        }
        return out.bytes
    }

    /// Calls as the two families that dashboards expect: `weft_requests_total` by status, `weft_request_duration_seconds`
    /// without it; raw streams as two of their own (``StreamSeries``).
    package static func series(calls: [CallKey: LatencySnapshot], labels table: LabelTable) -> [StatsSeries] {
        var byStatus: [[StatsRegistry.Label]: UInt64] = [:]
        var durations: [[StatsRegistry.Label]: LatencySnapshot] = [:]
        var closed: [[StatsRegistry.Label]: UInt64] = [:]
        var lifetimes: [[StatsRegistry.Label]: LatencySnapshot] = [:]
        for (key, latency) in calls {
            let pair: [StatsRegistry.Label] = [
                .init("reporter", key.reporter == .source ? "source" : "destination"), .init("source", table.text(key.source)),
                .init("destination", table.text(key.destination)), .init("version", table.text(key.version)),
                .init("route", table.text(key.route)),
            ]
            if key.answeredBy == .stream {
                closed[(pair + [.init("code", "\(key.status)")]).sorted(), default: 0] &+= latency.count
                lifetimes[pair.sorted(), default: LatencySnapshot()].merge(latency)
                continue
            }
            let answer = CallCode.labels(key.status) + [.init(CallKey.Answerer.key, key.answeredBy.text)]
            byStatus[(pair + answer).sorted(), default: 0] &+= latency.count
            durations[pair.sorted(), default: LatencySnapshot()].merge(latency)
        }
        return byStatus.map {
            StatsSeries(name: "weft_requests_total", help: "Requests by pair, route, status and who answered; code 0: the caller went away.",
                labels: $0.key, value: .counter($0.value))
        } + durations.map {
            StatsSeries(name: "weft_request_duration_seconds", help: "Time from request to the end of its response, by pair and route.",
                labels: $0.key, value: .histogram($0.value))
        } + closed.map {
            StatsSeries(name: StreamSeries.closed.name, help: StreamSeries.closed.help, labels: $0.key, value: .counter($0.value))
        } + lifetimes.map {
            StatsSeries(name: StreamSeries.duration.name, help: StreamSeries.duration.help, labels: $0.key, value: .histogram($0.value))
        }
    }

    private static func kind(_ value: StatsSeries.Value) -> String {
        switch value {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
    }

    private static func exposedName(_ item: StatsSeries) -> String {
        let name = legal(item.name, colon: true)
        if case .counter = item.value, !name.hasSuffix("_total") { return name + "_total" }
        return name
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`; labels know no colon.
    private static func legal(_ name: String, colon: Bool) -> String {
        var bytes = name.utf8.map { byte in
            ASCII.lowercased(byte) &- 0x61 < 26 || ASCII.isDigit(byte) || byte == UInt8(ascii: "_") || colon && byte == UInt8(ascii: ":")
                ? byte : UInt8(ascii: "_")
        }
        if bytes.first.map(ASCII.isDigit) ?? true { bytes.insert(UInt8(ascii: "_"), at: 0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func escapedHelp(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\\\"
            case "\n", "\r\n": result += "\\n"
            default: result.append(character)
            }
        }
    }

    private static func escapedLabel(_ text: String) -> String {
        var result = ""
        for character in escapedHelp(text) {
            if character == "\"" { result += "\\\"" } else { result.append(character) }
        }
        return result
    }

    private struct Writer {
        var bytes: [UInt8] = []

        mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

        mutating func samples(_ name: String, _ item: StatsSeries) {
            let labels = item.labels.map { "\(legal($0.name, colon: false))=\"\(escapedLabel($0.value))\"" }
            switch item.value {
            case .counter(let value): sample(name, labels, "\(value)")
            case .gauge(let value): sample(name, labels, "\(value)")
            case .histogram(let snapshot):
                let count = snapshot.count
                for (bound, below) in zip(LatencyBuckets.coarse, snapshot.cumulativeCoarse()) {
                    sample(name + "_bucket", labels + ["le=\"\(bound.seconds)\""], "\(below)")
                }
                sample(name + "_bucket", labels + ["le=\"+Inf\""], "\(count)")
                sample(name + "_sum", labels, "\(Double(snapshot.sum) / 1e9)")
                sample(name + "_count", labels, "\(count)")
            }
        }

        private mutating func sample(_ name: String, _ labels: [String], _ value: String) {
            text(name)
            if !labels.isEmpty { text("{" + labels.joined(separator: ",") + "}") }
            text(" " + value + "\n")
        }
    }
}
