internal import CPlatform
internal import Glibc
internal import Host
package import Pipeline

/// A process of this very binary that we started and that ends with us, whatever happens to us.
package final class ChildProcess {
    package let name: String
    package let id: Int32
    /// Standard output and error of the process.
    package let log: String
    private var status: Int32?

    private static let parentVariable = "WEFT_END_WITH_PARENT"

    /// Called first thing in every process: one that was started by a demo asks the kernel to be killed when its parent ends.
    package static func obeyParent() {
        guard let parent = Environment.value(parentVariable).flatMap({ Int32($0) }) else { return }
        if weft_end_with_parent(SIGKILL, parent) != 0 { exit(ExitCode.no.rawValue) }
    }

    /// - Parameter variables: `NAME=value`, over those of this process.
    package init(_ name: String, _ arguments: [String], environment variables: [String] = [], log: String) throws(CommandFailure) {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // A group of its own, so that a terminal's Ctrl-C reaches us alone and we end things in order; and no signal blocked or
        // ignored as we do.
        var none = sigset_t()
        sigemptyset(&none)
        var normal = sigset_t()
        sigemptyset(&normal)
        sigaddset(&normal, SIGPIPE)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &normal)
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)

        let own = variables + ["\(Self.parentVariable)=\(getpid())"]
        let names = own.compactMap { $0.split(separator: "=").first.map { "\($0)=" } }
        let environment = Environment.all.filter { entry in !names.contains { entry.hasPrefix($0) } } + own
        var argv = (["weft"] + arguments).map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var id: pid_t = 0
        let failure = posix_spawn(&id, "/proc/self/exe", &actions, &attributes, &argv, &envp)
        guard failure == 0 else { throw .system("cannot start \(name): \(SystemError.text(failure))") }
        self.name = name
        self.id = id
        self.log = log
    }

    package var isRunning: Bool {
        if status != nil { return false }
        var status: Int32 = 0
        guard waitpid(id, &status, WNOHANG) == id else { return true }
        self.status = status
        return false
    }

    package func signal(_ number: Int32) { if isRunning { kill(id, number) } }

    /// Waits at most so long for it to end, then kills it.
    package func end(within time: Nanoseconds) {
        let deadline = Clock.monotonic() + time
        while isRunning {
            if Clock.monotonic() >= deadline {
                kill(id, SIGKILL)
                var status: Int32 = 0
                while waitpid(id, &status, 0) < 0, errno == EINTR {}
                self.status = status
                return
            }
            usleep(5_000)
        }
    }

    /// The last lines it wrote, for a report of why it ended.
    package var lastWords: String {
        guard let bytes = try? Files.read(log) else { return "" }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").suffix(8).joined(separator: "\n")
    }
}
