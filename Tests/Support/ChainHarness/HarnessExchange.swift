package import Pipeline

/// One exchange on its way through the harness: its memory, its attempt, its answer so far.
public final class HarnessExchange {
    public private(set) var answer = HarnessAnswer()

    /// Under which an attempt's events are known; 0: none is out.
    private(set) var attemptOut = 0
    private var attempts = 0
    private(set) var timerNumber = 0
    private var hasHead = false
    private var isOver = false
    var pending: [String]
    let request: HarnessRequest

    /// An exchange may be looked at after its harness is gone.
    private let shared: HarnessMemory
    private let memory: ExchangeMemory
    private let block: UnsafeMutableRawPointer
    private let connection: UnsafeMutablePointer<ConnectionStorage>
    private var texts: [UnsafeMutableBufferPointer<UInt8>] = []
    package let run: ChainRun
    /// The chain it runs on.
    let chain: UnsafeMutablePointer<Chain>

    init(
        _ request: HarnessRequest, chain: UnsafeMutablePointer<Chain>, shared: HarnessMemory, peer: UnsafePointer<PeerRecord>?, wayIn: WayIn, servicePort: Int, slot: UInt32, draw: UInt64,
        seed: UInt64, now: Instant
    ) {
        self.request = request
        self.chain = chain
        self.shared = shared
        pending = request.body
        block = .allocate(byteCount: ExchangeMemory.byteCount, alignment: 16)
        memory = ExchangeMemory(block: block)
        connection = .allocate(capacity: 1)
        connection.initialize(to: ConnectionStorage())
        connection.pointee.peer = peer
        connection.pointee.isTLS = peer != nil
        connection.pointee.servicePort = UInt16(servicePort)
        memory.begin(chain, actions: shared.actions, connection: connection, pool: shared.pool, now: now)
        memory.storage.pointee.random = Random(seed: seed)
        run = ChainRun(memory.storage)
        storage.pointee.wayIn = wayIn
        storage.pointee.draw = draw
        storage.pointee.slot = slot
        answer.startedAt = now
        fillRequest()
    }

    deinit {
        storage.pointee.arena.freeAll()
        storage.pointee.replay.free()
        for text in texts { text.deallocate() }
        connection.deallocate()
        block.deallocate()
    }

    package var storage: UnsafeMutablePointer<ExchangeStorage> { memory.storage }

    // MARK: Streams

    /// Before it begins.
    func becomeStream() {
        connection.pointee.isStream = true
        pending = []
        storage.pointee.request.headers.count = 0
        storage.pointee.request.methodText = .empty
        storage.pointee.request.path = .empty
        storage.pointee.request.target = .empty
        storage.pointee.request.authority = .empty
    }

    func refuse(_ reason: Reason) {
        answer.isFinished = true
        answer.isCut = true
        answer.reason = reason.string
    }

    // MARK: Heads

    private func pin(_ text: String) -> Bytes {
        let bytes = Array(text.utf8)
        let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, bytes.count))
        _ = copy.initialize(from: bytes)
        texts.append(copy)
        return Bytes(UnsafePointer(copy.baseAddress), count: bytes.count)
    }

    /// Lays lines out as a receive buffer has them.
    private func fill(_ table: inout HeaderTable, _ lines: [(name: String, value: String)]) {
        let text = lines.map { "\($0.name): \($0.value)\r\n" }.joined()
        table.base = pin(text).base
        table.count = 0
        table.isWireFormat = true
        var offset = 0
        for line in lines {
            let name = line.name.utf8.count, value = line.value.utf8.count
            let tag = HeaderName.tag(of: Bytes(table.base.map { $0 + offset }, count: name))
            table.fields![Int(table.count)] = HeaderField(
                nameOffset: UInt16(offset), nameCount: UInt16(name), valueOffset: UInt16(offset + name + 2), valueCount: UInt16(value), tag: tag)
            table.count += 1
            offset += name + value + 4
        }
    }

    private func fillRequest() {
        let methods: [String: Pipeline.Method] = [
            "GET": .get, "HEAD": .head, "POST": .post, "PUT": .put, "DELETE": .delete, "OPTIONS": .options, "PATCH": .patch,
        ]
        let parts = request.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        storage.pointee.request.method = methods[request.method] ?? .other
        storage.pointee.request.methodText = pin(request.method)
        storage.pointee.request.target = pin(request.target)
        storage.pointee.request.path = pin(parts[0])
        storage.pointee.request.query = parts.count > 1 ? pin(parts[1]) : .empty
        storage.pointee.request.authority = pin(request.authority)
        storage.pointee.request.framing = request.body.isEmpty ? .none : .chunked
        fill(&storage.pointee.request.headers, request.headers)
        storage.pointee.request.asksUpgrade = request.headers.contains { $0.name == "upgrade" }
    }

    func fillResponse(_ status: Int, _ headers: [String: String]) {
        storage.pointee.response.status = UInt16(status)
        fill(&storage.pointee.response.headers, headers.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) })
    }

    /// The lines of a head with the edits applied, `name: value`.
    private static func lines(_ table: HeaderTable, _ edits: EditLog) -> [String] {
        var lines = (0..<Int(table.count)).map { (table.name($0).string.lowercased(), table.value($0).string) }
        var edit = edits.first
        while let current = edit {
            let name = current.pointee.name.string
            switch current.pointee.operation {
            case .set, .remove: lines.removeAll { $0.0 == name }
            case .add, .path, .authority: break
            }
            if current.pointee.operation == .set || current.pointee.operation == .add { lines.append((name, current.pointee.value.string)) }
            edit = current.pointee.next
        }
        return lines.map { "\($0.0): \($0.1)" }
    }

    // MARK: Orders of the runner. One that contradicts an earlier one is a defect of the runner, and stops the test.

    private func demand(_ condition: Bool, _ words: String) {
        precondition(condition, "the runner contradicts itself: \(words)")
    }

    /// The number under which the attempt's events are delivered.
    func beginAttempt(endpoint: String, service: String, version: String) -> Int {
        demand(!isOver, "an attempt after the end")
        demand(attemptOut == 0, "an attempt while another is out")
        demand(!hasHead, "an attempt after a response head went out")
        attempts += 1
        attemptOut = attempts
        let path = storage.pathNow.string
        answer.forwarded.append(
            ForwardedRequest(
                method: request.method, path: path, authority: storage.authorityNow.string,
                headers: Self.lines(storage.pointee.request.headers, storage.pointee.requestEdits), body: storage.pointee.replay.bytes.string,
                endpoint: endpoint, at: storage.pointee.now, service: service, version: version))
        return attemptOut
    }

    func cancelAttempt() {
        demand(attemptOut != 0, "an attempt given up that is not out")
        attemptOut = 0
    }

    /// The host let go of the attempt by itself, or it is complete.
    func attemptIsOver() { attemptOut = 0 }

    func forwardRequestBody(_ piece: Bytes) {
        demand(attemptOut != 0, "a piece of the body without an attempt")
        answer.forwarded[answer.forwarded.count - 1].body += piece.string
    }

    func sendResponseHead() {
        demand(!hasHead && !isOver, "a second response head")
        hasHead = true
        answer.status = Int(storage.pointee.response.status)
        answer.headers = Self.lines(storage.pointee.response.headers, storage.pointee.responseEdits)
    }

    func forwardResponseBody(_ piece: Bytes) {
        demand(hasHead && !answer.isLocal, "a piece of the response's body before its head")
        answer.body += piece.string
    }

    func sendReply() {
        sendResponseHead()
        answer.isLocal = true
        answer.body = storage.pointee.replyBody.string
    }

    func cutDownstream() {
        demand(hasHead || storage.pointee.isStream, "a cut of an answer that has not begun")
        answer.isCut = true
    }

    func openTunnel() {
        demand(attemptOut != 0, "a tunnel without an attempt")
        if !storage.pointee.isStream { sendResponseHead() }
        answer.isTunnel = true
    }

    func setTimer() -> Int {
        timerNumber += 1
        return timerNumber
    }

    func finish() {
        demand(!isOver, "a second end")
        isOver = true
        answer.isFinished = true
        answer.flag = storage.pointee.flag
        answer.reason = storage.pointee.reason.string
        answer.finishedAt = storage.pointee.now
        timerNumber += 1
    }

    /// The next piece of the request's body, pinned.
    func nextPiece() -> (piece: Bytes, isLast: Bool)? {
        guard !pending.isEmpty else { return nil }
        let text = pending.removeFirst()
        return (pin(text), pending.isEmpty)
    }

    func pinned(_ text: String) -> Bytes { pin(text) }
}
