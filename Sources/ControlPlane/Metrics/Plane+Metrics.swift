internal import Host
internal import Pipeline

/// Metric batches in, a Prometheus page out.
extension Plane {
    func ingest(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let workload = peer.id.workload else {
            return reply.respond(.error(403, "batches are taken from sidecars with a certificate of this mesh"))
        }
        if let why = revocations.objection(workload.namespace, workload.service) { return reply.respond(.error(403, why)) }
        guard request.header("content-encoding") == "zstd" else {
            return reply.respond(.error(415, "send zstd-compressed OTLP protobuf"))
        }
        let own = workload.namespace == ResourceKey.defaultNamespace ? workload.service : "\(workload.service).\(workload.namespace)"
        do {
            // A batch is counted only if it can be kept: what is acknowledged is not sent again.
            try store.admit()
            let bytes = try zstd.decompress(request.body, limit: BatchLimits.bytesMax)
            for resource in try OTLP.decode(bytes) { try count(resource, from: own) }
            counts.bytesCompressed += UInt64(request.body.count)
            counts.bytesDecompressed += UInt64(bytes.count)
            whenDurable { reply.respond(ServiceResponse(200, headers: [("content-type", "application/x-protobuf")])) }
        } catch let error as StoreError {
            reply.respond(storeFailure(error))
        } catch {
            counts.refusedBatches += 1
            Log.note("batch refused", ["service": own, "why": "\(error)"])
            // What was counted of it is durable before its sender is told that the rest was not.
            whenDurable { reply.respond(.error(error as? Zstd.Problem == .tooLarge ? 413 : 400, "\(error)")) }
        }
    }

    private func count(_ resource: OTLP.Resource, from service: String) throws {
        guard let (batch, malformed) = MetricTotals.Batch.read(resource) else {
            throw PlaneError("the batch carries no incarnation and sequence")
        }
        if totals.isFull { try commit() }
        switch totals.count(batch, from: service, at: loop.now) {
        case .counted(let rejected):
            counts.batches += 1
            counts.malformedPoints += UInt64(malformed + rejected)
        case .duplicate: counts.duplicateBatches += 1
        case .invalid(let why): throw PlaneError(why)
        }
    }

    func handleMetrics(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard request.method == "GET" else { return reply.respond(.notAllowed(request, allow: "GET")) }
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
        if host == "localhost" || host.hasPrefix("localhost:") { return true }
        // With a port, or without one.
        guard let address = SocketAddress(host) ?? SocketAddress(host + ":80") else { return false }
        return address.isLoopback || address.host == addresses.metrics.host
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
            let pair = [
                StatsRegistry.Label("reporter", call.reporter == .source ? "source" : "destination"),
                StatsRegistry.Label("source", call.source), StatsRegistry.Label("destination", call.destination),
                StatsRegistry.Label("version", call.version), StatsRegistry.Label("route", call.route),
            ] + CallCode.labels(call.code)
            guard call.answeredBy != .stream else {
                counter(StreamSeries.closed.name, StreamSeries.closed.help, latency.count, pair)
                series.append(
                    StatsSeries(
                        name: StreamSeries.duration.name, help: StreamSeries.duration.help, labels: pair, value: .histogram(latency)))
                continue
            }
            let labels = pair + [StatsRegistry.Label(CallKey.Answerer.key, call.answeredBy.text)]
            counter("weft_requests_total", "Calls by pair, version, route, status and who answered.", latency.count, labels)
            series.append(
                StatsSeries(
                    name: "weft_request_duration_seconds", help: "Time from the request's head to the end of the response.", labels: labels,
                    value: .histogram(latency)))
        }
        for (pair, open) in totals.connections.open(at: loop.now) {
            let labels = ConnectionSeries.labels(
                reporter: pair.reporter == .source ? .source : .destination, source: pair.source, destination: pair.destination,
                version: pair.version)
            gauge(ConnectionSeries.name, ConnectionSeries.help, open, labels)
        }
        counter("weft_control_plane_applies_total", "Changes of resources that were accepted.", counts.applied)
        counter("weft_control_plane_applies_refused_total", "Changes of resources that were refused.", counts.refused)
        counter("weft_control_plane_joins_total", "Certificates issued for a join token.", counts.joined)
        counter("weft_control_plane_joins_refused_total", "Joins and renewals that were refused.", counts.joinsRefused)
        counter("weft_control_plane_renewals_total", "Certificates renewed.", counts.renewed)
        counter("weft_control_plane_parts_pushed_total", "Snapshot parts sent to sidecars.", counts.pushed)
        counter("weft_control_plane_parts_accepted_total", "Snapshot parts that sidecars accepted.", counts.acked)
        counter("weft_control_plane_parts_rejected_total", "Snapshot parts that sidecars rejected.", counts.nacked)
        counter("weft_control_plane_joins_throttled_total", "Refused joins that were answered 429.", counts.joinsThrottled)
        counter("weft_control_plane_operators_refused_total", "Calls of the API over TCP without a valid credential.", counts.operatorsRefused)
        counter("weft_control_plane_parts_unpushable_total", "Snapshot parts that no sidecar could have read.", counts.unpushable)
        counter("weft_control_plane_streams_cut_total", "Push streams ended by the control plane.", counts.streamsCut)
        counter("weft_control_plane_handshakes_failed_total", "TLS handshakes on the mesh port that failed.", mesh.counts.failedHandshakes)
        counter("weft_control_plane_points_refused_total", "Points of metric batches that could not be counted.", counts.malformedPoints)
        counter("weft_control_plane_batches_total", "Metric batches counted.", counts.batches)
        counter("weft_control_plane_batches_duplicate_total", "Metric batches that had been counted before.", counts.duplicateBatches)
        counter("weft_control_plane_batches_missing_total", "Metric batches that never came though later ones did.", totals.missingBatches)
        counter("weft_control_plane_batches_refused_total", "Metric batches that were refused.", counts.refusedBatches)
        counter("weft_control_plane_batch_bytes_total", "Bytes of metric batches.", counts.bytesCompressed, [.init("state", "compressed")])
        counter("weft_control_plane_batch_bytes_total", "Bytes of metric batches.", counts.bytesDecompressed, [.init("state", "decompressed")])
        for status in ["SYNCED", "STALE", "REJECTED", "NOT SENT"] {
            let count = sidecars.values.filter { $0.publisher.status.rawValue == status }.count
            gauge("weft_control_plane_sidecars", "Sidecars by state of their snapshot.", Int64(count), [.init("state", status)])
        }
        let connected = sidecars.values.count { $0.stream != nil }
        gauge("weft_control_plane_sidecars_connected", "Sidecars whose push stream is open.", Int64(connected))
        series.append(
            StatsSeries(
                name: "weft_control_plane_push_duration_seconds", help: "From a part's compilation to its acknowledgement.", labels: [],
                value: .histogram(pushTime)))
        series.append(
            StatsSeries(
                name: "weft_control_plane_commit_duration_seconds", help: "What making a turn's changes durable took.", labels: [],
                value: .histogram(commitTime)))
        gauge("weft_control_plane_store_log_bytes", "Bytes of the store's log since its last snapshot.", Int64(store.logBytes))
        gauge("weft_control_plane_series", "Series of calls that are summed up.", Int64(totals.seriesCount))
        gauge("weft_control_plane_generation", "Accepted changes of resources.", Int64(clamping: generation))
        gauge("weft_control_plane_resources", "Resources in the store.", Int64(resources.resources.count))
        gauge("weft_control_plane_endpoints", "Endpoints that are registered.", Int64(leases.count))
        gauge("weft_control_plane_root_not_after_timestamp_seconds", "When the issuing root ends.", authority.rootEnds.seconds)
        gauge("weft_build_info", "Always 1.", 1, [.init("version", WeftVersion.text)])
        return series
    }
}
