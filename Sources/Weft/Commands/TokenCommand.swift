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
            let answer = try ControlPlaneAPI(invocation).post("/v1/tokens", [:], body.text)
            guard answer.isOK else { throw answer.failure() }
            if invocation.wantsJSON {
                invocation.console.print(answer.body.prettyJSON)
            } else {
                invocation.console.print(answer.body.text("token"))
                invocation.console.note("for \(Printable.text(service)); expires \(Printable.text(answer.body.text("expires")))")
            }
            return .ok
        })
}
