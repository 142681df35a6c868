internal import Host
internal import Pipeline

/// Metric batches in, a Prometheus page out.
extension Plane {
    /// Bytes a batch may have once it is decompressed.
    static let batchBytesMax = 8 * 1024 * 1024

    func ingest(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let workload = peer.id.workload else {
            return reply.respond(.error(403, "batches are taken from sidecars with a certificate of this mesh"))
        }
        guard request.header("content-encoding") == "zstd" else {
            return reply.respond(.error(415, "send zstd-compressed OTLP protobuf"))
        }
        let own = workload.namespace == ResourceKey.defaultNamespace ? workload.service : "\(workload.service).\(workload.namespace)"
        do {
            let bytes = try Zstd().decompress(request.body, limit: Self.batchBytesMax)
            counts.bytesCompressed += UInt64(request.body.count)
            counts.bytesDecompressed += UInt64(bytes.count)
            for resource in try OTLP.decode(bytes) {
                guard let (batch, _) = MetricTotals.Batch.read(resource) else {
                    counts.refusedBatches += 1
                    return reply.respond(.error(400, "the batch carries no incarnation and sequence"))
                }
                switch totals.count(batch, from: own, at: loop.now) {
                case .counted: counts.batches += 1
                case .duplicate: counts.duplicateBatches += 1
                case .invalid(let why):
                    counts.refusedBatches += 1
                    return reply.respond(.error(400, why))
                }
            }
            whenDurable { reply.respond(ServiceResponse(200, headers: [("content-type", "application/x-protobuf")])) }
        } catch {
            counts.refusedBatches += 1
            reply.respond(.error(413, "\(error)"))
        }
    }

    func handleMetrics(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard request.method == "GET" else { return reply.respond(.error(405, "only GET")) }
        guard isOwnName(request.header("host")) else {
            return reply.respond(.error(421, "this page answers to loopback names only"))
        }
        switch request.path {
        case "/metrics":
            reply.respond(
                ServiceResponse(headers: [("content-type", PrometheusText.contentType)], body: PrometheusText.render(series())))
        case "/livez", "/readyz": reply.respond(ServiceResponse(text: "ok\n"))
        default: reply.respond(.error(404, "there is no \(request.path) here"))
        }
    }

    /// Against DNS rebinding: a page elsewhere must not reach this port through a name of its own.
    private func isOwnName(_ host: String?) -> Bool {
        guard let host else { return false }
        let name = host.hasPrefix("[") ? String(host.prefix { $0 != "]" }.dropFirst()) : String(host.prefix { $0 != ":" })
        return name == "localhost" || name == "::1" || name.hasPrefix("127.") || name == addresses.metrics.host
    }

    private func series() -> [StatsSeries] {
        var series: [StatsSeries] = []
        func counter(_ name: String, _ help: String, _ value: UInt64, _ labels: [StatsRegistry.Label] = []) {
            series.append(StatsSeries(name: name, help: help, labels: labels, value: .counter(value)))
        }
        func gauge(_ name: String, _ help: String, _ value: Int64, _ labels: [StatsRegistry.Label] = []) {
            series.append(StatsSeries(name: name, help: help, labels: labels, value: .gauge(value)))
        }
        for (call, latency) in totals.all {
            let labels = [
                StatsRegistry.Label("reporter", call.reporter == .source ? "source" : "destination"),
                StatsRegistry.Label("source", call.source), StatsRegistry.Label("destination", call.destination),
                StatsRegistry.Label("version", call.version), StatsRegistry.Label("route", call.route),
                StatsRegistry.Label("code", "\(call.code)"),
            ]
            counter("weft_requests_total", "Calls by pair, version, route and status.", latency.count, labels)
            series.append(
                StatsSeries(
                    name: "weft_request_duration_seconds", help: "Time from the request's head to the end of the response.", labels: labels,
                    value: .histogram(latency)))
        }
        counter("weft_control_plane_applies_total", "Changes of resources that were accepted.", counts.applied)
        counter("weft_control_plane_applies_refused_total", "Changes of resources that were refused.", counts.refused)
        counter("weft_control_plane_joins_total", "Certificates issued for a join token.", counts.joined)
        counter("weft_control_plane_joins_refused_total", "Joins and renewals that were refused.", counts.joinsRefused)
        counter("weft_control_plane_renewals_total", "Certificates renewed.", counts.renewed)
        counter("weft_control_plane_parts_pushed_total", "Snapshot parts sent to sidecars.", counts.pushed)
        counter("weft_control_plane_parts_accepted_total", "Snapshot parts that sidecars accepted.", counts.acked)
        counter("weft_control_plane_parts_rejected_total", "Snapshot parts that sidecars rejected.", counts.nacked)
        counter("weft_control_plane_batches_total", "Metric batches counted.", counts.batches)
        counter("weft_control_plane_batches_duplicate_total", "Metric batches that had been counted before.", counts.duplicateBatches)
        counter("weft_control_plane_batches_refused_total", "Metric batches that were refused.", counts.refusedBatches)
        counter("weft_control_plane_batch_bytes_total", "Bytes of metric batches.", counts.bytesCompressed, [.init("state", "compressed")])
        counter("weft_control_plane_batch_bytes_total", "Bytes of metric batches.", counts.bytesDecompressed, [.init("state", "decompressed")])
        for status in ["SYNCED", "STALE", "REJECTED", "NOT SENT"] {
            let count = sidecars.values.filter { $0.publisher.status.rawValue == status }.count
            gauge("weft_control_plane_sidecars", "Sidecars by state of their snapshot.", Int64(count), [.init("state", status)])
        }
        gauge("weft_control_plane_resources", "Resources in the store.", Int64(resources.resources.count))
        gauge("weft_control_plane_endpoints", "Endpoints that are registered.", Int64(leases.count))
        gauge("weft_control_plane_root_not_after_timestamp_seconds", "When the issuing root ends.", authority.rootEnds.seconds)
        gauge("weft_build_info", "Always 1.", 1, [.init("version", WeftVersion.text)])
        return series
    }
}
