import Pipeline
import Testing

private func randomSnapshot(_ random: inout Random) -> LatencySnapshot {
    var snapshot = LatencySnapshot()
    for _ in 0..<Int.random(in: 0...50, using: &random) {
        snapshot.record(Nanoseconds(Int64.random(in: 0...(1 << Int64.random(in: 10...38, using: &random)), using: &random)))
    }
    return snapshot
}

private func example() -> [OTLP.Resource] {
    var random = Random(seed: 1)
    var number = OTLP.NumberPoint()
    number.attributes = [.init("text", "é\"\n"), .init("int", .int(-5)), .init("flag", .bool(true)), .init("share", .double(0.25))]
    number.start = 1_544_712_660_300_000_000
    number.time = .max
    number.value = .int(.min)
    var real = OTLP.NumberPoint()
    real.value = .double(-1.5)
    let points = (0..<3).map { _ in OTLP.HistogramPoint(fine: randomSnapshot(&random)) }
    return [
        OTLP.Resource(
            service: "payment", id: BatchID(incarnation: "a1b2", sequence: 77),
            metrics: [
                .init(name: "calls_total", description: "Calls.", unit: "1", data: .sum([number], .delta, isMonotonic: true)),
                .init(name: "open", data: .gauge([real])), .init(name: "took", unit: "s", data: .histogram(points, .delta)),
            ]),
        OTLP.Resource(attributes: [.init("service.name", "order")], metrics: []),
    ]
}

struct ProtobufTests {
    @Test("A message of known bytes, as protobuf's own documentation has it")
    func known() {
        var writer = ProtobufWriter()
        writer.varint(1, 150)
        writer.string(2, "testing")
        #expect(writer.bytes == [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6E, 0x67])
    }

    @Test("Varints at the edges survive a round trip; eleven bytes or a 65th bit do not", arguments: [0, 1, 127, 128, 300, .max] as [UInt64])
    func varints(value: UInt64) throws {
        var writer = ProtobufWriter()
        writer.varint(3, value)
        var reader = ProtobufReader(writer.bytes)
        let field = try reader.next()
        #expect(field?.field == 3 && field?.value == .varint(value))
        #expect(throws: ProtobufError.varint) {
            var reader = ProtobufReader([0x08] + Array(repeating: 0xFF, count: 9) + [0x02])
            _ = try reader.next()
        }
    }

    @Test("Each broken byte string has its own error", arguments: [
        ([0x08], .truncated), ([0x09, 1, 2], .truncated), ([0x12, 5, 1], .truncated), ([0x0B], .tag), ([0x00, 1], .tag), ([0x0F], .tag),
        ([0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], .truncated),
    ] as [([UInt8], ProtobufError)])
    func broken(bytes: [UInt8], error: ProtobufError) {
        #expect(throws: error) {
            var reader = ProtobufReader(bytes)
            _ = try reader.next()
        }
    }
}

struct OTLPTests {
    @Test("What is encoded is decoded again, field for field, and the batch is known by its number")
    func roundTrip() throws {
        let resources = example()
        let decoded = try OTLP.decode(OTLP.encode(resources))
        #expect(decoded == resources)
        #expect(decoded[0].batchID == BatchID(incarnation: "a1b2", sequence: 77))
        #expect(decoded[1].batchID == nil)
        #expect(decoded[0].text("service.name") == "payment")
    }

    @Test("Bytes of another OTLP writer: unknown fields, unpacked lists and exponential histograms are taken in stride")
    func foreign() throws {
        var writer = ProtobufWriter()
        writer.string(9, "unknown")
        writer.message(1) { out in
            out.string(3, "https://schema")
            out.message(2) { out in
                out.message(2) { out in
                    out.string(1, "exp")
                    out.message(10) { $0.varint(2, 1) }
                }
                out.message(2) { out in
                    out.string(1, "h")
                    out.message(9) { out in
                        out.varint(2, 2)
                        out.message(1) { out in
                            out.fixed64(4, 3)
                            out.fixed64(6, 1)
                            out.fixed64(6, 2)
                            out.double(7, 0.01)
                            out.message(8) { $0.double(3, 1) }
                            out.double(11, 0.001)
                        }
                    }
                }
            }
        }
        let resource = try #require(OTLP.decode(writer.bytes).first)
        #expect(resource.metrics.map(\.name) == ["exp", "h"])
        #expect(resource.metrics[0].data == .other)
        guard case .histogram(let points, .cumulative) = resource.metrics[1].data else { Issue.record("kind"); return }
        #expect(points[0].bucketCounts == [1, 2] && points[0].bounds == [0.01] && points[0].count == 3)
        let latency = try #require(points[0].latency)
        #expect(latency.cumulativeCoarse()[4] == 1 && latency.count == 3)
    }

    /// Written by OpenTelemetry's own Python classes: an exemplar, flags, min and max, a list attribute, a schema URL, an exponential histogram.
    private static let reference = """
        0aa6020a270a150a0c736572766963652e6e616d6512050a037765620a0e0a046c69737412062a040a02180312d2010a080a036c696212\
        0131124f0a0d6d6573682e72657175657374731a01313a3b0a351101000000000000001902000000000000002a0919000000000000f83f\
        3103000000000000003a0b0a04636f6465120318c801400110021801125f0a04746f6f6b1a01734a540a5021030000000000000029b81e\
        85eb51b8be3f32180100000000000000010000000000000001000000000000003a107b14ae47e17a843f9a9999999999b93f59fca9f1d2\
        4d62503f619a9999999999b93f100112140a03657870520d0a0b21010000000000000030031a2668747470733a2f2f6f70656e74656c65\
        6d657472792e696f2f736368656d61732f312e342e30
        """

    @Test("A request of OpenTelemetry's own library is read")
    func referenceBytes() throws {
        let digits = Array(Self.reference.utf8).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        let resource = try #require(OTLP.decode(bytes).first)
        #expect(resource.attributes == [.init("service.name", "web"), .init("list", .other)])
        #expect(resource.metrics.map(\.name) == ["mesh.requests", "took", "exp"])
        guard case .sum(let sums, .cumulative, isMonotonic: true) = resource.metrics[0].data,
            case .histogram(let points, .delta) = resource.metrics[1].data
        else { Issue.record("kinds"); return }
        #expect(sums.map(\.value) == [.int(3)] && sums[0].attributes == [.init("code", .int(200))])
        #expect(points[0].bucketCounts == [1, 1, 1] && points[0].bounds == [0.01, 0.1] && points[0].sum == 0.12)
        #expect(resource.metrics[2].data == .other)
    }

    @Test("Any bytes are answered: prefixes, changed bytes, and noise")
    func total() {
        let bytes = OTLP.encode(example())
        for end in stride(from: 0, to: bytes.count, by: 7) { _ = try? OTLP.decode(Array(bytes[..<end])) }
        var random = Random(seed: 2)
        for index in stride(from: 0, to: bytes.count, by: 5) {
            var changed = bytes
            changed[index] = UInt8.random(in: 0...255, using: &random)
            if let resources = try? OTLP.decode(changed) {
                for case .histogram(let points, _) in resources.flatMap(\.metrics).map(\.data) { points.forEach { _ = $0.latency } }
            }
        }
        for _ in 0..<5_000 {
            let noise = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = try? OTLP.decode(noise)
        }
    }

    @Test("Every limit is kept", arguments: [
        { $0.resources = 1 }, { $0.metrics = 2 }, { $0.points = 4 }, { $0.attributesPerOwner = 2 }, { $0.bucketsPerPoint = 1 },
        { $0.textBytes = 5 },
    ] as [@Sendable (inout OTLP.Limits) -> Void])
    func limits(tighten: @Sendable (inout OTLP.Limits) -> Void) {
        var limits = OTLP.Limits()
        tighten(&limits)
        #expect(throws: ProtobufError.tooLarge) { try OTLP.decode(OTLP.encode(example()), limits: limits) }
    }

    @Test("A distribution loses nothing on its way through a fine point, whatever it holds")
    func fine() throws {
        var random = Random(seed: 3)
        var extremes = LatencySnapshot()
        extremes.record(.seconds(500))
        for snapshot in [LatencySnapshot(), extremes] + (0..<300).map({ _ in randomSnapshot(&random) }) {
            let point = OTLP.HistogramPoint(fine: snapshot)
            #expect(point.latency == snapshot)
            #expect(point.bucketCounts.reduce(0, +) == point.count)
        }
    }

    @Test("A coarse point has the fixed bounds and all counts")
    func coarse() {
        var random = Random(seed: 4)
        let snapshot = randomSnapshot(&random)
        let point = OTLP.HistogramPoint(coarse: snapshot)
        #expect(point.bounds.count == 14 && point.bucketCounts.count == 15)
        #expect(point.bounds[0] == 0.0005 && point.bounds[13] == 10)
        #expect(point.bucketCounts.reduce(0, +) == snapshot.count)
    }

    @Test("Counts that do not belong to their bounds, or bounds that are no numbers, are refused")
    func nonsense() {
        var point = OTLP.HistogramPoint()
        point.bounds = [1, 2]
        point.bucketCounts = [1, 2]
        #expect(point.latency == nil)
        point.bounds = [.nan]
        #expect(point.latency == nil)
        point.bounds = [-.infinity]
        point.sum = .nan
        #expect(point.latency?.count == 3 && point.latency?.sum == 0)
    }
}
