internal import Glibc
internal import Host
package import Pipeline

/// Files, folders and standard input that operators name on the command line.
package enum Inputs {
    /// Bytes of one text; the config reader's own limit says the same with a better message, this one bounds the read.
    private static let bytesMax = 16 << 20

    /// The texts that `-f` names: a file, the `.json` files of a folder in the order of their names, or `-`.
    package static func resources(_ paths: [String]) throws(CommandFailure) -> [ConfigSource] {
        var sources: [ConfigSource] = []
        for path in paths {
            guard path != "-", isFolder(path) else {
                sources.append(try file(path))
                continue
            }
            let names = try names(path).filter { $0.hasSuffix(".json") }
            guard !names.isEmpty else { throw .usage("\(Printable.text(path)) holds no .json file") }
            for name in names { sources.append(try file(join(path, name))) }
        }
        return sources
    }

    /// One file, or standard input for `-`.
    package static func file(_ path: String) throws(CommandFailure) -> ConfigSource {
        do {
            if path == "-" { return ConfigSource(name: "<stdin>", bytes: try Files.read("/dev/stdin", limit: bytesMax)) }
            return ConfigSource(name: path, bytes: try Files.read(path, limit: bytesMax))
        } catch {
            throw .usage("cannot read \(Printable.text(path)): \(SystemError.text(error.code))")
        }
    }

    package static func names(_ folder: String) throws(CommandFailure) -> [String] {
        do {
            return try Files.names(in: folder)
        } catch {
            throw .usage("cannot read \(Printable.text(folder)): \(SystemError.text(error.code))")
        }
    }

    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func join(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }
}
