internal import Host
internal import Pipeline

/// The operators' interface: HTTP over a unix socket that only its owner can open.
extension Plane {
    func handleAPI(_ request: ServiceRequest, _ reply: ServiceReply) {
        let query = Query(request.query)
        switch (request.method, request.path) {
        case ("POST", "/v1/apply"): apply(request, query, reply)
        case ("GET", "/v1/resources"): reply.respond(list(query))
        case ("DELETE", "/v1/resources"): delete(query, reply)
        case ("POST", "/v1/tokens"): mintToken(request, reply)
        case ("GET", "/v1/sidecars"): reply.respond(sidecarList())
        case ("GET", "/v1/services"): reply.respond(serviceList())
        case ("GET", "/v1/stat"): reply.respond(stat(query))
        case ("GET", "/v1/explain"): reply.respond(explain(query))
        case ("GET", "/v1/filters"): reply.respond(filterList())
        case ("GET", "/v1/version"):
            reply.respond(
                .json {
                    $0.member("version", WeftVersion.text)
                    $0.member("generation", generation)
                    $0.member("trustDomain", authority.trustDomain)
                })
        case (_, "/v1/apply"), (_, "/v1/resources"), (_, "/v1/tokens"), (_, "/v1/sidecars"), (_, "/v1/services"), (_, "/v1/stat"),
            (_, "/v1/explain"), (_, "/v1/filters"), (_, "/v1/version"):
            reply.respond(.error(405, "\(request.path) does not take \(request.method)"))
        default: reply.respond(.error(404, "there is no \(request.path) here"))
        }
    }

    // MARK: Resources

    private func apply(_ request: ServiceRequest, _ query: Query, _ reply: ServiceReply) {
        guard let root = ConfigReader.read(bytes: request.body, name: "request").root, let list = root["files"]?.elements else {
            return reply.respond(.error(400, "the body must be {\"files\": [{\"name\": …, \"text\": …}]}"))
        }
        let sources = list.compactMap { file -> ConfigSource? in
            guard let name = file["name"]?.string, let text = file["text"]?.string else { return nil }
            return ConfigSource(name: name, bytes: Array(text.utf8))
        }
        guard sources.count == list.count, !sources.isEmpty else {
            return reply.respond(.error(400, "every file needs \"name\" and \"text\""))
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
        do {
            // Unchanged ones too: their file and line may have moved.
            _ = try store.append(change.written.map(ResourceTable.change))
        } catch {
            return reply.respond(storeFailure(error))
        }
        resources = change.result
        generation += 1
        counts.applied += 1
        setNeedsCompile()
        let now = generation
        whenDurable { reply.respond(answer(now)) }
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
        for record in sidecars.values where record.stream != nil {
            for filter in record.hello.filters where known[filter.name] == nil {
                guard let node = ConfigReader.read(filter.schema, name: filter.name).root, let schema = FilterSchema(json: node) else { continue }
                known[filter.name] = schema
            }
        }
        return known
    }

    private func storeFailure(_ error: any Error) -> ServiceResponse {
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
            _ = try store.append(found.map { .delete(ResourceTable.name, ResourceTable.key($0.key)) })
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
        guard let root = ConfigReader.read(bytes: request.body, name: "request").root, let service = root["service"]?.string else {
            return reply.respond(.error(400, "the body must name a \"service\""))
        }
        let namespace = root["namespace"]?.string ?? ResourceKey.defaultNamespace
        var life = JoinTokenLedger.lifeDefault
        if let text = root["ttl"]?.string {
            guard let duration = Nanoseconds(config: root["ttl"] ?? root), duration >= .seconds(1) else {
                return reply.respond(.error(400, "\"\(text)\" is no lifetime; write 10m, 24h"))
            }
            life = duration.count / 1_000_000_000
        }
        var uses: UInt32? = 1
        if let number = root["uses"]?.integer {
            guard 0...1_000_000 ~= number else { return reply.respond(.error(400, "uses must be 0 (any number) to 1000000")) }
            uses = number == 0 ? nil : UInt32(number)
        }
        let token = JoinToken(rootFingerprint: authority.rotation.issuer.fingerprint)
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
}
