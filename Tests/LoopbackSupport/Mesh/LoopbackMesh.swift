internal import Glibc
package import Host
package import Pipeline
internal import Synchronization

/// A whole mesh on this machine: a control plane and sidecars as processes of their own, with real sockets, certificates and
/// files, and services in the test's process. Everything ends with the object.
package final class LoopbackMesh {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }

    package let folder: WorkFolder
    package private(set) var plane: MeshProcess
    package private(set) var sidecars: [MeshSidecar] = []
    package private(set) var services: [FaultService] = []
    /// The control plane's mesh port: the same after a restart.
    package private(set) var meshAddress: SocketAddress
    package private(set) var metricsAddress: SocketAddress
    private let binary: String
    private var applied = 0

    private let planeFlags: [String]

    /// Starts a control plane and applies `resources`, one file each.
    ///
    /// - Parameter planeFlags: more flags of `weft control-plane`.
    package init(_ resources: String..., planeFlags: [String] = []) throws {
        guard let binary = Programs.weft else { throw Failure("no weft binary: swift build -c release --product weft, or set WEFT_BINARY") }
        self.binary = binary
        self.planeFlags = planeFlags
        folder = try WorkFolder()
        let state = folder("plane")
        plane = try Self.startPlane(binary, state, folder, listen: "127.0.0.1:0", metrics: "127.0.0.1:0", planeFlags)
        let endpoints = try Self.endpoints(state, plane)
        guard let mesh = endpoints["mesh"]?.string.flatMap({ SocketAddress($0) }),
            let metrics = endpoints["metrics"]?.string.flatMap({ SocketAddress($0) })
        else { throw Failure("the control plane's endpoints.json names no addresses: \(endpoints.json)") }
        (meshAddress, metricsAddress) = (mesh, metrics)
        for resource in resources { try apply(resource) }
    }

    deinit {
        for sidecar in sidecars { sidecar.process.kill() }
        plane.kill()
        for service in services { service.refuse() }
    }

    // MARK: The control plane

    package var planeState: String { folder("plane") }
    package var api: SocketAddress { SocketAddress(unix: planeState + "/api.sock")! }

    private static func startPlane(
        _ binary: String, _ state: String, _ folder: WorkFolder, listen: String, metrics: String, _ flags: [String]
    ) throws -> MeshProcess {
        unlink(state + "/endpoints.json")
        return try MeshProcess(
            "plane",
            [binary, "control-plane", "--state", state, "--listen", listen, "--metrics", metrics, "--trust-domain", "shop.internal"] + flags,
            in: folder)
    }

    package static func endpoints(_ state: String, _ process: MeshProcess) throws -> ConfigNode {
        var found: ConfigNode?
        _ = eventually(within: .seconds(20)) {
            guard let bytes = try? Files.read(state + "/endpoints.json") else { return !process.isRunning }
            found = ConfigReader.read(bytes: bytes, name: "endpoints.json").root
            return found != nil
        }
        guard let found else { throw Failure("no endpoints.json: \(process)") }
        return found
    }

    /// kill -9.
    package func killPlane() { plane.kill() }

    /// Starts it again on the same state and port, and waits until it answers.
    package func restartPlane() throws {
        plane = try Self.startPlane(binary, planeState, folder, listen: meshAddress.description, metrics: metricsAddress.description, planeFlags)
        _ = try Self.endpoints(planeState, plane)
    }

    package func call(_ method: String, _ path: String, query: String = "", body: String = "") throws -> (status: Int, body: ConfigNode) {
        let request = ServiceRequest(method, path, query: query, headers: [("content-type", "application/json")], body: Array(body.utf8))
        let response = try ServiceClient.fetch(request, from: ServiceTarget(api), timeout: .seconds(20))
        return (Int(response.status), ConfigReader.read(bytes: response.body, name: path).root ?? .empty)
    }

    package func get(_ path: String, query: String = "") throws -> ConfigNode {
        let answer = try call("GET", path, query: query)
        guard answer.status == 200 else { throw Failure("GET \(path) answered \(answer.status): \(answer.body.json)") }
        return answer.body
    }

    // MARK: The command line

    /// Runs `weft` as a person would.
    package func weft(_ arguments: String..., within limit: Duration = .seconds(30)) throws -> CommandResult {
        try CommandResult.run([binary] + arguments, environment: ["WEFT_CONTROL_PLANE": "unix:\(planeState)/api.sock"], in: folder, within: limit)
    }

    /// `weft apply -f`, as a file of its own; throws if it is refused.
    @discardableResult
    package func apply(_ text: String) throws -> CommandResult {
        let result = try tryApply(text)
        guard result.code == 0 else { throw Failure("apply: \(result)\n\(plane)") }
        return result
    }

    package func tryApply(_ text: String, name: String? = nil) throws -> CommandResult {
        applied += 1
        let path = try folder.write(text, to: name ?? "apply\(applied).json")
        return try weft("apply", "-f", path)
    }

    // MARK: Sidecars and services

    /// A service in the test's process with a sidecar in front of it.
    ///
    /// - Parameters:
    ///   - outbound: services it gets a local port for, `orders-db:5432` for one of its ports.
    ///   - tcp: where programs serve ports of the service with raw streams.
    ///   - address: where a program that is already running serves, in place of one of our own.
    ///   - via: where it believes the control plane to be.
    ///   - binary: a sidecar of another build.
    @discardableResult
    package func add(
        _ service: String, version: String = "", outbound: [String] = [], at address: SocketAddress? = nil, tcp: [Int: SocketAddress] = [:],
        via: SocketAddress? = nil, workers: Int = 1, seed: UInt64? = nil, binary: String? = nil
    ) throws -> MeshSidecar {
        let number = sidecars.count
        let application = try FaultService(
            "\(service)\(version.isEmpty ? "" : "-\(version)")", at: SocketAddress(unix: folder("app\(number).sock"))!)
        services.append(application)
        let sidecar = try MeshSidecar(
            service, version, application, address ?? application.address, outbound, number, token(for: service), via ?? meshAddress,
            binary ?? self.binary, folder, ["--workers", "\(workers)"] + tcp.flatMap { ["--tcp", "\($0)=\($1)"] } + (seed.map { ["--seed", "\($0)"] } ?? []))
        sidecars.append(sidecar)
        return sidecar
    }

    package func token(for service: String, uses: Int = 1) throws -> String {
        let answer = try call("POST", "/v1/tokens", body: #"{"service":"\#(service)","namespace":"default","ttl":"1h","uses":\#(uses)}"#)
        guard let token = answer.body["token"]?.string else { throw Failure("no token for \(service): \(answer.status) \(answer.body.json)") }
        return token
    }

    /// What `weft ps` knows.
    package func states() throws -> [ConfigNode] { try get("/v1/sidecars")["items"]?.elements ?? [] }

    package func state(of sidecar: MeshSidecar) throws -> ConfigNode? { try states().first { $0["name"]?.string == sidecar.name } }

    /// How long it took until all sidecars are SYNCED; throws when time is up.
    @discardableResult
    package func waitUntilSynced(within limit: Duration = .seconds(20)) throws -> Duration {
        let start = ContinuousClock.now
        let expected = sidecars.filter(\.process.isRunning).count
        var last: [ConfigNode] = []
        let synced = try eventually(within: limit) {
            if let dead = sidecars.first(where: { $0.mustRun && !$0.process.isRunning }) { throw Failure("a sidecar ended: \(dead.process)") }
            last = try states().filter { $0["connected"]?.bool == true }
            return last.count >= expected && last.allSatisfy { $0["state"]?.string == "SYNCED" }
        }
        guard synced else { throw Failure("not SYNCED within \(limit): \(last.map(\.json))\n\(plane)\n\(sidecars.map(\.process.description).joined(separator: "\n"))") }
        return ContinuousClock.now - start
    }

    /// What everybody said last, for a failed expectation.
    package var diary: String { ([plane] + sidecars.map(\.process)).map(\.description).joined(separator: "\n") }
}

/// One sidecar process, and the service behind it.
package final class MeshSidecar {
    package let name: String
    package let service: String
    package let version: String
    package let application: FaultService
    package let state: String
    package private(set) var process: MeshProcess
    package private(set) var inbound: SocketAddress
    package private(set) var proxy: SocketAddress
    package private(set) var admin: SocketAddress
    package private(set) var outbound: [String: SocketAddress]
    /// Inbound ports of raw streams, by the service's port.
    package private(set) var tcp: [Int: SocketAddress] = [:]
    /// False once a test has killed it on purpose.
    package private(set) var mustRun = true
    private var arguments: [String]
    private let folder: WorkFolder

    init(
        _ service: String, _ version: String, _ application: FaultService, _ address: SocketAddress, _ outbound: [String], _ number: Int,
        _ token: String, _ plane: SocketAddress, _ binary: String, _ folder: WorkFolder, _ flags: [String]
    ) throws {
        self.service = service
        self.version = version
        self.application = application
        self.folder = folder
        name = "\(service)-\(version.isEmpty ? "x" : version)-\(number)"
        state = folder("s\(number)")
        let tokenFile = try folder.write(token, to: "token\(number)")
        arguments =
            [
                binary, "sidecar", "--control-plane", plane.description, "--token-file", tokenFile, "--service", service, "--app",
                address.description, "--inbound", "127.0.0.1:0", "--proxy", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", state,
                "--name", name,
            ] + flags + (version.isEmpty ? [] : ["--version", version]) + outbound.flatMap { ["--outbound", "\($0)=127.0.0.1:0"] }
        process = try MeshProcess(name, arguments, in: folder)
        let none = SocketAddress("127.0.0.1:0")!
        (inbound, proxy, admin, self.outbound) = (none, none, none, [:])
        try readEndpoints()
        // A restart comes back where it was, as a sidecar with a config file of its own would.
        pin("--inbound", inbound)
        pin("--proxy", proxy)
        pin("--admin", admin)
        for (service, address) in self.outbound {
            if let index = arguments.firstIndex(of: "\(service)=127.0.0.1:0") { arguments[index] = "\(service)=\(address)" }
        }
    }

    private func pin(_ flag: String, _ address: SocketAddress) {
        if let index = arguments.firstIndex(of: flag) { arguments[index + 1] = address.description }
    }

    private func readEndpoints() throws {
        let found = try LoopbackMesh.endpoints(state, process)
        func address(_ key: String) throws -> SocketAddress {
            guard let address = found[key]?.string.flatMap({ SocketAddress($0) }) else {
                throw LoopbackMesh.Failure("endpoints.json of \(name) has no \(key): \(found.json)\n\(process)")
            }
            return address
        }
        (inbound, proxy, admin) = (try address("inbound"), try address("proxy"), try address("admin"))
        for member in found["tcp"]?.members ?? [] {
            if let port = Int(member.key) { tcp[port] = member.value.string.flatMap { SocketAddress($0) } }
        }
        for member in found["outbound"]?.members ?? [] { outbound[member.key] = member.value.string.flatMap { SocketAddress($0) } }
    }

    /// SIGTERM: it begins to drain.
    package func stop() {
        mustRun = false
        process.send(SIGTERM)
    }

    /// kill -9.
    package func kill() {
        mustRun = false
        process.kill()
    }

    /// Starts it again on its state directory, at its addresses.
    package func restart() throws {
        process.kill()
        unlink(state + "/endpoints.json")
        process = try MeshProcess(name, arguments, in: folder)
        try readEndpoints()
        mustRun = true
    }

    /// A client on the local port for `service`, else on the proxy port.
    package func client(for service: String, timeout: Duration = .seconds(30)) -> HTTPClient {
        HTTPClient(outbound[service] ?? proxy, host: "\(service).weft", timeout: timeout)
    }

    package func address(for service: String) -> SocketAddress { outbound[service] ?? proxy }

    // MARK: What it says of itself

    package func metrics() throws -> String {
        try ServiceClient.fetch(ServiceRequest("GET", "/metrics"), from: ServiceTarget(admin), timeout: .seconds(5)).text
    }

    package func status(of path: String) throws -> Int {
        Int(try ServiceClient.fetch(ServiceRequest("GET", path), from: ServiceTarget(admin), timeout: .seconds(5)).status)
    }
}

/// Lines of a Prometheus page.
package struct MetricsPage {
    package struct Sample: CustomStringConvertible {
        package let name: String
        package let labels: String
        package let value: Double
        package var description: String { "\(name)\(labels) \(value)" }
    }

    package let samples: [Sample]

    package init(_ text: String) {
        samples = text.split(separator: "\n").compactMap { line in
            guard !line.hasPrefix("#"), let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { return nil }
            let series = line[..<space]
            let name = series.prefix { $0 != "{" }
            return Sample(name: String(name), labels: String(series.dropFirst(name.count)), value: value)
        }
    }

    /// The sum over all series of `name` whose labels contain every one of `parts`, as `status="200"`.
    package func sum(_ name: String, _ parts: String...) -> Double {
        samples.filter { sample in sample.name == name && parts.allSatisfy { sample.labels.contains($0) } }.reduce(0) { $0 + $1.value }
    }
}
