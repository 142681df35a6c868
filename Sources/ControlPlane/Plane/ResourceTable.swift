internal import Pipeline

/// Resources in the store: the text as the operator wrote it, and where it stood, so that explanations and errors still name
/// file and line after a restart.
enum ResourceTable {
    static let name = "resource"
    /// More than the bytes of any file that is applied.
    private static let lineMax: Int64 = 1 << 31

    static func key(_ key: ResourceKey) -> String { "\(key.kind.rawValue)/\(key.namespace)/\(key.name)" }

    static func change(_ resource: Resource) -> Change {
        let node = resource.node
        var writer = JSONWriter()
        writer.object {
            $0.member("file", node.isWritten ? node.file : "")
            $0.member("line", node.isWritten ? node.line : 1)
            $0.member("text", node.isWritten ? String(decoding: node.source.bytes[node.range], as: UTF8.self) : resource.json(pretty: false))
        }
        return .set(name, key(resource.key), writer.utf8)
    }

    static func load(_ store: Store, _ place: String) throws -> ResourceSet {
        var resources: [Resource] = []
        for (key, entry) in store.entries(name) {
            guard let root = ConfigReader.read(bytes: entry.value, name: key).root, let text = root["text"]?.string,
                let file = root["file"]?.string, let line = root["line"]?.integer
            else { throw PlaneError("\(place): the record of \(key) is of another version of weft") }
            // Its lines have the numbers that they had in the file it came from.
            let read = ResourceReader.read(ConfigSource(name: file, bytes: Array(text.utf8), firstLine: Int(min(max(1, line), Self.lineMax))))
            guard let resource = read.resources.first else {
                throw PlaneError("\(place): \(key) cannot be read any more: \(read.problems.first?.message ?? "empty")")
            }
            resources.append(resource)
        }
        return ResourceSet(resources)
    }
}

/// The number of accepted changes, in the store with them.
enum GenerationTable {
    static let name = "generation"

    static func change(_ generation: UInt64) -> Change { .set(name, "resources", Array("\(generation)".utf8)) }

    static func load(_ store: Store, _ place: String) throws -> UInt64 {
        guard let value = store.value(name, "resources") else { return 0 }
        guard let generation = UInt64(String(decoding: value, as: UTF8.self)) else {
            throw PlaneError("\(place): the generation is of another version of weft")
        }
        return generation
    }
}
