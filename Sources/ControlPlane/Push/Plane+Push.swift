internal import Host
internal import Pipeline

/// Push: every connected sidecar gets the newest version of each part that concerns it.
extension Plane {
    /// Endpoints as callers reach them.
    var registeredEndpoints: [RegisteredEndpoint] {
        leases.all.compactMap { key, registration in
            guard let endpoint = registration.endpoints.first else { return nil }
            return RegisteredEndpoint(
                name: RegistrationTable.sidecarName(key), service: registration.service, namespace: registration.namespace,
                version: registration.version, address: endpoint.address, isHealthy: registration.isHealthy,
                isDraining: registration.isDraining)
        }
    }

    /// Compiles once per kind of workload and pushes the parts whose text changed to each of its sidecars.
    ///
    /// Who is affected by a change is not guessed from the change but seen in the result: a part's version is a digest of its
    /// text, and the compiler puts into a part only what concerns its workload.
    func compileAndPush() {
        needsCompile = false
        let roots: [UInt8]
        do {
            roots = try authority.bundle()
        } catch {
            return Log.note("nothing pushed", ["why": "\(error)"])
        }
        let trust = TrustPart(trustDomain: authority.trustDomain, roots: String(decoding: roots, as: UTF8.self))
        var sample = Snapshot.waiting(for: .init(service: "", namespace: "", version: ""))
        sample.trust = trust
        trustVersion = SnapshotCodec.version(of: SnapshotCodec.encode(.trust, of: sample))
        let compiler = SnapshotCompiler(resources, endpoints: registeredEndpoints, revoked: revocations.identities)
        var compiled: [String: [SnapshotPart: SidecarRecord.Body]] = [:]
        for (_, record) in sidecars.sorted(by: { $0.key < $1.key }) {
            let workload = record.workload
            let kind = "\(workload.namespace)/\(workload.service)/\(workload.version)"
            let bodies = compiled[kind] ?? compile(workload, trust, with: compiler, unlike: record.bodies)
            compiled[kind] = bodies
            for part in SnapshotPart.allCases {
                guard let body = bodies[part], record.bodies[part]?.version != body.version else { continue }
                record.bodies[part] = body
                push(record.publisher.publish(part, version: body.version), to: record)
            }
        }
    }

    /// What is pushed is read first with the code that the sidecar will read it with.
    private func compile(
        _ workload: TrafficPart.WorkloadRef, _ trust: TrustPart, with compiler: SnapshotCompiler, unlike old: [SnapshotPart: SidecarRecord.Body]
    ) -> [SnapshotPart: SidecarRecord.Body] {
        let snapshot = compiler.compile(for: workload, trust: trust)
        var bodies: [SnapshotPart: SidecarRecord.Body] = [:]
        for part in SnapshotPart.allCases {
            let text = SnapshotCodec.encode(part.part, of: snapshot)
            let version = SnapshotCodec.version(of: text)
            if let same = old[part], same.version == version {
                bodies[part] = same
                continue
            }
            do {
                var read = snapshot
                try SnapshotCodec.decode(part.part, text, into: &read)
                guard text.utf8.count <= PushLimits.frameBytesMax - 4096 else {
                    throw SnapshotCodec.Failure("\(text.utf8.count) bytes, at most \(PushLimits.frameBytesMax - 4096) are pushed")
                }
                bodies[part] = SidecarRecord.Body(version: version, text: text, made: loop.now)
            } catch {
                counts.unpushable += 1
                Log.note("part not pushed", ["service": "\(workload.namespace)/\(workload.service)", "part": part.rawValue, "why": "\(error)"])
            }
        }
        return bodies
    }

    func push(_ pushes: [PublisherMachine.Push], to record: SidecarRecord) {
        for push in pushes {
            guard let body = record.bodies[push.part], body.version == push.version else { continue }
            counts.pushed += 1
            send(
                .part(PushedPart(part: push.part, version: push.version, generation: push.generation, body: Array(body.text.utf8))),
                record)
        }
    }
}
