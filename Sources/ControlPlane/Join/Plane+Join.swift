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
        case (_, "/v1/join"), (_, "/v1/renew"), (_, "/v1/metrics"): reply.respond(.notAllowed(request, allow: "POST"))
        case (_, "/v1/push"): reply.respond(.notAllowed(request, allow: "GET"))
        default: reply.respond(.error(404, "there is no \(request.path) here"))
        }
    }

    /// The token is looked at before anything that costs more than a hash.
    private func join(_ request: ServiceRequest, _ reply: ServiceReply) {
        let body: RequestBody
        let (text, csr): (String, String)
        let sidecar: String?
        do {
            body = try RequestBody(request, keys: ["token", "csr", "version", "sidecar"])
            (text, csr) = (try body.text("token"), try body.text("csr"))
            sidecar = try Self.sidecarName(body)
        } catch {
            return reply.respond(error.response)
        }
        let now = UnixTime(Clock.unixSeconds())
        let token: JoinToken
        do {
            token = try JoinToken(parsing: text)
        } catch {
            return refuseJoin("\(error)", reply)
        }
        if let why = tokens.objection(to: token, at: now) { return refuseJoin(why, reply) }
        // Before a use is taken: it may be restored.
        if let known = tokens.records[token.name], let why = revocations.objection(known.namespace, known.service) {
            return refuseJoin(why, reply)
        }
        do {
            let signing = try SigningRequest(Array(csr.utf8))
            // A use is taken only if it can be kept.
            try store.admit()
            switch tokens.redeem(token, at: now) {
            case .refused(let why): refuseJoin(why, reply)
            case .granted(let namespace, let service, let change):
                // The use is durable before the certificate leaves: a crash in between costs a token, never gives two.
                if let change { _ = try store.append([change]) }
                if try issue(signing, .token(namespace: namespace, service: service), namespace, service, sidecar, now, reply) {
                    counts.joined += 1
                    Log.note("joined", ["service": "\(namespace)/\(service)", "token": token.name])
                }
            }
        } catch let error as StoreError {
            reply.respond(storeFailure(error))
        } catch {
            refuseJoin("\(error)", reply)
        }
    }

    /// A flood of wrong tokens is answered 429 and not logged line by line; it holds up nobody whose token is right.
    private func refuseJoin(_ why: String, _ reply: ServiceReply) {
        counts.joinsRefused += 1
        // So that a use that was taken all the same is kept.
        let answer: ServiceResponse
        if joinThrottle.admits(at: loop.now) {
            Log.note("join refused", ["why": why])
            answer = .error(403, why)
        } else {
            counts.joinsThrottled += 1
            var tooMany = ServiceResponse.error(429, "too many joins were refused lately; try again in a while")
            tooMany.headers.append(("retry-after", "10"))
            answer = tooMany
        }
        whenDurable { reply.respond(answer) }
    }

    private func renew(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let identity = WorkloadIdentity(uri: peer.id.description) else {
            return reply.respond(.error(403, "renewing takes the certificate that is to be renewed"))
        }
        let now = UnixTime(Clock.unixSeconds())
        do {
            let body = try RequestBody(request, keys: ["csr", "version", "sidecar"])
            let (csr, sidecar) = (try body.text("csr"), try Self.sidecarName(body))
            let signing = try SigningRequest(Array(csr.utf8))
            let caller = IssuePolicy.Caller.certificate(identity, expires: UnixTime(peer.expires))
            if try issue(signing, caller, identity.namespace, identity.service, sidecar, now, reply) { counts.renewed += 1 }
        } catch let error as RequestBody.Problem {
            reply.respond(error.response)
        } catch {
            refuseJoin("\(error)", reply)
        }
    }

    /// Nil from one that does not say it.
    private static func sidecarName(_ body: RequestBody) throws(RequestBody.Problem) -> String? {
        guard let name = try body.optionalText("sidecar") else { return nil }
        guard PushMessage.Hello.isSidecarName(name) else { throw RequestBody.Problem(sentence: PushMessage.Hello.sidecarNameRule) }
        return name
    }

    /// - Returns: whether there will be a certificate; if not, the refusal is under way.
    private func issue(
        _ signing: SigningRequest, _ caller: IssuePolicy.Caller, _ namespace: String, _ service: String, _ sidecar: String?,
        _ now: UnixTime, _ reply: ServiceReply
    ) throws -> Bool {
        let policy = IssuePolicy(trustDomain: authority.trustDomain)
        let revoked = revocations.objection(namespace, service)
        switch policy.decide(caller, wants: namespace, service, isRevoked: revoked != nil, at: now) {
        case .refuse(let why):
            refuseJoin(revoked ?? why, reply)
            return false
        case .issue(let identity, let life):
            let issued = try authority.issue(signing, to: identity, life: life, at: now)
            let bundle = try authority.bundle()
            // Stored before it leaves: a certificate nobody knows of would not be waited for when its root is to go.
            _ = try store.append([
                certificates.issued(namespace, service, sidecar, serial: issued.serial, .init(root: issued.root, ends: issued.notAfter))
            ])
            whenDurable { [trustDomain = authority.trustDomain] in
                reply.respond(
                    .json {
                        $0.member("certificate", String(decoding: issued.pem, as: UTF8.self))
                        $0.member("bundle", String(decoding: bundle, as: UTF8.self))
                        $0.member("trustDomain", trustDomain)
                        $0.member("spiffeID", identity.uri)
                    })
            }
            return true
        }
    }
}
