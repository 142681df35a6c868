internal import Pipeline

/// Gets a sidecar its identity and keeps it: joins with a token once, renews in time, takes new roots.
///
/// The key is made here and never leaves. With a certificate that is still good no token is needed. Lives on the control loop.
final class IdentityClient {
    /// The path in the control plane's SPIFFE id.
    static let controlPlanePath = "/ns/weft-system/sa/control-plane"

    private(set) var credentials: WorkloadCredentials?
    /// What a change of credentials means for connections made before it.
    struct Change: Equatable {
        /// It has another certificate: whoever is to know must be shown it.
        var isRenewed: Bool
        /// A root that was trusted no longer is.
        var hasLostTrust: Bool
    }

    /// A new certificate, or new roots.
    var onChange: ((Change) -> Void)?
    /// The control plane will not have this sidecar, which has no identity to fall back on.
    var onRefused: ((String) -> Void)?

    private let loop: EventLoop
    private let folder: StateFolder
    private let controlPlane: SocketAddress
    private let workload: TrafficPart.WorkloadRef
    /// The sidecar's, by which the control plane knows whose certificate is whose.
    private let name: String
    private let token: JoinToken?
    private let tokenText: String
    private let log: SidecarLog
    private var machine: RenewalMachine
    private var call: ServiceCall?
    private var wakeup: Wakeup?

    /// - Parameter token: as it was handed over; only needed until there is a certificate.
    init(
        on loop: EventLoop, _ folder: StateFolder, controlPlane: SocketAddress, workload: TrafficPart.WorkloadRef, name: String, token: String?,
        log: SidecarLog
    ) throws {
        self.loop = loop
        self.folder = folder
        self.controlPlane = controlPlane
        self.workload = workload
        self.name = name
        self.log = log
        tokenText = token ?? ""
        self.token = try token.map { text throws(JoinToken.Problem) in try JoinToken(parsing: text) }
        machine = RenewalMachine(at: loop.now)
        credentials = stored()
        if let credentials { installed(credentials) }
        guard credentials != nil || self.token != nil else { throw IdentityFailure.noToken }
    }

    func start() {
        wakeup = Wakeup(on: loop) { [unowned self] in wake() }
        wakeup?.set(machine.deadline)
    }

    func close() {
        call?.cancel()
        wakeup?.cancel()
    }

    /// The control plane asks for a renewal soon.
    func hurry(within: Nanoseconds) {
        machine.hurry(within: within, at: loop.now, using: &loop.random.pointee)
        wakeup?.set(machine.deadline)
    }

    /// Asks at once; for an operator in a hurry, and tests.
    func renewNow() {
        guard call == nil else { return }
        ask()
    }

    /// The trust part named new roots.
    func trust(rootsPEM: String) throws {
        guard let old = credentials else { return }
        adopt(try old.trusting(rootsPEM))
    }

    // MARK: What is on disk

    /// The identity of an earlier life, if it can still be used.
    private func stored() -> WorkloadCredentials? {
        do {
            guard let stored = try folder.readCredentials() else { return nil }
            guard stored.id.workload?.service == workload.service, stored.id.workload?.namespace == workload.namespace else {
                log.warning("the stored identity is \(stored.id)'s, not of \(workload.namespace)/\(workload.service): it is not used")
                return nil
            }
            guard stored.identity.expires > Clock.unixSeconds() else {
                log.warning("the stored certificate ended at \(Timestamp(stored.identity.expires))")
                return nil
            }
            if let token, stored.joinRoot != token.rootFingerprint, !stored.roots.contains(where: { $0.sha256 == token.rootFingerprint }) {
                log.warning("the token is of another mesh than the stored identity: joining anew")
                return nil
            }
            return stored
        } catch {
            log.warning("the stored identity cannot be used: \(error)")
            return nil
        }
    }

    // MARK: Asking

    private func wake() {
        defer { wakeup?.set(machine.deadline) }
        guard machine.wake(at: loop.now) else { return }
        ask()
    }

    private func ask() {
        do {
            let key = try PrivateKey.generate()
            if let credentials, credentials.identity.expires > Clock.unixSeconds() {
                try renew(credentials, key)
            } else if let token {
                try join(token, key)
            } else {
                throw IdentityFailure.noToken
            }
        } catch {
            failed("\(error)")
        }
    }

    private func join(_ token: JoinToken, _ key: PrivateKey) throws {
        let context = try TLSContext.client(identity: nil, trust: .pinnedRoot(sha256: token.rootFingerprint), trustDomain: "")
        let peer = ExpectedPeer(anyDomainWith: Self.controlPlanePath, endpoint: controlPlane.description)
        // Names in the request are not believed: the token decides.
        let csr = try key.signingRequest(for: "spiffe://joining/ns/\(workload.namespace)/sa/\(workload.service)")
        ask("/v1/join", ["token": tokenText, "csr": String(decoding: csr, as: UTF8.self), "version": workload.version, "sidecar": name], context, peer, key)
    }

    private func renew(_ credentials: WorkloadCredentials, _ key: PrivateKey) throws {
        let context = try credentials.clientContext()
        let csr = try key.signingRequest(for: credentials.id.description)
        ask("/v1/renew", ["csr": String(decoding: csr, as: UTF8.self), "sidecar": name], context, credentials.controlPlane(at: controlPlane), key)
    }

    private func ask(_ path: String, _ members: KeyValuePairs<String, String>, _ context: TLSContext, _ peer: ExpectedPeer, _ key: PrivateKey) {
        var writer = JSONWriter()
        writer.object { for (name, value) in members { $0.member(name, value) } }
        let request = ServiceRequest("POST", path, headers: [("content-type", "application/json")], body: writer.utf8)
        call = ServiceClient.send(request, to: ServiceTarget(controlPlane, tls: (context, peer)), on: loop) { [unowned self] result in
            call = nil
            answered(result, key, isJoin: path == "/v1/join")
            wakeup?.set(machine.deadline)
        }
    }

    private func answered(_ result: Result<ServiceResponse, ServiceFailure>, _ key: PrivateKey, isJoin: Bool) {
        switch result {
        case .failure(.transport(let why)) where isJoin && why.tls?.isWithoutPin == true:
            failed(
                "the control plane at \(controlPlane) does not show the root that the join token names: the mesh's root was rotated since the token was made, or the token is another mesh's; make a new one with weft token create")
        case .failure(let why): failed("\(why)")
        case .success(let response) where response.status == 200:
            do {
                let fresh = try credentials(in: response, key, isJoin: isJoin)
                if isJoin, let token, !fresh.roots.contains(where: { $0.sha256 == token.rootFingerprint }) {
                    throw IdentityFailure.answer("its roots lack the one that the token names")
                }
                log.note("\(isJoin ? "joined" : "renewed") as \(fresh.id), until \(Timestamp(fresh.identity.expires))")
                installed(fresh)
                adopt(fresh)
            } catch {
                failed("the answer cannot be used: \(error)")
            }
        case .success(let response):
            let reason = ConfigReader.read(bytes: response.body, name: "answer").root?["error"]?.string ?? response.text
            failed("the control plane answers \(response.status): \(reason)")
            if response.status == 403, credentials == nil { onRefused?(reason) }
        }
    }

    private func credentials(in response: ServiceResponse, _ key: PrivateKey, isJoin: Bool) throws -> WorkloadCredentials {
        guard let root = ConfigReader.read(bytes: response.body, name: "answer").root, let chain = root["certificate"]?.string,
            let bundle = root["bundle"]?.string, let idText = root["spiffeID"]?.string, let id = try? SPIFFEID(idText)
        else { throw IdentityFailure.answer("it lacks certificate, bundle or spiffeID") }
        guard id.workload?.namespace == workload.namespace, id.workload?.service == workload.service else {
            throw IdentityFailure.answer("it makes this sidecar \(id), but it stands before \(workload.namespace)/\(workload.service): was the token made for another service?")
        }
        let identity = try LocalIdentity(key: key, chain: Certificate.all(inPEM: Array(chain.utf8)))
        // Roots change with the trust part, which comes in order and can be refused; this answer may be older than the last.
        let roots = credentials.flatMap { !isJoin && identity.leads(to: $0.roots) ? $0.rootsPEM : nil } ?? bundle
        let fresh = try WorkloadCredentials(
            identity: identity, id: id, rootsPEM: roots, joinRoot: isJoin ? token?.rootFingerprint : credentials?.joinRoot)
        guard identity.leads(to: fresh.roots) else { throw IdentityFailure.answer("its certificate is by none of its roots") }
        return fresh
    }

    private func failed(_ why: String) {
        machine.failed(at: loop.now, using: &loop.random.pointee)
        log.warning("no new certificate: \(why)")
    }

    // MARK: Taking over

    private func installed(_ credentials: WorkloadCredentials) {
        let life = credentials.identity.expires - credentials.identity.certificate.notBefore
        let left = credentials.identity.expires - Clock.unixSeconds()
        machine.installed(
            life: .seconds(max(0, min(life, Self.lifeMax))), left: .seconds(max(0, min(left, Self.lifeMax))), at: loop.now,
            using: &loop.random.pointee)
    }

    /// Seconds; only keeps dates from overflowing.
    private static let lifeMax: Int64 = 100 * 365 * 86_400

    private func adopt(_ fresh: WorkloadCredentials) {
        let old = credentials
        credentials = fresh
        do {
            try folder.write(fresh)
        } catch {
            log.error("the identity cannot be stored: \(error)")
        }
        let roots = Set(fresh.roots.map(\.sha256))
        onChange?(
            Change(
                isRenewed: old.map { $0.identity.certificate.sha256 != fresh.identity.certificate.sha256 } ?? true,
                hasLostTrust: old.map { !Set($0.roots.map(\.sha256)).isSubset(of: roots) } ?? false))
    }
}

enum IdentityFailure: Error, CustomStringConvertible {
    case noToken
    case answer(String)

    var description: String {
        switch self {
        case .noToken: "this sidecar has no valid certificate in its state folder: a join token is needed (weft token create)"
        case .answer(let what): what
        }
    }
}

extension WorkloadCredentials {
    /// Whom to expect at the control plane's address.
    func controlPlane(at address: SocketAddress) -> ExpectedPeer {
        let id = try? SPIFFEID("spiffe://\(self.id.trustDomain)\(IdentityClient.controlPlanePath)")
        return ExpectedPeer(id.map { [$0] } ?? [], endpoint: address.description)
    }
}
