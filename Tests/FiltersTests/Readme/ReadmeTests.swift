import Filters
import Foundation
import Pipeline
import TenantGateFilter
import Testing

@Suite("READMEs of filters")
struct ReadmeTests {
    private static let filters: [(folder: String, type: any Filter.Type)] = [
        ("Sources/Filters/Authz", Authz.self), ("Sources/Filters/Breaker", Breaker.self), ("Sources/Filters/RateLimit", RateLimit.self),
        ("Sources/Filters/Retry", Retry.self), ("Sources/Filters/Router", Router.self), ("Sources/Filters/Stats", Stats.self),
        ("Sources/Filters/TLS", TLS.self), ("Sources/Filters/Timeout", Timeout.self), ("filters.d/tenant-gate", TenantGate.self),
    ]
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @Test("Each has the seven sections, and its tables are those that the filter declares", arguments: filters.indices)
    func tables(index: Int) throws {
        let (folder, type) = Self.filters[index]
        let file = Self.root.appending(path: folder).appending(path: "README.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        let descriptor = FilterRegistry([type]).filters[0]
        // Rewrites the tables when asked: WEFT_WRITE_TABLES=1 swift test --filter ReadmeTests
        if ProcessInfo.processInfo.environment["WEFT_WRITE_TABLES"] == "1" {
            try Self.replacingTables(in: text, descriptor).write(to: file, atomically: true, encoding: .utf8)
            return
        }
        let titles = text.split(separator: "\n").filter { $0.hasPrefix("## ") }.map { String($0.dropFirst(3)) }
        #expect(
            titles == ["What it does", "Example", "Configuration", "Statistics", "Replies", "Order in the chain", "Caveats"])
        #expect(Self.section("Configuration", of: text) == descriptor.configurationMarkdown)
        #expect(Self.section("Statistics", of: text) == descriptor.statisticsMarkdown)
    }

    @Test("The config of each example is accepted by the filter", arguments: filters.indices)
    func examples(index: Int) throws {
        let (folder, type) = Self.filters[index]
        let text = try String(contentsOf: Self.root.appending(path: folder).appending(path: "README.md"), encoding: .utf8)
        let example = try #require(Self.section("Example", of: text).components(separatedBy: "```json\n").dropFirst().first?.components(separatedBy: "```").first)
        let read = ConfigReader.read(example, name: "README.md")
        #expect(read.problems.isEmpty)
        let root = try #require(read.root)
        let descriptor = FilterRegistry([type]).filters[0]
        #expect((root["filter"]?.string ?? descriptor.name) == descriptor.name)
        let checked = descriptor.check([ConfigLayer(label: "README", node: root["config"] ?? ConfigReader.read("{}", name: "none").root!)], "config")
        #expect(checked.problems.map(\.message) == [])
    }

    private static func section(_ title: String, of text: String) -> String {
        guard let start = text.range(of: "## \(title)\n\n") else { return "" }
        let rest = text[start.upperBound...]
        let end = rest.range(of: "\n## ")?.lowerBound ?? rest.endIndex
        return String(rest[..<end])
    }

    private static func replacingTables(in text: String, _ descriptor: FilterDescriptor) -> String {
        var text = text
        for (title, table) in [("Configuration", descriptor.configurationMarkdown), ("Statistics", descriptor.statisticsMarkdown)] {
            guard let start = text.range(of: "## \(title)\n\n") else { continue }
            let end = text[start.upperBound...].range(of: "\n## ")?.lowerBound ?? text.endIndex
            text.replaceSubrange(start.upperBound..<end, with: table)
        }
        return text
    }
}
