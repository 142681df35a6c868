import Filters
import Foundation
import Pipeline
import Testing
import WeftTesting

@Suite("The chains in filters.d")
struct ShippedChainTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "filters.d")
    private static let registry = FilterRegistry([
        TLS.self, Authz.self, RateLimit.self, Retry.self, Timeout.self, Breaker.self, Router.self, Stats.self,
    ])

    private struct File {
        var name: String
        var text: String
        /// Without the number and the ending.
        var id: String
        var root: ConfigNode
    }

    private static func files(_ direction: ChainDirection) throws -> [File] {
        let place = folder.appending(path: direction.rawValue)
        return try FileManager.default.contentsOfDirectory(atPath: place.path).sorted().map { name in
            let text = try String(contentsOf: place.appending(path: name), encoding: .utf8)
            let read = ConfigReader.read(text, name: name)
            #expect(read.problems.isEmpty)
            return File(name: name, text: text, id: String(name.dropFirst(3).dropLast(5)), root: try #require(read.root))
        }
    }

    @Test("They are the default chains of ARCHITECTURE §4, in order", arguments: ChainDirection.allCases)
    func order(direction: ChainDirection) throws {
        // Rewrites the files when asked: WEFT_WRITE_TABLES=1 swift test --filter ShippedChainTests
        if ProcessInfo.processInfo.environment["WEFT_WRITE_TABLES"] == "1" { return try Self.write(direction) }
        let stages = try Self.files(direction).map { "\($0.root["filter"]?.string ?? $0.id) \($0.id)" }
        #expect(stages == ChainRules.defaultStages(direction).map { "\($0.filter) \($0.id)" })
    }

    @Test("Each file names every field of its filter with its meaning and its default", arguments: ChainDirection.allCases)
    func full(direction: ChainDirection) throws {
        if ProcessInfo.processInfo.environment["WEFT_WRITE_TABLES"] == "1" { return }
        for file in try Self.files(direction) {
            let descriptor = try #require(Self.registry[file.root["filter"]?.string ?? file.id])
            #expect(file.text == Self.text(of: descriptor, id: file.id), "\(file.name)")
            let config = try #require(file.root["config"])
            let checked = descriptor.check([ConfigLayer(label: "file", node: config)], "config")
            #expect(checked.problems.map(\.message) == [])
            #expect(checked.origins.allSatisfy { $0.label == "file" }, "\(file.name) leaves a field out")
        }
    }

    @Test("They build and serve", arguments: ChainDirection.allCases)
    func serve(direction: ChainDirection) throws {
        let stages = try Self.files(direction).map { file in
            "{\"filter\":\"\(file.root["filter"]?.string ?? file.id)\",\"name\":\"\(file.id)\",\"config\":\(file.root["config"]?.json ?? "{}")}"
        }
        let harness = try ChainHarness("[\(stages.joined(separator: ","))]", inbound: direction == .inbound)
        #expect(harness.send(.get("/")).status == 200)
        #expect(harness.gaugesNotZero == [])
    }

    private static func text(of descriptor: FilterDescriptor, id: String) -> String {
        let filter = id == descriptor.name ? "" : "  \"filter\": \(JSONWriter.quoted(descriptor.name)),\n"
        return "// \(heads[id] ?? "")\n{\n\(filter)  \"config\": \(descriptor.configExample),\n}\n"
    }

    private static let heads = [
        "tls": "mTLS 1.3 with the workload's own certificate; whether plaintext is accepted beside it is the Mesh's and the Service's `mtls`.",
        "stats": "Counts every call by source, destination, version, route and status.",
        "authz": "Who may call this service: its AccessPolicies.",
        "ratelimit": "How often it may be called: its RateLimits, and the rules here.",
        "request-timeout": "How long the whole request may take, retries and their back-offs included.",
        "retry": "Tries again what is safe to try again.",
        "breaker": "Sends nothing to an upstream that only fails.",
        "attempt-timeout": "How long each try may take.",
        "router": "Where the request goes.",
    ]

    private static func write(_ direction: ChainDirection) throws {
        let place = folder.appending(path: direction.rawValue)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        for (index, stage) in ChainRules.defaultStages(direction).enumerated() {
            let descriptor = try #require(registry[stage.filter])
            let number = (index + 1) * 10
            try text(of: descriptor, id: stage.id).write(to: place.appending(path: "\(number)-\(stage.id).json"), atomically: true, encoding: .utf8)
        }
    }
}
