import FoundationEssentials
import Host
import Pipeline
import Testing

@testable import ControlPlane

@Suite("Limits of a sidecar")
struct SidecarLimitsTests {
    private let folder: SidecarFolder
    init() throws { folder = try SidecarFolder() }

    @Test("Each of them can be set, in words, and reaches the data path's settings; what is left out keeps its default")
    func set() throws {
        let bounds = try folder.config(
            #"""
            {"service":{"name":"order"},"limits":{"headTime":"5s","bodyProgressTime":"30s","idleTime":"2m","tunnelIdleTime":"10m",
             "upstreamIdleTime":"20s","connectTime":"750ms","handshakeTime":"3s","lingerTime":"1s","leaveTime":"20ms","deadPeerTime":"90s","connections":500,
             "connectionsPerEndpoint":64,"memory":"64MiB","sendBuffer":"32KiB"}}
            """#
        ).settings.bounds
        #expect(bounds.headTime == .seconds(5) && bounds.bodyProgressTime == .seconds(30) && bounds.downstreamIdleTime == .seconds(120))
        #expect(bounds.tunnelIdleTime == .seconds(600) && bounds.upstreamIdleTime == .seconds(20) && bounds.connectTime == .milliseconds(750))
        #expect(bounds.handshakeTime == .seconds(3) && bounds.lingerTime == .seconds(1) && bounds.leaveTime == .milliseconds(20))
        #expect(bounds.deadPeerTime == .seconds(90))
        #expect(bounds.downstreamMax == 500 && bounds.connectionsPerEndpointMax == 64)
        #expect(bounds.memoryMax == 64 << 20 && bounds.sendBufferBytes == 32 << 10)

        let some = try folder.config(#"{"service":{"name":"order"},"limits":{"headTime":"5s"}}"#).settings.bounds
        #expect(zip(Self.values(some), Self.values(Bounds())).filter { $0 != $1 }.count == 1 && some.headTime == .seconds(5))
        let none = try folder.config(#"{"service":{"name":"order"}}"#).settings.bounds
        #expect(Self.values(none) == Self.values(Bounds()))
    }

    @Test("A slip is shown where it stands, with what was meant")
    func slips() throws {
        let problems = try folder.problems(
            """
            {"service":{"name":"order"},"limits":{
            "headTimes":"5s",
            "idleTime":300,
            "memory":"1KiB",
            "connections":0,
            "handshakeTime":"0s",
            "sendBuffer":"8GiB"}}
            """)
        #expect(problems.map { $0.prefix { $0 != " " } } == ["2", "3", "4", "5", "6", "7"], "\(problems)")
        #expect(problems.first?.contains("headTime") == true && problems.first?.hasSuffix("→ headTime") == true, "\(problems)")
    }

    // MARK: The list in the README

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..").standardized

    private static func text(_ path: String) throws -> String { try String(contentsOf: root.appending(path: path), encoding: .utf8) }

    private static func values(_ bounds: Bounds) -> [String] { Mirror(reflecting: bounds).children.map { "\($0.value)" } }

    @Test("The README lists every bound with its default, and every metric it names exists")
    func list() throws {
        let readme = try Self.text("Sources/Host/Connection/README.md")
        let rows = readme.split(separator: "\n").map(String.init)
        let fields = LocalConfig.limits
        #expect(fields.count == Self.values(Bounds()).count, "a bound that nobody can set")
        for field in fields {
            guard let row = rows.first(where: { $0.hasPrefix("| `\(field.key)` |") }) else { Issue.record("no row of \(field.key)"); continue }
            guard case .default(let text) = field.presence else { continue }
            #expect(row.hasPrefix("| `\(field.key)` | \(text.filter { $0 != "\"" }) |"), "\(row)")
        }
        for (type, path) in [("HostLimits", "Sources/Host/Connection/HostLimits.swift"), ("HTTP1Limits", "Sources/Pipeline/HTTP1/HTTP1Limits.swift")] {
            let names = try Self.text(path).split(separator: "static let ").dropFirst().map { $0.prefix { $0.isLetter || $0.isNumber } }
            #expect(names.count >= 7)
            for name in names { #expect(rows.contains { $0.hasPrefix("| `\(type).\(name)` |") }, "no row of \(type).\(name)") }
        }
        let counted = try Self.text("Sources/Host/Worker/WorkerStorage.swift")
        let metrics = Set(readme.split { !($0.isLetter || $0 == "_") }.filter { $0.hasPrefix("weft_") })
        #expect(metrics.count >= 7)
        for metric in metrics { #expect(counted.contains("\"\(metric)\""), "\(metric)") }
    }
}
