internal import Host
internal import Pipeline

/// The API over TCP: the same as over the unix socket, under TLS always, for operators with a credential.
extension Plane {
    /// Bytes of a body that are read from somebody who has not shown a credential.
    static let strangersBodyBytesMax = 64 << 10
    /// The longest life of a credential, in seconds.
    static let operatorLifeMax: Int64 = 366 * 86_400
    static let operatorLifeDefault: Int64 = 90 * 86_400

    func remoteBodyMax(_ request: ServiceRequest) -> Int {
        if case .granted = operators.check(request.header("authorization"), at: UnixTime(Clock.unixSeconds())) { return ConfigLimits().bytesMax }
        return Self.strangersBodyBytesMax
    }

    /// Whatever certificate the caller's connection has plays no part.
    func handleRemoteAPI(_ request: ServiceRequest, _ reply: ServiceReply) {
        switch operators.check(request.header("authorization"), at: UnixTime(Clock.unixSeconds())) {
        case .refused(let why):
            counts.operatorsRefused += 1
            if operatorThrottle.admits(at: loop.now) { Log.note("operator refused", ["why": why, "path": request.path]) }
            var answer = ServiceResponse.error(401, why)
            answer.headers.append(("www-authenticate", "Bearer"))
            penalties.answer(answer, reply)
        case .granted(let name):
            // So that whoever holds a credential can neither make another nor outlive its end.
            guard !request.path.hasPrefix("/v1/operators") else {
                return reply.respond(.error(403, "operators are managed on the control plane's own host, over its unix socket"))
            }
            if request.method != "GET" { Log.note("operator", ["name": name, "method": request.method, "path": request.path]) }
            // What the credential is to pin from now on; the old root goes one day.
            reply.headers.append((Self.rootHeader, authority.rotation.newest.fingerprint.hex))
            handleAPI(request, reply)
        }
    }

    /// Names the root that the control plane will show for longest.
    package static let rootHeader = "x-weft-root"

    // MARK: Managing, over the unix socket

    func operatorList() -> ServiceResponse {
        let now = UnixTime(Clock.unixSeconds())
        return .json {
            $0.key("items")
            $0.array {
                for (name, record) in operators.records.sorted(by: { $0.key < $1.key }) {
                    $0.object {
                        $0.member("name", name)
                        $0.member("id", record.id.hex)
                        $0.member("state", now < record.expires ? "valid" : "expired")
                        $0.member("created", Timestamp(record.created.seconds).description)
                        $0.member("expires", Timestamp(record.expires.seconds).description)
                    }
                }
            }
        }
    }

    func createOperator(_ request: ServiceRequest, _ reply: ServiceReply) {
        let name: String
        let life: Int64
        do {
            let body = try RequestBody(request, keys: ["name", "ttl"])
            name = try body.text("name")
            life = try Self.operatorLife(body)
        } catch {
            return reply.respond(error.response)
        }
        guard ConfigRule.isLabel(name) else {
            return reply.respond(.error(400, "\(JSONWriter.quoted(name)) is no name: lower-case letters, digits, hyphens"))
        }
        let now = UnixTime(Clock.unixSeconds())
        let random = Digest.randomBytes(OperatorLedger.idSize + OperatorLedger.secretSize)
        switch operators.create(name, life: life, at: now, random: random) {
        case .refused(let why): reply.respond(.error(422, why))
        case .created(let secret, let change):
            do {
                _ = try store.append([change])
            } catch {
                return reply.respond(storeFailure(error))
            }
            Log.note("operator created", ["name": name])
            let (root, server) = (authority.rotation.newest.fingerprint.hex, publicAPI)
            whenDurable {
                reply.respond(
                    .json {
                        $0.member("name", name)
                        $0.member("server", server)
                        $0.member("root", root)
                        $0.member("secret", secret)
                        $0.member("expires", Timestamp(now.seconds + life).description)
                    })
            }
        }
    }

    /// Empty if it listens nowhere, or everywhere: then operators have to say which of its addresses they reach.
    private var publicAPI: String {
        guard let apiAddress, !apiAddress.description.hasPrefix("0.0.0.0:"), !apiAddress.description.hasPrefix("[::]:") else { return "" }
        return "https://\(apiAddress)"
    }

    func revokeOperator(_ query: Query, _ reply: ServiceReply) {
        guard let name = query["name"] else { return reply.respond(.error(400, "say which: name")) }
        guard let change = operators.revoke(name) else { return reply.respond(.error(404, "there is no operator \(JSONWriter.quoted(name))")) }
        do {
            _ = try store.append([change])
        } catch {
            return reply.respond(storeFailure(error))
        }
        Log.note("operator revoked", ["name": name])
        whenDurable { reply.respond(.json { $0.member("revoked", name) }) }
    }

    private static func operatorLife(_ body: RequestBody) throws(RequestBody.Problem) -> Int64 {
        guard let text = try body.optionalText("ttl") else { return operatorLifeDefault }
        guard let duration = Quantity.parse(text, Quantity.durations), 1...operatorLifeMax ~= duration / 1_000_000_000 else {
            throw RequestBody.Problem(sentence: "\(JSONWriter.quoted(text)) is no lifetime of a credential: write 8h, 2160h; at most a year")
        }
        return duration / 1_000_000_000
    }
}
