internal import Glibc
internal import Host
internal import Pipeline

enum PsCommand {
    static let command = Command(
        "ps", "show the sidecars and what they run on",
        flags: [
            Flag("wait", .toggle, "Wait until every sidecar is SYNCED."),
            Flag("count", .count(0...100_000), default: "0", "With --wait: and at least so many are connected."),
            .timeout("30s", "How long --wait waits."), .output, .controlPlane,
        ],
        details: """
            CONFIG: SYNCED runs on the newest, STALE has been sent it, REJECTED has refused a part of it and serves on what it had
            (the reason stands below), NOT SENT waits. With --wait the exit code is 1 if one has rejected, 4 if time is up.
            """,
        examples: ["weft ps", "weft ps --wait --timeout 10s", "weft ps -o json"], run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let api = try ControlPlaneAPI(invocation)
        let code = invocation.isOn("wait") ? try SidecarStates.waitUntilSynced(api, invocation, atLeast: invocation.count("count")) : .ok
        let answer = try api.get("/v1/sidecars")
        if invocation.wantsJSON {
            invocation.console.print(answer.prettyJSON)
        } else {
            let table = SidecarStates.table(answer.items("items"), now: Clock.unixSeconds())
            if table.isEmpty { invocation.console.note("no sidecar has joined yet (weft help sidecar)") }
            invocation.console.print(table.rendered(invocation.console.style))
        }
        return code
    }
}

/// What the control plane says about sidecars.
enum SidecarStates {
    static func table(_ items: [ConfigNode], now: Int64) -> Table {
        var table = Table([
            .left("NAME"), .left("SERVICE"), .left("VERSION"), .left("CONFIG"), .left("HEALTH"), .right("SEEN"), .right("CERTIFICATE"), .left("ADDRESS"),
        ])
        for item in items {
            let state = item.text("state"), health = item.text("health")
            let isConnected = item["connected"]?.bool ?? true
            let expires = Timestamp.seconds(item.text("certificateExpires")).map { Double($0 - now) }
            let namespace = item.text("namespace")
            table.add([
                Table.Cell(item.text("name")),
                Table.Cell(item.text("service") + (namespace.isEmpty || namespace == ResourceKey.defaultNamespace ? "" : ".\(namespace)")),
                Table.Cell(item.text("version")),
                Table.Cell(state + (isConnected ? "" : " (gone)"), !isConnected ? .odd : state == "SYNCED" ? .good : state == "REJECTED" ? .bad : .odd),
                Table.Cell(health, health == "healthy" ? .plain : .odd),
                Table.Cell(Figures.age(item["lastSeenSeconds"]?.number)),
                Table.Cell(expires.map { $0 > 0 ? Figures.age($0) : "expired" } ?? "", (expires ?? 1) > 0 ? .plain : .bad),
                Table.Cell(item.text("address")),
            ])
            if item["revoked"] != nil { table.remark(item.text("revoked"), .bad) }
            for part in item.items("parts") where part.text("state") == "REJECTED" {
                table.remark("\(part.text("part")): \(part.text("reason"))", .bad)
            }
        }
        return table
    }

    static func isSynced(_ items: [ConfigNode], atLeast count: Int) -> Bool {
        let connected = items.filter { $0["connected"]?.bool ?? true }
        return connected.count >= count && connected.allSatisfy { $0.text("state") == "SYNCED" }
    }

    /// Asks ten times a second.
    static func waitUntilSynced(_ api: ControlPlaneAPI, _ invocation: Invocation, atLeast count: Int) throws -> ExitCode {
        let deadline = Clock.monotonic() + invocation.duration("timeout")
        while true {
            let items = try api.get("/v1/sidecars").items("items")
            if isSynced(items, atLeast: count) { return .ok }
            if Clock.monotonic() >= deadline {
                let rejected = items.filter { $0.text("state") == "REJECTED" }
                let open = items.filter { $0.text("state") != "SYNCED" && $0["connected"]?.bool ?? true }.map { $0.text("name") }
                let names = open.isEmpty ? "\(items.count) sidecars, \(count) wanted" : "not SYNCED: \(open.map(Printable.text).joined(separator: ", "))"
                invocation.console.note(rejected.isEmpty ? "time is up; \(names)" : "rejected by \(rejected.map { Printable.text($0.text("name")) }.joined(separator: ", ")) (weft ps says why)")
                return rejected.isEmpty ? .timeout : .no
            }
            usleep(100_000)
        }
    }
}

/// RFC 3339 in UTC.
enum Timestamp {
    /// Seconds since 1970 of `2026-01-02T03:04:05Z`, fractions dropped; nil for anything else.
    static func seconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), bytes[4] == 0x2D, bytes[7] == 0x2D, bytes[10] == 0x54, bytes[13] == 0x3A, bytes[16] == 0x3A,
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
            let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]), let second = number(bytes[17..<19]),
            1...12 ~= month, 1...31 ~= day, 0..<24 ~= hour, 0..<60 ~= minute, 0...60 ~= second
        else { return nil }
        // Days from a civil date (Howard Hinnant's algorithm): years begin in March, so that the leap day is the last.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return (era * 146_097 + dayOfEra - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        guard digits.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
}
