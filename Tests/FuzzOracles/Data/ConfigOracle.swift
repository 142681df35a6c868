import Pipeline

/// The positioned JSON reader: bounded, every position inside the text, takes all JSON, and what it read is written as JSON
/// that it reads again as the same.
enum ConfigOracle {
    static func check(_ input: UnsafeRawBufferPointer) throws {
        let bytes = Array(input)
        let limits = ConfigLimits()
        let result = ConfigReader.read(bytes: bytes, name: "fuzz", limits: limits)
        try expect(result.problems.count <= limits.problemsMax, "\(result.problems.count) problems")
        for problem in result.problems {
            try expectInside(problem.range, of: bytes, "a problem")
            if let related = problem.related { try expectInside(related.range, of: bytes, "a related place") }
        }
        // To show one takes longer than to read the text: another one each time, for a quarter of the texts.
        if !result.problems.isEmpty, bytes.count % 4 == 0 {
            let problem = result.problems[bytes.count % result.problems.count]
            try expect(problem.line >= 1 && problem.line <= problem.source.lineCount, "line \(problem.line)")
            try expect(problem.column >= 1 && problem.endColumn > problem.column, "columns \(problem.column) to \(problem.endColumn)")
            try expect(!problem.message.isEmpty && !problem.rendered().isEmpty, "a problem without words")
        }
        var nodes = 0
        if let root = result.root { try expectPlaces(root, in: 0..<bytes.count, of: bytes, depth: 0, &nodes) }
        try expect(result.root != nil || !result.problems.isEmpty, "neither value nor problem")

        if let naive = NaiveJSON(bytes), naive.depth <= limits.depthMax, !naive.hasRepeatedKey, !naive.hasLargeNumber, !naive.hasLoneSurrogate {
            try expect(result.problems.isEmpty, "JSON, refused: \(result.problems.first?.message ?? "")")
        }
        guard result.problems.isEmpty, let root = result.root else { return }
        let text = root.json
        try expect(NaiveJSON(Array(text.utf8)) != nil, "written as what is not JSON: \(text)")
        let again = ConfigReader.read(text, name: "again")
        try expect(again.problems.isEmpty && again.root == root, "written as \(text), which reads otherwise")
        try expect(again.root?.json == text, "written twice, it differs")
        var pretty = JSONWriter(pretty: true)
        pretty.node(root)
        let second = ConfigReader.read(pretty.text, name: "pretty")
        try expect(second.problems.isEmpty && second.root == root, "written over lines, it reads otherwise")
    }

    private static func expectInside(_ range: Range<Int>, of bytes: [UInt8], _ what: String) throws {
        try expect(range.lowerBound >= 0 && range.upperBound <= bytes.count, "\(what) at \(range) of \(bytes.count) bytes")
    }

    /// Values lie inside what holds them, in order.
    private static func expectPlaces(_ node: ConfigNode, in outer: Range<Int>, of bytes: [UInt8], depth: Int, _ nodes: inout Int) throws {
        nodes += 1
        try expect(depth <= ConfigLimits().depthMax && nodes <= bytes.count + 1, "\(nodes) values, \(depth) deep")
        try expect(outer.lowerBound <= node.range.lowerBound && node.range.upperBound <= outer.upperBound && !node.range.isEmpty, "a value outside of what holds it")
        var last = node.range.lowerBound
        for member in node.members ?? [] {
            try expect(member.keyRange.lowerBound >= last && member.keyRange.upperBound <= member.value.range.lowerBound, "a key behind its value")
            last = member.value.range.upperBound
            try expectPlaces(member.value, in: node.range, of: bytes, depth: depth + 1, &nodes)
        }
        for element in node.elements ?? [] {
            try expect(element.range.lowerBound >= last, "values out of order")
            last = element.range.upperBound
            try expectPlaces(element, in: node.range, of: bytes, depth: depth + 1, &nodes)
        }
    }
}
