internal import ControlPlane
internal import Glibc
internal import Host
internal import Pipeline

/// Runs a sidecar in the foreground until a signal ends it.
enum SidecarCommand {
    static let command = Command(
        "sidecar", "run a sidecar beside a service", flags: SidecarPlan.flags,
        details: """
            On local files alone (--config), or on a control plane: it joins with a token, gets its certificate, and takes its
            chains from there; the last good ones are kept in --state and served from when the control plane is away. One line on
            standard output says where everything is; endpoints.json in --state says it to programs.
            SIGTERM drains and ends it, a second one does not wait; SIGHUP reads its files again.
            Bounds of the data path, "limits" in a file (Sources/Host/Connection/README.md says what happens at each):
            \(limits)
            """,
        examples: [
            "weft sidecar --control-plane 127.0.0.1:15012 --token-file payment.token --service payment --version v1 --app unix:/run/payment.sock --state /var/lib/weft/payment",
            "weft sidecar --config sidecar.json",
        ],
        run: run)

    /// One line per limit, as the file's reader declares them.
    private static var limits: String {
        let fields = LocalConfig.limits
        let width = fields.map(\.key.count).max() ?? 0
        return fields.map { field in
            var line = "  \(field.key)\(String(repeating: " ", count: width - field.key.count))  \(field.meaning)"
            if case .default(let text) = field.presence { line += " (default \(text.filter { $0 != "\"" }))" }
            return line
        }.joined(separator: "\n")
    }

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let plan = try SidecarPlan(invocation)
        if !plan.warnings.isEmpty { invocation.console.report(plan.warnings) }
        // Before any thread starts: all of them inherit it.
        Signals.block(Sidecar.signals)
        let sidecar: Sidecar
        do {
            sidecar = try Sidecar(
                settings: plan.settings, snapshot: plan.snapshot, registry: invocation.filters, software: WeftVersion.text,
                reload: SidecarPlan.hasFiles(invocation) ? { try SidecarPlan.readFiles(invocation) } : nil)
        } catch let refusal as ChainBuilder.Refusal {
            throw CommandFailure.configuration([], summary: refusal.problems.joined(separator: "\n"))
        } catch {
            throw CommandFailure.system("the sidecar cannot start: \(error)")
        }
        invocation.console.print(sidecar.readyLine)
        do {
            try sidecar.run()
        } catch let failure as SidecarFailure {
            throw CommandFailure.no("\(failure)")
        }
        return .ok
    }
}
