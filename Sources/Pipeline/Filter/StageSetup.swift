/// What a filter asks its stage for while it is made: counters, memory per pass, state that lasts.
public struct StageSetup {
    /// The stage's id in its chain; the filter's name unless the chain says otherwise.
    public let id: String
    public let isInbound: Bool

    package let filter: String
    /// All that the sidecar runs on; nil while a filter is only being described.
    package let snapshot: Snapshot?
    package let scopes: ScopeTable
    package let context: BuildContext
    package let lease: SharedLease
    package let loop: Int
    private let slotStart: Int
    package private(set) var slotEnd: Int
    package private(set) var declared: [StatDeclaration] = []
    /// What the filter cannot work with although each of its fields is right.
    package private(set) var problems: [String] = []

    package init(
        id: String, filter: String, isInbound: Bool, snapshot: Snapshot?, scopes: ScopeTable = ScopeTable([]), context: BuildContext,
        lease: SharedLease, loop: Int, slotStart: Int
    ) {
        self.id = id
        self.filter = filter
        self.isInbound = isInbound
        self.snapshot = snapshot
        self.scopes = scopes
        self.context = context
        self.lease = lease
        self.loop = loop
        self.slotStart = slotStart
        slotEnd = slotStart
    }

    package static func describing(_ filter: String) -> StageSetup {
        let context = BuildContext(loops: 1)
        return StageSetup(
            id: filter, filter: filter, isInbound: true, snapshot: nil, context: context, lease: context.shared.makeLease(), loop: 0,
            slotStart: 0)
    }

    /// Resumes exchanges that a filter suspended.
    public var resumer: Resumer { context.resumer }

    private var labels: [StatsRegistry.Label] {
        [StatsRegistry.Label("direction", isInbound ? "inbound" : "outbound"), StatsRegistry.Label("stage", id)]
    }

    private func metric(_ name: String) -> String {
        "weft_" + String((filter + "_" + name).map { $0 == "-" ? "_" : $0 })
    }

    /// A counter of this stage, exported as `weft_<filter>_<name>`; name it `…_total`.
    public mutating func counter(_ name: String, _ meaning: String) -> Counter {
        declared.append(StatDeclaration(kind: .counter, name: metric(name), meaning: meaning))
        return context.stats.counter(metric(name), meaning, labels: labels, loop: loop)
    }

    /// A value that goes up and down, summed over the event loops.
    public mutating func gauge(_ name: String, _ meaning: String) -> Gauge {
        declared.append(StatDeclaration(kind: .gauge, name: metric(name), meaning: meaning))
        return context.stats.gauge(metric(name), meaning, labels: labels, loop: loop)
    }

    /// Durations; name it `…_seconds`.
    public mutating func histogram(_ name: String, _ meaning: String) -> Histogram {
        declared.append(StatDeclaration(kind: .histogram, name: metric(name), meaning: meaning))
        return context.stats.histogram(metric(name), meaning, labels: labels, loop: loop)
    }

    /// Plain memory in every pass, zeroed when it begins. All slots of a chain together: at most 1 KiB.
    public mutating func slot<T: BitwiseCopyable>(_ type: T.Type) -> Slot<T> {
        let alignment = MemoryLayout<T>.alignment
        let offset = (slotEnd + alignment - 1) / alignment * alignment
        slotEnd = offset + MemoryLayout<T>.size
        return Slot(offset: offset)
    }

    /// State of the whole process, at most 16 bytes, that outlives config changes and reordering: it belongs to the stage's
    /// id and `subject`.
    public func shared<State: BitwiseCopyable & Sendable>(_ initial: State, subject: String = "total") -> Shared<State> {
        lease.state(key(subject), initial: initial)
    }

    /// One such state per key (a source, an upstream).
    package func table<State: BitwiseCopyable & Sendable>(_ initial: State, subject: String) -> KeyedTable<State> {
        lease.table(key(subject), initial: initial)
    }

    /// Refuses the chain: the fields are right one by one, and yet it cannot work.
    public mutating func refuse(because problem: String) { problems.append(problem) }

    private func key(_ subject: String) -> SharedKey {
        SharedKey(direction: isInbound ? "inbound" : "outbound", stage: id, filter: filter, subject: subject)
    }
}

/// What all chains of a process share: made once at start, kept for its life.
package final class BuildContext: Sendable {
    /// Event loops of the data path.
    package let loops: Int
    package let shared = SharedRegistry()
    package let stats = StatsRegistry()
    /// The table of calls of each loop.
    package let calls: [CallStats]
    /// Names in metrics: services, versions, routes.
    package let labels = LabelTable()
    /// (service, version) by dense number: what breakers and budgets are keyed by.
    package let upstreams = LabelTable()
    package let endpoints = EndpointDirectory()
    package let endpointStates = EndpointStates()
    package let resumer = Resumer()

    package init(loops: Int) {
        self.loops = loops
        calls = (0..<loops).map { _ in CallStats.allocate() }
    }
}
