package import Host
package import Pipeline

/// A sidecar's own files, read and compiled: what `weft sidecar --config FILE` runs on, and `weft config check` checks.
///
/// The same reader, validation and compiler as the control plane's, so that a sidecar never knows the difference: it only ever
/// gets a snapshot.
package struct LocalConfig: Sendable {
    package let settings: SidecarSettings
    package let snapshot: Snapshot
    /// Warnings, if it was accepted.
    package let warnings: [ConfigProblem]

    /// Everything that stands in the way, all at once.
    package struct Refusal: Error, Sendable {
        package let problems: [ConfigProblem]
    }

    /// The declared fields, for docs and JSON Schema.
    package static var fields: [ConfigField] { SidecarFile.configFields }

    /// Those of its `limits`.
    package static var limits: [ConfigField] { SidecarLimits.configFields }

    /// Reads the file at `path` and the folder it may name; relative paths count from the file's own directory.
    package static func read(_ path: String, filters: [String: FilterSchema]) throws(Refusal) -> LocalConfig {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try Files.read(path)
        } catch {
            throw Refusal(problems: [Self.unreadable(path, error)])
        }
        let text = ConfigReader.read(bytes: bytes, name: path)
        guard let root = text.root, !text.problems.hasErrors else { throw Refusal(problems: text.problems) }
        if let kind = root["kind"] ?? root.elements?.first?["kind"], root["service"] == nil || ResourceKind(rawValue: kind.string ?? "") != nil {
            throw Refusal(problems: [Self.resource(kind)])
        }
        let result = SidecarFile.decode(root, subject: "a sidecar's config")
        guard let file = result.value else { throw Refusal(problems: text.problems + result.problems) }
        var reading = LocalReading(file: file, directory: directory(of: path), filters: filters, problems: text.problems + result.problems)
        return try reading.finish()
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func resource(_ kind: ConfigNode) -> ConfigProblem {
        ConfigProblem(
            "these are resources of the mesh, not a sidecar's config", at: kind, path: "kind",
            notes: ["weft apply -f puts them in force; a sidecar on files alone takes them in \"resources\""])
    }

    static func unreadable(_ path: String, _ error: SystemError) -> ConfigProblem {
        ConfigProblem(
            "cannot be read: \(SystemError.text(error.code))", source: ConfigSource(name: path, bytes: []), range: 0..<0, path: "")
    }
}
