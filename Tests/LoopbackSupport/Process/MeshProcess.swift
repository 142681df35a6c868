internal import CPlatform
internal import Glibc
internal import Host
internal import Synchronization

/// A process that a test started: its output goes to files, and it never outlives the test.
///
/// It gets a process group of its own, which is killed when the object goes. Should the test process itself be killed, the
/// kernel kills the child (`PR_SET_PDEATHSIG`, which is tied to the thread that forks: hence one thread that starts them all
/// and never ends).
package final class MeshProcess: Sendable, CustomStringConvertible {
    package let pid: Int32
    package let name: String
    private let outputPath: String
    private let errorPath: String
    private let status = Mutex<Int32?>(nil)

    /// - Parameters:
    ///   - arguments: the program's path first.
    ///   - folder: where its output goes, as `NAME.out` and `NAME.err`.
    package init(_ name: String, _ arguments: [String], environment: [String: String] = [:], in folder: WorkFolder) throws {
        self.name = name
        let unique = "\(name).\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
        outputPath = folder(unique + ".out")
        errorPath = folder(unique + ".err")
        pid = try Self.launch(arguments, environment, outputPath, errorPath)
    }

    deinit { kill() }

    private static let count = Atomic<Int>(0)

    // MARK: What it said

    package var output: String { Self.text(outputPath) }
    package var errors: String { Self.text(errorPath) }

    private static func text(_ path: String) -> String {
        String(decoding: (try? Files.read(path, limit: 64 << 20)) ?? [], as: UTF8.self)
    }

    /// For failures: the last lines it wrote.
    package var description: String {
        let tail = { (text: String) in text.split(separator: "\n").suffix(15).map { "    \($0)" }.joined(separator: "\n") }
        return "\(name) (pid \(pid), \(exitStatus.map { "ended with \($0)" } ?? "running"))\n  out:\n\(tail(output))\n  err:\n\(tail(errors))"
    }

    // MARK: Its life

    /// The exit code, or 128 + the signal that ended it; nil while it runs.
    package var exitStatus: Int32? {
        status.withLock { status in
            if status != nil { return status }
            var raw: Int32 = 0
            guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
            return status
        }
    }

    package var isRunning: Bool { exitStatus == nil }

    package func send(_ signal: Int32) { if isRunning { _ = Glibc.kill(pid, signal) } }

    /// Stops it in its tracks, or lets it go on.
    package func freeze() { send(SIGSTOP) }
    package func thaw() { send(SIGCONT) }

    package func waitForExit(within limit: Duration) -> Int32? {
        _ = eventually(within: limit) { exitStatus != nil }
        return exitStatus
    }

    /// SIGTERM; the exit code, or nil if it did not end in time (then it is killed).
    package func terminate(within limit: Duration = .seconds(10)) -> Int32? {
        send(SIGTERM)
        let code = waitForExit(within: limit)
        if code == nil { kill() }
        return code
    }

    /// kill -9 of its process group, and waits until it is gone.
    package func kill() {
        // Once reaped, the number may be another process's: then nothing is sent.
        guard isRunning else { return }
        _ = Glibc.kill(-pid, SIGKILL)
        _ = waitForExit(within: .seconds(10))
    }

    /// Resident memory in bytes; 0 once it is gone.
    package var residentBytes: Int {
        let fields = Self.text("/proc/\(pid)/statm").split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
    }

    // MARK: Starting

    private static func launch(
        _ arguments: [String], _ environment: [String: String], _ output: String, _ errors: String
    ) throws -> Int32 {
        try Launcher.shared.launch { () -> Result<Int32, SystemError> in
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            var mask = sigset_t(), defaults = sigset_t()
            sigemptyset(&mask)
            sigfillset(&defaults)
            posix_spawnattr_setsigmask(&attributes, &mask)
            posix_spawnattr_setsigdefault(&attributes, &defaults)
            posix_spawnattr_setpgroup(&attributes, 0)
            let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
            posix_spawnattr_setflags(&attributes, Int16(flags))
            let words: [String] = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] + arguments
            let argv = words.map { strdup($0) } + [nil]
            let environ = (inherited + environment.map { "\($0.key)=\($0.value)" }).map { strdup($0) } + [nil]
            defer { (argv + environ).forEach { free($0) } }
            var pid: pid_t = 0
            let code = posix_spawn(&pid, words[0], &actions, &attributes, argv, environ)
            return code == 0 ? .success(pid) : .failure(SystemError(code, "start \(arguments.first ?? "")"))
        }.get()
    }

    /// Nothing of what a person may have set for their own mesh.
    private static let inherited: [String] = {
        let names: [String] = ["PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "WEFT_LOG"]
        return names.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } } + ["NO_COLOR=1"]
    }()
}

/// The one thread that starts processes.
private final class Launcher: Sendable {
    static let shared = Launcher()
    private typealias Job = @Sendable () -> Void
    private let jobs = Mutex<[Job]>([])

    private init() {
        Background("launcher") { [self] in
            while true {
                let due = jobs.withLock { jobs in
                    defer { jobs = [] }
                    return jobs
                }
                due.forEach { $0() }
                if due.isEmpty { usleep(500) }
            }
        }
    }

    func launch(_ start: @escaping @Sendable () -> Result<Int32, SystemError>) -> Result<Int32, SystemError> {
        let answer = Rendezvous<Result<Int32, SystemError>>()
        jobs.withLock { $0.append { answer.fulfil(start()) } }
        return answer.wait()
    }
}
