internal import ControlPlane
internal import Glibc
internal import Host
internal import Pipeline

/// Runs the control plane in the foreground until a signal ends it.
enum ControlPlaneCommand {
    static let command = Command(
        "control-plane", "run the control plane: store, authority, push, metrics",
        flags: [
            Flag("state", .text("DIR"), "Store, authority and the API's socket (0700); by default under ~/.local/state/weft."),
            Flag("listen", .address, default: "127.0.0.1:0", "The mesh port: where sidecars join, are pushed to and report (TLS)."),
            Flag("metrics", .address, default: "127.0.0.1:0", "Where Prometheus scrapes /metrics."),
            Flag("api-listen", .address, "Where operators on other hosts reach the API (TLS, with a credential of weft operator create); by default nowhere."),
            Flag(
                "trust-domain", .text("NAME"), default: "weft.internal",
                "First part of every identity; fixed once the authority exists."),
            Flag(
                "renewal-window", .duration, default: "1m",
                "When the root is rotated, sidecars renew their certificates at random moments of this time."),
        ],
        details: "It prints one line when it is ready, and writes the ports it listens on to endpoints.json in its state directory.",
        examples: ["weft control-plane --state ./cp --listen 127.0.0.1:15012 --trust-domain shop.internal"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let directory = invocation.optional("state") ?? StateDirectory.controlPlane(environment: Environment.value)
        var settings = PlaneSettings(
            stateDirectory: directory, mesh: invocation.address("listen"), metrics: invocation.address("metrics"),
            trustDomain: invocation.text("trust-domain"))
        settings.api = invocation.optionalAddress("api-listen")
        if settings.api?.family == .unix { throw CommandFailure.usage("--api-listen takes a host and a port", hint: "the unix socket is always there: api.sock in --state") }
        settings.renewalWindow = invocation.duration("renewal-window")
        Signals.block([SIGTERM, SIGINT])
        signal(SIGPIPE, SIG_IGN)
        let loop = try EventLoop()
        let fate = Fate()
        let plane: Plane
        do {
            plane = try Plane(settings, filters: invocation.filters, on: loop) { why in
                fate.fatal = why
                loop.stop()
            }
        } catch {
            throw CommandFailure.no("the control plane cannot start: \(error)")
        }
        let signals = try Signals([SIGTERM, SIGINT], on: loop) { _ in loop.stop() }
        invocation.console.print(
            "READY control-plane mesh=\(plane.addresses.mesh) metrics=http://\(plane.addresses.metrics)/metrics api=unix:\(settings.apiPath)"
                + (plane.apiAddress.map { " remote-api=https://\($0)" } ?? ""))
        loop.run()
        signals.close()
        if let why = fate.fatal { throw CommandFailure.no("the control plane stopped: \(why)") }
        plane.close()
        return .ok
    }

    /// Why the loop ended, if the store did it.
    private final class Fate {
        var fatal: String?
    }
}
