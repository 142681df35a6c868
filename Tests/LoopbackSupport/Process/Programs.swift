internal import Glibc
internal import Host

/// Programs that tests run: our own, and others' that may be absent.
package enum Programs {
    /// `WEFT_BINARY`, or the newest build below the package's folder: release before debug, because load, kill and big-body
    /// tests are about the binary that users run.
    package static let weft: String? = {
        if let named = environment("WEFT_BINARY") { return named }
        return ["release", "debug"].map { "\(packageFolder)/.build/\($0)/weft" }.first { access($0, X_OK) == 0 }
    }()

    /// A sidecar with tenant-gate compiled in: built with the tests, beside them.
    package static let tenantGateSidecar: String? = {
        let path = "\(packageFolder)/.build/debug/tenant-gate-sidecar"
        return access(path, X_OK) == 0 ? path : nil
    }()

    /// The folder with Package.swift.
    package static let packageFolder: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(4)
        return "/" + parts.joined(separator: "/")
    }()

    package static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// The first of `names` on the path.
    package static func find(_ names: String...) -> String? {
        let folders: [String] = (environment("PATH") ?? "/usr/bin:/bin").split(separator: ":").map(String.init) + ["/usr/sbin"]
        for name in names {
            for folder in folders where access(folder + "/" + name, X_OK) == 0 { return folder + "/" + name }
        }
        return nil
    }
}

/// A command that ran to its end.
package struct CommandResult: Sendable, CustomStringConvertible {
    package let code: Int32
    package let output: String
    package let errors: String

    /// Runs it and waits; code 124 if it did not end in time.
    package static func run(
        _ arguments: [String], environment: [String: String] = [:], in folder: WorkFolder, within limit: Duration = .seconds(30)
    ) throws -> CommandResult {
        let name = arguments[0].split(separator: "/").last.map(String.init) ?? "command"
        let process = try MeshProcess(name, arguments, environment: environment, in: folder)
        let code = process.waitForExit(within: limit) ?? 124
        if code == 124 { process.kill() }
        return CommandResult(code: code, output: process.output, errors: process.errors)
    }

    package var description: String { "exit \(code)\n\(output)\(errors)" }
}
