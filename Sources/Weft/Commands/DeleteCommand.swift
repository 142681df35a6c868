internal import Pipeline

enum DeleteCommand {
    static let command = Command(
        "delete", "take a resource out of force", operands: "KIND NAME", count: 2...2, flags: [.namespace, .output, .controlPlane],
        details: "Refused, with all problems, if other resources still need it.",
        examples: ["weft delete accesspolicy no-analytics", "weft delete route payment -n shop"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let kind = try GetCommand.kind(invocation.operands[0])
        let name = invocation.operands[1]
        let api = try ControlPlaneAPI(invocation)
        let answer = try api.delete("/v1/resources", ["kind": kind.rawValue, "namespace": invocation.text("namespace"), "name": name])
        guard answer.isOK else {
            if answer.status == 404 { throw try GetCommand.missing(kind, name, invocation.text("namespace"), api) }
            throw answer.failure()
        }
        invocation.console.print(invocation.wantsJSON ? answer.body.prettyJSON : "\(kind.rawValue) \(Printable.text(name)) deleted")
        return .ok
    }
}
