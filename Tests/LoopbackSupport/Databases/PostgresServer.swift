internal import Glibc
package import Host

/// A PostgreSQL of the test's own, on a unix socket alone, without fsync; it writes down every connection that it receives.
///
/// PostgreSQL refuses to run as root: there it runs as the user `postgres` that Debian's package makes.
package final class PostgresServer {
    package let socket: SocketAddress
    private let process: MeshProcess

    /// Nil if PostgreSQL is not installed; a line says so.
    package init?(in folder: WorkFolder) throws {
        guard let programs = Self.programs, Programs.find("psql") != nil, Programs.find("setpriv") != nil else {
            print("SKIPPED: postgresql is not installed: nothing was tried with it")
            return nil
        }
        var asUser: [String] = []
        let home = try folder.makeFolder("pg")
        if geteuid() == 0 {
            guard let user = getpwnam("postgres")?.pointee else {
                print("SKIPPED: there is no user postgres to run PostgreSQL as")
                return nil
            }
            asUser = [Programs.find("setpriv")!, "--reuid=\(user.pw_uid)", "--regid=\(user.pw_gid)", "--clear-groups"]
            // The test's own files stay unreadable; the way through is open.
            chmod(folder.path, 0o711)
            chown(home, user.pw_uid, user.pw_gid)
        }
        let data = home + "/data"
        let made = try CommandResult.run(
            asUser + [programs + "/initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"], in: folder,
            within: .seconds(60))
        guard made.code == 0 else { throw LoopbackMesh.Failure("initdb: \(made)") }
        process = try MeshProcess(
            "postgres",
            asUser + [
                programs + "/postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_connections=on", "-c",
                "max_connections=50",
            ], in: folder)
        socket = SocketAddress(unix: home + "/.s.PGSQL.5432")!
        let isReady = try eventually(within: .seconds(30)) {
            try CommandResult.run([programs + "/pg_isready", "-q", "-h", home], in: folder).code == 0
        }
        guard isReady else { throw LoopbackMesh.Failure("PostgreSQL did not start: \(process)") }
    }

    deinit {
        process.send(SIGINT)
        _ = process.waitForExit(within: .seconds(10))
    }

    /// Connections that began, be it with a byte or without.
    package var connections: Int { process.errors.components(of: "connection received") }

    package var log: String { process.description }

    private static var programs: String? {
        let versions = ((try? Files.names(in: "/usr/lib/postgresql")) ?? []).compactMap(Int.init).sorted()
        return versions.last.map { "/usr/lib/postgresql/\($0)/bin" }.flatMap { access($0 + "/initdb", X_OK) == 0 ? $0 : nil }
    }
}

extension String {
    /// How often `part` occurs.
    fileprivate func components(of part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let found = rest.firstRange(of: part) {
            count += 1
            rest = rest[found.upperBound...]
        }
        return count
    }
}
