package import Host
package import Pipeline

/// A sidecar's own files, read and compiled: what `weft sidecar --config FILE` runs on, and `weft config check` checks.
///
/// The same reader, validation and compiler as the control plane's, so that a sidecar never knows the difference: it only ever
/// gets a snapshot.
package struct LocalConfig: Sendable {
    package let settings: SidecarSettings
    package let snapshot: Snapshot
    /// Warnings, if it was accepted.
    package let warnings: [ConfigProblem]

    /// Everything that stands in the way, all at once.
    package struct Refusal: Error, Sendable {
        package let problems: [ConfigProblem]
    }

    /// The declared fields, for docs and JSON Schema.
    package static var fields: [ConfigField] { SidecarFile.configFields }

    /// Reads the file at `path` and the folder it may name; relative paths count from the file's own directory.
    package static func read(_ path: String, filters: [String: FilterSchema]) throws(Refusal) -> LocalConfig {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try Files.read(path)
        } catch {
            throw Refusal(problems: [Self.unreadable(path, error)])
        }
        let text = ConfigReader.read(bytes: bytes, name: path)
        guard let root = text.root, !text.problems.hasErrors else { throw Refusal(problems: text.problems) }
        let result = SidecarFile.decode(root, subject: "a sidecar's config")
        guard let file = result.value else { throw Refusal(problems: text.problems + result.problems) }
        var reading = Reading(file: file, directory: directory(of: path), filters: filters, problems: text.problems + result.problems)
        return try reading.finish()
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    fileprivate static func unreadable(_ path: String, _ error: SystemError) -> ConfigProblem {
        ConfigProblem(
            "cannot be read: \(SystemError.text(error.code))", source: ConfigSource(name: path, bytes: []), range: 0..<0, path: "")
    }
}

/// The steps from a decoded file to settings and snapshot.
private struct Reading {
    let file: SidecarFile
    let directory: String
    let filters: [String: FilterSchema]
    var problems: [ConfigProblem]

    mutating func finish() throws(LocalConfig.Refusal) -> LocalConfig {
        let resources = self.resources()
        let workload = TrafficPart.WorkloadRef(
            service: file.service.name, namespace: file.service.namespace, version: file.service.version)
        let compiler = SnapshotCompiler(resources, endpoints: [])
        let trustDomain = resources.resources.keys.contains { $0.kind == .mesh } ? compiler.trustDomain : file.trustDomain
        var snapshot = compiler.compile(for: workload, trust: TrustPart(trustDomain: trustDomain, roots: ""))
        var settings = SidecarSettings(
            workload: workload, name: "\(file.service.name).\(file.service.namespace)", stateDirectory: absolute(file.state))
        chains(into: &snapshot, &settings)
        entrances(into: &settings)
        settings.workers = file.workers
        settings.application = address(file.application, "application")
        settings.admin = address(file.admin, "admin")
        if let tls = file.tls {
            let files = SidecarSettings.CertificateFiles(
                certificate: absolute(tls.certificate), key: absolute(tls.key), bundle: absolute(tls.bundle))
            settings.certificateFiles = files
            do throws(SystemError) {
                snapshot.trust.roots = String(decoding: try Files.read(files.bundle), as: UTF8.self)
            } catch {
                problems.append(LocalConfig.unreadable(files.bundle, error))
            }
        } else if file.inbound?.plaintext == false {
            problems.append(
                ConfigProblem(
                    "an inbound port without certificates could let nobody in", at: file.node["inbound"] ?? file.node, path: "inbound",
                    notes: ["give \"tls\" certificate, key and bundle, or say \"plaintext\": true"]))
        }
        guard !problems.hasErrors else { throw LocalConfig.Refusal(problems: problems) }
        return LocalConfig(settings: settings, snapshot: snapshot, warnings: problems)
    }

    private mutating func resources() -> ResourceSet {
        let read = ResourceReader.read(file.resources, by: .sidecar)
        problems += read.problems
        problems += ResourceValidation.validate(read.resources, filters: filters, broken: read.broken)
        return ResourceSet(read.resources)
    }

    // MARK: Chains

    private mutating func chains(into snapshot: inout Snapshot, _ settings: inout SidecarSettings) {
        if let folder = file.filters {
            let path = absolute(folder)
            if let stages = stages(of: path, .inbound, &settings) { snapshot.chain.inbound = stages }
            if let stages = stages(of: path, .outbound, &settings) { snapshot.chain.outbound = stages }
        }
        if let stages = stages(file.chains.inbound, .inbound) { snapshot.chain.inbound = stages }
        if let stages = stages(file.chains.outbound, .outbound) { snapshot.chain.outbound = stages }
    }

    private mutating func stages(_ entries: [StageEntry], _ direction: ChainDirection) -> [ChainPart.Stage]? {
        guard !entries.isEmpty else { return nil }
        let path = "chains.\(direction.rawValue)"
        let list = file.node["chains"]?[direction.rawValue] ?? file.node
        problems += ChainRules.check(
            entries, direction: direction, at: list, path: path, filters: filters, needs: ChainRules.Needs(tls: nil, authz: nil))
        for entry in entries {
            if let config = entry.config, let schema = filters[entry.filter] { problems += schema.check(config, path: "\(path).config") }
        }
        return entries.map { entry in
            ChainPart.Stage(
                id: entry.id, filter: entry.filter, config: entry.config?.json ?? "{}",
                origin: Origin(resource: "\(direction.rawValue) chain", file: entry.node.file, line: entry.node.line))
        }
    }

    private mutating func stages(
        of folder: String, _ direction: ChainDirection, _ settings: inout SidecarSettings
    ) -> [ChainPart.Stage]? {
        let path = "\(folder)/\(direction.rawValue)"
        var sources: [ConfigSource] = []
        do throws(SystemError) {
            for name in try Files.names(in: path) { sources.append(ConfigSource(name: "\(path)/\(name)", bytes: try Files.read("\(path)/\(name)"))) }
        } catch {
            problems.append(LocalConfig.unreadable(path, error))
            return nil
        }
        let result = StageFolder.read(folder: path, files: sources, direction: direction, filters: filters)
        problems += result.problems
        let required = result.stages.filter(\.isRequired).map(\.entry.id)
        settings.requiredStages[direction == .inbound ? .inbound : .outbound] = required
        return result.stages.map { stage in
            ChainPart.Stage(
                id: stage.entry.id, filter: stage.entry.filter, config: stage.entry.config?.json ?? "{}",
                origin: Origin(resource: "\(direction.rawValue) folder", file: stage.entry.node.file, line: stage.entry.node.line),
                required: stage.isRequired)
        }
    }

    // MARK: Addresses

    private mutating func entrances(into settings: inout SidecarSettings) {
        settings.entrances.inbound = address(file.inbound?.address, "inbound.address")
        settings.entrances.inboundIsPlain = file.inbound?.plaintext ?? false
        settings.entrances.proxy = address(file.proxy, "proxy")
        for (index, outbound) in file.outbound.enumerated() {
            guard let address = address(outbound.address, "outbound[\(index)].address") else { continue }
            settings.entrances.outbound.append(
                Dataplane.Entrances.Outbound(
                    service: outbound.service, namespace: outbound.namespace ?? file.service.namespace, address: address))
        }
    }

    private mutating func address(_ text: String?, _ path: String) -> SocketAddress? {
        guard let text else { return nil }
        if let address = SocketAddress(text) { return address }
        var node: ConfigNode? = file.node
        for key in path.split(separator: ".") where !key.contains("[") { node = node?[String(key)] }
        problems.append(
            ConfigProblem(
                "\"\(text)\" is no address", at: node ?? file.node, path: path,
                notes: ["write 127.0.0.1:8080, [::1]:8080 or unix:/path; names are not resolved"]))
        return nil
    }

    private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : "\(directory)/\(path)" }
}
