import ControlPlaneTesting
import Pipeline
import Testing

@testable import ControlPlane

@Suite struct ResourceTableTests {
    private func stored(_ source: ConfigSource) throws -> (resources: [Resource], store: Store) {
        let read = ResourceReader.read(source)
        try #require(!read.problems.hasErrors, "\(read.problems.first?.message ?? "")")
        let store = try Store(FaultyFiles(seed: 1))
        _ = try store.append(read.resources.map(ResourceTable.change))
        return (read.resources, store)
    }

    @Test("After a restart file and line of a resource and of all it says are what they were")
    func lines() throws {
        let text = "\n\n[{\"kind\":\"Service\",\"name\":\"a\",\n  \"ports\":[{\"port\":1,\n    \"protocol\":\"http\"}]},\n\n {\"kind\":\"Service\",\"name\":\"b\",\"ports\":[{\"port\":2,\"protocol\":\"http\"}]}]"
        let (before, store) = try stored(ConfigSource(name: "shop.json", text: text))
        let after = try ResourceTable.load(store, "here")
        for resource in before {
            let node = try #require(after[resource.key]).node
            #expect(node.file == "shop.json" && node.line == resource.node.line && node["ports"]?.line == resource.node["ports"]?.line)
            #expect(node["ports"]?.elements?.first?["protocol"]?.line == resource.node["ports"]?.elements?.first?["protocol"]?.line)
        }
        #expect(after.sorted.map(\.node.line).sorted() == [3, 7])
    }

    @Test("A restart reads of a resource what it says, however far down it stood: 2,000 resources in a file of 100,000 lines")
    func bound() throws {
        let gap = String(repeating: "\n", count: 50)
        let list = (0..<2_000).map { "\(gap){\"kind\":\"Service\",\"name\":\"s\($0)\",\"ports\":[{\"port\":80,\"protocol\":\"http\"}]}" }
        let source = ConfigSource(name: "all.json", text: "[" + list.joined(separator: ",") + "]")
        #expect(source.lineCount > 100_000)
        let (before, store) = try stored(source)
        let after = try ResourceTable.load(store, "here").sorted
        #expect(after.count == 2_000)
        // Bytes held; with a line break for every line above it this was 100,000,000.
        let held = after.reduce(0) { $0 + $1.node.source.bytes.count }
        #expect(held == before.reduce(0) { $0 + $1.node.range.count } && held < 200_000)
        #expect(after.map(\.node.line).max() == before.map(\.node.line).max())
    }

    @Test("A record with a line that makes no sense is read all the same, and its positions can be asked for")
    func nonsense() throws {
        let store = try Store(FaultyFiles(seed: 1))
        for (number, line) in ["0", "-5", "9223372036854775807"].enumerated() {
            let record = "{\"file\":\"f\",\"line\":\(line),\"text\":\"{\\\"kind\\\":\\\"Service\\\",\\\"name\\\":\\\"s\(number)\\\",\\\"ports\\\":[{\\\"port\\\":1,\\\"protocol\\\":\\\"http\\\"}]}\"}"
            _ = try store.append([.set(ResourceTable.name, "Service/default/s\(number)", Array(record.utf8))])
        }
        let lines = try ResourceTable.load(store, "here").sorted.map(\.node.line)
        #expect(lines.sorted() == [1, 1, 1 << 31])
    }
}
