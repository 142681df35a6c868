extension OTLP {
    /// Reads an `ExportMetricsServiceRequest`, ours or anybody's; total on any bytes. Unknown fields are skipped, as
    /// protobuf wants it.
    package static func decode(_ bytes: [UInt8], limits: Limits = Limits()) throws(ProtobufError) -> [Resource] {
        var decoder = Decoder(limits: limits)
        return try decoder.request(ProtobufReader(bytes))
    }

    private struct Decoder {
        let limits: Limits
        var metrics = 0
        var points = 0

        init(limits: Limits) { self.limits = limits }

        mutating func request(_ input: ProtobufReader) throws(ProtobufError) -> [Resource] {
            var input = input
            var result: [Resource] = []
            while let (field, value) = try input.next() {
                guard field == 1 else { continue }
                guard result.count < limits.resources else { throw .tooLarge }
                result.append(try resource(input.message(value)))
            }
            return result
        }

        private mutating func resource(_ input: ProtobufReader) throws(ProtobufError) -> Resource {
            var input = input
            var result = Resource()
            while let (field, value) = try input.next() {
                switch field {
                case 1:
                    var inner = try input.message(value)
                    while let (field, value) = try inner.next() {
                        if field == 1 { try append(inner.message(value), to: &result.attributes) }
                    }
                case 2:
                    var inner = try input.message(value)
                    while let (field, value) = try inner.next() {
                        if field == 2 { result.metrics.append(try metric(inner.message(value))) }
                    }
                default: break
                }
            }
            return result
        }

        private mutating func metric(_ input: ProtobufReader) throws(ProtobufError) -> Metric {
            metrics += 1
            guard metrics <= limits.metrics else { throw .tooLarge }
            var input = input
            var result = Metric()
            while let (field, value) = try input.next() {
                switch field {
                case 1: result.name = try input.string(value, bytesMax: limits.textBytes)
                case 2: result.description = try input.string(value, bytesMax: limits.textBytes)
                case 3: result.unit = try input.string(value, bytesMax: limits.textBytes)
                case 5, 7: result.data = try numbers(input.message(value), isSum: field == 7)
                case 9: result.data = try histograms(input.message(value))
                default: break
                }
            }
            return result
        }

        private mutating func numbers(_ input: ProtobufReader, isSum: Bool) throws(ProtobufError) -> Metric.Data {
            var input = input
            var list: [NumberPoint] = []
            var temporality = Temporality.unspecified
            var isMonotonic = false
            while let (field, value) = try input.next() {
                switch field {
                case 1: list.append(try numberPoint(input.message(value)))
                case 2: temporality = Temporality(rawValue: try input.varint(value)) ?? .unspecified
                case 3: isMonotonic = try input.varint(value) != 0
                default: break
                }
            }
            return isSum ? .sum(list, temporality, isMonotonic: isMonotonic) : .gauge(list)
        }

        private mutating func histograms(_ input: ProtobufReader) throws(ProtobufError) -> Metric.Data {
            var input = input
            var list: [HistogramPoint] = []
            var temporality = Temporality.unspecified
            while let (field, value) = try input.next() {
                switch field {
                case 1: list.append(try histogramPoint(input.message(value)))
                case 2: temporality = Temporality(rawValue: try input.varint(value)) ?? .unspecified
                default: break
                }
            }
            return .histogram(list, temporality)
        }

        private mutating func countPoint() throws(ProtobufError) {
            points += 1
            guard points <= limits.points else { throw .tooLarge }
        }

        private mutating func numberPoint(_ input: ProtobufReader) throws(ProtobufError) -> NumberPoint {
            try countPoint()
            var input = input
            var point = NumberPoint()
            while let (field, value) = try input.next() {
                switch field {
                case 2: point.start = try input.fixed64(value)
                case 3: point.time = try input.fixed64(value)
                case 4: point.value = .double(Double(bitPattern: try input.fixed64(value)))
                case 6: point.value = .int(Int64(bitPattern: try input.fixed64(value)))
                case 7: try append(input.message(value), to: &point.attributes)
                default: break
                }
            }
            return point
        }

        private mutating func histogramPoint(_ input: ProtobufReader) throws(ProtobufError) -> HistogramPoint {
            try countPoint()
            var input = input
            var point = HistogramPoint()
            var bounds: [UInt64] = []
            while let (field, value) = try input.next() {
                switch field {
                case 2: point.start = try input.fixed64(value)
                case 3: point.time = try input.fixed64(value)
                case 4: point.count = try input.fixed64(value)
                case 5: point.sum = Double(bitPattern: try input.fixed64(value))
                case 6: try input.append64(value, to: &point.bucketCounts, countMax: limits.bucketsPerPoint)
                case 7: try input.append64(value, to: &bounds, countMax: limits.bucketsPerPoint)
                case 9: try append(input.message(value), to: &point.attributes)
                default: break
                }
            }
            point.bounds = bounds.map(Double.init(bitPattern:))
            return point
        }

        private func append(_ input: ProtobufReader, to list: inout [Attribute]) throws(ProtobufError) {
            guard list.count < limits.attributesPerOwner else { throw .tooLarge }
            var input = input
            var attribute = Attribute("", .other)
            while let (field, value) = try input.next() {
                switch field {
                case 1: attribute.key = try input.string(value, bytesMax: limits.textBytes)
                case 2: attribute.value = try anyValue(input.message(value))
                default: break
                }
            }
            list.append(attribute)
        }

        private func anyValue(_ input: ProtobufReader) throws(ProtobufError) -> Attribute.Value {
            var input = input
            var result = Attribute.Value.other
            while let (field, value) = try input.next() {
                switch field {
                case 1: result = .string(try input.string(value, bytesMax: limits.textBytes))
                case 2: result = .bool(try input.varint(value) != 0)
                case 3: result = .int(Int64(bitPattern: try input.varint(value)))
                case 4: result = .double(Double(bitPattern: try input.fixed64(value)))
                default: result = .other
                }
            }
            return result
        }
    }
}
