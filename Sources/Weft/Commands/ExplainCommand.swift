internal import Pipeline

enum ExplainCommand {
    static let command = Command(
        "explain", "say which chain and settings are in force for a service, and who set them", operands: "SERVICE", count: 1...1,
        flags: [
            Flag("caller", .text("SERVICE"), "See it as this caller's sidecar does."),
            Flag("rule", .text("NAME"), "For requests that this rule of the route matches."),
            Flag("all", .toggle, "Every stage and every value: also the defaults that nobody set."),
            .output, .controlPlane,
        ],
        details: """
            One row per setting that somebody made: its stage, its value, and the resource, file and line it comes from.
            JSON has all of them.
            """,
        examples: ["weft explain payment --caller order", "weft explain payment --caller order --all", "weft explain payment --rule all -o json"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let answer = try ControlPlaneAPI(invocation).get(
            "/v1/explain", ["service": invocation.operands[0], "caller": invocation.optional("caller"), "rule": invocation.optional("rule")])
        guard !invocation.wantsJSON else {
            invocation.console.print(answer.prettyJSON)
            return .ok
        }
        var table = Table([.left("DIRECTION"), .left("STAGE"), .left("KEY"), .left("VALUE"), .left("SET BY")])
        var last = ""
        var hidden = 0
        for row in answer.elements ?? answer.items("rows") {
            guard invocation.isOn("all") || isSet(row) || row.text("source") == "skipped on tcp" else {
                hidden += row.text("key").isEmpty ? 0 : 1
                continue
            }
            let stage = "\(row.text("direction")) \(row.text("stage"))"
            let place = row.text("file").isEmpty ? "" : " (\(row.text("file"))\(row["line"]?.integer.map { ":\($0)" } ?? ""))"
            let isDefault = !isSet(row)
            // A stage is named once, so that the chain's order meets the eye.
            table.add([
                Table.Cell(stage == last ? " " : row.text("direction")), Table.Cell(stage == last ? " " : row.text("stage")),
                Table.Cell(row.text("key")), Table.Cell(value(row["value"])), Table.Cell(row.text("source") + place, isDefault ? .dim : .plain),
            ])
            last = stage
        }
        if table.isEmpty {
            invocation.console.note("nobody set anything: all \(hidden) values are defaults (--all shows them)")
            return .ok
        }
        invocation.console.print(table.rendered(invocation.console.style))
        if hidden > 0 { invocation.console.note("\(hidden) more values are defaults (--all shows them)") }
        return .ok
    }

    private static func isSet(_ row: ConfigNode) -> Bool { !row.text("key").isEmpty && !["", "default"].contains(row.text("source")) }

    /// Empty for a stage without settings.
    private static func value(_ node: ConfigNode?) -> String {
        guard let node, !node.isNull else { return "" }
        return node.string ?? node.json
    }
}
