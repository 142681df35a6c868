internal import Pipeline

enum VersionCommand {
    static let command = Command(
        "version", "show the version of this binary", flags: [.output],
        details: "With -o json also the filters it has.", examples: ["weft version", "weft version -o json"],
        run: { invocation in
            var writer = JSONWriter(pretty: true)
            writer.object {
                $0.member("version", WeftVersion.text)
                $0.member("filters", invocation.filters.filters.map(\.name))
            }
            invocation.console.print(invocation.wantsJSON ? writer.text : "weft \(WeftVersion.text)")
            return .ok
        })
}
