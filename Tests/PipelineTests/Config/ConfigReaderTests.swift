import Pipeline
import Testing

@Suite("Config reader")
struct ConfigReaderTests {
    private func problems(_ text: String) -> [String] {
        ConfigReader.read(text, name: "t.json").problems.map { "\($0.line):\($0.column) \($0.message)" }
    }

    @Test("Comments, trailing commas and a byte order mark are read over, and positions count characters")
    func lenient() throws {
        let text = "\u{FEFF}{ // a comment\n  \"Straße\": \"ü\", /* two\n lines */ \"n\": [1, -2, 9223372036854775807,],\n}\n"
        let result = ConfigReader.read(text, name: "t.json")
        #expect(result.problems.isEmpty)
        let root = try #require(result.root)
        #expect(root.position == ConfigReader.read("{}", name: "").root!.position)
        #expect(root["Straße"]?.position.line == 2 && root["Straße"]?.position.column == 13)
        #expect(root["n"]?.elements?.map(\.integer) == [1, -2, .max])
        #expect(root["n"]?.line == 3 && root["n"]?.position.column == 16)
    }

    @Test("CR LF ends a line as LF does")
    func lineEnds() {
        let root = ConfigReader.read("{\r\n  \"a\": 1,\r\n  \"b\": 2\r\n}\r\n", name: "t").root
        #expect(root?["b"]?.position.line == 3 && root?["b"]?.position.column == 8)
    }

    @Test("Escapes are decoded, surrogate pairs joined, half ones refused")
    func escapes() {
        #expect(ConfigReader.read(#""\"\\\/\b\f\n\r\tA\u00e4😀""#, name: "t").root?.string == "\"\\/\u{8}\u{c}\n\r\tAä😀")
        #expect(ConfigReader.read(#""\u00e4\uD83D\uDE00""#, name: "t").root?.string == "ä😀")
        for half in [#""\uD83D""#, #""\uD83Dx""#, #""\uDE00""#, #""\uD83D\u0041""#, #""\u12""#, #""\u"#] {
            #expect(problems(half).contains { $0.hasSuffix("\\u takes four hexadecimal digits of a character") })
        }
    }

    @Test(
        "What is wrong is said where it is",
        arguments: [
            ("", ["1:1 the text is empty"]),
            ("{\"a\": 1\n \"b\": 2}", ["1:7 a comma is missing here"]),
            ("{\"a\": 1,\n b: 2}", ["2:2 keys stand in double quotes"]),
            ("{\"a\": 1, \"a\": 2}", ["1:10 key \"a\" stands here twice"]),
            ("{\"a\" 1}", ["1:2 a colon is missing after key \"a\""]),
            ("{\"a\" = 1}", ["1:6 a colon belongs between a key and its value"]),
            ("{\"a\": }", ["1:7 a value is missing here"]),
            ("{\"a\": 'x'}", ["1:7 strings stand in double quotes"]),
            ("{\"a\": True}", ["1:7 strings stand in double quotes"]),
            ("{\"a\": 5s}", ["1:7 5s is not how JSON writes a number"]),
            ("{\"a\": 007}", ["1:7 007 is not how JSON writes a number"]),
            ("{\"a\": 9223372036854775808}", ["1:7 9223372036854775808 does not fit into 64 bits"]),
            ("{\"a\": \"x\n}", ["1:7 this string is not closed on its line"]),
            ("{\"a\": [1, 2}", ["1:12 } where ] belongs", "1:1 this { is never closed"]),
            ("{\"a\": {\"b\": 1}", ["1:1 this { is never closed"]),
            ("{} {}", ["1:4 one value is enough: nothing may follow it"]),
            ("{\"a\": 1} // ok", []),
            ("/* never", ["1:1 this comment is never closed", "1:9 a value is missing here"]),
            ("{\"a\": @}", ["1:7 this is no value"]),
            ("{,\"a\": 1}", ["1:2 a comma with nothing before it"]),
        ] as [(String, [String])])
    func wrong(_ text: String, _ expected: [String]) { #expect(problems(text) == expected) }

    @Test("After a slip it goes on: every one of several is reported, and good parts are kept")
    func recovery() {
        let text = "{\n \"a\": nope,\n \"b\": 2,\n \"c\": \"\\x\",\n d: 4,\n \"b\": 5,\n \"e\": [1 2]\n}"
        let result = ConfigReader.read(text, name: "t")
        #expect(result.problems.map(\.line) == [2, 4, 5, 6, 7])
        #expect(result.root?["b"]?.integer == 2 && result.root?["d"]?.integer == 4)
        #expect(result.root?["e"]?.elements?.count == 2)
    }

    @Test("Twenty problems are enough, and the last one says that more was not read")
    func manyProblems() {
        let result = ConfigReader.read("[" + String(repeating: "@,", count: 100) + "]", name: "t")
        #expect(result.problems.count == 20)
        #expect(result.problems.last?.notes.last == "20 problems: the rest of the text was not read")
    }

    @Test("Size, depth and number of values are limited, and the limit is named")
    func limits() {
        var limits = ConfigLimits()
        limits.bytesMax = 10
        #expect(ConfigReader.read("[1,2,3,4,5,6]", name: "t", limits: limits).problems.map(\.message) == ["the text has 13B, more than the limit of 10B"])
        let deep = String(repeating: "[", count: 200_000)
        #expect(problems(deep + String(repeating: "]", count: 200_000)) == ["1:33 objects and lists are nested more than 32 deep"])
        #expect(!problems(deep).isEmpty)
        limits = ConfigLimits()
        limits.nodesMax = 3
        #expect(ConfigReader.read("[1,2,3]", name: "t", limits: limits).problems.first?.message == "the text has more than 3 values")
    }

    @Test("Excerpts cannot drive the terminal, and long lines are cut around the place")
    func excerpts() {
        let hostile = ConfigReader.read("{\"a\u{1B}[2J\": 1}", name: "t").problems
        #expect(!hostile.isEmpty && hostile.allSatisfy { !$0.rendered().unicodeScalars.contains("\u{1B}") })
        let long = "[" + String(repeating: "1, ", count: 5_000) + "@]"
        let shown = ConfigReader.read(long, name: "t").problems.first?.rendered() ?? ""
        #expect(shown.utf8.count < 600 && shown.contains("@]"))
        #expect(hostile[0].rendered(colour: true).contains("\u{1B}[1;31m"))
    }
}
