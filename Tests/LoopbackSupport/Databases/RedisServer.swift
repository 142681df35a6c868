package import Host

/// A Redis of the test's own, on a unix socket alone.
package final class RedisServer {
    package let socket: SocketAddress
    private let process: MeshProcess

    /// Nil if Redis is not installed; a line says so.
    package init?(in folder: WorkFolder) throws {
        guard let program = Programs.find("redis-server"), let client = Programs.find("redis-cli") else {
            print("SKIPPED: redis-server is not installed: nothing was tried with it")
            return nil
        }
        let path = folder("redis.sock")
        socket = SocketAddress(unix: path)!
        process = try MeshProcess(
            "redis", [program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder.path], in: folder)
        let isReady = try eventually(within: .seconds(10)) { try CommandResult.run([client, "-s", path, "ping"], in: folder).output == "PONG\n" }
        guard isReady else { throw LoopbackMesh.Failure("Redis did not start: \(process)") }
    }
}
