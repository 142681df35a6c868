internal import Pipeline

/// `GET /metrics`: all series, all calls, and what control knows of itself, as Prometheus text.
enum AdminMetrics {
    static func text(of sidecar: Sidecar) -> [UInt8] {
        let context = sidecar.dataplane.context
        let calls = DeltaTracker.merged(context.calls.flatMap { $0.read() })
        return PrometheusText.render(
            context.stats.read() + PrometheusText.series(calls: calls, labels: context.labels) + own(of: sidecar))
    }

    private static func own(of sidecar: Sidecar) -> [StatsSeries] {
        var series = SnapshotPart.allCases.map { part in
            gauge("weft_config_info", "The version of each part in force, and who said it; always 1.", 1, [
                .init("part", part.rawValue), .init("version", sidecar.running.versions[part] ?? ""),
                .init("source", (sidecar.running.sources[part] ?? .waiting).rawValue),
            ])
        }
        series.append(counter(
            "weft_last_good_failures_total", "Parts that are in force but could not be kept on disk.", sidecar.running.storeFailures))
        series.append(counter("weft_log_dropped_total", "Log lines that standard error would not take.", SidecarLog.dropped))
        series.append(gauge("weft_ready", "1 if the sidecar is ready.", sidecar.unready == nil ? 1 : 0))
        if let probe = sidecar.probe {
            series.append(gauge("weft_application_healthy", "1 if the application is healthy.", probe.isHealthy ? 1 : 0))
        }
        if let credentials = sidecar.identity?.credentials {
            series.append(gauge(
                "weft_certificate_expiry_timestamp_seconds", "When the certificate ends, in seconds since 1970.", credentials.identity.expires))
        }
        if let push = sidecar.push {
            series.append(gauge("weft_control_plane_connected", "1 if the push stream is open.", push.isConnected ? 1 : 0))
            series.append(counter("weft_config_accepted_total", "Pushed parts that were put into force.", push.accepted))
            series.append(counter("weft_config_rejected_total", "Pushed parts that were refused.", push.rejected))
        }
        if let exporter = sidecar.exporter {
            series.append(counter("weft_export_sequence_total", "Metric batches that were cut.", exporter.state.sequence))
            series.append(gauge("weft_export_pending", "Metric batches that wait for their acknowledgement.", exporter.state.isUnderWay ? 1 : 0))
        }
        return series
    }

    private static func gauge(_ name: String, _ help: String, _ value: Int64, _ labels: [StatsRegistry.Label] = []) -> StatsSeries {
        StatsSeries(name: name, help: help, labels: labels, value: .gauge(value))
    }

    private static func counter(_ name: String, _ help: String, _ value: UInt64) -> StatsSeries {
        StatsSeries(name: name, help: help, labels: [], value: .counter(value))
    }
}
