internal import Glibc
internal import Host
internal import Pipeline

/// The part of the demo that is looked at: load, live table, and the sum at the end.
final class DemoShow {
    private let mesh: DemoMesh
    private let load: DemoLoad
    private let console: Console
    private let wantsJSON: Bool
    private let syncedSeconds: Double
    private let start = Clock.monotonic()
    /// Lines drawn last, to be drawn over.
    private var drawn = 0
    /// How long the load ran.
    private var seconds = 0.0

    /// How often the table is drawn on a terminal.
    private static let redraw = Nanoseconds.seconds(1)
    /// When it is printed, once, where it cannot be drawn over.
    private static let firstTable = Nanoseconds.seconds(5)

    init(_ mesh: DemoMesh, _ invocation: Invocation, syncedSeconds: Double) {
        self.mesh = mesh
        self.syncedSeconds = syncedSeconds
        console = invocation.console
        wantsJSON = invocation.wantsJSON
        load = DemoLoad(order: mesh.socket(of: .order), analytics: mesh.socket(of: .analytics), on: mesh.loop)
    }

    /// Until the time is up, or for ever; Ctrl-C ends it as well.
    func run(for time: Nanoseconds?) throws {
        if !wantsJSON { console.print(invitation) }
        let end = time.map { start + $0 }
        var nextDrawing = start + (console.isLive ? Self.redraw : Self.firstTable)
        do {
            while end.map({ Clock.monotonic() < $0 }) ?? true {
                load.send(at: Clock.monotonic())
                try mesh.turn(.milliseconds(10))
                guard !wantsJSON, mesh.loop.now >= nextDrawing else { continue }
                nextDrawing = console.isLive ? mesh.loop.now + Self.redraw : mesh.loop.now + .seconds(3_600)
                draw()
            }
        } catch is DemoMesh.Interrupted {}
        load.stop()
        seconds = (Clock.monotonic() - start).seconds
        let deadline = Clock.monotonic() + .seconds(5)
        while !load.isQuiet, Clock.monotonic() < deadline { mesh.loop.turn(waitingAtMost: .milliseconds(20)) }
    }

    /// Ends the sidecars, whose last figures then are in, and says what came of it all.
    func finish() -> ExitCode {
        let logs = mesh.applicationLogs()
        let last = try? mesh.api.get("/v1/stat", ["window": "10s"])
        mesh.endSidecars()
        let totals = (try? mesh.api.get("/v1/stat", ["window": "10s"]))?.items("totals") ?? []
        let report = DemoReport(
            syncedSeconds: syncedSeconds, seconds: seconds, checkouts: load.checkouts, reports: load.reports,
            logs: logs, totals: totals, window: last?.items("items") ?? [])
        console.print(wantsJSON ? report.json : report.text(console.style))
        return report.isGood ? .ok : .no
    }

    // MARK: Drawing

    private func draw() {
        guard let stat = try? mesh.api.get("/v1/stat", ["window": "10s", "reporter": "source"]) else { return }
        let table = CallTable.window(stat.items("items")).rendered(console.style)
        let head = "\(Figures.age((mesh.loop.now - start).seconds))   checkouts \(Figures.count(Int64(load.checkouts.answered))), \(load.checkouts.errors) failed"
            + "   reports \(Figures.count(Int64(load.reports.answered))), \(load.reports.statuses[403] ?? 0) denied\n"
        let text = head + table + (console.isLive ? console.style.dim("Ctrl-C ends it all") + "\n" : "")
        if drawn > 0 { console.write("\u{1B}[\(drawn)A\u{1B}[J") }
        console.write(text)
        drawn = console.isLive ? text.count { $0 == "\n" } : 0
    }

    private var invitation: String {
        let socket = "unix:\(mesh.folder)/control-plane/api.sock"
        let style = console.style
        return """
            \(style.good("√")) \(DemoMesh.members.count) sidecars SYNCED after \(Figures.fixed(syncedSeconds, 1))s: order → inventory, payment v1 (90 %) and v2 (10 %); analytics is denied

            \(style.bold("Try this in another terminal:"))
              export WEFT_CONTROL_PLANE=\(socket)
              weft ps                                            # every sidecar and what it runs on
              weft stat --watch                                  # every pair: rate, success, latency
              weft apply -f \(mesh.folder)/canary-50.json --wait     # half of the payments to v2, now
              weft delete accesspolicy no-analytics              # no deny, but still not on the list of callers
              weft apply -f \(mesh.folder)/reorder.json --wait       # another order of order's chain, under load
              weft apply -f \(mesh.folder)/impossible.json           # an order that cannot work: refused, and why
              weft explain payment --caller order                # every setting and who set it
              curl --unix-socket \(mesh.folder)/payment-v1.sock -X POST 'http://payment/break?mode=503'    # and mode=off

            """
    }
}
