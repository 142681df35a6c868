internal import Glibc

/// Files as a service needs them: written whole or not at all, read within a limit.
package enum Files {
    /// Makes `path` hold `bytes`, even if the machine stops at any moment: a temporary file beside it, fsync, rename, fsync of
    /// the folder. Readers see the old or the new content.
    package static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600) throws(SystemError) {
        let temporary = path + ".\(getpid()).\(Entropy.word()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SystemError(errno, "create \(temporary)") }
        do {
            // The umask may have taken permissions away.
            try check(fchmod(descriptor, mode), "chmod \(temporary)")
            try writeAll(bytes, descriptor, temporary)
            try check(fsync(descriptor), "fsync \(temporary)")
        } catch {
            Descriptor.close(descriptor)
            unlink(temporary)
            throw error
        }
        Descriptor.close(descriptor)
        guard rename(temporary, path) == 0 else {
            let error = SystemError(errno, "rename to \(path)")
            unlink(temporary)
            throw error
        }
        try synchronizeFolder(of: path)
    }

    /// The whole file; throws EFBIG if it holds more than `limit` bytes.
    package static func read(_ path: String, limit: Int = 16 * 1024 * 1024) throws(SystemError) -> [UInt8] {
        try read(path, limit: limit, isSecret: false)
    }

    /// A private key or a token: its file must be its owner's alone; throws EACCES if anyone else may read it.
    package static func readSecret(_ path: String, limit: Int = 64 * 1024) throws(SystemError) -> [UInt8] {
        try read(path, limit: limit, isSecret: true)
    }

    private static func read(_ path: String, limit: Int, isSecret: Bool) throws(SystemError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError(errno, "open \(path)") }
        defer { Descriptor.close(descriptor) }
        if isSecret {
            var status = stat()
            try check(fstat(descriptor, &status), "stat \(path)")
            guard status.st_mode & 0o077 == 0 else { throw SystemError(EACCES, "\(path) is open to others than its owner (chmod 600)") }
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError(errno, "read \(path)")
            }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else { throw SystemError(EFBIG, "read \(path)") }
            bytes += piece[..<count]
        }
    }

    /// Makes a folder, and those above it, for the owner alone. One that exists stays as it is.
    package static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 { return }
        switch errno {
        case EEXIST:
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { throw SystemError(ENOTDIR, "mkdir \(path)") }
        case ENOENT:
            let parent = folder(of: path)
            guard parent != path, parent != "." else { throw SystemError(ENOENT, "mkdir \(path)") }
            try makeFolder(parent, mode: mode)
            guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemError(errno, "mkdir \(path)") }
        case let code: throw SystemError(code, "mkdir \(path)")
        }
    }

    /// The names in a folder, sorted, without `.` and `..`.
    package static func names(in path: String) throws(SystemError) -> [String] {
        guard let folder = opendir(path) else { throw SystemError(errno, "open \(path)") }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    // MARK: Parts

    private static func writeAll(_ bytes: [UInt8], _ descriptor: Int32, _ path: String) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written) }
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemError(errno, "write \(path)")
            }
            written += count
        }
    }

    private static func synchronizeFolder(of path: String) throws(SystemError) {
        let folder = folder(of: path)
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError(errno, "open \(folder)") }
        defer { Descriptor.close(descriptor) }
        try check(fsync(descriptor), "fsync \(folder)")
    }

    private static func folder(of path: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    private static func check(_ result: Int32, _ call: String) throws(SystemError) {
        guard result == 0 else { throw SystemError(errno, call) }
    }
}
