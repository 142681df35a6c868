internal import Glibc
internal import Host
internal import Pipeline

/// All processes of the demo and the folder they live in. Started in the order a person would; ended in the order that loses nothing.
final class DemoMesh {
    /// One service process and the sidecar beside it.
    struct Member {
        let service: DemoService.Name
        let version: String
        /// Calls others: is started behind its sidecar, whose ports it needs to be told.
        let callsOthers: Bool

        var name: String { service == .payment ? "\(service.rawValue)-\(version)" : service.rawValue }
    }

    static let members = [
        Member(service: .payment, version: "v1", callsOthers: false), Member(service: .payment, version: "v2", callsOthers: false),
        Member(service: .inventory, version: "v1", callsOthers: false), Member(service: .order, version: "v1", callsOthers: true),
        Member(service: .analytics, version: "v1", callsOthers: true),
    ]

    let folder: String
    let loop: EventLoop
    let api: ControlPlaneAPI
    private var controlPlane: ChildProcess?
    private var sidecars: [ChildProcess] = []
    private var applications: [ChildProcess] = []
    private var signals: Signals?
    private(set) var isInterrupted = false
    /// Where sidecars reach the control plane; the same after a restart.
    private var meshPort = ""
    private var restartDue: Instant?
    private var restarts = 0

    private static let restartDelay = Nanoseconds.seconds(5)
    private static let restartsMax = 100

    /// Ctrl-C, or another signal to end.
    struct Interrupted: Error {}

    init(in folder: String) throws {
        self.folder = folder
        guard let address = SocketAddress(unix: folder + "/control-plane/api.sock") else {
            throw CommandFailure.usage("\(folder) is too long a path for unix sockets", hint: "a folder of at most 80 characters")
        }
        api = ControlPlaneAPI(address)
        Signals.block([SIGINT, SIGTERM, SIGHUP])
        loop = try EventLoop()
        signals = try Signals([SIGINT, SIGTERM, SIGHUP], on: loop) { [unowned self] _ in isInterrupted = true }
    }

    // MARK: Start

    func start() throws {
        try Files.makeFolder(folder + "/log")
        try startControlPlane()
        for (name, text) in DemoResources.files { try Files.write(Array(text.utf8), to: "\(folder)/\(name)") }
        try apply(DemoResources.shop, name: "shop.json")
        for member in Self.members where !member.callsOthers { try startApplication(member, environment: []) }
        for member in Self.members { try startSidecar(member) }
        for member in Self.members where member.callsOthers {
            let ports = try ports(of: member)
            // As any program is told: what a service needs to know of its mesh is two addresses.
            try startApplication(member, environment: ["HTTP_PROXY=http://\(ports.text("proxy"))", "INVENTORY_URL=http://\(ports["outbound"]?.text("inventory") ?? "")"])
        }
    }

    func socket(of service: DemoService.Name, _ version: String = "v1") -> SocketAddress {
        let name = Self.members.first { $0.service == service && $0.version == version }?.name ?? service.rawValue
        guard let address = SocketAddress(unix: "\(folder)/\(name).sock") else { preconditionFailure("checked in init: shorter than the API's path") }
        return address
    }

    private func startControlPlane() throws {
        controlPlane = try controlPlaneProcess(listen: "127.0.0.1:0")
        let path = folder + "/control-plane/endpoints.json"
        try wait("the control plane listens", for: .seconds(15)) { Inputs.exists(path) && (try? api.get("/v1/version")) != nil }
        meshPort = ConfigReader.read(bytes: try Files.read(path), name: path).root?.text("mesh") ?? ""
    }

    private func controlPlaneProcess(listen: String) throws(CommandFailure) -> ChildProcess {
        try ChildProcess(
            "control-plane", ["control-plane", "--state", folder + "/control-plane", "--listen", listen, "--trust-domain", "shop.internal"],
            log: folder + "/log/control-plane.log")
    }

    /// Whoever kills it sees that traffic goes on; like any supervisor, we start it again after a while.
    private func superviseControlPlane() throws {
        guard let controlPlane, !meshPort.isEmpty, !controlPlane.isRunning else { return }
        let now = Clock.monotonic()
        guard let due = restartDue else {
            restartDue = now + Self.restartDelay
            return
        }
        guard now >= due, restarts < Self.restartsMax else { return }
        restarts += 1
        restartDue = nil
        self.controlPlane = try controlPlaneProcess(listen: meshPort)
    }

    private func apply(_ text: String, name: String) throws {
        var body = JSONWriter()
        body.object { body in
            body.key("files")
            body.array { $0.object { $0.member("name", name); $0.member("text", text) } }
        }
        let answer = try api.post("/v1/apply", [:], body.text)
        guard answer.isOK else { throw answer.failure([ConfigSource(name: name, text: text)]) }
    }

    private func startApplication(_ member: Member, environment: [String]) throws {
        applications.append(
            try ChildProcess(
                member.name, ["demo-service", member.service.rawValue, "--version", member.version, "--listen", socket(of: member.service, member.version).description],
                environment: environment, log: "\(folder)/log/\(member.name).log"))
    }

    private func startSidecar(_ member: Member) throws {
        let state = "\(folder)/\(member.name)"
        try Files.makeFolder(state)
        let answer = try api.post("/v1/tokens", [:], "{\"service\":\"\(member.service.rawValue)\",\"namespace\":\"default\",\"ttl\":\"1h\",\"uses\":1}").accepted()
        try Files.write(Array(answer.text("token").utf8), to: state + "/token")
        let arguments = [
            "sidecar", "--control-plane", meshPort, "--token-file", state + "/token", "--service", member.service.rawValue, "--version", member.version,
            "--name", member.name, "--app", socket(of: member.service, member.version).description, "--state", state,
        ]
        sidecars.append(
            try ChildProcess(
                "\(member.name)'s sidecar", arguments + (member.callsOthers ? ["--outbound", "inventory=127.0.0.1:0"] : []),
                log: "\(folder)/log/\(member.name)-sidecar.log"))
    }

    /// Where a sidecar listens, once it does.
    private func ports(of member: Member) throws -> ConfigNode {
        let path = "\(folder)/\(member.name)/endpoints.json"
        try wait("\(member.name)'s sidecar listens", for: .seconds(15)) { Inputs.exists(path) }
        guard let root = ConfigReader.read(bytes: try Files.read(path), name: path).root else { throw CommandFailure.system("\(path) is no JSON") }
        return root
    }

    // MARK: Waiting

    /// Returns once all sidecars run on the newest config and every service has its healthy endpoints.
    func waitUntilSynced() throws {
        try wait("all sidecars are SYNCED", for: .seconds(30)) {
            guard let sidecars = try? api.get("/v1/sidecars").items("items"), SidecarStates.isSynced(sidecars, atLeast: Self.members.count) else { return false }
            return sidecars.allSatisfy { $0.text("health") == "healthy" }
        }
        try wait("a first checkout succeeds", for: .seconds(15)) {
            let answer = try? ServiceClient.fetch(ServiceRequest("GET", "/checkout"), from: ServiceTarget(socket(of: .order)), timeout: .seconds(3))
            return answer?.status == 200
        }
    }

    /// Turns the loop, so that load and signals go on, until `condition` holds. Fails if time is up or a process has ended.
    func wait(_ what: String, for time: Nanoseconds, until condition: () -> Bool) throws {
        let deadline = Clock.monotonic() + time
        while !condition() {
            try turn(.milliseconds(20))
            if Clock.monotonic() >= deadline { throw CommandFailure.timeout("gave up waiting until \(what)") }
        }
    }

    /// One turn of the loop. Throws if the demo is to end, or has broken.
    func turn(_ most: Nanoseconds) throws {
        loop.turn(waitingAtMost: most)
        if isInterrupted { throw Interrupted() }
        try superviseControlPlane()
        let all = sidecars + applications + (meshPort.isEmpty ? [controlPlane].compactMap { $0 } : [])
        for process in all where !process.isRunning {
            let words = process.lastWords
            throw CommandFailure.no(
                "\(process.name) has ended by itself, and the demo with it\(words.isEmpty ? "; it said nothing: somebody killed it?" : "; its last words:\n\(words)")")
        }
    }

    // MARK: End

    /// What each application's own request log says.
    func applicationLogs() -> [(name: String, log: ConfigNode)] {
        Self.members.compactMap { member in
            let answer = try? ServiceClient.fetch(ServiceRequest("GET", "/stats"), from: ServiceTarget(socket(of: member.service, member.version)), timeout: .seconds(2))
            return answer.flatMap { ConfigReader.read($0.text, name: member.name).root }.map { (member.name, $0) }
        }
    }

    /// Ends the services and lets the sidecars, which then have nobody to wait for, drain and hand over their last figures;
    /// the control plane still answers afterwards.
    func endSidecars() {
        for process in applications { process.signal(SIGTERM) }
        for process in applications { process.end(within: .seconds(2)) }
        applications = []
        for process in sidecars { process.signal(SIGTERM) }
        for process in sidecars { process.end(within: .seconds(10)) }
        sidecars = []
    }

    /// Ends every process; the folder goes unless it is to stay.
    func end(keepingFolder: Bool) {
        endSidecars()
        controlPlane?.signal(SIGTERM)
        controlPlane?.end(within: .seconds(3))
        controlPlane = nil
        signals?.close()
        if !keepingFolder { Self.remove(folder) }
    }

    /// A folder and all in it, without following links.
    static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in (try? Files.names(in: path)) ?? [] { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
