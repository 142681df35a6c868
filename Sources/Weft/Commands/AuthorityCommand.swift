internal import Pipeline

/// The mesh's certificate authority: its roots, and how one takes the place of another.
enum AuthorityCommand {
    static let status = Command(
        "ca status", "show the mesh's root certificates and how far a rotation is", flags: [.output, .controlPlane],
        details: """
            A rotation has two steps. SPREADING: everybody learns to trust the new root beside the old one, which still issues.
            RETIRING: the new root issues and everybody renews; then the old one goes. Below the roots stands who is waited for.
            """,
        examples: ["weft ca status", "weft ca status -o json"],
        run: { invocation in
            show(try ControlPlaneAPI(invocation).get("/v1/ca"), invocation)
            return .ok
        })

    static let rotate = Command(
        "ca rotate", "put a new root certificate in the place of the old one, without a break in traffic",
        flags: [
            Flag("force", .toggle, "Take the next step of the rotation under way without those it waits for; they have to join anew."),
            .output, .controlPlane,
        ],
        details: """
            It goes on by itself, also when the control plane is restarted: in a few minutes if all sidecars are connected, else at
            most as long as the certificates of those who are away are valid (24 h a step). weft ca status shows how far it is.
            """,
        examples: ["weft ca rotate"],
        run: { invocation in
            let answer = try ControlPlaneAPI(invocation).post("/v1/ca/rotate", [:], invocation.isOn("force") ? "{\"force\":true}" : "{}")
            guard answer.isOK else { throw answer.failure() }
            show(answer.body, invocation)
            return .ok
        })

    private static func show(_ answer: ConfigNode, _ invocation: Invocation) {
        guard !invocation.wantsJSON else { return invocation.console.print(answer.prettyJSON) }
        let count = answer["waitingFor"]?.integer ?? 0
        let phase = answer.text("phase")
        let latest = answer.text("oldRootGoesAtLatest")
        invocation.console.note(
            "\(Printable.text(phase).uppercased())" + (phase == "steady" ? "" : "; waits for \(count) \(count == 1 ? "sidecar" : "sidecars")")
                + (latest.isEmpty ? "" : ", until \(Printable.text(latest)) at the latest"))
        var roots = Table([.left("ROOT"), .left("ISSUES"), .right("CERTIFICATES"), .left("ENDS")])
        for root in answer.items("roots") {
            roots.add([
                Table.Cell(String(root.text("sha256").prefix(16))), Table.Cell(root["issues"]?.bool == true ? "yes" : "no"),
                Table.Cell("\(root["certificates"]?.integer ?? 0)"), Table.Cell(root.text("ends")),
            ])
        }
        invocation.console.print(roots.rendered(invocation.console.style))
        let waiting = answer.items("waiting")
        guard !waiting.isEmpty else { return }
        var table = Table([.left("WAITING FOR"), .left("WHY"), .left("ITS CERTIFICATE ENDS")])
        for item in waiting {
            let isAway = item["connected"]?.bool == false
            table.add([
                Table.Cell(item.text("sidecar"), isAway ? .odd : .plain), Table.Cell(item.text("why") + (isAway ? " (away)" : "")),
                Table.Cell(item.text("certificateEnds")),
            ])
        }
        invocation.console.print(table.rendered(invocation.console.style))
    }
}
