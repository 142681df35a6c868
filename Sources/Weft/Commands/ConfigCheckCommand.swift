internal import ControlPlane
internal import Pipeline

enum ConfigCheckCommand {
    static let command = Command(
        "config check", "check files without a mesh: resources, filters.d folders, sidecar configs", operands: "FILE|DIR|-…", count: 1...1_000,
        flags: [.output],
        details: """
            All resources named are checked together, against the filters of this binary. A folder with inbound/ or outbound/ in it,
            or of that name, is a filters.d folder; any other holds resources. An object without a kind is a sidecar's config.
            Exit code 78 and every problem where it stands, if anything is wrong; warnings alone are fine.
            """,
        examples: ["weft config check shop.json", "weft config check filters.d", "weft config check mesh/ sidecar.json -o json"],
        run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        var check = OfflineCheck(filters: invocation.schemas)
        for path in invocation.operands { try check.add(path) }
        let problems = check.finish()
        let errors = problems.count { $0.severity == .error }, warnings = problems.count - errors
        if invocation.wantsJSON {
            var writer = JSONWriter(pretty: true)
            writer.object { writer in
                writer.member("files", check.fileCount)
                writer.member("errors", errors)
                writer.member("warnings", warnings)
                writer.member("notes", check.notes)
                writer.key("problems")
                writer.array { for problem in problems { problem.write(to: &$0) } }
            }
            invocation.console.print(writer.text)
            return errors > 0 ? .configuration : .ok
        }
        let summary = "\(counted(errors, "error")), \(counted(warnings, "warning")) in \(counted(check.fileCount, "file"))"
        guard errors == 0 else { throw CommandFailure.configuration(problems, summary: summary) }
        invocation.console.report(problems)
        for note in check.notes { invocation.console.note(note) }
        invocation.console.print(problems.isEmpty ? "\(counted(check.fileCount, "file")) checked: all is well" : summary)
        return .ok
    }

    private static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

/// Sorts what is to be checked by what it is, and checks each kind with the code that will read it for real.
struct OfflineCheck {
    private let filters: [String: FilterSchema]
    private var resources: [ConfigSource] = []
    private var problems: [ConfigProblem] = []
    private(set) var fileCount = 0
    /// What is worth knowing and nothing wrong; known after `finish`.
    private(set) var notes: [String] = []

    init(filters: [String: FilterSchema]) { self.filters = filters }

    mutating func add(_ path: String) throws(CommandFailure) {
        guard path != "-", Inputs.isFolder(path) else { return try addFile(path) }
        if let direction = Self.direction(of: path) { return try addStages(path, direction) }
        var isFilterFolder = false
        for direction in ChainDirection.allCases {
            let folder = Inputs.join(path, direction.rawValue)
            guard Inputs.isFolder(folder) else { continue }
            isFilterFolder = true
            try addStages(folder, direction)
        }
        guard !isFilterFolder else { return }
        let names = try Inputs.names(path).filter { $0.hasSuffix(".json") }
        guard !names.isEmpty else { throw .usage("\(Printable.text(path)) holds no .json file") }
        if let stage = names.first(where: { StageFolder.stageName($0) != nil }) {
            throw .usage(
                "\(Printable.text(path)) looks like a folder of stages (\(stage)), but not of which direction",
                hint: "such folders are named inbound and outbound")
        }
        for name in names { try addFile(Inputs.join(path, name)) }
    }

    /// Everything that is wrong, in the order of the texts.
    mutating func finish() -> [ConfigProblem] {
        if !resources.isEmpty {
            let change = ResourceSet().applying(resources, filters: filters)
            problems += change.problems
            notes = StreamRules.notes(change.result.sorted)
        }
        resources = []
        return problems
    }

    private mutating func addFile(_ path: String) throws(CommandFailure) {
        let source = try Inputs.file(path)
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        if let direction = Self.direction(of: parent), let name = path.split(separator: "/").last, StageFolder.stageName(String(name)) != nil {
            // A stage makes sense in its chain only.
            return try addStages(path.hasPrefix("/") ? "/" + parent : parent, direction)
        }
        fileCount += 1
        guard path != "-", let root = ConfigReader.read(source).root, Self.isSidecarConfig(root) else {
            resources.append(source)
            return
        }
        do throws(LocalConfig.Refusal) {
            problems += try LocalConfig.read(path, filters: filters).warnings
        } catch {
            problems += error.problems
        }
    }

    /// Resources have a kind and a name, misspelt or not; a sidecar's config has neither.
    private static func isSidecarConfig(_ root: ConfigNode) -> Bool {
        root.isObject && root["kind"] == nil && root["name"] == nil && LocalConfig.fields.contains { root[$0.key] != nil }
    }

    private mutating func addStages(_ folder: String, _ direction: ChainDirection) throws(CommandFailure) {
        var files: [ConfigSource] = []
        for name in try Inputs.names(folder) {
            let path = Inputs.join(folder, name)
            guard !Inputs.isFolder(path) else { continue }
            // Only stage files are read; of others the name is all that matters.
            files.append(StageFolder.stageName(name) != nil ? try Inputs.file(path) : ConfigSource(name: path, bytes: []))
        }
        fileCount += files.count { StageFolder.stageName($0.name.split(separator: "/").last.map(String.init) ?? "") != nil }
        problems += StageFolder.read(folder: folder, files: files, direction: direction, filters: filters).problems
    }

    private static func direction(of folder: String) -> ChainDirection? {
        folder.split(separator: "/").last.flatMap { ChainDirection(rawValue: String($0)) }
    }
}
