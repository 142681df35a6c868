package import Host
package import Pipeline

/// The control plane: one loop that owns everything.
///
/// A turn: requests and frames change state and append to the store; when all of the turn's events are handled, one commit
/// makes them durable, then what depends on it happens: snapshots are compiled and pushed, answers go out. So nothing is
/// acknowledged that a crash could undo, and a hundred changes cost one fsync. If the commit fails, the process ends without
/// answering: what is on disk decides at the next start (fsync errors are never retried).
package final class Plane {
    let settings: PlaneSettings
    let loop: EventLoop
    let files: POSIXFiles
    let store: Store
    let authority: CertificateAuthority
    var tokens: JoinTokenLedger
    var resources: ResourceSet
    var leases = LeaseTable()
    var sidecars: [String: SidecarRecord] = [:]
    var totals: MetricTotals
    var counts = PlaneCounts()
    /// The control plane's own filters, by name: what sidecars of this release have.
    let ownFilters: [String: FilterSchema]
    let started: Instant
    /// Rises with every accepted change of resources.
    var generation: UInt64 = 0
    var needsCompile = true

    private var afterCommit: [() -> Void] = []
    private var isTurnScheduled = false
    private var api: ServiceServer!
    private var mesh: ServiceServer!
    private var metrics: ServiceServer!
    private(set) var serverTLS: TLSContext?
    private var ownCertificateEnds: Int64 = 0
    private var ticker = Host.Timer.none
    package private(set) var addresses: (mesh: SocketAddress, metrics: SocketAddress)
    /// Called with the reason when the process must end: the store could not make a turn durable.
    private let onFatal: (String) -> Void

    /// Opens the store, recovers, and listens. Throws what stands in the way, in words for an operator.
    package init(_ settings: PlaneSettings, filters: FilterRegistry, on loop: EventLoop, onFatal: @escaping (String) -> Void) throws {
        self.settings = settings
        self.loop = loop
        self.onFatal = onFatal
        started = loop.now
        ownFilters = Dictionary(uniqueKeysWithValues: filters.filters.map { ($0.name, FilterSchema(name: $0.name, fields: $0.fields)) })
        try Files.makeFolder(settings.stateDirectory)
        files = POSIXFiles(directory: settings.stateDirectory + "/store")
        store = try Store(files)
        let now = UnixTime(Clock.unixSeconds())
        authority = try CertificateAuthority(store: store, files: files, trustDomain: settings.trustDomain, at: now)
        guard let tokens = JoinTokenLedger(store.entries(JoinTokenLedger.table)) else {
            throw PlaneError("\(files.place): the join tokens are of another version of weft")
        }
        self.tokens = tokens
        guard let totals = MetricTotals(restoring: store, at: loop.now) else {
            throw PlaneError("\(files.place): the metric totals are of another version of weft")
        }
        self.totals = totals
        resources = try ResourceTable.load(store, files.place)
        for (sidecar, registration) in RegistrationTable.load(store) { leases.restore(sidecar, registration, at: loop.now) }
        _ = try store.commit()
        addresses = (settings.mesh, settings.metrics)
        try renewOwnCertificate()
        try listen()
        try writeAddresses()
        tick()
    }

    /// Stops listening, cuts every stream and makes the last turn durable.
    package func close() {
        api.close()
        mesh.close()
        metrics.close()
        for record in sidecars.values { record.stream?.close() }
        endTurn()
        loop.cancel(ticker)
        store.close()
        try? files.remove("../endpoints.json")
    }

    // MARK: Listening

    private func listen() throws {
        api = ServiceServer(on: loop) { [unowned self] in self.handleAPI($0, $1) }
        guard let socket = SocketAddress(unix: settings.apiPath) else {
            throw PlaneError("\(settings.apiPath): too long for a unix socket; use a shorter --state")
        }
        try api.listen(at: socket)
        mesh = ServiceServer(on: loop) { [unowned self] in self.handleMesh($0, $1) }
        addresses.mesh = try mesh.listen(at: settings.mesh, tls: { [unowned self] in self.serverTLS })
        metrics = ServiceServer(on: loop) { [unowned self] in self.handleMetrics($0, $1) }
        addresses.metrics = try metrics.listen(at: settings.metrics)
    }

    private func writeAddresses() throws {
        var writer = JSONWriter(pretty: true)
        writer.object {
            $0.member("mesh", addresses.mesh.description)
            $0.member("metrics", addresses.metrics.description)
            $0.member("api", "unix:\(settings.apiPath)")
        }
        try Files.write(writer.utf8 + [0x0A], to: settings.stateDirectory + "/endpoints.json")
    }

    // MARK: Turns

    /// Has `body` run once everything appended so far is durable.
    func whenDurable(_ body: @escaping () -> Void) {
        afterCommit.append(body)
        scheduleTurn()
    }

    /// Snapshots are compiled anew, and what changed is pushed, after the turn's commit.
    func setNeedsCompile() {
        needsCompile = true
        scheduleTurn()
    }

    private func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        loop.atEndOfTurn(
            { context, _ in Unmanaged<Plane>.fromOpaque(context).takeUnretainedValue().endTurn() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    private func endTurn() {
        isTurnScheduled = false
        do {
            let changes = totals.drain()
            if !changes.isEmpty { _ = try store.append(changes) }
            _ = try store.commit()
        } catch {
            afterCommit = []
            return onFatal("\(error)")
        }
        let ready = afterCommit
        afterCommit = []
        // Pushes go first: what `apply` answers has been handed to every connected sidecar.
        if needsCompile { compileAndPush() }
        for body in ready { body() }
    }

    // MARK: Time

    private func tick() {
        let gone = leases.expire(at: loop.now)
        if !gone.isEmpty {
            for sidecar in gone {
                Log.note("endpoint gone", ["sidecar": sidecar, "why": "its lease lapsed"])
                try? RegistrationTable.remove(sidecar, from: store)
            }
            setNeedsCompile()
        }
        for change in tokens.sweep(at: UnixTime(Clock.unixSeconds())) { _ = try? store.append([change]) }
        if Clock.unixSeconds() > ownCertificateEnds - 8 * 3600 {
            do { try renewOwnCertificate() } catch { Log.note("own certificate not renewed", ["why": "\(error)"]) }
        }
        ticker = loop.arm(
            at: loop.now + .seconds(1),
            { context, _ in Unmanaged<Plane>.fromOpaque(context).takeUnretainedValue().tick() }, Unmanaged.passUnretained(self).toOpaque())
    }

    // MARK: Own identity

    private func renewOwnCertificate() throws {
        let own = try authority.issueOwn(at: UnixTime(Clock.unixSeconds()))
        let roots = try Host.Certificate.all(inPEM: try authority.bundle())
        let identity = try LocalIdentity(keyPEM: own.keyPEM, chainPEM: own.certificate.pem)
        // A joining sidecar knows only the root's digest: the root travels along.
        serverTLS = try TLSContext.server(
            identity: identity, trust: roots, trustDomain: settings.trustDomain, clients: .optional, scope: "mesh",
            sendsRoot: roots.first)
        ownCertificateEnds = own.certificate.notAfter.seconds
    }
}

/// Why a control plane cannot start.
struct PlaneError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What the control plane counts about itself.
struct PlaneCounts {
    var applied: UInt64 = 0
    var refused: UInt64 = 0
    var joined: UInt64 = 0
    var joinsRefused: UInt64 = 0
    var renewed: UInt64 = 0
    var pushed: UInt64 = 0
    var acked: UInt64 = 0
    var nacked: UInt64 = 0
    var batches: UInt64 = 0
    var duplicateBatches: UInt64 = 0
    var refusedBatches: UInt64 = 0
    var bytesCompressed: UInt64 = 0
    var bytesDecompressed: UInt64 = 0
}
