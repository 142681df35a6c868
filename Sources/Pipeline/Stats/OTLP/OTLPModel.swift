/// OpenTelemetry's metrics as we send and take them: the parts of opentelemetry-proto `metrics/v1` that carry counts and
/// distributions.
package enum OTLP {
    package struct Attribute: Sendable, Hashable {
        package enum Value: Sendable, Hashable {
            case string(String)
            case int(Int64)
            case bool(Bool)
            case double(Double)
            /// A list, a map, bytes or nothing: not for labels.
            case other
        }

        package var key: String
        package var value: Value

        package init(_ key: String, _ value: Value) {
            self.key = key
            self.value = value
        }

        package init(_ key: String, _ text: String) { self.init(key, .string(text)) }
    }

    /// `AggregationTemporality`.
    package enum Temporality: UInt64, Sendable { case unspecified = 0, delta = 1, cumulative = 2 }

    package struct NumberPoint: Sendable, Equatable {
        package enum Value: Sendable, Equatable { case int(Int64), double(Double), none }
        package var attributes: [Attribute] = []
        /// Nanoseconds since 1970.
        package var start: UInt64 = 0
        package var time: UInt64 = 0
        package var value = Value.none

        package init() {}
    }

    package struct HistogramPoint: Sendable, Equatable {
        package var attributes: [Attribute] = []
        package var start: UInt64 = 0
        package var time: UInt64 = 0
        package var count: UInt64 = 0
        package var sum: Double?
        /// One more than there are bounds; both empty if only count and sum are known.
        package var bucketCounts: [UInt64] = []
        /// Rising; bucket i is (bounds[i − 1], bounds[i]].
        package var bounds: [Double] = []

        package init() {}
    }

    package struct Metric: Sendable, Equatable {
        package enum Data: Sendable, Equatable {
            case gauge([NumberPoint])
            case sum([NumberPoint], Temporality, isMonotonic: Bool)
            case histogram([HistogramPoint], Temporality)
            /// Exponential histogram, summary, or nothing: not counted here.
            case other
        }

        package var name = ""
        package var description = ""
        package var unit = ""
        package var data = Data.other

        package init(name: String = "", description: String = "", unit: String = "", data: Data = .other) {
            self.name = name
            self.description = description
            self.unit = unit
            self.data = data
        }
    }

    /// What one sender says about itself: `ResourceMetrics`, its scopes merged.
    package struct Resource: Sendable, Equatable {
        package var attributes: [Attribute] = []
        package var metrics: [Metric] = []

        package init(attributes: [Attribute] = [], metrics: [Metric] = []) {
            self.attributes = attributes
            self.metrics = metrics
        }

        /// A batch of one of our sidecars.
        package init(service: String, id: BatchID, metrics: [Metric]) {
            attributes = [
                Attribute("service.name", service), Attribute(BatchID.incarnationKey, id.incarnation),
                Attribute(BatchID.sequenceKey, .int(Int64(clamping: id.sequence))),
            ]
            self.metrics = metrics
        }

        /// The string value of an attribute.
        package func text(_ key: String) -> String? {
            for attribute in attributes where attribute.key == key {
                if case .string(let text) = attribute.value { return text }
            }
            return nil
        }

        /// Who and which batch this is, if a sidecar of ours sent it.
        package var batchID: BatchID? {
            guard let incarnation = text(BatchID.incarnationKey), !incarnation.isEmpty else { return nil }
            for attribute in attributes where attribute.key == BatchID.sequenceKey {
                if case .int(let number) = attribute.value, number > 0 {
                    return BatchID(incarnation: incarnation, sequence: UInt64(number))
                }
            }
            return nil
        }
    }

    /// What one request may hold. A sender that exceeds one is told so (413), and nothing of the request counts.
    package struct Limits: Sendable {
        package var resources = 64
        package var metrics = 8_192
        /// Over all metrics.
        package var points = BatchLimits.pointsMax
        package var attributesPerOwner = 64
        package var bucketsPerPoint = 1_024
        /// A name, a key, a label's text.
        package var textBytes = 4_096

        package init() {}
    }
}

/// One batch of one sidecar's life: the pair by which a resent batch is known.
package struct BatchID: Sendable, Hashable {
    package static let incarnationKey = "weft.sidecar.incarnation"
    package static let sequenceKey = "weft.sequence"

    /// Chosen anew at each start of the sidecar.
    package var incarnation: String
    /// 1, 2, 3, …
    package var sequence: UInt64

    package init(incarnation: String, sequence: UInt64) {
        self.incarnation = incarnation
        self.sequence = sequence
    }
}
