/// Who is at the other end of a connection, as its certificate proved; interned for the life of the process.
///
/// The text is `spiffe://<trustDomain>/ns/<namespace>/sa/<service>` and its parts.
@safe
package struct PeerRecord: BitwiseCopyable {
    /// Dense id, for metrics and keyed state.
    package let id: UInt32
    /// The interned label of `service` (see `LabelTable`).
    package let serviceLabel: LabelID
    package let spiffeID: Bytes
    package let trustDomain: Bytes
    package let namespace: Bytes
    package let service: Bytes
    /// Hashes for tables of callers: of namespace and service, and of the namespace alone.
    package let serviceHash: UInt32
    package let namespaceHash: UInt32

    package init(id: UInt32, serviceLabel: LabelID, spiffeID: Bytes, trustDomain: Bytes, namespace: Bytes, service: Bytes) {
        serviceHash = Self.hash(namespace: namespace, service: service)
        namespaceHash = Self.hash(namespace: namespace, service: .empty)
        self.id = id
        self.serviceLabel = serviceLabel
        self.spiffeID = spiffeID
        self.trustDomain = trustDomain
        self.namespace = namespace
        self.service = service
    }

    /// FNV-1a over both, with a slash between.
    package static func hash(namespace: Bytes, service: Bytes) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        func add(_ byte: UInt8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        for index in 0..<namespace.count { add(namespace[index]) }
        add(UInt8(ascii: "/"))
        for index in 0..<service.count { add(service[index]) }
        return hash ^ hash >> 15
    }
}

/// A downstream connection as filters see it. The host owns it; it outlives its exchanges.
@safe
package struct ConnectionStorage: BitwiseCopyable {
    /// Nil: no identity we trust (`external` in policies).
    package var peer: UnsafePointer<PeerRecord>?
    package var openedAt = Instant.zero
    package var bytesReceived: UInt64 = 0
    package var bytesSent: UInt64 = 0
    /// Which chain's connection phase it last passed, so that a swap repeats it.
    package var admittedBy: UInt64 = 0
    /// For `x-forwarded-for`; none if it would mean nothing to others.
    package var caller = CallerAddress()
    /// Flags in the one byte that is left behind an address: tens of thousands of these may idle.
    private var flags: UInt8 = 0
    /// The service's port it came in by; 0: not known.
    package var servicePort: UInt16 = 0
    /// What stands behind the inbound port it came in by, as a label in `EndpointDirectory`.
    package var application = EndpointDirectory.application

    package var isTLS: Bool {
        get { flags & 1 != 0 }
        set { flags = newValue ? flags | 1 : flags & ~1 }
    }

    /// It carries no messages but a raw stream (TCP).
    package var isStream: Bool {
        get { flags & 2 != 0 }
        set { flags = newValue ? flags | 2 : flags & ~2 }
    }

    /// It is a raw stream whose port declares no protocol: what is asked of HTTP there must not be passed by.
    package var isUndeclared: Bool {
        get { flags & 4 != 0 }
        set { flags = newValue ? flags | 4 : flags & ~4 }
    }

    /// Its port declares no protocol, and it is not known yet.
    package var isDetecting: Bool {
        get { flags & 8 != 0 }
        set { flags = newValue ? flags | 8 : flags & ~8 }
    }

    package init() {}
}

/// How a request came into the sidecar.
package enum WayIn: BitwiseCopyable, Equatable, Sendable {
    /// The port in front of the application.
    case inbound
    /// The local port of one service, by its index in the traffic table.
    case servicePort(UInt32)
    /// The HTTP proxy port: the authority names the service.
    case proxy
}

/// Where an exchange is bound, as the chain's router resolved it.
package struct Destination: BitwiseCopyable, Sendable {
    /// Index into the chain's traffic table; -1 if the request names no known service.
    package var service: Int32 = -1
    /// Index of the service that answers: the same, unless a Route leads to another one.
    package var callee: Int32 = -1
    /// Index of the matched rule in the service's Route; -1 if there is no Route or no match.
    package var rule: Int32 = -1
    /// Index of the chosen version in the service's upstreams; -1 if none.
    package var upstream: Int32 = -1
    /// Which settings apply: the row of the chain's filter tables.
    package var scope: UInt16 = 0
    /// For metrics, in `BuildContext.labels`.
    package var serviceLabel = LabelID.unknown
    package var versionLabel = LabelID.none
    package var routeLabel = LabelID.none
    /// (service, version), the key of breakers and budgets, in `BuildContext.upstreams`; `none` if it is bound nowhere.
    package var upstreamLabel = LabelID.none

    package init() {}
}

/// A deadline that a stage set.
package struct StageTimer: BitwiseCopyable {
    package var stage: UInt8 = 0
    /// Ends with the response head instead of the response.
    package var coversHeadOnly = false
    package var duration = Nanoseconds.zero
    /// `distantFuture` until the request has ended, from when it counts.
    package var deadline = Instant.distantFuture
}

/// Everything about one exchange: plain old data, confined to its loop, reached by filters through `Exchange`.
///
/// Nothing here is a reference: what an exchange points to is pinned by its connection (buffers), its chain (text of the
/// snapshot) or the process (labels, peers). A `.so` filter sees the same bytes (ARCHITECTURE §6).
@safe
package struct ExchangeStorage: BitwiseCopyable {
    package static let timersMax = 8

    package enum State: UInt8, BitwiseCopyable {
        /// Going down the request phases.
        case descending
        /// A filter suspended the request lane.
        case suspended
        /// An attempt is out; no final response head yet.
        case waiting
        /// Between two attempts.
        case backingOff
        /// The service's final response head has gone downstream.
        case responding
        /// The service agreed to another protocol: bytes flow both ways (`ChainRun+Tunnel`).
        case tunnelling
        /// A reply of our own goes downstream; what still comes from the caller is dropped.
        case replying
        /// Every pass has ended.
        case ended
    }

    // What the host fills in before the exchange begins.
    package var chain: UnsafeMutablePointer<Chain>
    package let actions: UnsafeMutablePointer<ActionRing>
    package let connection: UnsafeMutablePointer<ConnectionStorage>
    package var wayIn = WayIn.inbound
    package var request = unsafe RequestHead()
    package var response = unsafe ResponseHead()
    /// One draw, fixed for the exchange: retries keep route and version.
    package var draw: UInt64 = 0
    /// What a new `x-request-id` is made of.
    package var requestID: (UInt64, UInt64) = (0, 0)
    package var random: Random
    package var now: Instant
    package var startedAt: Instant
    /// Where the host finds it again, for `ResumeToken`. A slot that is used anew goes on counting `suspendGeneration`.
    package var loop: UInt16 = 0
    package var slot: UInt32 = 0
    /// The host's own: which connection, which upstream.
    package var owner: UnsafeMutableRawPointer?
    package var upstream: UnsafeMutableRawPointer?
    /// Each is a stream of HTTP/2, or a connection.
    package var callerSpeaksHTTP2 = false
    package var serviceSpeaksHTTP2 = false

    // The runner's.
    package var state = State.descending
    /// Stages 0..<reached have an open pass.
    package var reached: UInt8 = 0
    /// The stage whose filter is being called.
    package var stage: UInt8 = 0
    /// Where a suspended lane goes on, as an index into the phase's list.
    package var resumeAt: UInt8 = 0
    package var suspendedInBody = false
    package var suspendedUntil = Instant.distantFuture
    package var suspendGeneration: UInt32 = 0
    package var retryStage: UInt8 = 0
    package var retryAt = Instant.distantFuture
    package var requestEnded = false
    package var attempt: UInt16 = 0
    /// The stage whose deadline ended what was below it, until the next attempt; -1: none.
    package var expiredStage: Int16 = -1
    package var timerCount: UInt8 = 0
    package var timers = InlineArray<8, StageTimer>(repeating: StageTimer())
    package var heldPiece = Bytes.empty
    package var heldPieceIsLast = false
    /// The response head came while the request lane was suspended within the body; it climbs when the lane goes on.
    package var holdsResponse = false
    package var editFailed = false
    /// All of that direction has been passed on, and its end.
    package var tunnelRequestEnded = false
    package var tunnelResponseEnded = false
    /// A raw stream (`ChainRun+Stream`): a tunnel from its first byte, without heads.
    package var isStream = false

    // Destination and attempt.
    package var destination = Destination()
    package var isResolved = false
    /// The router's choice for this attempt, its label in `EndpointDirectory`; -1: none yet.
    package var endpoint: Int32 = -1
    /// A sidecar of the mesh stands in front of that endpoint: its `x-weft-reason` is believed.
    package var endpointIsPeer = false
    /// Labels of endpoints tried so far.
    package var tried = TriedSet()
    /// Bytes of this attempt given to the upstream's socket, by the host.
    package var attemptBytesSent: UInt64 = 0
    package var attemptStartedAt = Instant.zero
    /// What failed last, for outcomes; nil while nothing has.
    package var error: ProxyError?

    // The answer.
    package var isLocalReply = false
    package var flag = ResponseFlag.none
    package var replyBody = Bytes.empty
    package var reason = Reason("")
    package var responseStartedAt = Instant.zero
    /// Of a call of gRPC; nil while there is none.
    package var grpcStatus: GRPCStatus?

    // Bodies.
    package var requestBytes: UInt64 = 0
    package var responseBytes: UInt64 = 0
    package var replay = ReplayBuffer()

    // Memory.
    package var arena: Arena
    package var requestEdits = EditLog()
    package var responseEdits = EditLog()
    package let slots: UnsafeMutableRawPointer
    /// The settings scope each open pass was entered under.
    package let scopes: UnsafeMutablePointer<UInt16>

    package init(
        chain: UnsafeMutablePointer<Chain>, actions: UnsafeMutablePointer<ActionRing>,
        connection: UnsafeMutablePointer<ConnectionStorage>, memory: ExchangeMemory, pool: UnsafeMutablePointer<BlockPool>,
        random: Random, now: Instant
    ) {
        unsafe self.chain = chain
        unsafe self.actions = actions
        unsafe self.connection = connection
        self.random = random
        self.now = now
        startedAt = now
        unsafe arena = Arena(pool: pool)
        unsafe slots = memory.slots
        unsafe scopes = memory.scopes
        unsafe request.headers = unsafe HeaderTable(fields: memory.requestFields, capacity: ExchangeMemory.fieldsMax)
        unsafe response.headers = unsafe HeaderTable(fields: memory.responseFields, capacity: ExchangeMemory.fieldsMax)
    }
}

/// The memory of one exchange beside its storage, in one piece so that a loop can pool it.
@safe
package struct ExchangeMemory: BitwiseCopyable {
    package static let fieldsMax = 100
    package static let slotBytesMax = 1024
    package static let stagesMax = 64

    package let storage: UnsafeMutablePointer<ExchangeStorage>
    package let requestFields: UnsafeMutablePointer<HeaderField>
    package let responseFields: UnsafeMutablePointer<HeaderField>
    package let slots: UnsafeMutableRawPointer
    package let scopes: UnsafeMutablePointer<UInt16>

    private static let storageBytes = (MemoryLayout<ExchangeStorage>.size + 15) & ~15
    private static let fieldBytes = (fieldsMax * MemoryLayout<HeaderField>.stride + 15) & ~15
    package static let byteCount = storageBytes + 2 * fieldBytes + slotBytesMax + stagesMax * 2

    /// Lays the parts out in `block`, which has `byteCount` bytes aligned to 16.
    package init(block: UnsafeMutableRawPointer) {
        unsafe storage = block.bindMemory(to: ExchangeStorage.self, capacity: 1)
        var next = unsafe block + Self.storageBytes
        unsafe requestFields = next.bindMemory(to: HeaderField.self, capacity: Self.fieldsMax)
        unsafe next += Self.fieldBytes
        unsafe responseFields = next.bindMemory(to: HeaderField.self, capacity: Self.fieldsMax)
        unsafe next += Self.fieldBytes
        unsafe slots = next
        unsafe next += Self.slotBytesMax
        unsafe scopes = next.bindMemory(to: UInt16.self, capacity: Self.stagesMax)
    }

    /// A fresh exchange, where it stays. Its draws are the caller's to make.
    package func begin(
        _ chain: UnsafeMutablePointer<Chain>, actions: UnsafeMutablePointer<ActionRing>,
        connection: UnsafeMutablePointer<ConnectionStorage>, pool: UnsafeMutablePointer<BlockPool>, now: Instant
    ) {
        assert(poisonSlots())
        unsafe storage.initialize(
            to: ExchangeStorage(
                chain: chain, actions: actions, connection: connection, memory: self, pool: pool, random: Random(seed: 0), now: now))
    }

    /// What a slot holds before its pass means nothing; in debug builds something that no filter could live with.
    private func poisonSlots() -> Bool {
        unsafe slots.initializeMemory(as: UInt8.self, repeating: 0xA5, count: Self.slotBytesMax)
        return true
    }
}
