import ControlPlane
import Host
import Pipeline
import Testing

/// Chains of a sidecar's own: a folder `filters.d`, or inline.
@Suite("Local chains")
struct LocalChainsTests {
    private let folder: SidecarFolder
    init() throws { folder = try SidecarFolder() }

    private static let inbound = ["10-tls", "20-stats", "30-authz", "40-router"]
    private static let outbound = ["10-stats", "20-retry", "30-router", "40-tls"]

    private func stages(_ inbound: [String] = inbound, _ outbound: [String] = outbound) throws {
        for name in inbound { try folder.write("filters.d/inbound/\(name).json", "{}") }
        for name in outbound { try folder.write("filters.d/outbound/\(name).json", "{}") }
    }

    private static func config(_ more: String, resources: String = "") -> String {
        """
        {"service":{"name":"order"},"application":"127.0.0.1:9","inbound":{"address":"127.0.0.1:0"},
        "proxy":"127.0.0.1:0","tls":{"certificate":"a","key":"b","bundle":"ca.pem"},\(more),
        "resources":[{"kind":"Service","name":"order","ports":[{"port":80}]}\(resources)]}
        """
    }

    @Test("The folder is the chain, and takes the place of a Chain resource")
    func folderIsChain() throws {
        try stages()
        try folder.write("filters.d/outbound/15-limit.json", #"{"filter":"timeout","required":true,"config":{"after":"2s"}}"#)
        let chain = #",{"kind":"Chain","name":"c","direction":"outbound","stages":["stats","router","tls"]}"#
        let config = try folder.config(Self.config(#""filters":"filters.d""#, resources: chain))
        #expect(config.snapshot.chain.inbound.map(\.id) == ["tls", "stats", "authz", "router"])
        #expect(config.snapshot.chain.outbound.map(\.id) == ["stats", "limit", "retry", "router", "tls"])
        let limit = config.snapshot.chain.outbound[1]
        #expect(limit.filter == "timeout" && limit.config == #"{"after":"2s"}"# && limit.required)
        #expect(limit.origin.file == "\(folder.path)/filters.d/outbound/15-limit.json" && limit.origin.line == 1)
        #expect(config.settings.requiredStages == [.inbound: [], .outbound: ["limit"]])
    }

    @Test("The shipped filters.d is the default chains written out, and is accepted without a word")
    func shipped() throws {
        let config = try folder.config(Self.config(#""filters":"\#(repositoryFile("filters.d"))""#))
        #expect(config.warnings.isEmpty)
        #expect(config.snapshot.chain.inbound.map(\.id) == ChainRules.defaultStages(.inbound).map(\.id))
        #expect(config.snapshot.chain.outbound.map(\.id) == ChainRules.defaultStages(.outbound).map(\.id))
    }

    @Test("Left-overs in the folder are named and not read, folders too; an empty folder is an error")
    func leftovers() throws {
        try stages()
        try folder.write("filters.d/outbound/old/20-retry.json", "{}")
        try folder.write("filters.d/outbound/20-retry.json~", "\u{0}")
        try folder.write("filters.d/inbound/README.md", "# stages")
        #expect(
            try folder.problems(Self.config(#""filters":"filters.d""#)) == [
                "20-retry.json~:1 warning: 20-retry.json~ is ignored: it is no stage file", "old:1 warning: old is ignored: it is no stage file",
            ])
        try folder.write("empty/inbound/README.md", "")
        try folder.write("empty/outbound/README.md", "")
        #expect(try folder.problems(Self.config(#""filters":"empty""#)) == ["inbound:1 empty/inbound holds no stage", "outbound:1 empty/outbound holds no stage"])
    }

    @Test("A wrong stage file is reported with its own name and line")
    func wrongStage() throws {
        try stages()
        try folder.write("filters.d/outbound/20-retry.json", "{\"config\":{\n\"maxRetrys\":1}}")
        #expect(try folder.problems(Self.config(#""filters":"filters.d""#)) == ["20-retry.json:2 unknown key \"maxRetrys\" in filter \"retry\" → maxRetries"])
    }

    @Test("Inline chains: order, ids, configs, and the line of each stage")
    func inline() throws {
        let config = try folder.config(
            Self.config("\"chains\":{\"outbound\":[\"stats\",\n{\"filter\":\"timeout\",\"name\":\"limit\",\"config\":{ \"after\": \"2s\" }},\"router\",\"tls\"]}"))
        #expect(config.snapshot.chain.outbound.map(\.id) == ["stats", "limit", "router", "tls"])
        #expect(config.snapshot.chain.outbound[1].config == #"{"after":"2s"}"# && config.snapshot.chain.outbound[1].origin.line == 3)
        #expect(config.snapshot.chain.inbound.count == 6, "the other one stays the default")
        #expect(try folder.problems(Self.config("\"chains\":{\"outbound\":[\"stats\",\n\"retyr\",\"router\",\"tls\"]}")) == ["3 no sidecar has a filter \"retyr\" → retry"])
        #expect(
            try folder.problems(Self.config("\"chains\":{\"outbound\":[\"stats\",\n{\"filter\":\"retry\",\"config\":{\"maxRetries\":-1}},\"router\",\"tls\"]}"))
                == ["3 \"maxRetries\" is -1, out of bounds"])
    }

    @Test("A folder and inline chains at once are refused")
    func both() throws {
        try stages()
        #expect(
            try folder.problems(Self.config("\"filters\":\"filters.d\",\n\"chains\":{\"outbound\":[\"stats\",\"router\",\"tls\"]}"))
                == ["3 \"filters\" and \"chains\" both say the chains"])
    }

    private static let policy = #",{"kind":"AccessPolicy","name":"p","target":{"service":"order"},"action":"deny","rules":[{}]}"#

    @Test("A chain that drops authz while a policy protects the service is refused, in a folder and inline")
    func dropsAuthz() throws {
        let chain = "\"chains\":{\"inbound\":\n[\"tls\",\"stats\",\"router\"]}"
        let reason = "this chain drops authz, and AccessPolicy \"p\" protects Service \"order\""
        #expect(try folder.problems(Self.config(chain)) == [])
        #expect(try folder.problems(Self.config(chain, resources: Self.policy)) == ["3 \(reason)"])
        try stages(["10-tls", "20-stats", "40-router"])
        #expect(try folder.problems(Self.config(#""filters":"filters.d""#)) == [])
        #expect(try folder.problems(Self.config(#""filters":"filters.d""#, resources: Self.policy)) == ["inbound:1 \(reason)"])
    }

    @Test("Also a policy for the whole mesh, and a mesh that denies, need authz, even if nobody wrote the Service")
    func wholeMesh() throws {
        func found(_ resource: String) throws -> [String] {
            try folder.problems(
                #"{"service":{"name":"order"},"application":"unix:/a","inbound":{"address":"127.0.0.1:0","plaintext":true},"chains":{"inbound":["tls","stats","router"]},"resources":[\#(resource)]}"#)
        }
        #expect(try found("") == [])
        #expect(try found(#"{"kind":"AccessPolicy","name":"p","action":"deny","rules":[{"from":[{"external":true}]}]}"#) == ["1 this chain drops authz, and AccessPolicy \"p\" protects the mesh"])
        #expect(try found(#"{"kind":"Mesh","name":"m","defaultAccess":"deny"}"#) == ["1 this chain drops authz, and the mesh denies by default"])
    }

    @Test("A chain that drops tls under strict mTLS is refused where it is in use")
    func dropsTLS() throws {
        let chains = "\"chains\":{\"inbound\":\n[\"stats\",\"authz\",\"router\"],\"outbound\":\n[\"stats\",\"router\"]}"
        let reason = "this chain drops tls, and the mesh's mtls is strict"
        #expect(try folder.problems(Self.config(chains)) == ["3 \(reason)", "4 \(reason)"])
        #expect(try folder.problems(Self.config(chains, resources: #",{"kind":"Mesh","name":"m","mtls":"permissive"}"#)) == [])
        #expect(try folder.problems("{\"service\":{\"name\":\"order\"},\(chains)}") == [], "neither direction has an entrance")
    }

    @Test("Settings reach the stages of local chains by their ids")
    func settings() throws {
        let mesh = #",{"kind":"Mesh","name":"m","settings":{"retry-2":{"maxRetries":1}}}"#
        let chain = #""chains":{"outbound":["stats",{"filter":"retry","name":"retry-2"},"router","tls"]}"#
        #expect(try folder.problems(Self.config(chain, resources: mesh)) == [])
        #expect(try folder.problems(Self.config(chain, resources: mesh.replacing("maxRetries", with: "maxRetrie"))).count == 1)
        #expect(try folder.problems(Self.config(#""workers":1"#, resources: mesh)).count == 1, "no such stage: a slip")
    }
}
