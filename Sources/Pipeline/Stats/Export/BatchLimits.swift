/// What one batch of metrics may hold: where a sidecar cuts, and what a control plane takes.
package enum BatchLimits {
    /// Of the encoded request before compression.
    package static let bytesMax = 8 << 20
    /// Over all metrics.
    package static let pointsMax = 8_192

    /// Beside the metrics: who sends it, the scope, the lengths around them.
    private static let envelopeBytes = 4 << 10
    /// Around a metric's or a point's own fields: tags, lengths, times, counts.
    private static let overheadBytes = 96

    /// `metrics` as batches within the limits, in their order; a metric whose points do not fit goes on in the next.
    ///
    /// A point alone always fits: it has a few labels of at most 255 bytes and the buckets of ``LatencyBuckets``.
    package static func split(
        _ metrics: [OTLP.Metric], bytesMax: Int = BatchLimits.bytesMax, pointsMax: Int = BatchLimits.pointsMax
    ) -> [[OTLP.Metric]] {
        var filling = Filling(bytesMax: bytesMax, pointsMax: pointsMax)
        for metric in metrics {
            let header = overheadBytes + metric.name.utf8.count + metric.description.utf8.count + metric.unit.utf8.count
            func part(_ data: OTLP.Metric.Data) -> OTLP.Metric {
                OTLP.Metric(name: metric.name, description: metric.description, unit: metric.unit, data: data)
            }
            switch metric.data {
            case .gauge(let points): filling.add(points, header, bytes) { part(.gauge($0)) }
            case .sum(let points, let temporality, let isMonotonic):
                filling.add(points, header, bytes) { part(.sum($0, temporality, isMonotonic: isMonotonic)) }
            case .histogram(let points, let temporality): filling.add(points, header, bytes) { part(.histogram($0, temporality)) }
            case .other: break
            }
        }
        return filling.finished()
    }

    private struct Filling {
        let bytesMax: Int
        let pointsMax: Int
        private var done: [[OTLP.Metric]] = []
        private var batch: [OTLP.Metric] = []
        private var bytes = BatchLimits.envelopeBytes
        private var points = 0

        init(bytesMax: Int, pointsMax: Int) {
            self.bytesMax = bytesMax
            self.pointsMax = pointsMax
        }

        mutating func add<Point>(_ all: [Point], _ header: Int, _ size: (Point) -> Int, _ metric: ([Point]) -> OTLP.Metric) {
            var taken: [Point] = []
            for point in all {
                let needed = size(point) + (taken.isEmpty ? header : 0)
                if points > 0, points >= pointsMax || bytes + needed > bytesMax {
                    if !taken.isEmpty { batch.append(metric(taken)) }
                    taken = []
                    next()
                }
                bytes += size(point) + (taken.isEmpty ? header : 0)
                points += 1
                taken.append(point)
            }
            if !taken.isEmpty { batch.append(metric(taken)) }
        }

        private mutating func next() {
            if !batch.isEmpty { done.append(batch) }
            (batch, bytes, points) = ([], BatchLimits.envelopeBytes, 0)
        }

        mutating func finished() -> [[OTLP.Metric]] {
            next()
            return done
        }
    }

    /// No less than the point takes when it is encoded.
    private static func bytes(_ point: OTLP.NumberPoint) -> Int { overheadBytes + bytes(point.attributes) }

    private static func bytes(_ point: OTLP.HistogramPoint) -> Int {
        overheadBytes + bytes(point.attributes) + 8 * (point.bucketCounts.count + point.bounds.count)
    }

    private static func bytes(_ attributes: [OTLP.Attribute]) -> Int {
        attributes.reduce(0) { sum, attribute in
            let text = if case .string(let text) = attribute.value { text.utf8.count } else { 0 }
            return sum + attribute.key.utf8.count + text + 32
        }
    }
}
