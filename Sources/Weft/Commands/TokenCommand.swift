internal import Pipeline

enum TokenCommand {
    static let create = Command(
        "token create", "make a token with which a sidecar joins the mesh",
        flags: [
            Flag("service", .text("NAME"), required: true, "The only service that the sidecar may be."),
            .namespace,
            Flag("ttl", .duration, default: "24h", "How long it may be used."),
            Flag("uses", .count(1...10_000), default: "1", "How many sidecars may join with it."),
            .output, .controlPlane,
        ],
        details: "The token is a secret: it alone goes to standard output. It carries the hash of the mesh's root certificate, so that a\nsidecar shows it to no one else.",
        examples: ["(umask 077; weft token create --service payment --uses 2 > payment.token)"],
        run: { invocation in
            let service = invocation.text("service")
            var body = JSONWriter()
            body.object {
                $0.member("service", service)
                $0.member("namespace", invocation.text("namespace"))
                $0.member("ttl", invocation.text("ttl"))
                $0.member("uses", invocation.count("uses"))
            }
            let api = try ControlPlaneAPI(invocation)
            let answer = try api.post("/v1/tokens", [:], body.text)
            guard answer.isOK else { throw answer.failure() }
            if invocation.wantsJSON {
                invocation.console.print(answer.body.prettyJSON)
            } else {
                invocation.console.print(answer.body.text("token"))
                let query: KeyValuePairs<String, String?> = ["kind": ResourceKind.service.rawValue, "namespace": invocation.text("namespace"), "name": service]
                let isWritten = try !api.get("/v1/resources", query).items("items").isEmpty
                invocation.console.note(
                    "for \(Printable.text(service))\(isWritten ? "" : ", a Service that nobody has written yet"); expires \(Printable.text(answer.body.text("expires")))")
            }
            return .ok
        })

    static let list = Command(
        "token list", "show the join tokens there are, and what is left of them", flags: [.output, .controlPlane],
        details: "A token is called by its id, which says nothing of its secret.", examples: ["weft token list"],
        run: { invocation in
            let answer = try ControlPlaneAPI(invocation).get("/v1/tokens")
            guard !invocation.wantsJSON else {
                invocation.console.print(answer.prettyJSON)
                return .ok
            }
            var table = Table([.left("ID"), .left("SERVICE"), .left("STATE"), .right("USES LEFT"), .left("EXPIRES")])
            for item in answer.items("items") {
                let state = item.text("state"), namespace = item.text("namespace")
                table.add([
                    Table.Cell(item.text("id")), Table.Cell(item.text("service") + (namespace == ResourceKey.defaultNamespace ? "" : ".\(namespace)")),
                    Table.Cell(state, state == "open" ? .plain : .dim), Table.Cell(item["usesLeft"]?.integer.map { "\($0)" } ?? "any"),
                    Table.Cell(item.text("expires")),
                ])
            }
            if table.isEmpty { invocation.console.note("there are no join tokens (weft token create)") }
            invocation.console.print(table.rendered(invocation.console.style))
            return .ok
        })

    static let revoke = Command(
        "token revoke", "take a join token back: nobody joins with it any more", operands: "ID", count: 1...1, flags: [.output, .controlPlane],
        details: "ID as weft token list shows it, or the token itself. Sidecars that joined with it stay: see weft identity revoke.",
        examples: ["weft token revoke 8bfe6e752e28f5c5"],
        run: { invocation in
            let text = invocation.operands[0]
            let id = (try? JoinToken(parsing: text)).map { $0.id.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined() } ?? text
            let answer = try ControlPlaneAPI(invocation).delete("/v1/tokens", ["id": id])
            guard answer.isOK else { throw answer.failure() }
            invocation.console.print(invocation.wantsJSON ? answer.body.prettyJSON : "token \(Printable.text(id)) revoked")
            return .ok
        })
}
