internal import Host
internal import Pipeline

/// The mesh port: joining, renewing, the push stream, metric batches. TLS always; who has no certificate yet brings a token.
extension Plane {
    func handleMesh(_ request: ServiceRequest, _ reply: ServiceReply) {
        switch (request.method, request.path) {
        case ("POST", "/v1/join"): join(request, reply)
        case ("POST", "/v1/renew"): renew(request, reply)
        case ("GET", "/v1/push"): openPush(request, reply)
        case ("POST", "/v1/metrics"): ingest(request, reply)
        case (_, "/v1/join"), (_, "/v1/renew"), (_, "/v1/push"), (_, "/v1/metrics"):
            reply.respond(.error(405, "\(request.path) does not take \(request.method)"))
        default: reply.respond(.error(404, "there is no \(request.path) here"))
        }
    }

    private func join(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let root = ConfigReader.read(bytes: request.body, name: "request").root, let text = root["token"]?.string,
            let csr = root["csr"]?.string
        else { return reply.respond(.error(400, "the body must hold \"token\" and \"csr\"")) }
        let now = UnixTime(Clock.unixSeconds())
        do {
            let token = try JoinToken(parsing: text)
            let signing = try SigningRequest(Array(csr.utf8))
            switch tokens.redeem(token, at: now) {
            case .refused(let why): refuseJoin(why, reply)
            case .granted(let namespace, let service, let change):
                // The use is durable before the certificate leaves: a crash in between costs a token, never gives two.
                if let change { _ = try store.append([change]) }
                try issue(signing, .token(namespace: namespace, service: service), namespace, service, now, reply)
                counts.joined += 1
            }
        } catch {
            refuseJoin("\(error)", reply)
        }
    }

    private func refuseJoin(_ why: String, _ reply: ServiceReply) {
        counts.joinsRefused += 1
        Log.note("join refused", ["why": why])
        reply.respond(.error(403, why))
    }

    private func renew(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let identity = WorkloadIdentity(uri: peer.id.description) else {
            return reply.respond(.error(403, "renewing takes the certificate that is to be renewed"))
        }
        guard let root = ConfigReader.read(bytes: request.body, name: "request").root, let csr = root["csr"]?.string else {
            return reply.respond(.error(400, "the body must hold \"csr\""))
        }
        let now = UnixTime(Clock.unixSeconds())
        do {
            let signing = try SigningRequest(Array(csr.utf8))
            try issue(
                signing, .certificate(identity, expires: UnixTime(peer.expires)), identity.namespace, identity.service, now, reply)
            counts.renewed += 1
        } catch {
            reply.respond(.error(403, "\(error)"))
        }
    }

    private func issue(
        _ signing: SigningRequest, _ caller: IssuePolicy.Caller, _ namespace: String, _ service: String, _ now: UnixTime,
        _ reply: ServiceReply
    ) throws {
        let policy = IssuePolicy(trustDomain: authority.trustDomain)
        switch policy.decide(caller, wants: namespace, service, isRevoked: false, at: now) {
        case .refuse(let why): refuseJoin(why, reply)
        case .issue(let identity, let life):
            let issued = try authority.issue(signing, to: identity, life: life, at: now)
            let bundle = try authority.bundle()
            whenDurable { [trustDomain = authority.trustDomain] in
                reply.respond(
                    .json {
                        $0.member("certificate", String(decoding: issued.pem, as: UTF8.self))
                        $0.member("bundle", String(decoding: bundle, as: UTF8.self))
                        $0.member("trustDomain", trustDomain)
                        $0.member("spiffeID", identity.uri)
                    })
            }
        }
    }
}
