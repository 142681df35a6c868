import Host
import Pipeline

/// Metrics that come in: decompression within its bounds, then protobuf within its limits, and what was read is written as
/// bytes that read the same.
///
/// The first byte of the input says what the rest is: `z` a zstd frame, `p` protobuf, `c` protobuf to be compressed and then
/// damaged at the place that the next two bytes name.
enum TelemetryOracle {
    private static let decompressedBytesMax = 256 << 10

    static func check(_ input: UnsafeRawBufferPointer) throws {
        guard let kind = input.first else { return }
        let rest = Array(input.dropFirst())
        switch kind {
        case UInt8(ascii: "z"): try checkFrame(rest)
        case UInt8(ascii: "c"): try checkDamage(rest)
        default: try checkMessage(rest)
        }
    }

    private static func checkFrame(_ bytes: [UInt8]) throws {
        let zstd = try Zstd()
        guard let out = try decompress(bytes, zstd, limit: decompressedBytesMax) else { return }
        try checkMessage(out)
        // A limit is exact: what just fits passes, a byte less does not.
        try expect(try decompress(bytes, zstd, limit: out.count) == out, "refused at its own size")
        if !out.isEmpty { try expect(try decompress(bytes, zstd, limit: out.count - 1) == nil, "more came out than may") }
        try expect(try decompress(zstd.compress(out), zstd, limit: out.count) == out, "compressed, it is something else")
    }

    private static func checkDamage(_ bytes: [UInt8]) throws {
        guard bytes.count > 2 else { return }
        let zstd = try Zstd()
        let content = Array(bytes[2...])
        var frame = try zstd.compress(content)
        try expect(try decompress(frame, zstd, limit: content.count) == content, "compressed, it is something else")
        let place = Int(bytes[0]) % frame.count
        if bytes[1] == 0 {
            frame.removeSubrange(place...)
            try expect(try decompress(frame, zstd, limit: decompressedBytesMax) == nil, "a cut frame passes")
        } else {
            frame[place] ^= bytes[1]
            _ = try decompress(frame, zstd, limit: decompressedBytesMax)
        }
        // The context is as good as new behind a failure.
        try expect(try decompress(zstd.compress(content), zstd, limit: content.count) == content, "spoilt by an earlier frame")
    }

    private static func decompress(_ bytes: [UInt8], _ zstd: Zstd, limit: Int) throws -> [UInt8]? {
        do {
            let out = try zstd.decompress(bytes, limit: limit)
            try expect(out.count <= limit, "\(out.count) bytes, at most \(limit) may come out")
            try expect(out.count <= max(1 << 20, bytes.count * Zstd.ratioMax), "\(out.count) bytes out of \(bytes.count)")
            return out
        } catch let problem as Zstd.Problem {
            try expect(problem != .outOfMemory, "out of memory on \(bytes.count) bytes")
            return nil
        }
    }

    private static func checkMessage(_ bytes: [UInt8]) throws {
        // Small limits, so that small inputs reach them.
        var limits = OTLP.Limits()
        limits.resources = 3
        limits.metrics = 6
        limits.points = 12
        limits.attributesPerOwner = 4
        limits.bucketsPerPoint = 8
        limits.textBytes = 64
        let resources: [OTLP.Resource]
        do { resources = try OTLP.decode(bytes, limits: limits) } catch { return }
        try expectBounds(resources, limits)
        let written = OTLP.encode(resources)
        let again: [OTLP.Resource]
        // Repaired text may be three times as long.
        limits.textBytes *= 3
        do { again = try OTLP.decode(written, limits: limits) } catch { throw Violation("written again, it is refused: \(error)") }
        // Bytes, because NaN differs from itself.
        try expect(OTLP.encode(again) == written, "written twice, it differs")
        try expect(again.count == resources.count && zip(again, resources).allSatisfy { $0.batchID == $1.batchID }, "another batch")
    }

    private static func expectBounds(_ resources: [OTLP.Resource], _ limits: OTLP.Limits) throws {
        try expect(resources.count <= limits.resources, "\(resources.count) resources")
        var points = 0
        var metrics = 0
        for resource in resources {
            metrics += resource.metrics.count
            try expectBounds(resource.attributes, limits)
            for metric in resource.metrics {
                try expect(metric.name.utf8.count <= 3 * limits.textBytes, "a name of \(metric.name.utf8.count) bytes")
                switch metric.data {
                case .gauge(let list), .sum(let list, _, _):
                    points += list.count
                    for point in list { try expectBounds(point.attributes, limits) }
                case .histogram(let list, _):
                    points += list.count
                    for point in list {
                        try expectBounds(point.attributes, limits)
                        try expect(max(point.bucketCounts.count, point.bounds.count) <= limits.bucketsPerPoint, "\(point.bucketCounts.count) buckets")
                    }
                case .other: break
                }
            }
        }
        try expect(points <= limits.points && metrics <= limits.metrics, "\(metrics) metrics, \(points) points")
    }

    private static func expectBounds(_ attributes: [OTLP.Attribute], _ limits: OTLP.Limits) throws {
        try expect(attributes.count <= limits.attributesPerOwner, "\(attributes.count) attributes")
        for attribute in attributes { try expect(attribute.key.utf8.count <= 3 * limits.textBytes, "a key of \(attribute.key.utf8.count) bytes") }
    }
}
