internal import Glibc
internal import Pipeline

enum StatCommand {
    static let command = Command(
        "stat", "show rates, errors and latencies of every pair of services",
        flags: [
            Flag("window", .duration, default: "10s", "Over which time, 5s to 60s."),
            Flag("reporter", .choice(["source", "destination"]), default: "source", "Whose count: the caller's sidecar or the called one's."),
            Flag("total", .toggle, "Since the beginning instead of in the window."),
            Flag("watch", .toggle, letter: "w", "Again every second until Ctrl-C."), .output, .controlPlane,
        ],
        details: """
            SUCCESS is the share of answers that are no failure. Failures are all 5xx, and each 4xx by which the mesh
            refused a call (403 denied, 429 limited, 404 no route). A 4xx of the service itself is its answer.
            On tcp rows RPS counts connections that have ended; they know no success, and P50 to P99 are left out. Their STATUSES say
            how they ended: by their own ends, refused by a policy, idle, broken off by the service, or never connected.
            CONNS is how many connections between the two are open, over all routes; a hyphen: no sidecar has said.
            STATUSES counts the answers of the window.
            """,
        examples: ["weft stat", "weft stat --window 30s --watch", "weft stat --reporter destination -o json"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let api = try ControlPlaneAPI(invocation)
        while true {
            let answer = try api.get("/v1/stat", ["window": invocation.text("window"), "reporter": invocation.text("reporter")])
            if invocation.wantsJSON {
                invocation.console.print(invocation.isOn("watch") ? answer.json : answer.prettyJSON)
            } else {
                if invocation.isOn("watch"), invocation.console.isLive { invocation.console.write("\u{1B}[H\u{1B}[2J") }
                let table = invocation.isOn("total") ? CallTable.totals(answer.items("totals")) : CallTable.window(answer.items("items"))
                invocation.console.print(table.rendered(invocation.console.style))
            }
            guard invocation.isOn("watch") else { return .ok }
            sleep(1)
        }
    }
}

/// Calls between services as a table.
enum CallTable {
    static func window(_ items: [ConfigNode]) -> Table {
        var table = Table([
            .left("SRC"), .left("DST"), .left("VERSION"), .left("ROUTE"), .right("RPS"), .right("SUCCESS"), .right("P50"), .right("P95"), .right("P99"),
            .right("CONNS"), .left("STATUSES"),
        ])
        for item in items {
            let success = item["success"]?.number
            let isStream = item["protocol"]?.string == "tcp"
            table.add(
                names(item) + [
                    Table.Cell(Figures.rate(item["rps"]?.number)), Table.Cell(Figures.share(success), tone(success)),
                    Table.Cell(isStream ? "-" : Figures.latency(item["p50Seconds"]?.number)), Table.Cell(isStream ? "-" : Figures.latency(item["p95Seconds"]?.number)),
                    Table.Cell(isStream ? "-" : Figures.latency(item["p99Seconds"]?.number)), Table.Cell(item["connections"]?.integer.map { Figures.count($0) } ?? ""),
                    statuses(item),
                ])
        }
        return table
    }

    static func totals(_ items: [ConfigNode]) -> Table {
        var table = Table([.left("SRC"), .left("DST"), .left("VERSION"), .left("ROUTE"), .right("REQUESTS"), .left("STATUSES")])
        for item in items {
            table.add(names(item) + [Table.Cell(Figures.count(item["requests"]?.integer ?? 0)), statuses(item)])
        }
        return table
    }

    /// `200: 1,234, 503: 2`; the sidecar's own refusals of callers and failures stand out.
    private static func statuses(_ item: ConfigNode) -> Table.Cell {
        let isStream = item["protocol"]?.string == "tcp"
        let codes = (item["statuses"]?.keys ?? []).sorted()
        let text = codes.map { "\(isStream ? ending($0) : $0): \(Figures.count(item["statuses"]?[$0]?.integer ?? 0))" }.joined(separator: ", ")
        let isBad = codes.contains { $0.hasPrefix("5") || $0 == "403" || $0 == "429" || GRPCStatus(name: $0)?.isFailure == true || $0 == "PERMISSION_DENIED" }
        return Table.Cell(text, isBad ? .odd : .plain)
    }

    /// How a raw stream ended, for its code.
    private static func ending(_ code: String) -> String {
        switch code {
        case "0": "ended"
        case "403": "refused"
        case "408": "idle"
        case "502": "broken off"
        case "503": "not connected"
        default: code
        }
    }

    private static func names(_ item: ConfigNode) -> [Table.Cell] {
        ["source", "destination", "version", "route"].map { Table.Cell(item.text($0)) }
    }

    private static func tone(_ success: Double?) -> Table.Tone {
        guard let success else { return .plain }
        return success >= 0.999 ? .good : success >= 0.95 ? .odd : .bad
    }
}
