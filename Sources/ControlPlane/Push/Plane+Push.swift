internal import Host
internal import Pipeline

/// Push: every connected sidecar gets the newest version of each part that concerns it, and says what became of it.
extension Plane {
    /// How often a sidecar must be heard from; a lease lapses after three of them.
    static let heartbeat = Nanoseconds.seconds(5)

    // MARK: Streams

    func openPush(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let workload = peer.id.workload else {
            return reply.respond(.error(403, "the push stream is for sidecars with a certificate of this mesh"))
        }
        var name: String?
        let opened = reply.upgrade(to: "weft-push/1") { stream in
            stream.onFrame = { [unowned self] frame in
                do throws(PushFrame.Failure) {
                    let (message, session) = try PushMessage.read(frame)
                    if case .hello(let hello) = message {
                        guard hello.service == workload.service, hello.namespace == workload.namespace, !hello.sidecar.isEmpty else {
                            Log.note("sidecar refused", ["peer": peer.id.description, "claims": "\(hello.namespace)/\(hello.service)"])
                            return stream.close()
                        }
                        name = hello.sidecar
                        self.greet(hello, session, stream, certificateEnds: peer.expires)
                    } else if let name {
                        self.receive(message, session, from: name, stream)
                    }
                } catch {
                    Log.note("push stream cut", ["peer": peer.id.description, "why": "\(error)"])
                    stream.close()
                    if let name { self.lost(name, stream) }
                }
            }
            stream.onClose = { [unowned self] _ in if let name { self.lost(name, stream) } }
        }
        if opened == nil { reply.respond(.error(426, "this is the push stream: ask with Upgrade: weft-push/1")) }
    }

    private func greet(_ hello: PushMessage.Hello, _ session: UInt64, _ stream: FramedStream, certificateEnds: Int64) {
        var record = sidecars[hello.sidecar] ?? SidecarRecord(hello: hello, lastSeen: loop.now)
        if let old = record.stream, old !== stream {
            old.close()
            record.publisher.disconnected()
        }
        record.hello = hello
        record.stream = stream
        record.session = session
        record.lastSeen = loop.now
        record.certificateEnds = certificateEnds
        send(.welcome(heartbeat: Self.heartbeat), record)
        let pushes = record.publisher.connected(session: session, incarnation: hello.incarnation, have: hello.have)
        sidecars[hello.sidecar] = record
        push(pushes, to: hello.sidecar)
        register(hello)
        // Compiled for it now, even if nothing else changed.
        setNeedsCompile()
    }

    private func register(_ hello: PushMessage.Hello) {
        guard !hello.endpoints.isEmpty else { return }
        let known = leases[hello.sidecar]
        let registration = LeaseTable.Registration(
            namespace: hello.namespace, service: hello.service, version: hello.version, endpoints: hello.endpoints,
            isHealthy: known?.isHealthy ?? true, isDraining: false)
        if leases.register(hello.sidecar, registration, at: loop.now) { save(hello.sidecar, registration) }
    }

    private func save(_ sidecar: String, _ registration: LeaseTable.Registration) {
        do {
            try RegistrationTable.save(sidecar, registration, to: store)
        } catch {
            Log.note("registration not stored", ["sidecar": sidecar, "why": "\(error)"])
        }
        setNeedsCompile()
    }

    private func receive(_ message: PushMessage, _ session: UInt64, from name: String, _ stream: FramedStream) {
        guard var record = sidecars[name], record.stream === stream, record.session == session else { return }
        record.lastSeen = loop.now
        var pushes: [PublisherMachine.Push] = []
        switch message {
        case .ack(let part, let version, let generation):
            counts.acked += 1
            pushes = record.publisher.acked(part, version: version, generation: generation, session: session)
        case .nack(let part, let version, let generation, let reason):
            counts.nacked += 1
            Log.note("part rejected", ["sidecar": name, "part": part.rawValue, "version": version, "why": reason])
            pushes = record.publisher.nacked(part, version: version, generation: generation, reason: reason, session: session)
        case .heartbeat:
            _ = leases.renew(name, at: loop.now)
            send(.heartbeat, record)
        case .health(let isHealthy, let reason):
            record.healthReason = reason
            if let changed = leases.setHealth(name, isHealthy: isHealthy, at: loop.now) { save(name, changed) }
        case .draining:
            if let changed = leases.setDraining(name, at: loop.now) { save(name, changed) }
        case .leaving:
            if leases.remove(name) {
                try? RegistrationTable.remove(name, from: store)
                setNeedsCompile()
            }
        case .hello, .welcome, .part, .renewCertificate, .unknown: break
        }
        sidecars[name] = record
        push(pushes, to: name)
    }

    private func lost(_ name: String, _ stream: FramedStream) {
        guard sidecars[name]?.stream === stream else { return }
        sidecars[name]?.stream = nil
        sidecars[name]?.publisher.disconnected()
        // Its endpoints stay until their lease lapses: a sidecar without a control plane serves on.
        if leases[name] == nil, sidecars[name]?.hello.endpoints.isEmpty == false { sidecars[name] = nil }
    }

    // MARK: Snapshots

    /// Endpoints as callers reach them.
    var registeredEndpoints: [RegisteredEndpoint] {
        leases.all.compactMap { sidecar, registration in
            guard let endpoint = registration.endpoints.first else { return nil }
            return RegisteredEndpoint(
                name: sidecar, service: registration.service, namespace: registration.namespace, version: registration.version,
                address: endpoint.address, isHealthy: registration.isHealthy, isDraining: registration.isDraining)
        }
    }

    /// Compiles for every sidecar and pushes the parts whose text changed.
    func compileAndPush() {
        needsCompile = false
        let compiler = SnapshotCompiler(resources, endpoints: registeredEndpoints)
        guard let roots = try? authority.bundle() else { return }
        let trust = TrustPart(trustDomain: authority.trustDomain, roots: String(decoding: roots, as: UTF8.self))
        for name in sidecars.keys.sorted() {
            guard var record = sidecars[name] else { continue }
            let snapshot = compiler.compile(for: record.workload, trust: trust)
            var pushes: [PublisherMachine.Push] = []
            for part in SnapshotPart.allCases {
                let text = SnapshotCodec.encode(part.part, of: snapshot)
                let version = SnapshotCodec.version(of: text)
                if record.bodies[part]?.version != version {
                    record.bodies[part] = (version, text)
                    pushes += record.publisher.publish(part, version: version)
                }
            }
            sidecars[name] = record
            push(pushes, to: name)
        }
    }

    private func push(_ pushes: [PublisherMachine.Push], to name: String) {
        guard let record = sidecars[name] else { return }
        for push in pushes {
            guard let body = record.bodies[push.part], body.version == push.version else { continue }
            counts.pushed += 1
            send(
                .part(PushedPart(part: push.part, version: push.version, generation: push.generation, body: Array(body.text.utf8))),
                record)
        }
    }

    private func send(_ message: PushMessage, _ record: SidecarRecord) {
        guard let stream = record.stream else { return }
        if !stream.send(message.json(session: record.session)) {
            Log.note("push stream cut", ["sidecar": record.hello.sidecar, "why": "it does not take what it is sent"])
            stream.close()
        }
    }
}
