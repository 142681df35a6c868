import Pipeline
import Testing

/// Seeded: a failure replays exactly.
@Suite("Config reader, fuzzed")
struct ConfigFuzzTests {
    private static let valid = """
        // a chain
        [{"kind":"Mesh","name":"shop","settings":{"retry":{"maxRetries":3},"request-timeout":{"after":"2s"}}},
         {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],"labels":{"tier":"a\\u00e4\\n"}}, /* x */
         {"kind":"Route","name":"payment","service":"payment","rules":[{"matches":[{"path":{"prefix":"/"}}],"backends":[{"weight":90}]}]},
         {"kind":"AccessPolicy","name":"p","action":"deny","rules":[{"from":[{"external":true}],"to":[{"ports":[1,-2,3.5e1]}]}]},
         {"kind":"RateLimit","name":"l","rules":[{"key":"source","rate":"100/s","burst":200}]},
         {"kind":"Chain","name":"c","direction":"outbound","stages":["stats",{"filter":"timeout","name":"t","config":{}},null]},]
        """

    /// Reads, checks and renders: none of it may trap, and what is reported stands inside the text.
    private func exercise(_ bytes: [UInt8]) {
        let source = ConfigSource(name: "fuzz", bytes: bytes)
        let read = ConfigReader.read(source)
        #expect(read.problems.count <= ConfigLimits().problemsMax)
        #expect(read.root != nil || !read.problems.isEmpty)
        let change = ResourceSet().applying([source], filters: SampleFilters.schemas)
        for problem in read.problems + change.problems {
            #expect(problem.line >= 1 && problem.line <= source.lineCount && problem.column >= 1 && problem.endColumn > problem.column)
            #expect(!problem.rendered().isEmpty && !problem.json.isEmpty)
        }
        for resource in change.written { #expect(!resource.json().isEmpty) }
    }

    @Test("Mutations of a valid text neither trap nor loop", arguments: 0..<8)
    func mutations(_ seed: Int) {
        var random = Random(seed: UInt64(seed) &* 0x1234_5678_9ABC_DEF1)
        let valid = Array(Self.valid.utf8)
        let interesting: [UInt8] = Array("{}[]\",:/*\\u'eE+-.0\n\r\t #".utf8) + [0, 0x1B, 0x80, 0xC3, 0xF0, 0xFF]
        for _ in 0..<250 {
            var bytes = valid
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                guard !bytes.isEmpty else { break }
                let at = Int.random(in: 0..<bytes.count, using: &random)
                let until = min(bytes.count, at + Int.random(in: 1...40, using: &random))
                switch Int.random(in: 0..<6, using: &random) {
                case 0: bytes[at] = interesting.randomElement(using: &random)!
                case 1: bytes.insert(interesting.randomElement(using: &random)!, at: at)
                case 2: bytes.removeSubrange(at..<until)
                case 3: bytes.insert(contentsOf: bytes[at..<until], at: at)
                case 4: bytes.removeSubrange(at...)
                default: bytes[at] = UInt8.random(in: 0...255, using: &random)
                }
            }
            exercise(bytes)
        }
    }

    @Test("Random bytes and random structure neither trap nor loop", arguments: 0..<4)
    func noise(_ seed: Int) {
        var random = Random(seed: UInt64(seed) &+ 77)
        let pieces = ["{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"kind\"", "\"Route\"", "1", "-", "true", "null", "//", "/*", "*/", "\n", "\\", "é", " "]
        for _ in 0..<300 {
            exercise((0..<Int.random(in: 0...80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
            exercise(Array((0..<Int.random(in: 0...60, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined().utf8))
        }
    }

    @Test("What the writer writes, compact or pretty, the reader reads back", arguments: 0..<4)
    func roundTrip(_ seed: Int) {
        var random = Random(seed: UInt64(seed) &+ 5)
        for _ in 0..<150 {
            let node = Self.randomNode(depth: 0, &random)
            for pretty in [false, true] {
                var writer = JSONWriter(pretty: pretty)
                writer.node(node)
                let read = ConfigReader.read(writer.text, name: "round")
                #expect(read.problems.isEmpty)
                #expect(read.root == node)
            }
        }
    }

    private static func randomNode(depth: Int, _ random: inout Random) -> ConfigNode {
        let count = Int.random(in: 0...4, using: &random)
        switch Int.random(in: 0..<(depth < 5 ? 7 : 5), using: &random) {
        case 0: return ConfigNode(.null)
        case 1: return ConfigNode(.bool(Bool.random(using: &random)))
        case 2: return ConfigNode(.integer(Int64.random(in: .min ... .max, using: &random)))
        case 3: return ConfigNode(.decimal("\(Int.random(in: -99...99, using: &random)).\(Int.random(in: 0...999, using: &random))e-3"))
        case 4: return ConfigNode(.string(randomText(&random)))
        case 5: return ConfigNode(.array((0..<count).map { _ in randomNode(depth: depth + 1, &random) }))
        default:
            var members: [ConfigNode.Member] = []
            for index in 0..<count {
                members.append(.init(key: randomText(&random) + "\(index)", keyRange: 0..<0, value: randomNode(depth: depth + 1, &random)))
            }
            return ConfigNode(.object(members))
        }
    }

    private static func randomText(_ random: inout Random) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...8, using: &random) {
            let limit: UInt32 = [0x20, 0x80, 0x3000, 0x10FFFF].randomElement(using: &random)!
            if let scalar = Unicode.Scalar(UInt32.random(in: 0...limit, using: &random)) { text.append(scalar) }
        }
        return String(text)
    }
}
