import Pipeline
import Testing

private func node(_ text: String) -> ConfigNode { ConfigReader.read(text, name: "t").root ?? .empty }

@Suite("Config values")
struct ConfigValueTests {
    @Test(
        "Durations are exact, and are written back the shortest way",
        arguments: [
            ("250ms", 250_000_000, "250ms"), ("1.5s", 1_500_000_000, "1500ms"), ("2m", 120_000_000_000, "2m"), ("120s", 120_000_000_000, "2m"),
            ("24h", 86_400_000_000_000, "24h"), ("0s", 0, "0s"), ("1ns", 1, "1ns"), ("0.000001ms", 1, "1ns"), ("1.50s", 1_500_000_000, "1500ms"),
        ] as [(String, Int64, String)])
    func durations(_ text: String, _ count: Int64, _ back: String) {
        let value = Nanoseconds(config: node("\"\(text)\""))
        #expect(value?.count == count)
        #expect(value?.configText == "\"\(back)\"")
    }

    @Test(
        "What is no duration is refused",
        arguments: ["", "5", "s", "-1s", "1 s", "1S", "1d", "1.s", ".5s", "1.5ns", "9223372036854775807h", "99999999999999999999s", "1..5s", "1e3s", "١s"])
    func notDurations(_ text: String) { #expect(Nanoseconds(config: node("\"\(text)\"")) == nil) }

    @Test("Sizes, rates and percentages read and write their units")
    func units() {
        #expect(ByteCount(config: node("\"64KiB\""))?.count == 65_536)
        #expect(ByteCount(config: node("\"1.5MiB\""))?.description == "1536KiB")
        #expect(ByteCount(config: node("\"64KB\"")) == nil)
        #expect(Rate("100/s") == Rate(100) && Rate("10/m") == Rate(10, per: .seconds(60)) && Rate("0/s")?.interval == nil)
        #expect(Rate("100/s")?.interval == .milliseconds(10))
        for text in ["100", "/s", "1/d", "-1/s", "1.5/s", "1/s/s", "1000000001/s", "99999999999999999999/s"] { #expect(Rate(text) == nil) }
        #expect(Rate("10/m")?.description == "10/m")
        #expect(Percentage(config: node("\"20%\""))?.millionths == 200_000)
        #expect(Percentage(config: node("\"0.01%\""))?.description == "0.01%")
        #expect(Percentage(config: node("\"100.1%\"")) == nil && Percentage(config: node("\"20\"")) == nil)
    }

    @Test("A status set knows numbers and classes")
    func statuses() {
        let set = StatusSet(config: node("[429, \"5xx\"]"))
        #expect(set?.contains(429) == true && set?.contains(500) == true && set?.contains(599) == true)
        #expect(set?.contains(499) == false && set?.contains(600) == false && set?.contains(65535) == false)
        #expect(set?.configText == "[429, \"5xx\"]")
        #expect(StatusSet(config: node("[99]")) == nil && StatusSet(config: node("[\"6xx\"]")) == nil)
    }

    @Test("A word set contains its words and nothing else")
    func words() {
        var random = Random(seed: 9)
        let words = (0..<500).map { _ in String((0..<Int.random(in: 1...12, using: &random)).map { _ in "abcdef".randomElement(using: &random)! }) }
        let set = WordSet(words + words)
        let known = Set(words)
        #expect(set.count == known.count)
        #expect(words.allSatisfy(set.contains))
        for _ in 0..<2_000 {
            let word = String((0..<Int.random(in: 1...12, using: &random)).map { _ in "abcdef".randomElement(using: &random)! })
            #expect(set.contains(word) == known.contains(word))
        }
        #expect(!set.contains(Bytes.empty) && !set.contains(""))
        #expect(WordSet([""]).contains("") && WordSet([""]).contains(Bytes.empty))
        #expect(!WordSet([]).contains("a") && !WordSet([]).contains(""))
    }

    @Test("Addresses, labels and domains are what the RFCs say")
    func forms() {
        for good in ["10.0.0.1", "255.255.255.255", "::1", "::", "fd00::7", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1"] { #expect(ConfigRule.isAddress(good)) }
        for bad in ["", "1.2.3", "256.0.0.1", "01.2.3.4", "1.2.3.4.5", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::", "12345::", "10.0.0.1:80", "localhost"] {
            #expect(!ConfigRule.isAddress(bad))
        }
        for good in ["a", "v1", "a-b", "0", String(repeating: "a", count: 63)] { #expect(ConfigRule.isLabel(good)) }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", String(repeating: "a", count: 64)] { #expect(!ConfigRule.isLabel(bad)) }
        #expect(ConfigRule.isDomain("shop.internal") && !ConfigRule.isDomain("shop..internal") && !ConfigRule.isDomain("."))
    }

    @Test("A schema survives the way over JSON, and checks as before")
    func schemas() throws {
        for kind in ResourceKind.allCases {
            let schema = FilterSchema(name: kind.rawValue, summary: "s", fields: Resource.fields(of: kind))
            #expect(FilterSchema(json: node(schema.json)) == schema)
            #expect(ConfigReader.read(schema.jsonSchema(), name: "s").problems.isEmpty)
        }
        for schema in SampleFilters.schemas.values { #expect(FilterSchema(json: node(schema.json)) == schema) }
        #expect(FilterSchema(json: node(#"{"name":"x","fields":[{"key":"a","shape":{"type":"colour"}}]}"#)) == nil)
        #expect(FilterSchema(json: node("[]")) == nil)
    }

    @Test("The writer indents, escapes, and leaves no comma too many")
    func writer() {
        var writer = JSONWriter(pretty: true)
        writer.object {
            $0.member("a", "x\"\n\u{1}\u{2028}")
            $0.key("b"); $0.array { _ in }
            $0.key("c"); $0.array { $0.integer(1); $0.null(); $0.object { _ in }; $0.number(.infinity); $0.number(0.5) }
            $0.member("d", true)
        }
        #expect(
            writer.text == """
                {
                  "a": "x\\"\\n\\u0001\\u2028",
                  "b": [],
                  "c": [
                    1,
                    null,
                    {},
                    null,
                    0.5
                  ],
                  "d": true
                }
                """)
    }
}
