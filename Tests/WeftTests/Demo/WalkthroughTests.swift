import Glibc
import Host
import Pipeline
import Testing

@testable import Weft

/// The README's story, typed by a machine: a demo is started and every `$` line of the story is run against it.
@Suite("The README's story", .serialized)
struct WalkthroughTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")

    struct Step: Sendable {
        let command: String
        let status: Int32
    }

    /// The `$` lines of all console blocks, with the exit status that a comment announces.
    static func steps(_ readme: String) -> [Step] {
        var steps: [Step] = []
        var isConsole = false
        for line in readme.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                isConsole = line == "```console"
            } else if isConsole, line.hasPrefix("$ ") {
                let status = line.split(separator: "# exit ").dropFirst().last.flatMap { Int32($0) } ?? 0
                steps.append(Step(command: String(line.dropFirst(2)), status: status))
            }
        }
        return steps
    }

    /// `WEFT_BINARY`, or the binary built beside the tests.
    private static var binary: String? {
        if let named = Environment.value("WEFT_BINARY") { return named }
        return ["debug", "release"].map { "\(root)/.build/\($0)/weft" }.first { access($0, X_OK) == 0 }
    }

    private final class Demo {
        let process: Int32
        let folder: String

        init(_ binary: String, in folder: String, log: String) throws {
            self.folder = folder
            process = try WalkthroughTests.spawn(binary, ["demo", "--state", folder], output: log)
        }

        func end() -> Int32 {
            kill(process, SIGINT)
            return WalkthroughTests.wait(process, seconds: 30)
        }
    }

    @Test("Every command ends as it says, customers lose only what the broken payment cost, and nothing is left behind", .timeLimit(.minutes(3)))
    func story() throws {
        let binary = try #require(Self.binary, "no weft has been built: swift build --product weft")
        let scratch = try ScratchFolder()
        let readme = String(decoding: try Files.read(Self.root + "/README.md"), as: UTF8.self)
        let steps = Self.steps(readme)
        #expect(steps.count >= 15)

        let shop = scratch.path + "/shop"
        let demo = try Demo(binary, in: shop, log: scratch.path + "/demo.log")
        var isEnded = false
        defer { if !isEnded { _ = demo.end() } }
        let limit = Clock.monotonic() + .seconds(40)
        while !String(decoding: (try? Files.read(scratch.path + "/demo.log")) ?? [], as: UTF8.self).contains("SYNCED after") {
            try #require(Clock.monotonic() < limit, "the demo did not come up: \(Self.text(scratch.path + "/demo.log"))")
            usleep(100_000)
        }
        // One shell per step; what is exported stays.
        var exports = "PATH=\"\(binary.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }):$PATH\"; export PATH\n"
        for (index, step) in steps.enumerated() {
            let command = step.command.replacing("/tmp/shop", with: shop)
            if command.hasPrefix("export ") { exports += command + "\n" }
            let output = "\(scratch.path)/step-\(index).log"
            let status = Self.wait(try Self.spawn("/bin/sh", ["-c", exports + command], output: output), seconds: 60)
            #expect(status == step.status, "$ \(command)\n\(Self.text(output))")
            if let expected = Self.certainties[step.command] { #expect(Self.text(output).contains(expected), "$ \(command)\n\(Self.text(output))") }
        }
        let children = Self.children(of: demo.process)
        #expect(children.count == 11)
        _ = demo.end()
        isEnded = true
        // What customers lost is what the broken payment answered, and nothing else of all that was done meanwhile.
        let report = Self.text(scratch.path + "/demo.log").split(separator: "\n").suffix(8)
        #expect(report.contains { $0.hasSuffix("; 0 reached payment") }, "\(report)")
        #expect(report.filter { $0.contains(" × ") }.allSatisfy { $0.hasSuffix("status 502") }, "\(report)")
        #expect(!Inputs.exists(shop), "the folder is left behind")
        for child in children { #expect(kill(child, 0) != 0, "process \(child) is left behind") }
    }

    /// What must be said, whatever the figures of the day are.
    private static let certainties = [
        "weft ps": "payment-v2  payment    v2       SYNCED",
        "curl -s --unix-socket /tmp/shop/analytics.sock http://analytics/report": "denied by AccessPolicy no-analytics",
        "sleep 1; curl -s --unix-socket /tmp/shop/analytics.sock http://analytics/report": "(payment-callers)",
        "weft get chain outbound": "stats, request-timeout, attempt-timeout, breaker, retry, router, tls",
        "curl -sf --unix-socket /tmp/shop/order.sock http://order/checkout": "payment v2",
        "weft explain payment --caller order": "Service payment (shop.json:6)",
    ]

    @Test("A demo whose parent is killed leaves no process behind", .timeLimit(.minutes(1)))
    func orphan() throws {
        let binary = try #require(Self.binary, "no weft has been built: swift build --product weft")
        let scratch = try ScratchFolder()
        let demo = try Demo(binary, in: scratch.path + "/shop", log: scratch.path + "/demo.log")
        let limit = Clock.monotonic() + .seconds(30)
        while Self.children(of: demo.process).count < 9, Clock.monotonic() < limit { usleep(50_000) }
        let children = Self.children(of: demo.process)
        #expect(children.count >= 9)
        kill(demo.process, SIGKILL)
        _ = Self.wait(demo.process, seconds: 5)
        let patience = Clock.monotonic() + .seconds(5)
        while children.contains(where: { kill($0, 0) == 0 }), Clock.monotonic() < patience { usleep(20_000) }
        for child in children { #expect(kill(child, 0) != 0, "process \(child) outlived its parent") }
    }

    // MARK: Processes

    private static func text(_ path: String) -> String { String(decoding: (try? Files.read(path)) ?? [], as: UTF8.self) }

    private static func children(of process: Int32) -> [Int32] {
        text("/proc/\(process)/task/\(process)/children").split(separator: " ").compactMap { Int32($0) }
    }

    private static func spawn(_ path: String, _ arguments: [String], output: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        var argv = ([path] + arguments).map { strdup($0) } + [nil]
        var envp = Environment.all.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var process: pid_t = 0
        let failure = posix_spawn(&process, path, &actions, nil, &argv, &envp)
        guard failure == 0 else { throw SystemError(failure, "posix_spawn \(path)") }
        return process
    }

    /// The exit status; -1 if a signal ended it, which ours is if it takes too long.
    private static func wait(_ process: Int32, seconds: Int64) -> Int32 {
        let deadline = Clock.monotonic() + .seconds(seconds)
        var status: Int32 = 0
        while waitpid(process, &status, WNOHANG) == 0 {
            if Clock.monotonic() >= deadline { kill(process, SIGKILL) }
            usleep(10_000)
        }
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
    }
}
