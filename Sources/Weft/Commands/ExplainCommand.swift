internal import Pipeline

enum ExplainCommand {
    static let command = Command(
        "explain", "say which chain and settings are in force for a service, and who set them", operands: "SERVICE", count: 1...1,
        flags: [
            Flag("caller", .text("SERVICE"), "See it as this caller's sidecar does."),
            Flag("rule", .text("NAME"), "For requests that this rule of the route matches."),
            .output, .controlPlane,
        ],
        details: "One row per setting: its stage, its value, and the resource, file and line it comes from.",
        examples: ["weft explain payment --caller order", "weft explain payment --rule all -o json"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let answer = try ControlPlaneAPI(invocation).get(
            "/v1/explain", ["service": invocation.operands[0], "caller": invocation.optional("caller"), "rule": invocation.optional("rule")])
        guard !invocation.wantsJSON else {
            invocation.console.print(answer.prettyJSON)
            return .ok
        }
        var table = Table([.left("DIRECTION"), .left("STAGE"), .left("KEY"), .left("VALUE"), .left("SET BY")])
        var last = ""
        for row in answer.elements ?? answer.items("rows") {
            let stage = "\(row.text("direction")) \(row.text("stage"))"
            let place = row.text("file").isEmpty ? "" : " (\(row.text("file"))\(row["line"]?.integer.map { ":\($0)" } ?? ""))"
            let isDefault = row.text("source") == "default" || row.text("source").isEmpty
            // A stage is named once, so that the chain's order meets the eye.
            table.add([
                Table.Cell(stage == last ? " " : row.text("direction")), Table.Cell(stage == last ? " " : row.text("stage")),
                Table.Cell(row.text("key")), Table.Cell(value(row["value"])), Table.Cell(row.text("source") + place, isDefault ? .dim : .plain),
            ])
            last = stage
        }
        invocation.console.print(table.rendered(invocation.console.style))
        return .ok
    }

    private static func value(_ node: ConfigNode?) -> String { node?.string ?? node?.json ?? "" }
}
