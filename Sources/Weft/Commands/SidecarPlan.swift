internal import ControlPlane
internal import Host
internal import Pipeline

/// What a sidecar runs on: its own files, or a control plane.
struct SidecarPlan {
    let settings: SidecarSettings
    /// Nil: what the control plane sends, or the last good one on disk.
    let snapshot: Snapshot?
    let warnings: [ConfigProblem]

    static let flags: [Flag] = [
        Flag("config", .text("FILE"), "Run on local files alone, as this one says; no other flag goes with it."),
        Flag("control-plane", .text("HOST:PORT"), environment: "WEFT_MESH", "Run on a control plane: its mesh port, \"mesh\" in its endpoints.json."),
        Flag("token", .text("TOKEN"), environment: "WEFT_TOKEN", "The join token; seen by everybody in ps, so better a file."),
        Flag("token-file", .text("FILE"), "The file with the join token, its owner's alone (0600)."),
        Flag("service", .text("NAME"), "The service it stands beside."),
        Flag("namespace", .text("NAME"), letter: "n", "The service's namespace (by default \(ResourceKey.defaultNamespace))."),
        Flag("version", .text("LABEL"), "The service's version, such as v1."),
        Flag("name", .text("NAME"), "What ps calls it, unique in the mesh; by default service, version and host."),
        Flag("app", .address, "Where the application listens; best a unix socket, that nobody reaches around the sidecar."),
        Flag("inbound", .address, "Where callers come in; what other sidecars are told. By default 127.0.0.1 and a free port."),
        Flag("tcp", .text("PORT=APP"), repeatable: true, "A port of the service for raw streams and where the application serves it: 5432=127.0.0.1:5432; callers come in at a free port beside --inbound, or at a third address: 5432=127.0.0.1:5432,0.0.0.0:15432."),
        Flag("trusted-proxy", .text("RANGE"), repeatable: true, "A proxy in front of --inbound that proves no identity and whose x-forwarded-for is believed: 10.1.2.3, or 10.1.0.0/16."),
        Flag("proxy-protocol-in", .text("PORT"), repeatable: true, "A --tcp port, or http for --inbound, where every --trusted-proxy begins with a PROXY header of version 2."),
        Flag("proxy-protocol-out", .text("PORT"), repeatable: true, "A --tcp port whose application is told in a PROXY header of version 2 where each connection came from."),
        Flag("proxy", .address, "The application's HTTP_PROXY. By default 127.0.0.1 and a free port."),
        Flag("outbound", .text("SERVICE=ADDRESS"), repeatable: true, "A local port that leads to one service: inventory=127.0.0.1:9001, or to a port of it: orders-db:5432=127.0.0.1:5432."),
        Flag("admin", .address, "/livez /readyz /config /metrics on loopback. By default 127.0.0.1 and a free port; the unix socket is always there."),
        Flag("state", .text("DIR"), "Key, certificate and last good config (0700)."),
        Flag("filters", .text("DIR"), "A filters.d folder, for its stages marked required."),
        Flag("workers", .count(0...255), "Event loops; by default one per core."),
        Flag("max-connections", .count(1...10_000_000), "Callers' connections per event loop; further ones are closed at once (by default \(Bounds().downstreamMax))."),
        Flag("memory", .text("SIZE"), "For connections' buffers, per event loop, such as 64MiB (by default \(ByteCount(Int64(Bounds().memoryMax)))): over it 503 OM."),
        Flag("seed", .count(0...Int.max), "Makes random choices (versions, endpoints, back-offs) repeatable, for tests."),
    ]

    init(_ invocation: Invocation) throws(CommandFailure) {
        if let file = invocation.optional("config") {
            // Environment variables may stand around; what was typed beside --config is a misunderstanding.
            let other = Self.flags.first { !["config", "control-plane", "token"].contains($0.name) && !invocation.all($0.name).isEmpty }
            if let other { throw .usage("--config and --\(other.name) do not go together", hint: "the file says it all: weft config check \(Printable.text(file))") }
            do throws(LocalConfig.Refusal) {
                let local = try LocalConfig.read(file, filters: invocation.schemas)
                settings = local.settings
                snapshot = local.snapshot
                warnings = local.warnings
            } catch {
                throw .configuration(error.problems, summary: "\(Printable.text(file)) is not a config to run on")
            }
            return
        }
        guard let text = invocation.optional("control-plane") else {
            throw .usage("a sidecar needs --config FILE or --control-plane HOST:PORT", hint: "weft help sidecar")
        }
        guard let address = SocketAddress(text), address.family != .unix else {
            throw .usage("--control-plane: \"\(Printable.text(text))\" is no host and port", hint: "a sidecar joins at the mesh port: \"mesh\" in endpoints.json beside the API's socket")
        }
        let service = try Self.required("service", invocation), state = try Self.required("state", invocation)
        let namespace = invocation.optional("namespace") ?? ResourceKey.defaultNamespace
        let version = invocation.optional("version") ?? ""
        for (flag, label) in [("service", service), ("namespace", namespace), ("version", version)] where !label.isEmpty && !ConfigRule.isLabel(label) {
            throw .usage("--\(flag): \"\(Printable.text(label))\" is no DNS label", hint: "lower-case letters, digits and hyphens, at most 63")
        }
        let workload = TrafficPart.WorkloadRef(service: service, namespace: namespace, version: version)
        let name = invocation.optional("name") ?? [service, version, Environment.hostName].filter { !$0.isEmpty }.joined(separator: "-")
        var settings = SidecarSettings(workload: workload, name: name, stateDirectory: state)
        settings.workers = invocation.optional("workers").flatMap(Int.init).flatMap { $0 == 0 ? nil : $0 } ?? Machine.coreCount
        settings.seed = invocation.optional("seed").flatMap { UInt64($0) }
        if let count = invocation.optional("max-connections").flatMap(Int.init) { settings.bounds.downstreamMax = count }
        if let text = invocation.optional("memory") { settings.bounds.memoryMax = try Self.memory(text) }
        settings.application = invocation.optionalAddress("app")
        settings.entrances.inbound = settings.application == nil ? nil : invocation.optionalAddress("inbound") ?? Self.anyPort
        settings.entrances.trustedProxies = try invocation.all("trusted-proxy").map { (text) throws(CommandFailure) in
            if let range = AddressRange(text) { return range }
            throw .usage("--trusted-proxy: \"\(Printable.text(text))\" is no address and no range of addresses", hint: "write it like 10.1.2.3, 10.0.0.0/8 or fd00::/8")
        }
        settings.entrances.streams = try Self.streams(invocation.all("tcp"), beside: invocation.optionalAddress("inbound") ?? Self.anyPort)
        try Self.proxyProtocol(invocation, &settings.entrances)
        settings.entrances.proxy = invocation.optionalAddress("proxy") ?? Self.anyPort
        settings.entrances.outbound = try Self.outbound(invocation.all("outbound"), namespace)
        settings.admin = invocation.optionalAddress("admin") ?? Self.anyPort
        settings.controlPlane = SidecarSettings.ControlPlane(address: address, token: try Self.token(invocation))
        if let folder = invocation.optional("filters") {
            (settings.requiredStages, warnings) = try Self.requiredStages(in: folder, invocation.schemas)
        } else {
            warnings = []
        }
        self.settings = settings
        snapshot = nil
    }

    // MARK: Files, read again at SIGHUP

    static func hasFiles(_ invocation: Invocation) -> Bool { invocation.optional("config") != nil || invocation.optional("filters") != nil }

    /// What may change while it runs. Throws `FilesRefused`, which says everything.
    static func readFiles(_ invocation: Invocation) throws -> SidecarFiles {
        do throws(CommandFailure) {
            if invocation.optional("config") != nil {
                let plan = try SidecarPlan(invocation)
                return SidecarFiles(snapshot: plan.snapshot, requiredStages: plan.settings.requiredStages)
            }
            guard let folder = invocation.optional("filters") else { return SidecarFiles() }
            return SidecarFiles(requiredStages: try requiredStages(in: folder, invocation.schemas).stages)
        } catch {
            throw FilesRefused(error)
        }
    }

    private static func requiredStages(
        in folder: String, _ filters: [String: FilterSchema]
    ) throws(CommandFailure) -> (stages: [ChainBuilder.Direction: [String]], warnings: [ConfigProblem]) {
        var stages: [ChainBuilder.Direction: [String]] = [:]
        var problems: [ConfigProblem] = []
        for direction in ChainDirection.allCases {
            let read = try required(of: Inputs.join(folder, direction.rawValue), direction, filters)
            stages[direction == .inbound ? .inbound : .outbound] = read.stages
            problems += read.problems
        }
        if problems.hasErrors { throw .configuration(problems, summary: "\(Printable.text(folder)) is no folder to run on") }
        return (stages, problems)
    }

    // MARK: Parts

    /// Loopback, and a port that the kernel chooses.
    private static var anyPort: SocketAddress? { SocketAddress("127.0.0.1:0") }

    private static func required(_ flag: String, _ invocation: Invocation) throws(CommandFailure) -> String {
        guard let value = invocation.optional(flag) else { throw .usage("a sidecar on a control plane needs --\(flag)", hint: "weft help sidecar") }
        return value
    }

    private static func outbound(_ texts: [String], _ namespace: String) throws(CommandFailure) -> [Dataplane.Entrances.Outbound] {
        var entrances: [Dataplane.Entrances.Outbound] = []
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let address = SocketAddress(parts[1]) else {
                throw .usage("--outbound: \"\(Printable.text(text))\" is no service and address", hint: "write it like inventory=127.0.0.1:0, or inventory.warehouse=127.0.0.1:9001")
            }
            let target = parts[0].split(separator: ":", maxSplits: 1).map(String.init)
            let name = target[0].split(separator: ".", maxSplits: 1).map(String.init)
            let port = target.count > 1 ? Int(target[1]) : nil
            guard target.count == 1 || port.map((1...65535).contains) == true else {
                throw .usage("--outbound: \"\(Printable.text(parts[0]))\" names no port of a service", hint: "write it like orders-db:5432=127.0.0.1:5432")
            }
            entrances.append(.init(service: name.first ?? "", namespace: name.count > 1 ? name[1] : namespace, port: port, address: address))
        }
        return entrances
    }

    /// `PORT=APP`, or `PORT=APP,INBOUND`.
    private static func streams(_ texts: [String], beside inbound: SocketAddress?) throws(CommandFailure) -> [Dataplane.Entrances.Stream] {
        var streams: [Dataplane.Entrances.Stream] = []
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            let places = parts.count == 2 ? parts[1].split(separator: ",").map(String.init) : []
            let own = places.count == 2 ? SocketAddress(places[1]) : inbound.flatMap { SocketAddress(host: $0.host, port: 0) }
            guard let port = Int(parts.first ?? ""), (1...65535).contains(port), (1...2).contains(places.count),
                let application = SocketAddress(places[0]), let own
            else {
                throw .usage("--tcp: \"\(Printable.text(text))\" is no port and address", hint: "write it like 5432=127.0.0.1:5432, or 5432=unix:/run/db.sock,0.0.0.0:15432")
            }
            guard !streams.contains(where: { $0.port == port }) else { throw .usage("--tcp: port \(port) stands there twice", hint: "one application per port") }
            streams.append(.init(port: port, address: own, application: application))
        }
        // With the port for http as many as a sidecar may register.
        guard streams.count < PushLimits.endpointsMax else { throw .usage("--tcp: \(streams.count) ports", hint: "at most \(PushLimits.endpointsMax - 1)") }
        return streams
    }

    private static func proxyProtocol(_ invocation: Invocation, _ entrances: inout Dataplane.Entrances) throws(CommandFailure) {
        for index in entrances.streams.indices { entrances.streams[index].trustedProxies = entrances.trustedProxies }
        let taken = invocation.all("proxy-protocol-in")
        if !taken.isEmpty, entrances.trustedProxies.isEmpty {
            throw .usage("--proxy-protocol-in without --trusted-proxy: nobody's header would be believed", hint: "name the proxies in front: --trusted-proxy 10.1.0.0/16")
        }
        for (flag, texts) in [("proxy-protocol-in", taken), ("proxy-protocol-out", invocation.all("proxy-protocol-out"))] {
            for text in texts {
                if flag == "proxy-protocol-in", text == "http" {
                    entrances.inboundTakesProxyHeader = true
                } else if let index = entrances.streams.firstIndex(where: { "\($0.port)" == text }) {
                    if flag == "proxy-protocol-in" { entrances.streams[index].takesProxyHeader = true } else { entrances.streams[index].sendsProxyHeader = true }
                } else {
                    throw .usage("--\(flag): \"\(Printable.text(text))\" is no port of --tcp", hint: "write it like --tcp 5432=127.0.0.1:5432 --\(flag) 5432")
                }
            }
        }
    }

    private static func memory(_ text: String) throws(CommandFailure) -> Int {
        guard let count = Quantity.parse(text, Quantity.sizes), (1 << 20...1 << 40).contains(count) else {
            throw .usage("--memory: \"\(Printable.text(text))\" is no size from 1MiB to 1024GiB", hint: "write it like 64MiB")
        }
        return Int(count)
    }

    /// Nil: one that has joined before needs none.
    private static func token(_ invocation: Invocation) throws(CommandFailure) -> String? {
        guard let file = invocation.optional("token-file") else { return invocation.optional("token") }
        do {
            let text = String(decoding: try Files.readSecret(file), as: UTF8.self)
            return text.split(whereSeparator: \.isWhitespace).first.map(String.init)
        } catch {
            throw .usage("cannot read the token: \(error)")
        }
    }

    private static func required(
        of folder: String, _ direction: ChainDirection, _ filters: [String: FilterSchema]
    ) throws(CommandFailure) -> (stages: [String], problems: [ConfigProblem]) {
        guard Inputs.isFolder(folder) else { return ([], []) }
        var files: [ConfigSource] = []
        for name in try Inputs.names(folder) where StageFolder.stageName(name) != nil { files.append(try Inputs.file(Inputs.join(folder, name))) }
        let result = StageFolder.read(folder: folder, files: files, direction: direction, filters: filters)
        return (result.stages.filter(\.isRequired).map(\.entry.id), result.problems)
    }
}

/// Why a sidecar's own files were not taken, for its log.
struct FilesRefused: Error, CustomStringConvertible {
    let description: String

    init(_ failure: CommandFailure) {
        switch failure {
        case .configuration(let problems, let summary): description = problems.map { $0.rendered() }.joined(separator: "\n") + "\n" + summary
        case .usage(let text, _), .no(let text), .unreachable(let text, _), .timeout(let text), .system(let text): description = text
        }
    }
}
