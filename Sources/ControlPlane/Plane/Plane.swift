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
    var certificates: CertificateLedger
    var revocations: RevocationList
    var operators: OperatorLedger
    /// How many refusals are logged.
    var operatorThrottle = JoinThrottle()
    let penalties: PenaltyBox
    /// Of the trust part as last compiled; empty until it is.
    var trustVersion = ""
    /// When sidecars are next asked to renew, in uptime.
    var renewalReminder = Instant.zero
    var resources: ResourceSet
    var leases: LeaseTable
    /// By `SidecarRecord.key`.
    var sidecars: [String: SidecarRecord] = [:]
    /// Streams on which nobody has said hello yet.
    var strangers: [ObjectIdentifier: Stranger] = [:]
    var joinThrottle = JoinThrottle()
    let zstd: Zstd
    var totals: MetricTotals
    var counts = PlaneCounts()
    /// From a part's compilation to its acknowledgement.
    var pushTime = LatencySnapshot()
    /// What making a turn durable took.
    private(set) var commitTime = LatencySnapshot()
    /// The control plane's own filters, by name: what sidecars of this release have.
    let ownFilters: [String: FilterSchema]
    /// Rises with every accepted change of resources; stored.
    var generation: UInt64
    var needsCompile = true

    private var afterCommit: [() -> Void] = []
    private var isTurnScheduled = false
    private var api: ServiceServer!
    private(set) var mesh: ServiceServer!
    private var metrics: ServiceServer!
    private var remoteAPI: ServiceServer?
    /// Where the API listens on TCP, if it does.
    package private(set) var apiAddress: SocketAddress?
    private(set) var serverTLS: TLSContext?
    /// Seconds since 1970.
    private var nextOwnRenewal: Int64 = 0
    private var nextSweep: Int64 = 0
    private var ticker = Host.Timer.none
    private var uptimeAtTick = Instant.zero
    private var lastTick: Instant
    package private(set) var addresses: (mesh: SocketAddress, metrics: SocketAddress)
    /// Called with the reason when the process must end: the store could not make a turn durable.
    private let onFatal: (String) -> Void

    /// Opens the store, recovers, and listens. Throws what stands in the way, in words for an operator.
    package init(_ settings: PlaneSettings, filters: FilterRegistry, on loop: EventLoop, onFatal: @escaping (String) -> Void) throws {
        self.settings = settings
        self.loop = loop
        self.onFatal = onFatal
        lastTick = loop.now
        leases = LeaseTable(settings.leasePolicy)
        zstd = try Zstd()
        ownFilters = Dictionary(uniqueKeysWithValues: filters.filters.map { ($0.name, $0.schema) })
        try Files.makeFolder(settings.stateDirectory)
        files = POSIXFiles(directory: settings.stateDirectory + "/store")
        store = try Store(files)
        let now = UnixTime(Clock.unixSeconds())
        authority = try CertificateAuthority(store: store, files: files, trustDomain: settings.trustDomain, at: now)
        guard let tokens = JoinTokenLedger(store.entries(JoinTokenLedger.table)) else {
            throw PlaneError("\(files.place): the join tokens are of another version of weft")
        }
        self.tokens = tokens
        guard let certificates = CertificateLedger(store.entries(CertificateLedger.table)) else {
            throw PlaneError("\(files.place): the list of certificates is of another version of weft")
        }
        self.certificates = certificates
        guard let revocations = RevocationList(store.entries(RevocationList.table)) else {
            throw PlaneError("\(files.place): the list of revoked identities is of another version of weft")
        }
        self.revocations = revocations
        guard let operators = OperatorLedger(store.entries(OperatorLedger.table)) else {
            throw PlaneError("\(files.place): the list of operators is of another version of weft")
        }
        self.operators = operators
        penalties = PenaltyBox(on: loop)
        guard let totals = MetricTotals(restoring: store, at: loop.now) else {
            throw PlaneError("\(files.place): the metric totals are of another version of weft")
        }
        self.totals = totals
        resources = try ResourceTable.load(store, files.place)
        generation = try GenerationTable.load(store, files.place)
        for (key, registration) in try RegistrationTable.load(store, files.place) {
            leases.restore(key, registration, at: .zero)
            let record = SidecarRecord(hello: RegistrationTable.hello(key, registration), at: .zero)
            record.certificateEnds = certificates.holders[key]?.leaves.map(\.ends.seconds).max() ?? 0
            sidecars[key] = record
        }
        _ = try store.commit()
        addresses = (settings.mesh, settings.metrics)
        try renewOwnCertificate()
        try listen()
        try writeAddresses()
        tick()
    }

    /// Stops listening, cuts every stream and makes the last turn durable.
    package func close() {
        loop.cancel(ticker)
        // Whoever was promised an answer this turn gets it.
        endTurn()
        api.close()
        remoteAPI?.close()
        penalties.close()
        mesh.close()
        metrics.close()
        for record in sidecars.values { record.stream?.close() }
        for stranger in strangers.values { stranger.stream.close() }
        store.close()
        try? files.remove("../endpoints.json")
    }

    // MARK: Listening

    private func listen() throws {
        var limits = ServiceLimits()
        limits.bodyMax = ConfigLimits().bytesMax
        api = ServiceServer(on: loop, limits) { [unowned self] in self.handleAPI($0, $1) }
        guard let socket = SocketAddress(unix: settings.apiPath) else {
            throw PlaneError("\(settings.apiPath): too long for a unix socket; use a shorter --state")
        }
        try api.listen(at: socket)
        // Whoever can connect may send this much before anybody knows who it is.
        limits.bodyMax = Self.meshBodyBytesMax
        limits.frameMax = PushLimits.frameBytesMax
        mesh = ServiceServer(on: loop, limits) { [unowned self] in self.handleMesh($0, $1) }
        addresses.mesh = try mesh.listen(at: settings.mesh, tls: { [unowned self] in self.serverTLS })
        try listenForOperators()
        limits.bodyMax = 0
        metrics = ServiceServer(on: loop, limits) { [unowned self] in self.handleMetrics($0, $1) }
        addresses.metrics = try metrics.listen(at: settings.metrics)
    }

    private func listenForOperators() throws {
        guard let address = settings.api else { return }
        var limits = ServiceLimits()
        limits.connectionsMax = 256
        let server = ServiceServer(on: loop, limits) { [unowned self] in self.handleRemoteAPI($0, $1) }
        server.bodyMax = { [unowned self] in self.remoteBodyMax($0) }
        apiAddress = try server.listen(at: address, tls: { [unowned self] in self.serverTLS })
        remoteAPI = server
    }

    /// A compressed metric batch is the largest thing that is sent to the mesh port, in bytes.
    static let meshBodyBytesMax = 1 << 20

    private func writeAddresses() throws {
        var writer = JSONWriter(pretty: true)
        writer.object {
            $0.member("mesh", addresses.mesh.description)
            $0.member("metrics", addresses.metrics.description)
            $0.member("api", "unix:\(settings.apiPath)")
            if let apiAddress { $0.member("remoteAPI", "https://\(apiAddress)") }
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

    func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        loop.atEndOfTurn(
            { context, _ in Unmanaged<Plane>.fromOpaque(context).takeUnretainedValue().endTurn() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    private func endTurn() {
        isTurnScheduled = false
        do {
            try commit()
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

    /// One write and one sync for all that was appended, and what it took.
    func commit() throws {
        let changes = totals.drain()
        if !changes.isEmpty { _ = try store.append(changes) }
        guard store.durable != store.revision else { return }
        let begin = Clock.monotonic()
        _ = try store.commit()
        commitTime.record(Clock.monotonic() - begin)
    }

    // MARK: Time

    /// How long this control plane has been up and about: what leases are counted in. A process that was stopped, or a host
    /// that slept, heard nobody meanwhile, and nobody is to be forgotten for that.
    var uptime: Instant { uptimeAtTick + min(loop.now - lastTick, Self.pauseMax) }

    private static let pauseMax = Nanoseconds.seconds(2)

    private func tick() {
        (uptimeAtTick, lastTick) = (uptime, loop.now)
        expireSidecars()
        let seconds = Clock.unixSeconds()
        if seconds >= nextSweep {
            nextSweep = seconds + 60
            let swept = tokens.sweep(at: UnixTime(seconds)) + certificates.sweep(at: UnixTime(seconds))
            if !swept.isEmpty, (try? store.append(swept)) != nil { scheduleTurn() }
        }
        advanceRotation()
        if seconds >= nextOwnRenewal {
            nextOwnRenewal = seconds + 60
            do { try renewOwnCertificate() } catch { Log.note("own certificate not renewed", ["why": "\(error)"]) }
        }
        ticker = loop.arm(
            at: loop.now + min(.seconds(1), .nanoseconds(settings.lease.count / 4)),
            { context, _ in Unmanaged<Plane>.fromOpaque(context).takeUnretainedValue().tick() }, Unmanaged.passUnretained(self).toOpaque())
    }

    // MARK: Own identity

    /// One certificate per trusted root: of the eldest for everybody, since who was away during a rotation knows no other, and
    /// of each for those who join with a token that names it.
    func renewOwnCertificate() throws {
        let now = UnixTime(Clock.unixSeconds())
        let roots = try Host.Certificate.all(inPEM: try authority.bundle())
        var contexts: [String: TLSContext] = [:]
        for root in authority.rotation.trusted where root != authority.rotation.eldest {
            contexts[TLSContext.name(ofRoot: root.fingerprint)] = try ownContext(by: root, trust: roots, at: now).context
        }
        let own = try ownContext(by: authority.rotation.eldest, trust: roots, others: contexts, at: now)
        serverTLS = own.context
        nextOwnRenewal = own.renewal
    }

    private func ownContext(
        by root: RootRotation.Root, trust roots: [Host.Certificate], others: [String: TLSContext] = [:], at now: UnixTime
    ) throws -> (context: TLSContext, renewal: Int64) {
        let own = try authority.issueOwn(by: root, at: now)
        let identity = try LocalIdentity(keyPEM: own.keyPEM, chainPEM: own.certificate.pem)
        // A joining sidecar knows only the root's digest: the root travels along.
        let context = try TLSContext.server(
            identity: identity, trust: roots, trustDomain: settings.trustDomain, clients: .optional, scope: "mesh",
            sendsRoot: roots.first { $0.sha256 == root.fingerprint }, others: others)
        let life = own.certificate.notAfter.seconds - own.certificate.notBefore.seconds
        return (context, own.certificate.notAfter.seconds - life / 3)
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
    var streamsCut: UInt64 = 0
    /// Parts that could not be compiled into something a sidecar would read: a bug of ours.
    var unpushable: UInt64 = 0
    var joinsThrottled: UInt64 = 0
    /// Calls of the API over TCP without a credential that is good.
    var operatorsRefused: UInt64 = 0
    /// Points of batches that could not be counted.
    var malformedPoints: UInt64 = 0
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
