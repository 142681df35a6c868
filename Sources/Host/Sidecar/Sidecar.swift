internal import Glibc
package import Pipeline

/// One sidecar, put together: the data path's loops, and on the loop of the calling thread all that steers them.
///
///     Sidecar(settings, registry) ─▶ start: bound, on its last good snapshot ─▶ run: until SIGTERM ─▶ drained, flushed
///
/// The only file here that knows everybody.
package final class Sidecar {
    /// Which signals end it (SIGTERM, SIGINT) and which has it read its files again (SIGHUP). Block them in `main`.
    package static let signals: [Int32] = [SIGTERM, SIGINT, SIGHUP]

    package let addresses: Addresses
    let loop: EventLoop
    let dataplane: Dataplane
    let running: RunningSnapshot
    let settings: SidecarSettings
    let log: SidecarLog
    private(set) var identity: IdentityClient?
    private(set) var push: SnapshotClient?
    private(set) var exporter: MetricsExporter?
    private(set) var probe: HealthProbe?

    private let registry: FilterRegistry
    private let folder: StateFolder
    private let incarnation: String
    private let reload: (() throws -> SidecarFiles)?
    private let reloadFailures: Counter
    /// For calls of the control plane; its sessions are resumed.
    private var controlContext: TLSContext?
    private var admin: AdminServer?
    private var shutdown: Shutdown?
    private var fatal: SidecarFailure?

    /// Opens everything and serves, on the last good snapshot or on local files; steering begins with `run`.
    ///
    /// - Parameters:
    ///   - snapshot: of local files, for a sidecar without a control plane.
    ///   - software: the version of weft, for `weft ps`.
    ///   - reload: reads the sidecar's own files again, at SIGHUP; nil: there are none. What it throws is logged in full, and
    ///     the old config stays.
    package init(
        settings: SidecarSettings, snapshot: Snapshot? = nil, registry: FilterRegistry, software: String, log: SidecarLog = SidecarLog(),
        reload: (() throws -> SidecarFiles)? = nil
    ) throws {
        precondition(settings.workers >= 1 && settings.workers < StatsRegistry.loopsMax, "the control loop counts as one more")
        self.settings = settings
        self.registry = registry
        self.log = log
        self.reload = reload
        incarnation = Hex.text(Entropy.bytes(16))
        loop = try EventLoop()
        folder = try StateFolder(settings.stateDirectory)

        identity = try settings.controlPlane.map { [loop, folder] controlPlane in
            try IdentityClient(on: loop, folder, controlPlane: controlPlane.address, workload: settings.workload, name: settings.name, token: controlPlane.token, log: log)
        }

        // What to run on, before anybody can come in. Who joins anew has no past: the folder may be of another mesh.
        let waiting = Snapshot.waiting(for: settings.workload)
        running = RunningSnapshot(waiting: waiting, folder, log: log)
        if identity?.credentials != nil { running.loadLastGood() }
        running.take(SidecarFiles(snapshot: snapshot, requiredStages: settings.requiredStages))
        do {
            dataplane = try Self.dataplane(settings, registry, running.snapshot, log)
        } catch let refusal as ChainBuilder.Refusal where settings.controlPlane != nil {
            // Another build of weft wrote it, with other filters: wait to be told rather than not start at all.
            log.error("the last good snapshot does not build here: \(refusal.problems.joined(separator: "; "))")
            running.forgetLastGood(waiting)
            dataplane = try Self.dataplane(settings, registry, running.snapshot, log)
        }
        addresses = Addresses(settings, dataplane.addresses, services: running.snapshot.traffic.services)
        reloadFailures = dataplane.context.stats.counter(
            "weft_config_reload_failures_total", "Times the sidecar's own files were read again and refused.", loop: settings.workers)

        try identify()
        try steer(software: software)
        admin = try AdminServer(
            on: loop, unix: folder.adminSocket, tcp: settings.admin,
            AdminServer.Source(
                unready: { [unowned self] in unready }, config: { [unowned self] in AdminConfig.json(of: self) },
                metrics: { [unowned self] in AdminMetrics.text(of: self) }))
        try folder.writeEndpoints(addresses.json(admin: admin?.address))
    }

    /// The line that says where everything is, for whoever started the process.
    package var readyLine: String { addresses.readyLine(settings.name, admin: admin?.address) }

    private static func dataplane(
        _ settings: SidecarSettings, _ registry: FilterRegistry, _ snapshot: Snapshot, _ log: SidecarLog
    ) throws -> Dataplane {
        try Dataplane(
            workers: settings.workers, entrances: settings.entrances, application: settings.application, registry: registry, snapshot: snapshot,
            bounds: settings.bounds, seed: settings.seed, log: log)
    }

    // MARK: Identity

    private func identify() throws {
        if let identity {
            identity.onChange = { [unowned self] change in
                // Connections are only as good as the certificate and the roots that they were made with.
                secure(again: change.isRenewed || change.hasLostTrust)
                if change.isRenewed { push?.reconnect() }
            }
            identity.onRefused = { [unowned self] why in
                fatal = .refused(why)
                loop.stop()
            }
            secure(again: false)
        } else if let files = settings.certificateFiles {
            let own = try LocalIdentity(keyPEM: Files.readSecret(files.key), chainPEM: Files.read(files.certificate))
            guard let id = own.id else { throw CertificateError("\(files.certificate) carries no SPIFFE id") }
            let roots = String(decoding: try Files.read(files.bundle), as: UTF8.self)
            let credentials = try WorkloadCredentials(identity: own, id: id, rootsPEM: roots)
            dataplane.setTLS(
                server: try credentials.serverContext(), client: try credentials.clientContext(),
                sharedClient: try credentials.sharedClientContext(), streamServer: try credentials.streamServerContext(), streamClient: try credentials.streamClientContext(), trustChanged: false)
        }
    }

    /// Puts the identity into force. Inbound stays shut until the sidecar knows who may come in.
    ///
    /// - Parameter again: connections made before serve nobody any longer whom new ones would not.
    func secure(again: Bool) {
        guard let credentials = identity?.credentials else { return }
        do {
            let server = running.isComplete ? try credentials.serverContext() : nil
            let client = try credentials.clientContext()
            dataplane.setTLS(
                server: server, client: client, sharedClient: try credentials.sharedClientContext(),
                streamServer: running.isComplete ? try credentials.streamServerContext() : nil,
                streamClient: try credentials.streamClientContext(), trustChanged: again)
            controlContext = client
        } catch {
            log.error("the new identity cannot be used: \(error)")
        }
    }

    /// Where the control plane is and as whom to go there; nil without an identity.
    private func target() -> ServiceTarget? {
        guard let controlPlane = settings.controlPlane?.address, let credentials = identity?.credentials, let context = controlContext
        else { return nil }
        return ServiceTarget(controlPlane, tls: (context, credentials.controlPlane(at: controlPlane)))
    }

    // MARK: Steering

    private func steer(software: String) throws {
        // A service for raw streams alone is well if its first port takes connections.
        let isHTTP = settings.application != nil
        if let application = settings.application ?? settings.entrances.streams.first?.application {
            var policy = HealthProbe.Policy()
            policy.path = isHTTP ? settings.healthPath : nil
            let probe = HealthProbe(on: loop, application: application, policy)
            probe.onChange = { [unowned self] isHealthy, reason in
                log.note(isHealthy ? "the application is healthy" : "the application is unhealthy: \(reason)")
                push?.setHealth(isHealthy, reason: reason)
            }
            self.probe = probe
        }
        guard settings.controlPlane != nil else { return }
        push = SnapshotClient(
            on: loop, have: running.versions,
            owner: SnapshotClient.Owner(
                target: { [unowned self] in target() }, hello: { [unowned self] in hello(software) },
                check: { [unowned self] in check($0) }, install: { [unowned self] in install($0) },
                renewCertificate: { [unowned self] in identity?.hurry(within: $0) }), log: log)
        if probe == nil { push?.setHealth(true, reason: "there is no application to probe") }
        exporter = try MetricsExporter(
            on: loop, dataplane.context, service: settings.workload.service, incarnation: incarnation, interval: settings.exportInterval,
            counterLoop: settings.workers, log: log, target: { [unowned self] in target() })
    }

    private func hello(_ software: String) -> PushMessage.Hello {
        // All of the service's ports for http, which the control plane knows, are reached through the one inbound port.
        let http = addresses.dataplane.inbound.map { [PushMessage.Endpoint(port: max(1, Int($0.port)), address: $0.description)] } ?? []
        let streams = zip(settings.entrances.streams, addresses.dataplane.streams).map {
            PushMessage.Endpoint(port: $0.port, address: $1.description, isStream: true)
        }
        return PushMessage.Hello(
            sidecar: settings.name, incarnation: incarnation, namespace: settings.workload.namespace, service: settings.workload.service,
            version: settings.workload.version, software: software, endpoints: http + streams,
            filters: registry.filters.map { PushMessage.Filter(name: $0.name, schema: $0.schema.json) })
    }

    // MARK: Parts

    private func check(_ pushed: PushedPart) -> SubscriberMachine.Verdict {
        do {
            let candidate = try running.candidate(pushed)
            if pushed.part == .trust, let credentials = identity?.credentials {
                guard candidate.trust.trustDomain == credentials.id.trustDomain else {
                    return .rejected("it is for the trust domain \(candidate.trust.trustDomain), this sidecar is in \(credentials.id.trustDomain)")
                }
                guard try credentials.stands(under: candidate.trust.roots) else {
                    return .rejected(
                        "this sidecar's own certificate, which ends at \(Timestamp(credentials.identity.expires)), is by none of these roots: it would cut itself off")
                }
            }
            let problems = dataplane.check(candidate)
            return problems.isEmpty ? .accepted : .rejected(problems.joined(separator: "\n"))
        } catch {
            return .rejected("\(error)")
        }
    }

    private func install(_ pushed: PushedPart) {
        do {
            let wasComplete = running.isComplete
            let candidate = try running.candidate(pushed)
            if pushed.part == .trust {
                running.install(pushed, candidate)
                try identity?.trust(rootsPEM: candidate.trust.roots)
            } else {
                try dataplane.apply(candidate)
                running.install(pushed, candidate)
            }
            if !wasComplete, running.isComplete { secure(again: false) }
        } catch {
            // It passed the same steps a moment ago.
            log.error("\(pushed.part.rawValue) \(pushed.version) was accepted and cannot be put into force: \(error)")
        }
    }

    /// SIGHUP: the files again, checked before anything changes.
    func readFilesAgain() {
        do {
            guard let files = try reload?() else { return log.note("there are no local files to read again") }
            if let snapshot = files.snapshot { try dataplane.apply(snapshot) }
            running.take(files)
            log.note("read the local files again")
        } catch {
            reloadFailures.increment()
            let reason = (error as? ChainBuilder.Refusal)?.problems.joined(separator: "\n") ?? "\(error)"
            log.error("the local files are refused, the old config stays in force:\n\(reason)")
        }
    }

    // MARK: Readiness

    /// Nil: ready; otherwise why not.
    var unready: String? {
        if shutdown != nil { return "draining" }
        guard running.isComplete else { return "no config yet" }
        guard settings.controlPlane == nil || identity?.credentials != nil else { return "no certificate yet" }
        return nil
    }

    // MARK: Running

    /// Serves until a signal of `signals` or `stop`, then drains and closes everything. Throws what makes going on pointless.
    package func run() throws {
        let handler = try Signals(Self.signals, on: loop) { [unowned self] signal in
            if signal == SIGHUP { readFilesAgain() } else { stop() }
        }
        defer { handler.close() }
        start()
        loop.run()
        end()
        if let fatal { throw fatal }
    }

    /// Control begins; the loop has to be turned from now on.
    func start() {
        identity?.start()
        // Without an identity it waits for one.
        if identity?.credentials != nil { push?.start() }
        exporter?.start()
        probe?.start()
    }

    /// Begins to leave: readiness fails first. Asked twice, it does not wait any longer.
    package func stop() {
        if let shutdown { return shutdown.hurry() }
        log.note("draining")
        shutdown = Shutdown(of: self) { [unowned self] in loop.stop() }
        shutdown?.begin()
    }

    func end() {
        let mustLinger = push?.isConnected ?? false
        shutdown?.close()
        admin?.close()
        push?.leave()
        exporter?.close()
        identity?.close()
        probe?.close()
        // What was said last gets out: the stream closes in good order within the linger of its channel.
        let deadline = Clock.monotonic() + .milliseconds(200)
        while mustLinger, Clock.monotonic() < deadline { loop.turn(waitingAtMost: .milliseconds(20)) }
        dataplane.stop()
    }
}

/// Why a sidecar gives up.
package enum SidecarFailure: Error, Sendable, CustomStringConvertible {
    case refused(String)

    package var description: String {
        switch self {
        case .refused(let why): "the control plane does not let this sidecar join: \(why)"
        }
    }
}
