import ControlPlane
import FoundationEssentials
import Pipeline
import Testing

/// A folder of a sidecar's own files, gone after the test.
final class SidecarFolder {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "weft-local-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path()
        try write("ca.pem", "roots")
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let url = URL(filePath: path).appending(path: name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    func read(_ name: String = "sidecar.json") throws -> LocalConfig {
        try LocalConfig.read("\(path)/\(name)", filters: StandardStages.schemas)
    }

    func config(_ text: String) throws -> LocalConfig {
        try write("sidecar.json", text)
        return try read()
    }

    /// What is wrong with a config, as `line severity: message`, files other than its own by name.
    func problems(_ text: String) throws -> [String] {
        try write("sidecar.json", text)
        do throws(LocalConfig.Refusal) {
            return try LocalConfig.read("\(path)/sidecar.json", filters: StandardStages.schemas).warnings.map(said)
        } catch {
            #expect(error.problems.hasErrors)
            return error.problems.map(said)
        }
    }

    private func said(_ problem: ConfigProblem) -> String {
        let name = problem.file.split(separator: "/").last ?? ""
        return (name == "sidecar.json" ? "" : "\(name):") + "\(problem.line) \(problem.severity == .warning ? "warning: " : "")"
            + problem.message.replacing("\(path)/", with: "") + (problem.suggestion.map { " → \($0)" } ?? "")
    }
}
