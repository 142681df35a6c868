import Pipeline

/// The access policies of one service as flat tables: decided without allocation, every decision with its rule.
///
/// The order of ARCHITECTURE §9: a matching deny, else a matching allow, else deny if an enforced allow targets the
/// service, else the mesh's default.
struct AccessTable: BitwiseCopyable {
    /// What somebody wants to do. Without method and path: a TCP connection.
    struct Call: BitwiseCopyable {
        var peer: UnsafePointer<PeerRecord>?
        /// 0: not known.
        var port: UInt16
        var method: Bytes?
        var path: Bytes?
    }

    struct Decision: BitwiseCopyable {
        var isAllowed: Bool
        /// Of a denial, for people.
        var body = Bytes.empty
        var reason = Reason("")
        /// What it would be if the policies in shadow were enforced.
        var isAllowedWithShadow: Bool
    }

    private enum SourceKind: UInt8, BitwiseCopyable { case service, prefix, namespace, external }

    private struct SourceRow: BitwiseCopyable {
        let kind: SourceKind
        let namespace: Bytes
        /// The service, or the prefix.
        let text: Bytes
    }

    private struct OperationRow: BitwiseCopyable {
        let ports: TableRange
        let methods: TableRange
        let paths: TableRange
    }

    private struct RuleRow: BitwiseCopyable {
        let isDeny: Bool
        let isShadow: Bool
        /// Its sources are in `callers`, and whoever finds it there is one of them.
        let isFoundByCaller: Bool
        let sources: TableRange
        let operations: TableRange
        let body: Bytes
        let reason: Reason
    }

    private struct Fallback: BitwiseCopyable {
        let isAllowed: Bool
        let body: Bytes
        let reason: Reason
    }

    private let rules: PinnedTable<RuleRow>
    /// Rules that may concern everybody, by number.
    private let common: PinnedTable<Int32>
    /// Rules whose every source is a service or a namespace.
    private let callers: CallerIndex
    private let sources: PinnedTable<SourceRow>
    private let operations: PinnedTable<OperationRow>
    private let ports: PinnedTable<UInt16>
    private let methods: PinnedTable<Bytes>
    private let paths: PinnedTable<PathPattern>
    private let trustDomain: Bytes
    private let fallback: Fallback
    private let fallbackWithShadow: Bool

    // MARK: Deciding

    func decide(_ call: Call) -> Decision {
        var found = Found()
        var place = 0
        while place < common.count {
            if !consider(Int(common[place]), call, &found) { break }
            place &+= 1
        }
        // Names mean something within our own trust domain only.
        if let peer = call.peer, peer.pointee.trustDomain.equals(trustDomain) {
            consider(callers.rules(ofServiceOf: peer), call, &found)
            consider(callers.rules(ofNamespaceOf: peer), call, &found)
        }
        let deny = found.deny
        if deny >= 0 {
            return Decision(isAllowed: false, body: rules[deny].body, reason: rules[deny].reason, isAllowedWithShadow: false)
        }
        let withShadow = !found.shadowDenies && (found.allows || found.shadowAllows || fallbackWithShadow)
        if found.allows || fallback.isAllowed { return Decision(isAllowed: true, isAllowedWithShadow: withShadow) }
        return Decision(isAllowed: false, body: fallback.body, reason: fallback.reason, isAllowedWithShadow: withShadow)
    }

    /// What the rules looked at so far say.
    private struct Found {
        /// The first enforced rule that denies; -1: none.
        var deny = -1
        var allows = false
        var shadowDenies = false
        var shadowAllows = false
    }

    private func consider(_ range: TableRange, _ call: Call, _ found: inout Found) {
        var place = range.start
        while place < range.end, consider(callers[place], call, &found) { place &+= 1 }
    }

    /// False once nothing later in the same list can matter: it denies, or an earlier one does.
    private func consider(_ number: Int, _ call: Call, _ found: inout Found) -> Bool {
        if found.deny >= 0, number > found.deny { return false }
        let rule = rules[number]
        guard matches(rule, call) else { return true }
        switch (rule.isDeny, rule.isShadow) {
        case (true, false):
            found.deny = number
            return false
        case (false, false): found.allows = true
        case (true, true): found.shadowDenies = true
        case (false, true): found.shadowAllows = true
        }
        return true
    }

    private func matches(_ rule: RuleRow, _ call: Call) -> Bool {
        if !rule.isFoundByCaller, rule.sources.count > 0 {
            var index = rule.sources.start
            while index < rule.sources.end, !matches(sources[Int(index)], call.peer) { index &+= 1 }
            if index == rule.sources.end { return false }
        }
        if rule.operations.count == 0 { return true }
        var index = rule.operations.start
        while index < rule.operations.end {
            if matches(operations[Int(index)], call, isDeny: rule.isDeny) { return true }
            index &+= 1
        }
        return false
    }

    private func matches(_ source: SourceRow, _ peer: UnsafePointer<PeerRecord>?) -> Bool {
        guard let peer else { return source.kind == .external }
        switch source.kind {
        case .external: return false
        case .prefix: return peer.pointee.spiffeID.hasPrefix(source.text)
        // Names mean something within our own trust domain only.
        case .namespace: return peer.pointee.namespace.equals(source.namespace) && peer.pointee.trustDomain.equals(trustDomain)
        case .service:
            return peer.pointee.service.equals(source.text) && peer.pointee.namespace.equals(source.namespace)
                && peer.pointee.trustDomain.equals(trustDomain)
        }
    }

    /// What is not known (the port) or does not exist (a method, on TCP) counts for a deny and against an allow.
    private func matches(_ operation: OperationRow, _ call: Call, isDeny: Bool) -> Bool {
        if operation.ports.count > 0 {
            var index = operation.ports.start
            while index < operation.ports.end, ports[Int(index)] != call.port { index &+= 1 }
            if index == operation.ports.end, !(isDeny && call.port == 0) { return false }
        }
        if operation.methods.count > 0 {
            guard let method = call.method else { return isDeny }
            var index = operation.methods.start
            while index < operation.methods.end, !methods[Int(index)].equals(method) { index &+= 1 }
            if index == operation.methods.end { return false }
        }
        if operation.paths.count > 0 {
            guard let path = call.path else { return isDeny }
            var index = operation.paths.start
            while index < operation.paths.end, !paths[Int(index)].matches(path) { index &+= 1 }
            if index == operation.paths.end { return false }
        }
        return true
    }

    // MARK: Compiling

    init(_ access: AccessPart, trustDomain: String, in memory: PinnedMemory) {
        var rules: [RuleRow] = []
        var sources: [SourceRow] = []
        var operations: [OperationRow] = []
        var ports: [UInt16] = []
        var methods: [Bytes] = []
        var paths: [PathPattern] = []
        var common: [Int32] = []
        var named: [CallerIndex.Name: [Int32]] = [:]
        for policy in access.policies {
            for (index, rule) in policy.rules.enumerated() {
                let firstSource = sources.count, firstOperation = operations.count
                sources += rule.from.map { Self.row($0, in: memory) }
                for operation in rule.to {
                    let row = OperationRow(
                        ports: TableRange(start: ports.count, count: operation.ports.count),
                        methods: TableRange(start: methods.count, count: operation.methods.count),
                        paths: TableRange(start: paths.count, count: operation.paths.count))
                    ports += operation.ports.map { UInt16(clamping: $0) }
                    methods += operation.methods.map(memory.text)
                    paths += operation.paths.map { PathPattern(policy: $0, in: memory) }
                    operations.append(row)
                }
                let names = rule.from.compactMap(Self.name)
                let isFoundByCaller = !rule.from.isEmpty && names.count == rule.from.count
                if isFoundByCaller {
                    for name in Set(names) { named[name, default: []].append(Int32(rules.count)) }
                } else {
                    common.append(Int32(rules.count))
                }
                let words = "denied by AccessPolicy \(policy.name), rule \(index + 1)"
                rules.append(
                    RuleRow(
                        isDeny: policy.action == .deny, isShadow: policy.isShadow, isFoundByCaller: isFoundByCaller,
                        sources: TableRange(start: firstSource, count: rule.from.count),
                        operations: TableRange(start: firstOperation, count: rule.to.count), body: memory.text(words + "\n"),
                        reason: memory.reason(words)))
            }
        }
        self.rules = memory.table(rules)
        self.common = memory.table(common)
        callers = CallerIndex(named, in: memory)
        self.sources = memory.table(sources)
        self.operations = memory.table(operations)
        self.ports = memory.table(ports)
        self.methods = memory.table(methods)
        self.paths = memory.table(paths)
        self.trustDomain = memory.text(trustDomain)
        let targeted = access.policies.filter { $0.action == .allow && $0.targetsService }
        let enforced = targeted.filter { !$0.isShadow }
        fallback = Self.fallback(enforced, access, in: memory)
        fallbackWithShadow = targeted.isEmpty && access.allowsByDefault
    }

    private static func fallback(_ allows: [AccessPart.Policy], _ access: AccessPart, in memory: PinnedMemory) -> Fallback {
        let words =
            allows.isEmpty
            ? "denied: no policy allows it, and the mesh's defaultAccess is deny"
            : "denied: no allow policy of the service matches (\(allows.map(\.name).joined(separator: ", ")))"
        return Fallback(
            isAllowed: allows.isEmpty && access.allowsByDefault, body: memory.text(words + "\n"), reason: memory.reason(words))
    }

    /// Nil for what no table of names can find.
    private static func name(_ source: AccessPart.Source) -> CallerIndex.Name? {
        switch source {
        case .service(let namespace, let name): name.isEmpty ? nil : CallerIndex.Name(namespace: namespace, service: name)
        case .namespace(let namespace): CallerIndex.Name(namespace: namespace, service: "")
        case .prefix, .external: nil
        }
    }

    private static func row(_ source: AccessPart.Source, in memory: PinnedMemory) -> SourceRow {
        switch source {
        case .service(let namespace, let name):
            SourceRow(kind: .service, namespace: memory.text(namespace), text: memory.text(name))
        case .prefix(let prefix): SourceRow(kind: .prefix, namespace: .empty, text: memory.text(prefix))
        case .namespace(let namespace): SourceRow(kind: .namespace, namespace: memory.text(namespace), text: .empty)
        case .external: SourceRow(kind: .external, namespace: .empty, text: .empty)
        }
    }
}
