import FoundationEssentials

/// The repository's own files.
enum Repository {
    static let root: String = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")

    struct File: Sendable {
        /// From the root: `Sources/Pipeline/Time/Instant.swift`.
        let path: String
        let lines: [Substring]

        var name: String { path.split(separator: "/").last.map(String.init) ?? path }
        /// `Pipeline` of `Sources/Pipeline/Time/Instant.swift`.
        var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }

        /// `path:line` of every line that `isWrong` is true for, comments cut off unless they are asked for.
        func places(inComments: Bool = false, where isWrong: (Substring) -> Bool) -> [String] {
            lines.enumerated().compactMap { index, line in
                isWrong(inComments ? line : Self.code(of: line)) ? "\(path):\(index + 1)" : nil
            }
        }

        /// A line up to its `//`. Strings that contain one are cut too, which hides nothing these rules look for.
        private static func code(of line: Substring) -> Substring {
            var previous: Character?
            for index in line.indices {
                if line[index] == "/", previous == "/" { return line[..<line.index(before: index)] }
                previous = line[index]
            }
            return line
        }
    }

    /// All files below a folder whose name ends so; hidden ones and build products excluded.
    static func files(_ folder: String, _ suffix: String) -> [File] {
        names(folder).filter { $0.hasSuffix(suffix) }.sorted().compactMap { path in
            guard let data = FileManager.default.contents(atPath: root + "/" + path) else { return nil }
            return File(path: path, lines: String(decoding: data, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: root + "/" + path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The folders directly in a folder.
    static func folders(_ folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []
        return names.filter { isFolder("\(folder)/\($0)") && !$0.hasPrefix(".") }.sorted()
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isFolder) && isFolder
    }

    private static func names(_ folder: String) -> [String] {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []
        return entries.filter { !$0.hasPrefix(".") || $0 == ".ci" }.flatMap { entry -> [String] in
            let path = folder.isEmpty ? entry : "\(folder)/\(entry)"
            return isFolder(path) ? names(path) : [path]
        }
    }
}
