internal import Host
internal import Pipeline

/// The operators' interface: HTTP over a unix socket that only its owner can open, and over TCP with a credential.
extension Plane {
    func handleAPI(_ request: ServiceRequest, _ reply: ServiceReply) {
        let query = Query(request.query)
        switch (request.method, request.path) {
        case ("POST", "/v1/apply"): apply(request, query, reply)
        case ("DELETE", "/v1/resources"): delete(query, reply)
        case ("POST", "/v1/tokens"): mintToken(request, reply)
        case ("POST", "/v1/ca/rotate"): rotate(request, reply)
        case ("DELETE", "/v1/tokens"): revokeToken(query, reply)
        case ("POST", "/v1/operators"): createOperator(request, reply)
        case ("DELETE", "/v1/operators"): revokeOperator(query, reply)
        case ("POST", "/v1/revocations"): revokeIdentity(request, reply)
        case ("DELETE", "/v1/revocations"): restoreIdentity(query, reply)
        case ("GET", let path):
            guard let view = view(path, query) else { return refuse(request, reply) }
            // What was changed in this turn is shown once it is durable.
            whenDurable { reply.respond(view()) }
        default: refuse(request, reply)
        }
    }

    private func view(_ path: String, _ query: Query) -> (() -> ServiceResponse)? {
        switch path {
        case "/v1/resources": { [unowned self] in list(query) }
        case "/v1/sidecars": { [unowned self] in sidecarList() }
        case "/v1/services": { [unowned self] in serviceList() }
        case "/v1/stat": { [unowned self] in stat(query) }
        case "/v1/explain": { [unowned self] in explain(query) }
        case "/v1/filters": { [unowned self] in filterList() }
        case "/v1/tokens": { [unowned self] in tokenList() }
        case "/v1/operators": { [unowned self] in operatorList() }
        case "/v1/revocations": { [unowned self] in revocationList() }
        case "/v1/ca": { [unowned self] in authorityView() }
        case "/v1/version": { [unowned self] in version() }
        default: nil
        }
    }

    private func refuse(_ request: ServiceRequest, _ reply: ServiceReply) {
        switch request.path {
        case "/v1/apply", "/v1/ca/rotate": reply.respond(.notAllowed(request, allow: "POST"))
        case "/v1/tokens", "/v1/revocations", "/v1/operators": reply.respond(.notAllowed(request, allow: "GET, POST, DELETE"))
        case "/v1/resources": reply.respond(.notAllowed(request, allow: "GET, DELETE"))
        case let path where view(path, Query("")) != nil: reply.respond(.notAllowed(request, allow: "GET"))
        default: reply.respond(.error(404, "there is no \(request.path) here"))
        }
    }

    private func version() -> ServiceResponse {
        .json {
            $0.member("version", WeftVersion.text)
            $0.member("generation", generation)
            $0.member("trustDomain", authority.trustDomain)
        }
    }

    // MARK: Resources

    private func apply(_ request: ServiceRequest, _ query: Query, _ reply: ServiceReply) {
        let list: [ConfigNode]
        do {
            list = try RequestBody(request, keys: ["files"]).root["files"]?.elements ?? []
        } catch {
            return reply.respond(error.response)
        }
        let sources = list.compactMap { file -> ConfigSource? in
            guard let name = file["name"]?.string, let text = file["text"]?.string else { return nil }
            return ConfigSource(name: name, bytes: Array(text.utf8))
        }
        guard sources.count == list.count, !sources.isEmpty else {
            return reply.respond(.error(400, "the body must be {\"files\": [{\"name\": …, \"text\": …}]}"))
        }
        let change = resources.applying(sources, filters: knownFilters)
        var problems = change.problems
        for case .mesh(let mesh) in change.written where mesh.trustDomain != authority.trustDomain {
            problems.append(
                ConfigProblem(
                    "trustDomain is \"\(mesh.trustDomain)\", this control plane's authority is of \"\(authority.trustDomain)\"",
                    at: mesh.node["trustDomain"] ?? mesh.node, path: "trustDomain",
                    notes: ["start the control plane with --trust-domain \(mesh.trustDomain), or take the field out"]))
        }
        guard !problems.hasErrors else {
            counts.refused += 1
            let errors = problems.filter { $0.severity == .error }.count
            return reply.respond(.error(422, "\(errors) \(errors == 1 ? "problem" : "problems"); nothing was changed", problems))
        }
        problems += lackingSidecars(change.written)
        let results = change.written.map { resource -> (Resource, String) in
            guard let old = resources[resource.key] else { return (resource, "created") }
            return (resource, old.json(pretty: false) == resource.json(pretty: false) ? "unchanged" : "configured")
        }
        let answer = { (generation: UInt64) -> ServiceResponse in
            .json {
                $0.member("generation", generation)
                $0.key("results")
                $0.array {
                    for (resource, action) in results {
                        $0.object {
                            $0.member("kind", resource.key.kind.rawValue)
                            $0.member("namespace", resource.key.namespace)
                            $0.member("name", resource.key.name)
                            $0.member("action", action)
                        }
                    }
                }
                $0.key("warnings")
                $0.array { for problem in problems { problem.write(to: &$0) } }
            }
        }
        if query["dryRun"] == "true" { return reply.respond(answer(generation)) }
        let next = results.contains { $0.1 != "unchanged" } ? generation + 1 : generation
        do {
            // Unchanged ones too: their file and line may have moved.
            _ = try store.append(change.written.map(ResourceTable.change) + [GenerationTable.change(next)])
        } catch {
            return reply.respond(storeFailure(error))
        }
        resources = change.result
        generation = next
        counts.applied += 1
        setNeedsCompile()
        Log.note("applied", ["generation": "\(next)", "changed": "\(results.count { $0.1 != "unchanged" })"])
        whenDurable { reply.respond(answer(next)) }
    }

    /// A warning for each chain that some connected sidecar it is meant for cannot run.
    private func lackingSidecars(_ written: [Resource]) -> [ConfigProblem] {
        var problems: [ConfigProblem] = []
        for case .chain(let chain) in written {
            for stage in chain.stages {
                let lacking = sidecars.values.filter { record in
                    guard record.stream != nil, !record.hello.filters.contains(where: { $0.name == stage.filter }) else { return false }
                    let key = ResourceKey(.service, record.hello.service, namespace: record.hello.namespace)
                    guard case .service(let service)? = resources[key] else { return chain.target == nil }
                    return chain.target.covers(service, from: chain.namespace)
                }.map(\.hello.sidecar).sorted()
                guard !lacking.isEmpty else { continue }
                problems.append(
                    ConfigProblem(
                        "filter \"\(stage.filter)\" is missing in \(lacking.joined(separator: ", ")): they will reject this chain and go on with theirs",
                        severity: .warning, at: stage.node, path: "stages"))
            }
        }
        return problems
    }

    /// What any sidecar that is connected has, and what this release has: what `apply` holds settings against.
    var knownFilters: [String: FilterSchema] {
        var known = ownFilters
        for (_, record) in sidecars.sorted(by: { $0.key < $1.key }) where record.stream != nil {
            for filter in record.hello.filters where known[filter.name] == nil {
                guard let node = ConfigReader.read(filter.schema, name: filter.name).root, let schema = FilterSchema(json: node) else { continue }
                known[filter.name] = schema
            }
        }
        return known
    }

    func storeFailure(_ error: any Error) -> ServiceResponse {
        switch error as? StoreError {
        case .diskFull: .error(507, "\(error)")
        case .tooLarge: .error(413, "\(error)")
        default: .error(500, "\(error)")
        }
    }

    private func selected(_ query: Query) -> [Resource] {
        resources.sorted.filter { resource in
            query["kind"].map { $0.lowercased() == resource.key.kind.rawValue.lowercased() } ?? true
                && query["namespace"].map { $0 == resource.key.namespace } ?? true && query["name"].map { $0 == resource.key.name } ?? true
        }
    }

    private func list(_ query: Query) -> ServiceResponse {
        .json {
            $0.key("items")
            $0.array { for resource in selected(query) { resource.write(to: &$0) } }
        }
    }

    private func delete(_ query: Query, _ reply: ServiceReply) {
        guard query["kind"] != nil, query["name"] != nil else {
            return reply.respond(.error(400, "say which: kind and name, and namespace if it is not \"default\""))
        }
        let found = selected(query).filter { $0.key.namespace == query["namespace"] ?? ResourceKey.defaultNamespace }
        guard !found.isEmpty else { return reply.respond(.error(404, "there is no such resource")) }
        let change = resources.removing(found.map(\.key), filters: knownFilters)
        guard !change.isRefused else {
            return reply.respond(.error(422, "what is left would not hold together; nothing was changed", change.problems))
        }
        do {
            _ = try store.append(
                found.map { .delete(ResourceTable.name, ResourceTable.key($0.key)) } + [GenerationTable.change(generation + 1)])
        } catch {
            return reply.respond(storeFailure(error))
        }
        resources = change.result
        generation += 1
        setNeedsCompile()
        let now = generation
        whenDurable {
            reply.respond(
                .json {
                    $0.member("generation", now)
                    $0.key("deleted")
                    $0.array { for resource in found { $0.string(resource.key.description) } }
                })
        }
    }

    // MARK: Tokens

    private func mintToken(_ request: ServiceRequest, _ reply: ServiceReply) {
        let (service, namespace): (String, String)
        let (life, uses): (Int64, UInt32?)
        do {
            let body = try RequestBody(request, keys: ["service", "namespace", "ttl", "uses"])
            service = try body.text("service")
            namespace = try body.optionalText("namespace") ?? ResourceKey.defaultNamespace
            life = try Self.tokenLife(body)
            uses = try Self.tokenUses(body)
        } catch {
            return reply.respond(error.response)
        }
        for name in [service, namespace] where !ConfigRule.isLabel(name) {
            return reply.respond(.error(400, "\(JSONWriter.quoted(name)) is no name: lower-case letters, digits, hyphens"))
        }
        guard let identity = WorkloadIdentity(trustDomain: authority.trustDomain, namespace: namespace, service: service),
            identity != WorkloadIdentity.controlPlane(of: authority.trustDomain)
        else { return reply.respond(.error(422, "nobody joins as the control plane")) }
        // The root that will stay, so that a rotation under way does not outdate it.
        let token = JoinToken(rootFingerprint: authority.rotation.newest.fingerprint)
        let now = UnixTime(Clock.unixSeconds())
        switch tokens.mint(token, namespace: namespace, service: service, uses: uses, life: life, at: now) {
        case .refused(let why): reply.respond(.error(422, why))
        case .minted(let change):
            do {
                _ = try store.append([change])
            } catch {
                return reply.respond(storeFailure(error))
            }
            whenDurable {
                reply.respond(
                    .json {
                        $0.member("token", token.text)
                        $0.member("service", service)
                        $0.member("namespace", namespace)
                        $0.member("expires", Timestamp(now.seconds + life).description)
                    })
            }
        }
    }

    /// The longest life of a join token, in seconds.
    static let tokenLifeMax: Int64 = 365 * 86_400

    private static func tokenLife(_ body: RequestBody) throws(RequestBody.Problem) -> Int64 {
        guard let text = try body.optionalText("ttl") else { return JoinTokenLedger.lifeDefault }
        guard let duration = Quantity.parse(text, Quantity.durations), 1...tokenLifeMax ~= duration / 1_000_000_000 else {
            throw RequestBody.Problem(sentence: "\(JSONWriter.quoted(text)) is no lifetime of a token: write 10m, 24h; at most a year")
        }
        return duration / 1_000_000_000
    }

    /// Nil: as often as one likes.
    private static func tokenUses(_ body: RequestBody) throws(RequestBody.Problem) -> UInt32? {
        let number = try body.optionalInteger("uses") ?? 1
        guard 0...1_000_000 ~= number else { throw RequestBody.Problem(sentence: "uses must be 0 (any number) to 1000000") }
        return number == 0 ? nil : UInt32(number)
    }
}
