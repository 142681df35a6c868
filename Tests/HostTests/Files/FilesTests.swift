import Glibc
import Testing

@testable import Host

@Suite struct FilesTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = "/tmp/weft-files-\(Entropy.word())"
        try Files.makeFolder(folder)
        defer {
            for name in (try? Files.names(in: folder)) ?? [] { unlink(folder + "/" + name) }
            rmdir(folder)
        }
        try body(folder)
    }

    private func mode(_ path: String) -> UInt32 {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test("A file is replaced whole, for its owner alone, and leaves nothing beside it")
    func write() throws {
        try withFolder { folder in
            let path = folder + "/key.pem"
            try Files.write([1, 2, 3], to: path)
            try Files.write([4], to: path)
            #expect(try Files.read(path) == [4])
            #expect(mode(path) == 0o600)
            #expect(mode(folder) == 0o700)
            #expect(try Files.names(in: folder) == ["key.pem"])
            #expect(try Files.readSecret(path) == [4])
            chmod(path, 0o640)
            #expect(throws: SystemError.self) { try Files.readSecret(path) }
        }
    }

    @Test("Reading stops at its limit, and what is missing says its name")
    func limits() throws {
        try withFolder { folder in
            let path = folder + "/a"
            try Files.write([UInt8](repeating: 1, count: 100), to: path, mode: 0o644)
            #expect(mode(path) == 0o644)
            #expect(try Files.read(path, limit: 100).count == 100)
            #expect(throws: SystemError(EFBIG, "read \(path)")) { try Files.read(path, limit: 99) }
            #expect(throws: SystemError(ENOENT, "open \(path)x")) { try Files.read(path + "x") }
            #expect(throws: SystemError(ENOTDIR, "mkdir \(path)")) { try Files.makeFolder(path) }
            try Files.makeFolder(folder)
            #expect(throws: SystemError.self) { try Files.write([1], to: folder + "/none/x") }
        }
    }

    @Test("Folders are made with those above them")
    func folders() throws {
        try withFolder { folder in
            try Files.makeFolder(folder + "/a/b/")
            #expect(mode(folder + "/a/b") == 0o700)
            rmdir(folder + "/a/b")
            rmdir(folder + "/a")
        }
    }
}
