internal import Host
internal import Pipeline

/// The steps from a decoded file to settings and snapshot. Each notes what is wrong and goes on, so that all of it is said at
/// once; only the last one refuses.
struct LocalReading {
    let file: SidecarFile
    let directory: String
    let filters: [String: FilterSchema]
    var problems: [ConfigProblem]

    init(file: SidecarFile, directory: String, filters: [String: FilterSchema], problems: [ConfigProblem]) {
        self.file = file
        self.directory = directory
        self.filters = filters
        self.problems = problems
    }

    mutating func finish() throws(LocalConfig.Refusal) -> LocalConfig {
        let workload = TrafficPart.WorkloadRef(
            service: file.service.name, namespace: file.service.namespace, version: file.service.version)
        var settings = SidecarSettings(
            workload: workload, name: "\(file.service.name).\(file.service.namespace)", stateDirectory: absolute(file.state))
        settings.workers = file.workers
        settings.seed = file.seed.map { UInt64($0) }
        settings.bounds = file.limits.bounds

        let read = ResourceReader.read(file.resources, by: .sidecar)
        let resources = ResourceSet(read.resources)
        let own = ownService(resources, read.broken)
        let chains = self.chains(serving: own, among: read.resources)
        let stages = chains.mapValues { $0.map(\.entry) }
        problems += read.problems
        problems += ResourceValidation.validate(read.resources, filters: filters, broken: read.broken, ownStages: stages)

        let compiler = SnapshotCompiler(resources, endpoints: [])
        var snapshot = compiler.compile(for: workload, trust: TrustPart(trustDomain: trustDomain(resources), roots: ""))
        for (direction, stages) in chains { put(stages, direction, into: &snapshot, &settings) }
        snapshot.access.callees = compiler.callees(of: snapshot)
        entrances(into: &settings)
        streams(own)
        if read.broken.isEmpty { destinations(resources, snapshot, own) }
        certificates(&settings, &snapshot)

        let told = problems.inTextOrder
        guard !told.hasErrors else { throw LocalConfig.Refusal(problems: told) }
        return LocalConfig(settings: settings, snapshot: snapshot, warnings: told)
    }

    /// Its own Service. Where services are listed it must be among them: a slip in its name would leave it without the policies
    /// that name it.
    private mutating func ownService(_ resources: ResourceSet, _ broken: BrokenResources) -> ServiceResource? {
        let key = ResourceKey(.service, file.service.name, namespace: file.service.namespace)
        if case .service(let own)? = resources[key] { return own }
        let services = services(of: resources)
        guard !services.isEmpty, broken.isEmpty else { return nil }
        problems.append(
            missing(key, among: services, at: file.service.node["name"] ?? file.service.node, path: "service.name", near: file.service.namespace))
        return nil
    }

    /// The file's, unless a Mesh says one.
    private mutating func trustDomain(_ resources: ResourceSet) -> String {
        guard let mesh = resources.sorted.lazy.compactMap({ if case .mesh(let mesh) = $0 { mesh } else { nil } }).first,
            let said = mesh.node["trustDomain"]
        else { return file.trustDomain }
        if let node = file.node["trustDomain"], file.trustDomain != mesh.trustDomain {
            problems.append(
                ConfigProblem(
                    "trustDomain is \(JSONWriter.quoted(file.trustDomain)) here and \(JSONWriter.quoted(mesh.trustDomain)) in \(mesh.key)",
                    at: node, path: "trustDomain", notes: ["say it once"], related: .init(source: said.source, range: said.range, label: "there")))
        }
        return mesh.trustDomain
    }

    private mutating func certificates(_ settings: inout SidecarSettings, _ snapshot: inout Snapshot) {
        if let tls = file.tls {
            let files = SidecarSettings.CertificateFiles(
                certificate: absolute(tls.certificate), key: absolute(tls.key), bundle: absolute(tls.bundle))
            settings.certificateFiles = files
            do throws(SystemError) {
                snapshot.trust.roots = String(decoding: try Files.read(files.bundle), as: UTF8.self)
            } catch {
                problems.append(LocalConfig.unreadable(files.bundle, error))
            }
            return
        }
        if let node = file.inbound?.node ?? file.tcp.first?.node, file.inbound?.plaintext != true {
            problems.append(
                ConfigProblem(
                    "an inbound port without certificates could let nobody in", at: node, path: file.inbound == nil ? "tcp" : "inbound",
                    notes: ["give \"tls\" certificate, key and bundle, or say \"plaintext\": true"]))
        }
        guard hasOutbound else { return }
        let sidecars = snapshot.traffic.services.filter { $0.versions.contains { $0.endpoints.contains(where: \.hasSidecar) } }
        guard let first = sidecars.first else { return }
        problems.append(
            ConfigProblem(
                "without certificates no call of \(first.name) can succeed: its endpoints speak mTLS", severity: .warning,
                at: file.service.node, path: "tls", notes: ["give \"tls\" certificate, key and bundle, or say \"sidecar\": false of its workloads"]))
    }

    // MARK: Parts

    /// The application can call through it.
    var hasOutbound: Bool { file.proxy != nil || !file.outbound.isEmpty }

    func services(of resources: ResourceSet) -> [ServiceResource] {
        resources.sorted.compactMap { if case .service(let service) = $0 { service } else { nil } }
    }

    func missing(
        _ key: ResourceKey, among services: [ServiceResource], at node: ConfigNode, path: String, near namespace: String
    ) -> ConfigProblem {
        let names = services.filter { $0.namespace == namespace }.map(\.key.name)
        return ConfigProblem(
            "there is no service \(JSONWriter.quoted(key.qualifiedName))", at: node, path: path,
            suggestion: Spelling.suggestion(for: key.name, among: names),
            notes: ["services in \"resources\": \(services.prefix(12).map(\.key.qualifiedName).joined(separator: ", "))"])
    }

    func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : "\(directory)/\(path)" }
}
