internal import Pipeline

enum VersionCommand {
    static let command = Command(
        "version", "show the version of this binary", flags: [.output],
        run: { invocation in
            var writer = JSONWriter(pretty: true)
            writer.object {
                $0.member("version", Version.text)
                $0.member("filters", invocation.filters.filters.map(\.name))
            }
            invocation.console.print(invocation.wantsJSON ? writer.text : "weft \(Version.text)")
            return .ok
        })
}
