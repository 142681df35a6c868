internal import Host
internal import Pipeline

/// Operators who reach the control plane from other hosts.
enum OperatorCommand {
    static let create = Command(
        "operator create", "make a credential with which an operator reaches the control plane from another host", operands: "NAME", count: 1...1,
        flags: [
            Flag("out", .text("FILE"), required: true, "Where the credential goes; its owner's alone (0600)."),
            Flag("ttl", .duration, default: "2160h", "How long it is good; at most a year."),
            .output, .controlPlane,
        ],
        details: """
            On the control plane's own host. The file holds a secret, where the control plane is, and the hash of its root, so that
            the secret is shown to no one else; it follows rotations of the root as long as it is used. Use it with
            --credential FILE or WEFT_CREDENTIAL. Give --server if the operator reaches the control plane at another address than
            its --api-listen.
            """,
        examples: ["weft operator create alice --out alice.credential", "weft operator create ci --ttl 8h --server https://mesh.example:15011 --out ci.credential"],
        run: { invocation in
            let name = invocation.operands[0], path = invocation.text("out")
            guard !Inputs.exists(path) else { throw CommandFailure.usage("\(Printable.text(path)) exists already", hint: "name a new file") }
            var body = JSONWriter()
            body.object {
                $0.member("name", name)
                $0.member("ttl", invocation.text("ttl"))
            }
            let answer = try ControlPlaneAPI(local: invocation).post("/v1/operators", [:], body.text)
            guard answer.isOK else { throw answer.failure() }
            let server = invocation.optional("server") ?? answer.body.text("server")
            let file = OperatorCredential.text(
                name: name, server: server, root: answer.body.text("root"), secret: answer.body.text("secret"), expires: answer.body.text("expires"))
            try Files.write(Array(file.utf8), to: path, mode: 0o600)
            invocation.console.note("\(Printable.text(path)) is \(Printable.text(name))'s until \(Printable.text(answer.body.text("expires")))")
            if server.isEmpty { invocation.console.note("the control plane names no address of its API (--api-listen): whoever uses the credential has to say --server") }
            return .ok
        })

    static let list = Command(
        "operator list", "show who may reach the control plane from other hosts", flags: [.output, .controlPlane],
        details: "On the control plane's own host.", examples: ["weft operator list"],
        run: { invocation in
            let answer = try ControlPlaneAPI(local: invocation).get("/v1/operators")
            guard !invocation.wantsJSON else {
                invocation.console.print(answer.prettyJSON)
                return .ok
            }
            var table = Table([.left("NAME"), .left("STATE"), .left("CREATED"), .left("EXPIRES")])
            for item in answer.items("items") {
                let state = item.text("state")
                table.add([
                    Table.Cell(item.text("name")), Table.Cell(state, state == "valid" ? .plain : .odd), Table.Cell(item.text("created")),
                    Table.Cell(item.text("expires")),
                ])
            }
            if table.isEmpty { invocation.console.note("there are no operators (weft operator create)") }
            invocation.console.print(table.rendered(invocation.console.style))
            return .ok
        })

    static let revoke = Command(
        "operator revoke", "take an operator's credential back, at once", operands: "NAME", count: 1...1, flags: [.output, .controlPlane],
        details: "On the control plane's own host.", examples: ["weft operator revoke alice"],
        run: { invocation in
            let answer = try ControlPlaneAPI(local: invocation).delete("/v1/operators", ["name": invocation.operands[0]])
            guard answer.isOK else { throw answer.failure() }
            invocation.console.print(invocation.wantsJSON ? answer.body.prettyJSON : "operator \(Printable.text(invocation.operands[0])) revoked")
            return .ok
        })
}
