internal import Pipeline

/// Identities that are taken back.
enum IdentityCommand {
    static let revoke = Command(
        "identity revoke", "take a service's identity back: nobody lets it in, it is steered and renewed no more", operands: "SERVICE", count: 1...1,
        flags: [
            .namespace, Flag("reason", .text("TEXT"), "Why; its sidecars log it, and identity list shows it."), .output, .controlPlane,
        ],
        details: """
            It bites within a second: its sidecars' streams are ended, its endpoints go, and all other sidecars with authz in their
            inbound chain answer it 403. Certificates that are out end by themselves, at most 24 hours later.
            """,
        examples: ["weft identity revoke analytics --reason stolen-laptop"],
        run: { invocation in
            var body = JSONWriter()
            body.object {
                $0.member("service", invocation.operands[0])
                $0.member("namespace", invocation.text("namespace"))
                if let reason = invocation.optional("reason") { $0.member("reason", reason) }
            }
            let answer = try ControlPlaneAPI(invocation).post("/v1/revocations", [:], body.text)
            guard answer.isOK else { throw answer.failure() }
            let ended = answer.body["streamsEnded"]?.integer ?? 0
            invocation.console.print(
                invocation.wantsJSON ? answer.body.prettyJSON
                    : "\(Printable.text(answer.body.text("revoked"))) revoked; \(ended) \(ended == 1 ? "sidecar" : "sidecars") told")
            return .ok
        })

    static let restore = Command(
        "identity restore", "give a service its identity again", operands: "SERVICE", count: 1...1, flags: [.namespace, .output, .controlPlane],
        details: "Its sidecars come back by themselves within half a minute if their certificate is still valid; else they join with a token.",
        examples: ["weft identity restore analytics"],
        run: { invocation in
            let answer = try ControlPlaneAPI(invocation).delete(
                "/v1/revocations", ["service": invocation.operands[0], "namespace": invocation.text("namespace")])
            guard answer.isOK else { throw answer.failure() }
            invocation.console.print(invocation.wantsJSON ? answer.body.prettyJSON : "\(Printable.text(answer.body.text("restored"))) restored")
            return .ok
        })

    static let list = Command(
        "identity list", "show the identities that are revoked, and why", flags: [.output, .controlPlane],
        details: "All others that joined are in weft ps.", examples: ["weft identity list"],
        run: { invocation in
            let answer = try ControlPlaneAPI(invocation).get("/v1/revocations")
            guard !invocation.wantsJSON else {
                invocation.console.print(answer.prettyJSON)
                return .ok
            }
            var table = Table([.left("REVOKED"), .left("SINCE"), .left("REASON")])
            for item in answer.items("items") {
                table.add([Table.Cell(item.text("identity")), Table.Cell(item.text("since")), Table.Cell(item.text("reason"))])
            }
            if table.isEmpty { invocation.console.note("no identity is revoked") }
            invocation.console.print(table.rendered(invocation.console.style))
            return .ok
        })
}
