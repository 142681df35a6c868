internal import Pipeline

/// The demo in one object: what was sent, what the services' own logs say, what the mesh counted.
struct DemoReport {
    let syncedSeconds: Double
    let seconds: Double
    let checkouts: DemoLoad.Tally
    let reports: DemoLoad.Tally
    /// Each application's own request log.
    let logs: [(name: String, log: ConfigNode)]
    /// What the control plane has counted since the beginning, both reporters.
    let totals: [ConfigNode]
    /// Its last window, for latencies.
    let window: [ConfigNode]

    /// What analytics asks payment for; in no log of payment's if the deny works.
    private static let forbidden = "GET /accounts"

    private func requests(_ application: String, _ line: String) -> Int64 {
        logs.first { $0.name == application }?.log["requests"]?[line]?.integer ?? 0
    }

    var charged: (v1: Int64, v2: Int64) { (requests("payment-v1", "POST /charge"), requests("payment-v2", "POST /charge")) }
    var trespasses: Int64 { requests("payment-v1", Self.forbidden) + requests("payment-v2", Self.forbidden) }
    var denied: Int { reports.statuses[403] ?? 0 }

    /// Every checkout worked and nothing of analytics' reached payment.
    var isGood: Bool { checkouts.errors == 0 && checkouts.answered > 0 && denied == reports.sent && trespasses == 0 }

    var json: String {
        var writer = JSONWriter(pretty: true)
        writer.object { writer in
            writer.member("version", Version.text)
            writer.member("good", isGood)
            writer.member("syncedSeconds", rounded(syncedSeconds))
            writer.member("seconds", rounded(seconds))
            writer.member("errors", checkouts.errors)
            writer.key("load")
            writer.object { writer in
                write("checkouts", checkouts, &writer)
                write("reports", reports, &writer)
            }
            writer.key("denied")
            writer.object {
                $0.member("source", "analytics")
                $0.member("destination", "payment")
                $0.member("asked", reports.sent)
                $0.member("answered403", denied)
                $0.member("reachedPayment", trespasses)
            }
            writer.key("split")
            writer.object {
                $0.member("v1", charged.v1)
                $0.member("v2", charged.v2)
            }
            writer.key("pairs")
            writer.array { for item in totals { $0.node(item) } }
            writer.key("lastWindow")
            writer.array { for item in window { $0.node(item) } }
            writer.key("applications")
            writer.array { for (_, log) in logs { $0.node(log) } }
        }
        return writer.text
    }

    func text(_ style: Style) -> String {
        let split = charged, all = max(1, split.v1 + split.v2)
        var text = "\n" + CallTable.totals(totals.filter { $0.text("reporter") != "destination" }).rendered(style) + "\n"
        text += "\(mark(checkouts.errors == 0, style)) \(Figures.count(Int64(checkouts.answered))) of \(Figures.count(Int64(checkouts.sent))) checkouts answered, \(checkouts.errors) failed\n"
        text += "\(mark(denied == reports.sent && trespasses == 0, style)) analytics → payment: \(denied) of \(reports.sent) answered 403; \(trespasses) reached payment\n"
        text += "  payment's own logs: v1 \(Figures.count(split.v1)), v2 \(Figures.count(split.v2)) (\(Figures.fixed(Double(split.v2) * 100 / Double(all), 1)) % to v2)\n"
        for (why, count) in checkouts.failures.sorted(by: { $0.key < $1.key }) { text += "  \(count) × \(why)\n" }
        for (status, count) in checkouts.statuses.sorted(by: { $0.key < $1.key }) where status != 200 { text += "  \(count) × status \(status)\n" }
        return text
    }

    private func mark(_ isGood: Bool, _ style: Style) -> String { isGood ? style.good("√") : style.bad("×") }

    private func rounded(_ seconds: Double) -> Double { (seconds * 1_000).rounded() / 1_000 }

    private func write(_ name: String, _ tally: DemoLoad.Tally, _ writer: inout JSONWriter) {
        writer.key(name)
        writer.object { writer in
            writer.member("sent", tally.sent)
            writer.member("answered", tally.answered)
            writer.member("failed", tally.failed)
            writer.key("statuses")
            writer.object { for (status, count) in tally.statuses.sorted(by: { $0.key < $1.key }) { $0.member("\(status)", count) } }
        }
    }
}
