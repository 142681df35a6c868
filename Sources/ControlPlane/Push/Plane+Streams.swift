internal import Host
internal import Pipeline

/// The push streams: one per connected sidecar. It says who it is, and from then on what became of what it was pushed.
extension Plane {
    /// How often a sidecar must be heard from; a lease lapses after six of them.
    static let heartbeat = Nanoseconds.seconds(5)
    /// How long a new stream may take to say hello.
    static let helloTimeout = Nanoseconds.seconds(10)
    /// Streams that have not said hello.
    static let strangersMax = 1_024
    /// Sidecars known, connected or not.
    static let sidecarsMax = 20_000
    /// How long a sidecar that is gone is still shown.
    static let memory = Nanoseconds.seconds(600)

    func openPush(_ request: ServiceRequest, _ reply: ServiceReply) {
        guard let peer = request.peer, let workload = peer.id.workload else {
            return reply.respond(.error(403, "the push stream is for sidecars with a certificate of this mesh"))
        }
        guard strangers.count < Self.strangersMax else { return reply.respond(.error(503, "too many streams have not said hello")) }
        let opened = reply.upgrade(to: "weft-push/1") { listen(to: $0, peer, workload) }
        if opened == nil { reply.respond(.error(426, "this control plane speaks weft-push/1: ask with Upgrade: weft-push/1, and use the same weft on both sides", upgrade: "weft-push/1")) }
    }

    private func listen(to stream: FramedStream, _ peer: PeerIdentity, _ workload: (namespace: String, service: String)) {
        strangers[ObjectIdentifier(stream)] = Stranger(stream: stream, since: uptime)
        var record: SidecarRecord?
        stream.onFrame = { [unowned self] frame in
            do throws(PushFrame.Failure) {
                guard frame.count <= PushLimits.frameFromSidecarBytesMax else {
                    throw .tooLarge(bytes: frame.count, bytesMax: PushLimits.frameFromSidecarBytesMax)
                }
                let (message, session) = try PushMessage.read(frame)
                switch (message, record) {
                case (.hello(let hello), nil):
                    if let why = hello.objection(as: workload) ?? revocations.objection(hello.namespace, hello.service) ?? crowding(hello) { throw .malformed(why) }
                    record = greet(hello, session, stream, peer)
                case (.hello, .some): throw .malformed("it said hello twice")
                case (_, nil): throw .malformed("it spoke before it said hello")
                case (_, let known?): receive(message, session, from: known, stream)
                }
            } catch {
                let why = if case .malformed(let why) = error { why } else { "\(error)" }
                cut(stream, record, peer.id.description, why, isRefusal: true)
            }
        }
        stream.onClose = { [unowned self] _ in ended(stream, record) }
    }

    private func crowding(_ hello: PushMessage.Hello) -> String? {
        let key = SidecarRecord.key(hello.namespace, hello.service, hello.sidecar)
        return sidecars[key] == nil && sidecars.count >= Self.sidecarsMax ? "there are \(sidecars.count) sidecars already" : nil
    }

    // MARK: Beginning and end

    private func greet(_ hello: PushMessage.Hello, _ session: UInt64, _ stream: FramedStream, _ peer: PeerIdentity) -> SidecarRecord {
        strangers[ObjectIdentifier(stream)] = nil
        let key = SidecarRecord.key(hello.namespace, hello.service, hello.sidecar)
        if let old = sidecars[key]?.stream {
            Log.note("push stream replaced", ["sidecar": key])
            old.close()
            sidecars[key]?.stream = nil
            sidecars[key]?.publisher.disconnected()
        }
        // Of another version it is another workload: nothing compiled for the old one is for it.
        let known = sidecars[key].flatMap { $0.hello.version == hello.version ? $0 : nil }
        let record = known ?? SidecarRecord(hello: hello, at: uptime)
        record.hello = hello
        record.stream = stream
        record.session = session
        record.lastHeard = uptime
        let hasRenewed = record.certificateEnds != peer.expires || record.certificateIssuer != peer.issuer
        record.hasLeft = false
        sidecars[key] = record
        send(.welcome(heartbeat: Self.heartbeat), record)
        noteCertificate(of: record, peer)
        push(record.publisher.connected(session: session, incarnation: hello.incarnation, have: hello.have, hasRenewed: hasRenewed), to: record)
        noteTrust(of: record)
        register(record)
        // Compiled for it now, even if nothing else changed. For one that only comes back, with a new certificate say, nothing is.
        if record.bodies.isEmpty { setNeedsCompile() }
        return record
    }

    /// A stream that ended by itself.
    private func ended(_ stream: FramedStream, _ record: SidecarRecord?) {
        strangers[ObjectIdentifier(stream)] = nil
        guard let record, record.stream === stream else { return }
        record.stream = nil
        record.publisher.disconnected()
        // Its endpoints stay until their lease lapses: a sidecar without a control plane serves on.
        if record.hasLeft { sidecars[record.key] = nil }
    }

    /// - Parameter isRefusal: it would be cut again if it came back as it is, so it is told.
    func cut(_ stream: FramedStream, _ record: SidecarRecord?, _ who: String, _ why: String, isRefusal: Bool = false) {
        counts.streamsCut += 1
        Log.note("push stream cut", ["peer": who, "why": why])
        // Its operator looks into its log, not into ours.
        if isRefusal { stream.send(PushMessage.refused(reason: why).json(session: record?.session ?? 0)) }
        stream.close()
        ended(stream, record)
    }

    // MARK: What it says

    private func receive(_ message: PushMessage, _ session: UInt64, from record: SidecarRecord, _ stream: FramedStream) {
        guard record.stream === stream, record.session == session else { return }
        record.lastHeard = uptime
        let key = record.key
        switch message {
        case .ack(let part, let version, let generation):
            counts.acked += 1
            let pushes = record.publisher.acked(part, version: version, generation: generation, session: session)
            if let body = record.bodies[part], body.version == version { pushTime.record(loop.now - body.made) }
            if part == .trust { noteTrust(of: record) }
            push(pushes, to: record)
        case .nack(let part, let version, let generation, let reason):
            counts.nacked += 1
            Log.note("part rejected", ["sidecar": key, "part": part.rawValue, "version": version, "why": reason])
            push(record.publisher.nacked(part, version: version, generation: generation, reason: reason, session: session), to: record)
        case .heartbeat:
            // One whose lease had lapsed while it could not be heard takes part again.
            if !leases.renew(key, at: uptime) { register(record) }
            send(.heartbeat, record)
        case .health(let isHealthy, let reason):
            record.healthReason = isHealthy ? "" : reason
            if let changed = leases.setHealth(key, isHealthy: isHealthy, at: uptime) { save(key, changed) }
        case .draining:
            if let changed = leases.setDraining(key, at: uptime) { save(key, changed) }
        case .leaving:
            record.hasLeft = true
            noteLeft(record)
            guard leases.remove(key) else { break }
            removeRegistration(key)
            setNeedsCompile()
        case .hello, .welcome, .part, .renewCertificate, .refused, .unknown: break
        }
    }

    func send(_ message: PushMessage, _ record: SidecarRecord) {
        guard let stream = record.stream else { return }
        let isTaken = stream.send(message.json(session: record.session))
        if !isTaken { cut(stream, record, record.key, "it does not take what it is sent") }
    }

    // MARK: Endpoints

    private func register(_ record: SidecarRecord) {
        let key = record.key
        guard !record.hello.endpoints.isEmpty else {
            if leases.remove(key) { removeRegistration(key) }
            return
        }
        // Health and draining it says again behind its hello.
        let registration = LeaseTable.Registration(
            namespace: record.hello.namespace, service: record.hello.service, version: record.hello.version,
            endpoints: record.hello.endpoints, isHealthy: leases[key]?.isHealthy ?? record.healthReason.isEmpty, isDraining: false)
        if leases.register(key, registration, at: uptime) { save(key, registration) }
    }

    private func save(_ key: String, _ registration: LeaseTable.Registration) {
        do {
            try RegistrationTable.save(key, registration, to: store)
        } catch {
            Log.note("registration not stored", ["sidecar": key, "why": "\(error)"])
        }
        setNeedsCompile()
    }

    private func removeRegistration(_ key: String) {
        store(RegistrationTable.removal(key))
    }

    // MARK: Time

    /// Once a second: lapsed leases, streams that say nothing, and sidecars that are long gone.
    func expireSidecars() {
        let now = uptime
        for (_, stranger) in strangers where now >= stranger.since + Self.helloTimeout {
            cut(stranger.stream, nil, stranger.stream.peer?.id.description ?? "", "it did not say hello in time")
        }
        for record in Array(sidecars.values) {
            if let stream = record.stream {
                if now >= record.lastHeard + settings.lease {
                    cut(stream, record, record.key, "nothing was heard of it for \(Int(settings.lease.seconds)) s")
                } else if record.certificateEnds <= Clock.unixSeconds() {
                    cut(stream, record, record.key, "its certificate has ended")
                }
            } else if leases[record.key] == nil, now >= record.lastHeard + Self.memory {
                sidecars[record.key] = nil
            }
        }
        let gone = leases.expire(at: now)
        for key in gone {
            Log.note("endpoint gone", ["sidecar": key, "why": "its lease lapsed"])
            removeRegistration(key)
        }
        if !gone.isEmpty { setNeedsCompile() }
    }
}

/// A stream on which nobody has said hello yet.
struct Stranger {
    let stream: FramedStream
    let since: Instant
}
