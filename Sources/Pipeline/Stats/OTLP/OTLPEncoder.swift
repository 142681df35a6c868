extension OTLP {
    /// `ExportMetricsServiceRequest` as protobuf: what `POST /v1/metrics` takes with `application/x-protobuf`.
    package static func encode(_ resources: [Resource]) -> [UInt8] {
        var writer = ProtobufWriter()
        for resource in resources {
            writer.message(1) { out in
                out.message(1) { out in
                    for attribute in resource.attributes { write(attribute, 1, &out) }
                }
                out.message(2) { out in
                    out.message(1) { $0.string(1, "weft") }
                    for metric in resource.metrics { out.message(2) { write(metric, &$0) } }
                }
            }
        }
        return writer.bytes
    }

    /// `ExportMetricsServiceResponse`: all accepted if `rejected` is 0, which is the empty message.
    package static func encodeResponse(rejected: Int64 = 0, reason: String = "") -> [UInt8] {
        var writer = ProtobufWriter()
        if rejected != 0 || !reason.isEmpty {
            writer.message(1) { out in
                out.varint(1, UInt64(bitPattern: rejected))
                out.string(2, reason)
            }
        }
        return writer.bytes
    }

    private static func write(_ metric: Metric, _ out: inout ProtobufWriter) {
        out.string(1, metric.name)
        if !metric.description.isEmpty { out.string(2, metric.description) }
        if !metric.unit.isEmpty { out.string(3, metric.unit) }
        switch metric.data {
        case .gauge(let points):
            out.message(5) { out in
                for point in points { out.message(1) { write(point, &$0) } }
            }
        case .sum(let points, let temporality, let isMonotonic):
            out.message(7) { out in
                for point in points { out.message(1) { write(point, &$0) } }
                out.varint(2, temporality.rawValue)
                out.varint(3, isMonotonic ? 1 : 0)
            }
        case .histogram(let points, let temporality):
            out.message(9) { out in
                for point in points { out.message(1) { write(point, &$0) } }
                out.varint(2, temporality.rawValue)
            }
        case .other:
            break
        }
    }

    private static func write(_ point: NumberPoint, _ out: inout ProtobufWriter) {
        out.fixed64(2, point.start)
        out.fixed64(3, point.time)
        switch point.value {
        case .int(let value): out.fixed64(6, UInt64(bitPattern: value))
        case .double(let value): out.double(4, value)
        case .none: break
        }
        for attribute in point.attributes { write(attribute, 7, &out) }
    }

    private static func write(_ point: HistogramPoint, _ out: inout ProtobufWriter) {
        out.fixed64(2, point.start)
        out.fixed64(3, point.time)
        out.fixed64(4, point.count)
        if let sum = point.sum { out.double(5, sum) }
        out.packed64(6, point.bucketCounts)
        out.packed64(7, point.bounds.map(\.bitPattern))
        for attribute in point.attributes { write(attribute, 9, &out) }
    }

    private static func write(_ attribute: Attribute, _ field: Int, _ out: inout ProtobufWriter) {
        out.message(field) { out in
            out.string(1, attribute.key)
            out.message(2) { out in
                switch attribute.value {
                case .string(let text): out.string(1, text)
                case .bool(let flag): out.varint(2, flag ? 1 : 0)
                case .int(let number): out.varint(3, UInt64(bitPattern: number))
                case .double(let number): out.double(4, number)
                case .other: break
                }
            }
        }
    }
}
