/// Reads a folder of stage files into a chain (ARCHITECTURE §10): `filters.d/outbound/20-request-timeout.json` is
/// `{"filter": "timeout", "config": {…}}`. The number is the order; the name is the stage's id and, unless the file says
/// otherwise, its filter.
package enum StageFolder {
    package struct Stage: Sendable {
        package let entry: StageEntry
        /// A chain that lacks it may not be pushed to this sidecar.
        package let isRequired: Bool

        package init(entry: StageEntry, isRequired: Bool) {
            self.entry = entry
            self.isRequired = isRequired
        }
    }

    package struct Result: Sendable {
        /// In chain order; those without errors.
        package let stages: [Stage]
        package let problems: [ConfigProblem]
    }

    private struct File: ConfigRecord {
        let filter: String?
        let required: Bool
        let config: ConfigNode?

        init(_ fields: inout ConfigFields) {
            filter = fields.read("filter", "The filter; the name in the file's name, if left out.", .nonEmpty)
            required = fields.read("required", default: false, "Refuse chains from the control plane that lack this stage.")
            config = fields.read("config", "Values for the filter.")
        }
    }

    /// The declared fields of a stage file, for docs and JSON Schema.
    package static var fields: [ConfigField] { File.configFields }

    /// - Parameters:
    ///   - folder: As the operator knows it, for what is not there.
    ///   - files: All that the folder holds, named by path.
    ///   - filters: Known filters by name; nil: do not judge names and configs.
    package static func read(
        folder: String, files: [ConfigSource], direction: ChainDirection, filters: [String: FilterSchema]?,
        needs: ChainRules.Needs = ChainRules.Needs()
    ) -> Result {
        var stages: [Stage] = []
        var problems: [ConfigProblem] = []
        for file in files.sorted(by: { basename($0).utf8.lexicographicallyPrecedes(basename($1).utf8) }) {
            guard let name = stageName(basename(file)) else {
                problems += stray(file)
                continue
            }
            let text = ConfigReader.read(file)
            problems += text.problems
            guard let root = text.root, !text.problems.hasErrors else { continue }
            let result = File.decode(root, subject: "stage \(JSONWriter.quoted(name))")
            problems += result.problems
            guard let value = result.value else { continue }
            let entry = StageEntry(filter: value.filter ?? name, id: name, config: value.config, node: root)
            stages.append(Stage(entry: entry, isRequired: value.required))
            guard let schema = filters?[entry.filter] else { continue }
            let layer = ConfigLayer(label: file.name, node: value.config ?? ConfigNode(.object([]), range: root.range, source: root.source))
            problems += schema.check([layer], path: "config")
        }
        let whole = ConfigNode(.array([]), source: ConfigSource(name: folder, bytes: []))
        if stages.isEmpty, !problems.hasErrors {
            problems.append(ConfigProblem("\(folder) holds no stage", at: whole, notes: ["files are named like 50-router.json"]))
        } else if !problems.hasErrors {
            problems += ChainRules.check(stages.map(\.entry), direction: direction, at: whole, path: direction.rawValue, filters: filters, needs: needs)
        }
        return Result(stages: stages, problems: problems)
    }

    private static func basename(_ file: ConfigSource) -> String {
        file.name.split(separator: "/").last.map(String.init) ?? file.name
    }

    /// `request-timeout` of `20-request-timeout.json`; nil for any other name.
    package static func stageName(_ name: String) -> String? {
        let bytes = Array(name.utf8)
        guard bytes.count > 8, ASCII.isDigit(bytes[0]), ASCII.isDigit(bytes[1]), bytes[2] == UInt8(ascii: "-"), name.hasSuffix(".json")
        else { return nil }
        let id = String(name.dropFirst(3).dropLast(5))
        return ConfigRule.isLabel(id) ? id : nil
    }

    /// Left-overs of editors and packages are worth a word; documentation is not.
    private static func stray(_ file: ConfigSource) -> [ConfigProblem] {
        let name = basename(file)
        if name == "README.md" || name.hasPrefix(".") { return [] }
        let isMisnamed = name.hasSuffix(".json")
        let problem = ConfigProblem(
            isMisnamed ? "\(name) is not how a stage file is named" : "\(name) is ignored: it is no stage file",
            severity: isMisnamed ? .error : .warning, source: file, range: 0..<0,
            notes: ["stage files are named like 50-router.json: two digits, a hyphen, the stage's id"])
        return [problem]
    }
}
