internal import ControlPlane
internal import Glibc
internal import Host
internal import Pipeline

/// Runs a sidecar in the foreground until a signal ends it.
enum SidecarCommand {
    static let command = Command(
        "sidecar", "run a sidecar beside a service", flags: SidecarPlan.flags,
        details: """
            On a control plane it joins with a token once, keeps its key and certificate in --state, and needs no token again. With
            --config it runs on local files alone. It prints one line when it is ready, and writes where it listens to endpoints.json
            in its state directory. SIGTERM drains: readiness fails first, callers leave, then it exits.
            """,
        examples: [
            "weft sidecar --control-plane 127.0.0.1:15012 --token-file payment.token --service payment --version v1 --app unix:/run/payment.sock --state ./payment",
            "weft sidecar --config sidecar.json",
        ], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let plan = try SidecarPlan(invocation)
        for warning in plan.warnings { invocation.console.note(warning.rendered()) }
        Signals.block(Sidecar.signals)
        signal(SIGPIPE, SIG_IGN)
        let file = invocation.optional("config")
        let schemas = invocation.schemas
        let reload: (() throws -> SidecarFiles)? = file.map { file in
            {
                let local = try LocalConfig.read(file, filters: schemas)
                return SidecarFiles(snapshot: local.snapshot, requiredStages: local.settings.requiredStages)
            }
        }
        do {
            let sidecar = try Sidecar(
                settings: plan.settings, snapshot: plan.snapshot, registry: invocation.filters, software: WeftVersion.text, reload: reload)
            invocation.console.print(sidecar.readyLine)
            try sidecar.run()
        } catch let refusal as ChainBuilder.Refusal {
            throw CommandFailure.configuration([], summary: refusal.problems.joined(separator: "\n"))
        } catch {
            throw CommandFailure.no("the sidecar stopped: \(error)")
        }
        return .ok
    }
}
