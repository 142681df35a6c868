internal import Host
internal import Pipeline

/// Taking back what was given: a join token, or a workload's identity.
extension Plane {
    // MARK: Tokens

    func tokenList() -> ServiceResponse {
        let now = UnixTime(Clock.unixSeconds())
        return .json {
            $0.key("items")
            $0.array {
                for (name, record) in tokens.records.sorted(by: { ($0.value.created, $0.key) < ($1.value.created, $1.key) }) {
                    $0.object {
                        $0.member("id", name)
                        $0.member("service", record.service)
                        $0.member("namespace", record.namespace)
                        $0.member("state", Self.state(of: record, at: now))
                        if let left = record.usesLeft { $0.member("usesLeft", Int(left)) }
                        $0.member("created", Timestamp(record.created.seconds).description)
                        $0.member("expires", Timestamp(record.expires.seconds).description)
                    }
                }
            }
        }
    }

    private static func state(of record: JoinTokenLedger.Record, at now: UnixTime) -> String {
        if record.isRevoked { return "revoked" }
        if record.usesLeft == 0 { return "used up" }
        return now < record.expires ? "open" : "expired"
    }

    /// Sidecars that joined with it stay: theirs is an identity, not a token.
    func revokeToken(_ query: Query, _ reply: ServiceReply) {
        guard let name = query["id"] else { return reply.respond(.error(400, "say which: id")) }
        guard let change = tokens.revoke(name) else { return reply.respond(.error(404, "there is no join token \(JSONWriter.quoted(name))")) }
        answer(change, reply) {
            Log.note("token revoked", ["token": name])
            return .json { $0.member("revoked", name) }
        }
    }

    // MARK: Identities

    func revocationList() -> ServiceResponse {
        .json {
            $0.key("items")
            $0.array {
                for (key, entry) in revocations.entries.sorted(by: { $0.key < $1.key }) {
                    $0.object {
                        $0.member("identity", key)
                        $0.member("reason", entry.reason)
                        $0.member("since", Timestamp(entry.since.seconds).description)
                        $0.member("sidecars", sidecars.values.count { $0.hello.namespace + "/" + $0.hello.service == key })
                    }
                }
            }
        }
    }

    func revokeIdentity(_ request: ServiceRequest, _ reply: ServiceReply) {
        let (namespace, service, reason): (String, String, String)
        do {
            let body = try RequestBody(request, keys: ["namespace", "service", "reason"])
            namespace = try body.optionalText("namespace") ?? ResourceKey.defaultNamespace
            service = try body.text("service")
            reason = try body.optionalText("reason") ?? ""
        } catch {
            return reply.respond(error.response)
        }
        for name in [service, namespace] where !ConfigRule.isLabel(name) {
            return reply.respond(.error(400, "\(JSONWriter.quoted(name)) is no name: lower-case letters, digits, hyphens"))
        }
        let now = UnixTime(Clock.unixSeconds())
        switch revocations.revoke(namespace, service, because: reason, at: now) {
        case .refused(let why): reply.respond(.error(422, why))
        case .changed(let change):
            answer([change] + certificates.forget(namespace, service), reply) {
                let ended = endStreams(namespace, service)
                Log.note("identity revoked", ["identity": "\(namespace)/\(service)", "why": reason, "streams ended": "\(ended)"])
                setNeedsCompile()
                return .json {
                    $0.member("revoked", "\(namespace)/\(service)")
                    $0.member("streamsEnded", ended)
                }
            }
        }
    }

    func restoreIdentity(_ query: Query, _ reply: ServiceReply) {
        guard let service = query["service"] else { return reply.respond(.error(400, "say which: service, and namespace if it is not \"default\"")) }
        let namespace = query["namespace"] ?? ResourceKey.defaultNamespace
        guard let change = revocations.restore(namespace, service) else {
            return reply.respond(.error(404, "\(namespace)/\(service) is not revoked"))
        }
        answer(change, reply) {
            Log.note("identity restored", ["identity": "\(namespace)/\(service)"])
            setNeedsCompile()
            return .json { $0.member("restored", "\(namespace)/\(service)") }
        }
    }

    /// Its sidecars are told why and steered no more, and callers are not sent to them.
    private func endStreams(_ namespace: String, _ service: String) -> Int {
        var ended = 0
        for record in Array(sidecars.values) where record.hello.namespace == namespace && record.hello.service == service {
            if let stream = record.stream, let why = revocations.objection(namespace, service) {
                cut(stream, record, record.key, why, isRefusal: true)
                ended += 1
            }
            if leases.remove(record.key) { store(RegistrationTable.removal(record.key)) }
        }
        return ended
    }

    // MARK: Durably

    private func answer(_ change: Change, _ reply: ServiceReply, _ done: () -> ServiceResponse) { answer([change], reply, done) }

    private func answer(_ changes: [Change], _ reply: ServiceReply, _ done: () -> ServiceResponse) {
        do {
            _ = try store.append(changes)
        } catch {
            return reply.respond(storeFailure(error))
        }
        let answer = done()
        whenDurable { reply.respond(answer) }
    }
}
