import Glibc
import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// The command line from another host: TLS, a pinned root and a credential.
    @Suite("Operators")
    struct OperatorTests {
        @Test("A credential file is all it takes, it follows a rotation of the root, and revoked it is refused")
        func remote() throws {
            let mesh = try LoopbackMesh(Shop.mesh, planeFlags: ["--api-listen", "127.0.0.1:0"])
            let file = mesh.folder("alice.credential")
            #expect(try mesh.weft("operator", "create", "alice", "--out", file).code == 0)
            var status = stat()
            #expect(stat(file, &status) == 0 && status.st_mode & 0o777 == 0o600)
            let before = try Files.read(file)
            // The socket of the environment would do as well: the credential goes before it.
            unlink(mesh.planeState + "/api.sock.moved")
            #expect(rename(mesh.planeState + "/api.sock", mesh.planeState + "/api.sock.moved") == 0)
            let answer = try mesh.weft("get", "services", "--credential", file)
            #expect(answer.code == 0 && answer.output.contains("payment"), "\(answer)")
            #expect(try mesh.weft("ca", "rotate", "--credential", file).code == 0)
            #expect(try mesh.weft("get", "services", "--credential", file).code == 0)
            #expect(try Files.read(file) != before, "it names the new root now")
            #expect(
                eventually(within: .seconds(20)) {
                    (try? mesh.weft("ca", "status", "-o", "json", "--credential", file).output.contains("\"steady\"")) == true
                })
            #expect(try mesh.weft("operator", "create", "eve", "--out", mesh.folder("eve"), "--credential", file).code == 3, "not from afar")
            #expect(rename(mesh.planeState + "/api.sock.moved", mesh.planeState + "/api.sock") == 0)
            // One that was not used since pins a root that is gone: it is told so, and its secret stays where it is.
            let old = mesh.folder("old.credential")
            try Files.write(before, to: old, mode: 0o600)
            let stale = try mesh.weft("get", "services", "--credential", old)
            #expect(stale.code == 1 && stale.errors.contains("weft operator create"), "\(stale)")
            #expect(try mesh.weft("operator", "revoke", "alice").code == 0)
            let refused = try mesh.weft("get", "services", "--credential", file)
            #expect(refused.code == 1 && refused.errors.contains("revoked"), "\(refused)")
            #expect(chmod(file, 0o644) == 0)
            #expect(try mesh.weft("get", "services", "--credential", file).code == 2)
            #expect(try mesh.weft("get", "services", "--server", "https://127.0.0.1:1").code == 2)
        }
    }
}
