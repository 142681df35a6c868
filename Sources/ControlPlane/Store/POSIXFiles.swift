import Glibc

/// A directory on a real file system: mode 0700, files 0600, locked with `flock` against a second control plane.
package final class POSIXFiles: FileLayer {
    package let place: String
    private var lockHandle: Int32 = -1

    /// - Parameter directory: made if missing; its parent must exist.
    package init(directory: String) { place = directory }

    deinit { unlock() }

    package func lock() throws(FileFailure) {
        precondition(lockHandle < 0, "locked twice")
        if mkdir(place, 0o700) != 0 && errno != EEXIST { throw failure(.lock, place) }
        // An older or hand-made directory may be open to others; keys and token hashes live below.
        if chmod(place, 0o700) != 0 { throw failure(.lock, place) }
        let path = path("lock")
        let handle = retrying { Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        guard handle >= 0 else { throw failure(.lock, path) }
        guard retrying({ flock(handle, LOCK_EX | LOCK_NB) }) == 0 else {
            let reason = errno == EWOULDBLOCK
                ? "another process (pid \(lockOwner(handle))) is using this directory; stop it, or give this control plane a directory of its own"
                : String(cString: strerror(errno))
            let number = errno
            Glibc.close(handle)
            throw FileFailure(.lock, path, errno: number, reason: reason)
        }
        lockHandle = handle
        // The owner's pid is for the message above only; that it cannot be written is no reason not to start.
        let text = Array("\(getpid())\n".utf8)
        _ = ftruncate(handle, 0)
        _ = pwrite(handle, text, text.count, 0)
    }

    package func unlock() {
        guard lockHandle >= 0 else { return }
        Glibc.close(lockHandle)
        lockHandle = -1
    }

    package func names() throws(FileFailure) -> [String] {
        guard let directory = opendir(place) else { throw failure(.list, place) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw failure(.list, place) }
        return names
    }

    package func open(_ name: String, creating: Bool) throws(FileFailure) -> Int32 {
        let path = path(name)
        let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (creating ? O_CREAT | O_TRUNC : 0)
        let handle = retrying { Glibc.open(path, flags, 0o600) }
        guard handle >= 0 else { throw failure(.open, path) }
        return handle
    }

    package func close(_ handle: Int32) { Glibc.close(handle) }

    package func read(_ handle: Int32) throws(FileFailure) -> [UInt8] {
        var status = stat()
        guard fstat(handle, &status) == 0 else { throw failure(.read, place) }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                retrying { pread(handle, buffer.baseAddress! + done, buffer.count - done, off_t(done)) }
            }
            guard count >= 0 else { throw failure(.read, place) }
            guard count > 0 else { break }
            done += count
        }
        bytes.removeLast(bytes.count - done)
        return bytes
    }

    package func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to handle: Int32) throws(FileFailure) -> Int {
        let count = bytes.withUnsafeBytes { buffer in
            retrying { pwrite(handle, buffer.baseAddress, buffer.count, off_t(offset)) }
        }
        guard count >= 0 else { throw failure(.write, place) }
        guard count > 0 else { throw FileFailure(.write, place, errno: ENOSPC, reason: "nothing could be written") }
        return count
    }

    package func truncate(_ handle: Int32, to size: Int) throws(FileFailure) {
        guard retrying({ ftruncate(handle, off_t(size)) }) == 0 else { throw failure(.truncate, place) }
    }

    /// `fdatasync`: it writes what is needed to read the data back, the size included. An interrupted one is not tried
    /// again: after a failed sync the kernel may have dropped the dirty pages and report success next time.
    package func sync(_ handle: Int32) throws(FileFailure) {
        guard fdatasync(handle) == 0 else { throw failure(.sync, place) }
    }

    package func rename(_ name: String, to newName: String) throws(FileFailure) {
        guard Glibc.rename(path(name), path(newName)) == 0 else { throw failure(.rename, path(name)) }
    }

    package func remove(_ name: String) throws(FileFailure) {
        guard unlink(path(name)) == 0 else { throw failure(.remove, path(name)) }
    }

    package func syncDirectory() throws(FileFailure) {
        let handle = retrying { Glibc.open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard handle >= 0 else { throw failure(.syncDirectory, place) }
        defer { Glibc.close(handle) }
        guard fsync(handle) == 0 else { throw failure(.syncDirectory, place) }
    }

    package func freeBytes() throws(FileFailure) -> Int {
        var status = statvfs()
        guard statvfs(place, &status) == 0 else { throw failure(.freeBytes, place) }
        let (bytes, overflow) = UInt(status.f_bavail).multipliedReportingOverflow(by: UInt(status.f_frsize))
        return overflow ? .max : Int(clamping: bytes)
    }

    private func path(_ name: String) -> String { place + "/" + name }

    private func failure(_ call: FileFailure.Call, _ path: String) -> FileFailure {
        let number = errno
        return FileFailure(call, path, errno: number, reason: String(cString: strerror(number)))
    }

    private func lockOwner(_ handle: Int32) -> String {
        let saved = errno
        defer { errno = saved }
        var buffer = [UInt8](repeating: 0, count: 16)
        let count = pread(handle, &buffer, buffer.count, 0)
        let digits = buffer.prefix(max(0, count)).prefix { $0 >= 0x30 && $0 <= 0x39 }
        return digits.isEmpty ? "unknown" : String(decoding: digits, as: UTF8.self)
    }

    private func retrying<T: FixedWidthInteger>(_ call: () -> T) -> T {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }
}
