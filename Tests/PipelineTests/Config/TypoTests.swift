import Pipeline
import Testing

/// One slip in one key: the line must be right every time, the suggestion nearly always.
@Suite("Typos")
struct TypoTests {
    /// Every key of every kind, one per line.
    private static let everything = """
        [
        {"kind":"Mesh","name":"shop","namespace":"default","trustDomain":"shop.internal","mtls":"strict","defaultAccess":"allow","egress":"deny",
         "settings":{"retry":{"maxRetries":3},"request-timeout":{"after":"2s"},"breaker":{"maxRequests":200,"consecutiveFailures":5}},
         "inboundSettings":{"request-timeout":{"after":"2s"}}},
        {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],"labels":{},"defaultVersion":"v1","mtls":"strict",
         "reachableServices":["payment"],"location":"internal","settings":{"attempt-timeout":{"after":"500ms"}},"inboundSettings":{"request-timeout":{"after":"1s"}}},
        {"kind":"Workload","name":"w","service":"payment","version":"v1","address":"10.0.0.1","ports":[{"port":8080,"targetPort":81}],"health":"healthy","sidecar":false},
        {"kind":"Route","name":"r","service":"payment","rules":[{"name":"all","matches":[{"path":{"prefix":"/"},"headers":[{"name":"x-a","exact":"b"}],"method":"GET"},
          {"path":{"exact":"/a"},"headers":[{"name":"x-a","prefix":"b"},{"name":"x-b","present":true}]}],
          "backends":[{"service":"payment","version":"v1","weight":90}],"settings":{"attempt-timeout":{"after":"500ms"}}}]},
        {"kind":"AccessPolicy","name":"p","target":{"service":"payment"},"action":"allow","shadow":true,
         "rules":[{"from":[{"service":"payment"},{"prefix":"spiffe://a"},{"namespace":"b"},{"external":true}],"to":[{"ports":[1],"methods":["GET"],"paths":[{"prefix":"/"}]}]}]},
        {"kind":"RateLimit","name":"l","target":{"service":"payment"},"rules":[{"matches":[{"path":{"prefix":"/"}}],"key":"source","rate":"100/s","burst":200}]},
        {"kind":"Chain","name":"c","direction":"outbound","target":{"service":"payment"},
         "stages":["stats",{"filter":"timeout","name":"request-timeout","config":{"after":"3s"}},"retry","breaker",{"filter":"timeout","name":"attempt-timeout"},"router","tls"]}
        ]
        """

    /// Of some 35; all 6,555 were tried once (line and suggestion right in every one), these keep the test quick.
    private static let typosPerKey = 6

    private static func allKeys(_ node: ConfigNode) -> [(key: String, range: Range<Int>)] {
        (node.members ?? []).flatMap { member in
            let isOperatorsWord = member.key == "labels"
            return [(member.key, member.keyRange)] + (isOperatorsWord ? [] : allKeys(member.value))
        } + (node.elements ?? []).flatMap(allKeys)
    }

    private static func typos(_ key: String, _ random: inout Random) -> Set<String> {
        let letters = Array(key)
        var found: Set<String> = []
        for index in letters.indices {
            var dropped = letters
            dropped.remove(at: index)
            var doubled = letters
            doubled.insert(letters[index], at: index)
            var replaced = letters
            replaced[index] = "abcdefghijklmnopqrstuvwxyz".randomElement(using: &random)!
            var cased = letters
            cased[index] = Character(letters[index].isUppercase ? letters[index].lowercased() : letters[index].uppercased())
            found.formUnion([dropped, doubled, replaced, cased].map { String($0) })
            if index + 1 < letters.count {
                var swapped = letters
                swapped.swapAt(index, index + 1)
                found.insert(String(swapped))
            }
        }
        found.remove(key)
        found.remove("")
        return found
    }

    @Test("Every single typo of every key names the right line, and 95 in 100 the right key")
    func keys() throws {
        var random = Random(seed: 2)
        var total = 0, onLine = 0, suggested = 0, alone = 0
        var missed: [String] = []
        let texts = [Self.everything, try fixture("shop.json")].map { text in
            // One key per line, so that the line says which key it is.
            var writer = JSONWriter(pretty: true)
            writer.node(ConfigReader.read(text, name: "t").root!)
            return writer.text
        }
        for text in texts {
            #expect(problems(text).filter { !$0.contains("warning") }.isEmpty)
            let source = ConfigSource(name: "typo.json", text: text)
            let keys = Self.allKeys(ConfigReader.read(source).root!)
            let bytes = Array(text.utf8)
            for (key, range) in keys where key != "tier" {
                for typo in Self.typos(key, &random).sorted().shuffled(using: &random).prefix(Self.typosPerKey) {
                    var mutated = bytes
                    mutated.replaceSubrange(range, with: Array("\"\(typo)\"".utf8))
                    let change = ResourceSet().applying([ConfigSource(name: "typo.json", bytes: mutated)], filters: SampleFilters.schemas)
                    let errors = change.problems.filter { $0.severity == .error }
                    total += 1
                    let line = source.line(at: range.lowerBound)
                    if errors.contains(where: { $0.line == line }) { onLine += 1 } else { missed.append("\(key) as \(typo): line") }
                    if errors.contains(where: { $0.line == line && $0.suggestion == key }) { suggested += 1 } else { missed.append("\(key) as \(typo)") }
                    if errors.count == 1 { alone += 1 }
                }
            }
        }
        #expect(total > 1_000)
        #expect(onLine == total, "\(missed.filter { $0.hasSuffix("line") }.prefix(20))")
        #expect(suggested * 100 >= total * 95, "\(missed.prefix(20))")
        #expect(alone * 100 >= total * 95)
    }

    @Test("A swap, a slip of case and a missing letter find the key that was meant, not one that stands there already")
    func suggestion() {
        #expect(Spelling.suggestion(for: "perTryTimeOut", among: ["perTryTimeout", "retryOn"]) == "perTryTimeout")
        #expect(Spelling.suggestion(for: "buget", among: ["burst", "budget"]) == "budget")
        #expect(Spelling.suggestion(for: "port", among: ["ports", "path"]) == "ports")
        #expect(Spelling.suggestion(for: "xyz", among: ["ports", "path"]) == nil)
        #expect(Spelling.suggestion(for: "a1", among: ["a2", "a3"], taken: ["a2"]) == "a3")
        #expect(Spelling.distance(Array("ca".utf8), Array("ac".utf8)) == 1)
        #expect(Spelling.distance(Array("".utf8), Array("abc".utf8)) == 3)
    }
}
