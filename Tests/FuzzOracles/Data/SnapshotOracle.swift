import Pipeline

/// A pushed part: what decodes is written as text that decodes to the same, and that text is canonical; what does not
/// decode changes nothing.
///
/// The first byte of the input says which part.
enum SnapshotOracle {
    private static let empty = Snapshot(
        chain: ChainPart(inbound: [], outbound: []),
        traffic: TrafficPart(
            workload: TrafficPart.WorkloadRef(service: "", namespace: "", version: ""), inboundSettings: [], services: [], deniesEgress: false),
        access: AccessPart(mtls: .strict, allowsByDefault: false, policies: [], rateLimits: []), trust: TrustPart(trustDomain: "", roots: ""))

    static func check(_ input: UnsafeRawBufferPointer) throws {
        guard let first = input.first else { return }
        let part = Snapshot.Part.allCases[Int(first & 3)]
        let text = String(decoding: input.dropFirst(), as: UTF8.self)
        var snapshot = empty
        do { try SnapshotCodec.decode(part, text, into: &snapshot) } catch {
            try expect(snapshot == empty, "refused, and yet changed")
            try expect(!error.description.isEmpty, "refused without a reason")
            return
        }
        let written = SnapshotCodec.encode(part, of: snapshot)
        var again = empty
        do { try SnapshotCodec.decode(part, written, into: &again) } catch { throw Violation("written as \(written), which is refused: \(error)") }
        try expect(again == snapshot, "written as \(written), which means something else")
        try expect(SnapshotCodec.encode(part, of: again) == written, "two texts of one part")
        try expect(SnapshotCodec.version(of: written).utf8.count == 16, "a version of another length")
        var others = snapshot
        switch part {
        case .chain: others.chain = empty.chain
        case .traffic: others.traffic = empty.traffic
        case .access: others.access = empty.access
        case .trust: others.trust = empty.trust
        }
        try expect(others == empty, "\(part) changed another part")
    }
}
