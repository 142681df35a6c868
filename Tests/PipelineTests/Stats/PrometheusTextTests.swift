import Pipeline
import Testing

private func text(_ series: [StatsSeries]) -> String { String(decoding: PrometheusText.render(series), as: UTF8.self) }

struct PrometheusTextTests {
    @Test("HELP and TYPE stand once per family, labels are escaped, counters end in _total")
    func shape() {
        let series = [
            StatsSeries(name: "b_total", help: "B\nwith \\.", labels: [.init("p", "y")], value: .counter(2)),
            StatsSeries(name: "b_total", help: "B\nwith \\.", labels: [.init("p", "a\"\\\n")], value: .counter(1)),
            StatsSeries(name: "calls", help: "C.", labels: [], value: .counter(9)),
            StatsSeries(name: "9 lives-left", help: "L.", labels: [.init("cat-name", "é")], value: .gauge(-1)),
        ]
        #expect(text(series) == """
            # HELP _9_lives_left L.
            # TYPE _9_lives_left gauge
            _9_lives_left{cat_name="é"} -1
            # HELP b_total B\\nwith \\\\.
            # TYPE b_total counter
            b_total{p="a\\"\\\\\\n"} 1
            b_total{p="y"} 2
            # HELP calls_total C.
            # TYPE calls_total counter
            calls_total 9

            """)
    }

    @Test("A histogram has rising buckets up to +Inf, a sum and a count")
    func histogram() {
        var snapshot = LatencySnapshot()
        [1, 30, 20_000].forEach { snapshot.record(.milliseconds($0)) }
        let lines = text([StatsSeries(name: "t_seconds", help: "T.", labels: [.init("r", "x")], value: .histogram(snapshot))])
            .split(separator: "\n")
        #expect(lines[2] == #"t_seconds_bucket{r="x",le="0.0005"} 0"#)
        #expect(lines[3] == #"t_seconds_bucket{r="x",le="0.001"} 1"#)
        #expect(lines.contains(#"t_seconds_bucket{r="x",le="0.05"} 2"#) && lines.contains(#"t_seconds_bucket{r="x",le="10.0"} 2"#))
        #expect(lines.suffix(3) == [#"t_seconds_bucket{r="x",le="+Inf"} 3"#, #"t_seconds_sum{r="x"} 20.031"#, #"t_seconds_count{r="x"} 3"#])
    }

    @Test("Calls become requests by status and durations without it")
    func calls() {
        let labels = LabelTable()
        var latency = LatencySnapshot()
        latency.record(.milliseconds(1))
        let key = { (status: UInt16) in
            CallKey(reporter: .destination, source: labels.id("order"), destination: labels.id("payment"), status: status)
        }
        let page = text(PrometheusText.series(calls: [key(200): latency, key(503): latency], labels: labels))
        #expect(page.contains(
            #"weft_requests_total{answered_by="service",code="503",destination="payment",reporter="destination",route="none",source="order",version="none"} 1"#))
        #expect(page.contains(
            #"weft_request_duration_seconds_count{destination="payment",reporter="destination",route="none",source="order",version="none"} 2"#))
    }

    @Test("Raw streams are no requests: they are families of their own, by how they ended")
    func streams() {
        let labels = LabelTable()
        var latency = LatencySnapshot()
        latency.record(.seconds(1))
        let key = { (status: UInt16) in
            CallKey(reporter: .source, source: labels.id("order"), destination: labels.id("db"), status: status, answeredBy: .stream)
        }
        let page = text(PrometheusText.series(calls: [key(0): latency, key(403): latency], labels: labels))
        #expect(page.contains(#"weft_tcp_connections_closed_total{code="403",destination="db",reporter="source",route="none",source="order",version="none"} 1"#))
        #expect(page.contains(#"weft_tcp_connection_duration_seconds_count{destination="db",reporter="source",route="none",source="order",version="none"} 2"#))
        #expect(!page.contains("weft_request"))
    }
}
