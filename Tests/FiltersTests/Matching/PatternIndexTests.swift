import Pipeline
import Testing
import WeftTesting

@Suite("Finding the first pattern that matches")
struct PatternIndexTests {
    private typealias Match = TrafficPart.MatchEntry

    /// What a first-match list means, tried one after the other.
    private static func first(_ rules: [[TrafficPart.MatchEntry]], _ method: String, _ path: String, _ headers: [String: String]) -> Int? {
        rules.firstIndex { matches in
            matches.isEmpty || matches.contains { match in
                let isPath =
                    switch match.path {
                    case .any: true
                    case .exact(let text): path == text
                    case .prefix(let text):
                        text == "/" || path == text || path.hasPrefix(text.hasSuffix("/") ? text : text + "/") || text.hasSuffix("/") && path + "/" == text
                    }
                return isPath && (match.method == nil || match.method == method)
                    && match.headers.allSatisfy { header in
                        switch header.value {
                        case .exact(let value): headers[header.name] == value
                        case .prefix(let value): headers[header.name]?.hasPrefix(value) ?? false
                        case .present(let flag): (headers[header.name] != nil) == flag
                        }
                    }
            }
        }
    }

    /// Few words, so that paths nest and repeat.
    private static func path(_ random: inout Random, segments: ClosedRange<Int>) -> String {
        let words = ["a", "b", "ab", "shop", "cart", "c"]
        let path = (0..<Int.random(in: segments, using: &random)).map { _ in "/" + words.randomElement(using: &random)! }.joined()
        return path.isEmpty ? "/" : path
    }

    private static func match(_ random: inout Random) -> TrafficPart.MatchEntry {
        var match = Match()
        switch Int.random(in: 0..<10, using: &random) {
        case 0: break
        case 1..<5: match.path = .exact(path(&random, segments: 0...4))
        case 5: match.path = .prefix(path(&random, segments: 1...3) + "/")
        default: match.path = .prefix(path(&random, segments: 0...4))
        }
        if match.path == .any || Int.random(in: 0..<3, using: &random) == 0 {
            if Bool.random(using: &random) { match.method = ["GET", "DELETE"].randomElement(using: &random)! }
            match.headers.append(
                .init(name: "x-user", value: [.exact("ann"), .prefix("b"), .present(true), .present(false)].randomElement(using: &random)!))
        }
        return match
    }

    @Test("The rule it finds is the one that trying all of them in order finds", arguments: 1...40 as ClosedRange<UInt64>)
    func equivalent(seed: UInt64) throws {
        var random = Random(seed: seed)
        let count = [1, 2, 5, 60].randomElement(using: &random)!
        let rules = (0..<count).map { _ in (0..<Int.random(in: 1...3, using: &random)).map { _ in Self.match(&random) } }
            + (Bool.random(using: &random) ? [[]] : [])
        let route = rules.enumerated().map {
            TrafficPart.RuleEntry(name: "rule-\($0.offset)", matches: $0.element, backends: [.init(version: "v\($0.offset)")])
        }
        let versions = Dictionary(uniqueKeysWithValues: rules.indices.map { ("v\($0)", 1) })
        let harness = try ChainHarness(
            "[]", world: HarnessWorld(services: [
                .simple("before", versions: ["v1": 1], route: [.init(name: "x", matches: [.init(path: .exact("/a"))], backends: [])]),
                .simple("payment", versions: versions, route: route),
            ]))
        for _ in 0..<150 {
            let method = ["GET", "DELETE"].randomElement(using: &random)!
            let path = Self.path(&random, segments: 0...5) + ["", "", "/"].randomElement(using: &random)!
            let target = path == "//" ? "/" : path
            let headers = [[:], ["x-user": "ann"], ["x-user": "bob"]].randomElement(using: &random)!
            var request = HarnessRequest(method, target, headers: headers)
            request.wayIn = .servicePort(1)
            let answer = harness.send(request)
            let expected = Self.first(rules, method, target, headers)
            #expect(answer.forwarded.first?.version == expected.map { "v\($0)" }, "\(method) \(target) \(headers)")
        }
    }

    @Test("A path of thousands of segments is taken as far as any pattern reaches")
    func long() throws {
        let route = [
            TrafficPart.RuleEntry(name: "a", matches: [.init(path: .prefix("/a/a/b"))], backends: [.init(version: "v1")]),
            TrafficPart.RuleEntry(name: "b", matches: [.init(path: .prefix("/a/a/a"))], backends: [.init(version: "v2")]),
        ]
        let harness = try ChainHarness("[]", world: HarnessWorld(services: [.simple("payment", versions: ["v1": 1, "v2": 1], route: route)]))
        #expect(harness.send(.get(String(repeating: "/a", count: 2000))).forwarded.first?.version == "v2")
        #expect(harness.send(.get("/a/a/ab" + String(repeating: "/a", count: 2000))).flag == .NR)
    }
}
