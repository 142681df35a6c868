internal import Host
internal import Pipeline

enum ApplyCommand {
    static let command = Command(
        "apply", "check resources and put them in force",
        flags: [
            Flag("file", .text("FILE|DIR|-"), letter: "f", required: true, repeatable: true, "Resources: a file, the .json files of a folder, or - for standard input."),
            Flag("dry-run", .toggle, "Check everything, change nothing."),
            Flag("wait", .toggle, "Wait until every connected sidecar runs on the change."),
            .timeout("30s", "How long --wait waits."),
            .output, .controlPlane,
        ],
        details: """
            A resource replaces the one of its kind, namespace and name. All or nothing: if anything is wrong, every problem is
            shown where it stands, nothing changes, and the exit code is 78.
            """,
        examples: ["weft apply -f shop.json --wait", "weft apply -f mesh/ --dry-run", "sed s/90/50/ shop.json | weft apply -f -"],
        run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let sources = try Inputs.resources(invocation.all("file"))
        let api = try ControlPlaneAPI(invocation)
        var body = JSONWriter()
        body.object { body in
            body.key("files")
            body.array { files in
                for source in sources {
                    files.object {
                        $0.member("name", source.name)
                        $0.member("text", String(decoding: source.bytes, as: UTF8.self))
                    }
                }
            }
        }
        let isDryRun = invocation.isOn("dry-run")
        let answer = try api.post("/v1/apply", ["dryRun": isDryRun ? "true" : nil], body.text)
        guard answer.isOK else { throw answer.failure(sources) }
        let warnings = answer.body.items("warnings").map { ReportedProblem.read($0, sources) }
        if !warnings.isEmpty { invocation.console.report(warnings) }
        if invocation.wantsJSON {
            invocation.console.print(answer.body.prettyJSON)
        } else {
            for result in answer.body.items("results") {
                let namespace = result.text("namespace")
                let name = result.text("name") + (namespace == ResourceKey.defaultNamespace ? "" : ".\(namespace)")
                invocation.console.print("\(Printable.text("\(result.text("kind")) \(name)")) \(result.text("action"))\(isDryRun ? " (dry run)" : "")")
            }
        }
        guard invocation.isOn("wait"), !isDryRun else { return .ok }
        return try SidecarStates.waitUntilSynced(api, invocation, atLeast: 0)
    }
}
