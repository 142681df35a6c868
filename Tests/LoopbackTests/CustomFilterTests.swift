import LoopbackTesting
import Testing

extension Loopback {
    /// Line 10 of what is built: a filter of one's own in a package of one's own.
    @Suite("A filter of one's own")
    struct CustomFilterTests {
        /// Compiles the whole of us once more, so only where somebody has the minutes: `WEFT_SLOW=1`.
        @Test(
            "A package outside the repository, depending on ours by path, builds a sidecar with a filter of its own, and it works",
            .enabled(if: Programs.environment("WEFT_SLOW") == "1", "set WEFT_SLOW=1: it compiles everything once more"))
        func package() throws {
            let folder = try WorkFolder()
            _ = try folder.makeFolder("gate/Sources/HouseFilter")
            _ = try folder.makeFolder("gate/Sources/house")
            try folder.write(
                """
                // swift-tools-version: 6.2
                import PackageDescription
                let package = Package(
                    name: "house", dependencies: [.package(name: "weft", path: "\(Programs.packageFolder)")],
                    targets: [
                        .target(name: "HouseFilter", dependencies: [.product(name: "Pipeline", package: "weft")]),
                        .executableTarget(name: "house", dependencies: ["HouseFilter", .product(name: "Weft", package: "weft")]),
                    ])
                """, to: "gate/Package.swift", mode: 0o644)
            try folder.write(
                """
                import Pipeline

                /// Lets only GETs into the house.
                public final class House: RequestHeadFilter {
                    public static let name: FilterName = "house"
                    public struct Config: FilterConfig {
                        let words: String
                        public init(_ fields: inout ConfigFields) { words = fields.read("words", default: "x", "Said to who is turned away.") }
                    }
                    let turnedAway: Counter
                    public init(_ config: Config, _ stage: inout StageSetup) {
                        turnedAway = stage.counter("turned_away_total", "Requests answered 405.")
                    }
                    public func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
                        if exchange.request.method == .get { return .next }
                        turnedAway.increment()
                        return .reply(405, "only GET comes in\\n", because: "not a GET")
                    }
                }
                """, to: "gate/Sources/HouseFilter/House.swift", mode: 0o644)
            try folder.write(
                "import HouseFilter\nimport Weft\n@main enum Main { static func main() { Weft.main(adding: [House.self]) } }\n",
                to: "gate/Sources/house/House.swift", mode: 0o644)
            guard let swift = Programs.find("swift") else { throw LoopbackMesh.Failure("no swift on the path") }
            let build = try CommandResult.run(
                [swift, "build", "--package-path", folder("gate"), "--product", "house"], in: folder, within: .seconds(900))
            #expect(build.code == 0, "\(build.output.suffix(3_000))\n\(build.errors.suffix(1_000))")
            let pair = try Pair()
            let gated = try pair.mesh.add("inventory", binary: folder("gate/.build/debug/house"))
            let order = try pair.mesh.add("order", outbound: ["inventory"])
            try pair.mesh.apply(
                #"{"kind":"Chain","name":"in","direction":"inbound","target":{"service":"inventory"},"stages":["tls","stats","authz","house","router"]}"#)
            try pair.mesh.waitUntilSynced()
            let client = order.client(for: "inventory")
            #expect(eventually(within: .seconds(10)) { (try? client.get("/").status) == 200 })
            let answer = try client.send("POST", "/", body: "x")
            #expect(answer.status == 405 && answer.body == "only GET comes in\n", "\(answer)")
            #expect(MetricsPage(try gated.metrics()).sum("weft_house_turned_away_total") == 1)
        }
    }
}
