internal import Pipeline

/// The sidecar's end of the push stream: performs what `SubscriberMachine` decides, on the control loop.
final class SnapshotClient {
    /// What the rest of the sidecar does for it.
    struct Owner {
        /// Where the control plane is; nil while there is no identity to go there with.
        var target: () -> ServiceTarget?
        /// Without `have`.
        var hello: () -> PushMessage.Hello
        var check: (PushedPart) -> SubscriberMachine.Verdict
        var install: (PushedPart) -> Void
        var renewCertificate: (_ within: Nanoseconds) -> Void
    }

    private let loop: EventLoop
    private let owner: Owner
    private let log: SidecarLog
    private var machine: SubscriberMachine
    private var call: ServiceCall?
    private var stream: FramedStream?
    private var wakeup: Wakeup?
    private var health: (isHealthy: Bool, reason: String) = (false, "not probed yet")
    private var isDraining = false
    private var isEnded = false
    /// Counts of this process, for metrics.
    private(set) var accepted: UInt64 = 0
    private(set) var rejected: UInt64 = 0
    /// Why the last push of a part was refused; gone with the next that is accepted.
    private(set) var refusals: [SnapshotPart: String] = [:]

    /// Why the control plane will not have this sidecar; nil since it last had.
    private(set) var refusal: String?

    init(on loop: EventLoop, have: [SnapshotPart: String], owner: Owner, log: SidecarLog) {
        self.loop = loop
        self.owner = owner
        self.log = log
        machine = SubscriberMachine(have: have, sessionsBefore: Entropy.word() >> 2, at: loop.now)
        wakeup = Wakeup(on: loop) { [unowned self] in wake() }
    }

    func start() { wakeup?.set(machine.deadline) }

    var isConnected: Bool { machine.isConnected }
    var have: [SnapshotPart: String] { machine.have }

    /// The application's state, told now and at every new stream.
    func setHealth(_ isHealthy: Bool, reason: String) {
        health = (isHealthy, reason)
        if machine.isConnected { send(.health(isHealthy: isHealthy, reason: reason)) }
    }

    /// It will stop soon.
    func announceDraining() {
        isDraining = true
        if machine.isConnected { send(.draining) }
    }

    /// Says goodbye and closes, once what was said is written.
    func leave() {
        guard !isEnded else { return }
        if machine.isConnected { send(.leaving) }
        isEnded = true
        wakeup?.cancel()
        call?.cancel()
        call = nil
        stream?.close()
        stream = nil
    }

    /// A new stream at once: what the control plane knows of this sidecar's certificate is what its stream was opened with.
    func reconnect() {
        guard !isEnded else { return }
        call?.cancel()
        call = nil
        stream?.close()
        stream = nil
        machine.reconnect(at: loop.now)
        wakeup?.set(machine.deadline)
    }

    // MARK: Events

    private func wake() { perform(machine.wake(at: loop.now)) }

    private func opened(_ stream: FramedStream) {
        self.stream = stream
        stream.onFrame = { [unowned self] frame in received(frame) }
        stream.onClose = { [unowned self] why in closed(why.map { "\($0)" } ?? "the control plane ended the stream") }
        perform(machine.opened(at: loop.now))
    }

    private func received(_ frame: [UInt8]) {
        do {
            let (message, session) = try PushMessage.read(frame)
            if case .welcome = message { refusal = nil }
            perform(machine.received(message, session: session, at: loop.now))
        } catch {
            log.warning("the control plane sent \(error)")
            cut()
        }
    }

    private func refused(_ why: String) {
        // Said once, not at every try.
        if refusal != why { log.error("the control plane refuses this sidecar: \(why); it serves on with what it has, and asks again") }
        refusal = why
    }

    private func closed(_ why: String) {
        stream = nil
        call = nil
        log.note("no push stream: \(why)")
        machine.closed(at: loop.now, using: &loop.random.pointee)
        wakeup?.set(machine.deadline)
    }

    /// Ends the stream from our side.
    private func cut(_ why: String = "closed by this sidecar") {
        call?.cancel()
        stream?.close()
        closed(why)
    }

    // MARK: Actions

    private func perform(_ actions: [SubscriberMachine.Action]) {
        for action in actions where !isEnded {
            switch action {
            case .connect: connect()
            case .sendHello(let session):
                var hello = owner.hello()
                hello.have = machine.have
                send(.hello(hello), session)
                send(.health(isHealthy: health.isHealthy, reason: health.reason), session)
                if isDraining { send(.draining, session) }
                log.note("connected to the control plane")
            case .send(let message, let session): send(message, session)
            case .check(let pushed): check(pushed)
            case .install(let pushed):
                accepted += 1
                refusals[pushed.part] = nil
                owner.install(pushed)
            case .renewCertificate(let within): owner.renewCertificate(within)
            case .close(let reason): cut(reason)
            case .refused(let reason):
                refused(reason)
                cut("refused")
            }
        }
        if !isEnded { wakeup?.set(machine.deadline) }
    }

    private func connect() {
        guard let target = owner.target() else { return closed("there is no identity yet") }
        var limits = ServiceLimits()
        limits.frameMax = PushLimits.frameBytesMax
        call = ServiceClient.upgrade(ServiceRequest("GET", "/v1/push"), to: "weft-push/1", at: target, on: loop, limits) { [unowned self] result in
            call = nil
            switch result {
            case .success(let stream): opened(stream)
            case .failure(.refused(let status, let body)) where (400..<500).contains(status):
                refused(ConfigReader.read(body, name: "answer").root?["error"]?.string ?? body)
                machine.refused()
                closed("refused with status \(status)")
            case .failure(let why): closed("\(why)")
            }
        }
    }

    private func check(_ pushed: PushedPart) {
        let verdict = owner.check(pushed)
        if case .rejected(let reason) = verdict {
            rejected += 1
            refusals[pushed.part] = reason
            log.error("refused \(pushed.part.rawValue) \(pushed.version): \(reason)")
        }
        perform(machine.checked(pushed.part, generation: pushed.generation, verdict))
    }

    private func send(_ message: PushMessage) { send(message, machine.session) }

    private func send(_ message: PushMessage, _ session: UInt64) {
        guard let stream else { return }
        let json = message.json(session: session)
        guard json.count <= PushLimits.frameFromSidecarBytesMax, stream.send(json) else {
            return log.error("a message of \(json.count) bytes to the control plane could not be sent")
        }
    }
}
