internal import Glibc
internal import Host
internal import Pipeline

enum DemoCommand {
    static let command = Command(
        "demo", "show a mesh at work: a shop of four services, their sidecars, a control plane and customers",
        flags: [
            Flag("for", .duration, "Stop by itself after so long; by default at Ctrl-C."),
            Flag("state", .text("DIR"), "The folder to work in, new or empty; by default a temporary one."),
            Flag("keep", .toggle, "Leave the folder, with all logs, behind."),
            .output,
        ],
        details: """
            Needs no root and no free port in particular; every process ends and the folder goes when the demo does. With -o json
            one object sums it up at the end: pairs of services, who was denied, how payment's versions shared the load.
            """,
        examples: ["weft demo", "weft demo --state /tmp/shop", "weft demo --for 20s -o json"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let folder = try makeFolder(invocation.optional("state"))
        let begin = Clock.monotonic()
        let mesh = try DemoMesh(in: folder)
        defer { mesh.end(keepingFolder: invocation.isOn("keep")) }
        do {
            invocation.console.note("starting a control plane, five services and their sidecars in \(folder) …")
            try mesh.start()
            try mesh.waitUntilSynced()
            let synced = (Clock.monotonic() - begin).seconds
            let show = DemoShow(mesh, invocation, syncedSeconds: synced)
            try show.run(for: invocation.optionalDuration("for"))
            return show.finish()
        } catch is DemoMesh.Interrupted {
            invocation.console.note("stopped before everything was up")
            return .no
        } catch let failure as CommandFailure {
            if !invocation.isOn("keep") { invocation.console.note("(weft demo --keep leaves the logs of all processes behind)") }
            throw failure
        }
    }

    /// A new folder of its own, or the given one if nothing is in it.
    private static func makeFolder(_ given: String?) throws -> String {
        if let given {
            let path = given.hasPrefix("/") ? given : currentFolder() + "/" + given
            try Files.makeFolder(path)
            guard try Files.names(in: path).isEmpty else { throw CommandFailure.usage("\(path) is not empty", hint: "the demo removes its folder at the end, so it wants one of its own") }
            return path
        }
        let parent = Environment.value("TMPDIR").flatMap { $0.hasPrefix("/") && $0.utf8.count <= 60 ? $0 : nil } ?? "/tmp"
        var template = Array((parent + "/weft-demo.XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CommandFailure.system("cannot make a folder in \(parent): \(SystemError.text(errno))") }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func currentFolder() -> String {
        guard let path = getcwd(nil, 0) else { return "." }
        defer { free(path) }
        return String(cString: path)
    }
}
