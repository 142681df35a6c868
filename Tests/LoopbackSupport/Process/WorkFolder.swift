internal import Glibc
internal import Host

/// A folder of a test's own, below the system's temporary one; it goes with the object, with all that is in it.
package final class WorkFolder: Sendable {
    /// Short, because paths of unix sockets hold 107 bytes.
    package let path: String

    package init() throws {
        var template = Array("/tmp/weft-t.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(errno, "mkdtemp") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { Self.remove(path) }

    package func callAsFunction(_ name: String) -> String { path + "/" + name }

    @discardableResult
    package func write(_ text: String, to name: String, mode: UInt32 = 0o600) throws -> String {
        try Files.write(Array(text.utf8), to: self(name), mode: mode)
        return self(name)
    }

    package func makeFolder(_ name: String) throws -> String {
        try Files.makeFolder(self(name))
        return self(name)
    }

    private static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in (try? Files.names(in: path)) ?? [] { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
