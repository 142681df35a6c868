internal import Host
internal import Pipeline

/// What the control plane shows: sidecars, services, figures, explanations.
extension Plane {
    func sidecarList() -> ServiceResponse {
        .json {
            $0.key("items")
            $0.array {
                for (_, record) in sidecars.sorted(by: { $0.key < $1.key }) { write(record, to: &$0) }
            }
        }
    }

    private func write(_ record: SidecarRecord, to writer: inout JSONWriter) {
        let registration = leases[record.key]
        writer.object {
            $0.member("name", record.hello.sidecar)
            $0.member("service", record.hello.service)
            $0.member("namespace", record.hello.namespace)
            $0.member("version", record.hello.version)
            $0.member("state", record.publisher.status.rawValue)
            $0.key("parts")
            $0.array {
                for part in SnapshotPart.allCases {
                    $0.object {
                        $0.member("part", part.rawValue)
                        $0.member("state", record.publisher.status(part).rawValue)
                        $0.member("sent", record.publisher.wanted(part) ?? "")
                        $0.member("accepted", record.publisher.running(part) ?? "")
                        if let reason = record.publisher.reason(part) { $0.member("reason", reason) }
                    }
                }
            }
            $0.member("connected", record.stream != nil)
            if let why = revocations.objection(record.hello.namespace, record.hello.service) { $0.member("revoked", why) }
            $0.member("lastSeenSeconds", (uptime - record.lastHeard).seconds)
            $0.member("certificateExpires", Timestamp(record.certificateEnds).description)
            $0.member(
                "health", registration.map { $0.isDraining ? "draining" : $0.isHealthy ? "healthy" : "unhealthy" } ?? "unknown")
            if !record.healthReason.isEmpty { $0.member("healthReason", record.healthReason) }
            $0.member("address", registration?.endpoints.first?.address ?? "")
            $0.member("software", record.hello.software)
            $0.member("filters", record.hello.filters.map(\.name))
        }
    }

    func serviceList() -> ServiceResponse {
        let endpoints = registeredEndpoints
        return .json {
            $0.key("items")
            $0.array {
                for case .service(let service) in resources.sorted {
                    $0.object {
                        $0.member("name", service.key.name)
                        $0.member("namespace", service.namespace)
                        $0.member("protocol", service.speaksHTTP ? "http" : "tcp")
                        $0.member("served", true)
                        if !service.tcpPorts.isEmpty { $0.key("tcpPorts"); $0.array { for port in service.tcpPorts { $0.integer(port) } } }
                        $0.key("versions")
                        $0.array {
                            let own = endpoints.filter { $0.service == service.key.name && $0.namespace == service.namespace }
                            for version in Set(own.map(\.version)).sorted() {
                                $0.object {
                                    let group = own.filter { $0.version == version }
                                    $0.member("name", version)
                                    $0.member("endpoints", group.count)
                                    $0.member("healthy", group.filter { $0.isHealthy && !$0.isDraining }.count)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    func filterList() -> ServiceResponse {
        let known = knownFilters
        return .json {
            $0.key("items")
            $0.array {
                for name in known.keys.sorted() {
                    guard let schema = known[name] else { continue }
                    $0.object {
                        $0.member("name", name)
                        $0.key("schema")
                        schema.write(to: &$0)
                        $0.member(
                            "sidecars",
                            sidecars.values.filter { $0.hello.filters.contains { $0.name == name } }.map(\.hello.sidecar).sorted())
                    }
                }
            }
        }
    }

    // MARK: Figures

    private struct Pair: Hashable {
        let source, destination, version, route: String
        let isSource: Bool
        /// Raw streams, beside the requests between the same two.
        let isStream: Bool

        /// Connections carry calls of all routes.
        var connections: OpenConnections.Pair {
            OpenConnections.Pair(reporter: isSource ? .source : .destination, source: source, destination: destination, version: version)
        }
    }

    private struct PairStatus: Hashable {
        let pair: Pair
        let code: UInt16
    }

    private func pair(_ series: CallSeries) -> Pair {
        Pair(
            source: series.source, destination: series.destination, version: series.version, route: series.route,
            isSource: series.reporter == .source, isStream: series.answeredBy == .stream)
    }

    func stat(_ query: Query) -> ServiceResponse {
        var window = Nanoseconds.seconds(10)
        if let text = query["window"] {
            guard let count = Quantity.parse(text, Quantity.durations), (MetricTotals.windowMin.count...MetricTotals.windowMax.count).contains(count)
            else {
                return .error(400, "window is 5s to 60s: sidecars report every 2s, and less would show their timing rather than traffic")
            }
            window = Nanoseconds(count)
        }
        let reporter = query["reporter"]
        guard reporter.map({ ["source", "destination"].contains($0) }) ?? true else { return .error(400, "reporter is source or destination") }
        let wanted = { (series: CallSeries) -> Bool in
            reporter == nil || reporter == (series.reporter == .source ? "source" : "destination")
        }
        let figures = totals.figures(over: window, at: loop.now) { wanted($0) ? self.pair($0) : nil }
        var recent: [Pair: [String: UInt64]] = [:]
        for (status, figure) in totals.figures(over: window, at: loop.now, by: { wanted($0) ? PairStatus(pair: self.pair($0), code: $0.code) : nil }) {
            recent[status.pair, default: [:]][CallCode.text(status.code)] = figure.calls
        }
        var statuses: [Pair: [String: UInt64]] = [:]
        for (series, latency) in totals.all where wanted(series) { statuses[pair(series), default: [:]][CallCode.text(series.code), default: 0] += latency.count }
        let connections = totals.connections.open(at: loop.now)
        let order = { (a: Pair, b: Pair) in
            (a.source, a.destination, a.version, a.route, (a.isSource ? 0 : 1) + (a.isStream ? 2 : 0))
                < (b.source, b.destination, b.version, b.route, (b.isSource ? 0 : 1) + (b.isStream ? 2 : 0))
        }
        return .json {
            $0.member("window", query["window"] ?? "10s")
            $0.member("coveredSeconds", totals.span(of: window, at: loop.now).seconds)
            $0.key("items")
            $0.array {
                for (pair, figure) in figures.sorted(by: { order($0.key, $1.key) }) {
                    $0.object {
                        write(pair, to: &$0)
                        $0.member("requests", figure.calls)
                        $0.member("rps", figure.callsPerSecond)
                        if let share = figure.successShare { $0.member("success", share) }
                        if let p50 = figure.p50 { $0.member("p50Seconds", p50.seconds) }
                        if let p95 = figure.p95 { $0.member("p95Seconds", p95.seconds) }
                        if let p99 = figure.p99 { $0.member("p99Seconds", p99.seconds) }
                        if let open = connections[pair.connections] { $0.member("connections", Int(open)) }
                        write(recent[pair] ?? [:], to: &$0)
                    }
                }
            }
            $0.key("totals")
            $0.array {
                for (pair, codes) in statuses.sorted(by: { order($0.key, $1.key) }) {
                    $0.object {
                        write(pair, to: &$0)
                        $0.member("requests", codes.values.reduce(0, +))
                        write(codes, to: &$0)
                    }
                }
            }
            $0.key("ingest")
            $0.object {
                $0.member("batches", counts.batches)
                $0.member("duplicates", counts.duplicateBatches)
                $0.member("refused", counts.refusedBatches)
                $0.member("bytesCompressed", counts.bytesCompressed)
                $0.member("bytesDecompressed", counts.bytesDecompressed)
            }
        }
    }

    private func write(_ pair: Pair, to writer: inout JSONWriter) {
        writer.member("source", pair.source)
        writer.member("destination", pair.destination)
        writer.member("version", pair.version)
        writer.member("route", pair.route)
        writer.member("reporter", pair.isSource ? "source" : "destination")
        if pair.isStream { writer.member("protocol", "tcp") }
    }

    private func write(_ statuses: [String: UInt64], to writer: inout JSONWriter) {
        writer.key("statuses")
        writer.object { for (code, count) in statuses.sorted(by: { $0.key < $1.key }) { $0.member(code, count) } }
    }

    // MARK: Explanations

    /// `payment`, or `payment.shop` for one in namespace `shop`.
    private func serviceKey(_ text: String, in namespace: String) -> ResourceKey {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        return ResourceKey(.service, String(parts[0]), namespace: parts.count == 2 ? String(parts[1]) : namespace)
    }

    private func unknownRule(_ rule: String, of service: ResourceKey) -> ServiceResponse? {
        for case .route(let route) in resources.sorted where route.serviceKey == service {
            let names = route.rules.enumerated().map { $0.element.name ?? "\($0.offset + 1)" }
            if names.contains(rule) || route.rules.indices.contains(where: { "\($0 + 1)" == rule }) { return nil }
            return .error(404, "\(route.key) has no rule \(JSONWriter.quoted(rule)); it has: \(names.joined(separator: ", "))")
        }
        return .error(404, "\(service) has no Route, so no rule \(JSONWriter.quoted(rule))")
    }

    /// Every value in force for callers of a service, and for its own inbound chain, and who said it.
    func explain(_ query: Query) -> ServiceResponse {
        guard let name = query["service"] else { return .error(400, "say which service") }
        let key = serviceKey(name, in: ResourceKey.defaultNamespace)
        guard case .service(let service)? = resources[key] else {
            let names = resources.sorted.compactMap { if case .service(let service) = $0 { service.key.name } else { nil } }
            let near = Spelling.suggestion(for: key.name, among: names, taken: [])
            return .error(404, "there is no \(key)" + (near.map { "; did you mean \"\($0)\"?" } ?? ""))
        }
        var caller: ServiceResource?
        if let text = query["caller"] {
            guard case .service(let found)? = resources[serviceKey(text, in: key.namespace)] else {
                return .error(404, "there is no Service \"\(text)\"")
            }
            caller = found
        }
        if let rule = query["rule"], let refusal = unknownRule(rule, of: key) { return refusal }
        let rows = Explanation(resources, filters: knownFilters).rows(for: service, caller: caller, rule: query["rule"])
        return .json {
            $0.key("rows")
            $0.array {
                for row in rows {
                    $0.object {
                        $0.member("direction", row.direction)
                        $0.member("stage", row.stage)
                        $0.member("key", row.key)
                        $0.key("value")
                        $0.raw(row.value)
                        $0.member("source", row.source)
                        $0.member("file", row.file)
                        if let line = row.line { $0.member("line", line) }
                    }
                }
            }
        }
    }
}
