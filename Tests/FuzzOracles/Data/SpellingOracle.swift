import Pipeline

/// Small texts that others write: SPIFFE ids, join tokens, durations, sizes, rates, percentages. What is taken follows the
/// rules of its kind, and is written back as something that reads the same.
///
/// The first byte of the input says which.
enum SpellingOracle {
    static func check(_ input: UnsafeRawBufferPointer) throws {
        guard let kind = input.first else { return }
        let bytes = Array(input.dropFirst())
        let text = String(decoding: bytes, as: UTF8.self)
        switch kind {
        case UInt8(ascii: "s"): try checkIdentity(bytes)
        case UInt8(ascii: "t"): try checkToken(text)
        case UInt8(ascii: "r"):
            guard let rate = Rate(text) else { return }
            try expect(rate.count >= 0 && rate.count <= 1_000_000_000 && rate.period.count > 0, "a rate of \(rate)")
            try expect(Rate(rate.description) == rate, "\(rate) reads otherwise")
        case UInt8(ascii: "b"): try checkQuantity(text, Quantity.sizes)
        case UInt8(ascii: "p"):
            try checkQuantity(text, Quantity.percentages)
            guard let share = Quantity.parse(text, Quantity.percentages).flatMap(Percentage.init(millionths:)) else { return }
            try expect(Quantity.parse(share.description, Quantity.percentages) == share.millionths, "\(share) reads otherwise")
        default: try checkQuantity(text, Quantity.durations)
        }
    }

    private static func checkQuantity(_ text: String, _ units: [Quantity.Unit]) throws {
        guard let count = Quantity.parse(text, units) else { return }
        try expect(count >= 0, "\(text) is \(count)")
        // A share of a percent has no whole number of the one unit there is.
        if units.contains(where: { $0.scale == 1 }) {
            let written = Quantity.format(count, units)
            try expect(Quantity.parse(written, units) == count, "\(text) is written \(written)")
        }
        guard let unit = units.first(where: { text.hasSuffix($0.name) && text.utf8.dropLast($0.name.utf8.count).last.map { (48...57).contains($0) || $0 == 46 } == true }) else {
            throw Violation("\(text) has no unit")
        }
        // The same by floating point, as near as that comes.
        if let number = Double(text.dropLast(unit.name.count)) {
            let expected = number * Double(unit.scale)
            try expect((Double(count) - expected).magnitude <= max(1, expected * 1e-9), "\(text) is \(count)")
        }
    }

    /// SPIFFE-ID §2.
    private static func checkIdentity(_ bytes: [UInt8]) throws {
        guard let id = try? SPIFFEID(bytes) else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        try expect(id.description.utf8.elementsEqual(bytes) && bytes.count <= 2048, "another text")
        try expect("spiffe://\(id.trustDomain)\(id.path)" == text, "the parts are not the whole")
        try expect((1...255).contains(id.trustDomain.utf8.count), "a trust domain of \(id.trustDomain.utf8.count) bytes")
        try expect(id.trustDomain.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || [45, 46, 95].contains($0) }, "trust domain")
        let segments = id.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        try expect(segments.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }, "a path to normalise: \(id.path)")
        try expect(
            id.path.utf8.allSatisfy { (97...122).contains($0) || (65...90).contains($0) || (47...57).contains($0) || [45, 46, 95].contains($0) }, "path")
        if let (namespace, service) = id.workload {
            let again = try? SPIFFEID(trustDomain: id.trustDomain, namespace: namespace, service: service)
            try expect(again == id, "another id of the same workload")
        }
    }

    private static func checkToken(_ text: String) throws {
        guard let token = try? JoinToken(parsing: text) else { return }
        try expect(token.id.count == JoinToken.idSize && token.secret.count == JoinToken.secretSize, "parts of other sizes")
        try expect(text.contains(token.text), "another text of the same token")
        try expect((try? JoinToken(parsing: token.text)) == token, "written, it is another token")
    }
}
