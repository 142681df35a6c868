import LoopbackTesting

/// What most tests begin with: the shop's services, without limits that a load would meet and without retries.
enum Shop {
    static let mesh = #"""
        [
        {"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"strict","defaultAccess":"allow","egress":"deny",
         "settings":{"retry":{"maxRetries":0},"request-timeout":{"after":"20s"},"attempt-timeout":{"after":"20s"},"breaker":{"maxRequests":100000,"consecutiveFailures":0}}},
        {"kind":"Service","name":"order","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"analytics","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"inventory","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],"defaultVersion":"v1"}
        ]
        """#

    static let denyAnalytics =
        #"{"kind":"AccessPolicy","name":"no-analytics","target":{"service":"payment"},"action":"deny","rules":[{"from":[{"service":"analytics"}]}]}"#
    static let denyOrder =
        #"{"kind":"AccessPolicy","name":"no-order","target":{"service":"payment"},"action":"deny","rules":[{"from":[{"service":"order"}]}]}"#

    static func canary(_ v1: Int, _ v2: Int) -> String {
        #"{"kind":"Route","name":"payment","service":"payment","rules":[{"name":"all","matches":[{"path":{"prefix":"/"}}],"backends":[{"version":"v1","weight":\#(v1)},{"version":"v2","weight":\#(v2)}]}]}"#
    }

    /// order's outbound chain, from its stages.
    static func chain(_ stages: String) -> String {
        #"{"kind":"Chain","name":"outbound","direction":"outbound","target":{"service":"order"},"stages":[\#(stages)]}"#
    }

    static func retry(_ fields: String) -> String {
        #"{"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],"defaultVersion":"v1","settings":{\#(fields)}}"#
    }
}

/// order calls payment: what most tests are about.
struct Pair {
    let mesh: LoopbackMesh
    let order: MeshSidecar
    let payment: MeshSidecar

    init(_ resources: String = Shop.mesh, also: String..., via: RecordingRelay? = nil, workers: Int = 1, planeFlags: [String] = []) throws {
        mesh = try LoopbackMesh(resources, planeFlags: planeFlags)
        for text in also { try mesh.apply(text) }
        order = try mesh.add("order", outbound: ["payment"], via: via?.address, workers: workers)
        payment = try mesh.add("payment", version: "v1", workers: workers)
        try mesh.waitUntilSynced()
        try reachable()
    }

    /// SYNCED says that configs are in force; the endpoint is there once payment's health is known.
    func reachable() throws {
        let client = order.client(for: "payment")
        let ready = eventually(within: .seconds(10)) { (try? client.get("/ready").status) == 200 }
        guard ready else { throw LoopbackMesh.Failure("order cannot reach payment: \(String(describing: try? client.get("/ready")))\n\(mesh.diary)") }
        payment.application.forget()
    }

    func load(_ plan: LoadGenerator.Plan = .init()) -> LoadGenerator { LoadGenerator(plan, to: order.address(for: "payment")) }
}

extension FaultService {
    /// Numbers of a load's requests that arrived.
    func numbers(of load: String) -> [Int] {
        let prefix = "/load/\(load)/"
        return log.compactMap { $0.path.hasPrefix(prefix) ? Int($0.path.dropFirst(prefix.count)) : nil }
    }
}

/// Zero failed: sent = answered = the application's own log, each request once.
func failures(of report: LoadGenerator.Report, named name: String = "a", in applications: FaultService...) -> String? {
    let numbers = applications.flatMap { $0.numbers(of: name) }
    if report.ok == report.sent, numbers.count == report.sent, Set(numbers).count == numbers.count { return nil }
    return "\(report); the application's log has \(numbers.count), \(Set(numbers).count) of them different"
}
