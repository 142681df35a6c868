/// Which orders of filters can work (ARCHITECTURE §4), whether a chain is a resource, a folder or inline.
///
/// An order that cannot work is an error; one that works in a way few people mean is a warning that says how.
package struct ChainRules {
    /// What the chain must contain, because of the rest of the config.
    package struct Needs: Sendable {
        /// The reason why `tls` must stand in it, nil if it need not.
        package var tls: String?
        package var authz: String?
        package init(tls: String? = nil, authz: String? = nil) {
            self.tls = tls
            self.authz = authz
        }
    }

    /// The chains of sidecars that no chain targets.
    package static func defaultStages(_ direction: ChainDirection) -> [StageEntry] {
        switch direction {
        case .inbound:
            [
                StageEntry(filter: "tls"), StageEntry(filter: "stats"), StageEntry(filter: "authz"), StageEntry(filter: "ratelimit"),
                StageEntry(filter: "timeout", id: "request-timeout"), StageEntry(filter: "router"),
            ]
        case .outbound:
            [
                StageEntry(filter: "stats"), StageEntry(filter: "timeout", id: "request-timeout"), StageEntry(filter: "retry"),
                StageEntry(filter: "breaker"), StageEntry(filter: "timeout", id: "attempt-timeout"), StageEntry(filter: "router"),
                StageEntry(filter: "tls"),
            ]
        }
    }

    /// - Parameters:
    ///   - list: Where the stages stand as a whole, for problems about what is not there.
    ///   - filters: The known filters by name; nil: do not judge names.
    package static func check(
        _ stages: [StageEntry], direction: ChainDirection, at list: ConfigNode, path: String = "stages",
        filters: [String: FilterSchema]?, needs: Needs = Needs()
    ) -> [ConfigProblem] {
        var rules = ChainRules(stages: stages, direction: direction, list: list, path: path)
        guard !stages.isEmpty else {
            rules.report("a chain without stages forwards nothing", list)
            return rules.problems
        }
        rules.names(filters)
        rules.places()
        rules.needs(needs)
        rules.oddities()
        return rules.problems
    }

    private let stages: [StageEntry]
    private let direction: ChainDirection
    private let list: ConfigNode
    private let path: String
    private var problems: [ConfigProblem] = []

    private init(stages: [StageEntry], direction: ChainDirection, list: ConfigNode, path: String) {
        self.stages = stages
        self.direction = direction
        self.list = list
        self.path = path
    }

    // MARK: What cannot work

    private mutating func names(_ filters: [String: FilterSchema]?) {
        var first: [String: Int] = [:]
        for (index, stage) in stages.enumerated() {
            if !ConfigRule.isLabel(stage.id) {
                report("\(JSONWriter.quoted(stage.id)) is no name of a stage", index, note: "a name is a DNS label: lower-case letters, digits, hyphens")
            }
            if let known = first[stage.id] {
                problems.append(
                    ConfigProblem(
                        "two stages have the id \(JSONWriter.quoted(stage.id))", at: stage.node, path: "\(path)[\(index)]", label: "again",
                        notes: ["give one a name: {\"filter\": \"\(stage.filter)\", \"name\": \"…\"}"],
                        related: .init(source: stages[known].node.source, range: stages[known].node.range, label: "first")))
            }
            first[stage.id] = first[stage.id] ?? index
            guard let filters, filters[stage.filter] == nil else { continue }
            let known = filters.keys.sorted()
            problems.append(
                ConfigProblem(
                    "no sidecar has a filter \(JSONWriter.quoted(stage.filter))", at: stage.node["filter"] ?? stage.node,
                    path: "\(path)[\(index)]", suggestion: Spelling.suggestion(for: stage.filter, among: known),
                    notes: ["filters: \(known.joined(separator: ", "))"]))
        }
    }

    private mutating func places() {
        let routers = indices("router")
        if let last = routers.last {
            for index in routers.dropLast() { report("a chain has one router", index, note: "the last one hands over; stages between the two would never see an answer") }
            for index in stages.indices where index > last && stages[index].filter != "tls" {
                report(
                    "\(JSONWriter.quoted(stages[index].id)) stands below the router, where no request comes by", index,
                    note: "the router hands over; put it above")
            }
        } else {
            report("a chain needs a router: without one no request leaves it", list, note: "put \"router\" \(direction == .inbound ? "last" : "above \"tls\"")")
        }
        let layers = indices("tls")
        for index in layers.dropFirst() { report("a chain has one tls", index) }
        guard let tls = layers.first else { return }
        switch direction {
        case .inbound where tls != 0:
            report("tls comes first in an inbound chain", tls, note: "it makes requests out of what arrives; nothing above it could see one")
        case .outbound where tls != stages.count - 1:
            report("tls comes last in an outbound chain", tls, note: "it encrypts what leaves; stages below it could read nothing")
        default: break
        }
    }

    private mutating func needs(_ needs: Needs) {
        if let reason = needs.tls, indices("tls").isEmpty {
            report("this chain drops tls, and \(reason)", list, note: "put \"tls\" \(direction == .inbound ? "first" : "last")")
        }
        if let reason = needs.authz, direction == .inbound, indices("authz").isEmpty {
            report("this chain drops authz, and \(reason)", list, note: "put \"authz\" below \"tls\"")
        }
    }

    // MARK: What is odd

    private mutating func oddities() {
        let retries = indices("retry")
        if let retry = retries.first {
            if direction == .inbound {
                warn("retry in an inbound chain repeats calls to the application beside it", retry, note: "callers retry too, so tries multiply; retry belongs into outbound chains")
            }
            for index in retries.dropFirst() { warn("two retry stages multiply their tries", index) }
            if let stats = indices("stats").first, stats > retry {
                warn("stats below retry counts attempts, not what the caller saw", stats, note: "put it above, or a second one under another name")
            }
            if let limit = indices("ratelimit").first, limit > retry {
                warn("ratelimit below retry takes a token for every attempt", limit, note: "above retry it takes one for each request")
            }
            let timeouts = indices("timeout")
            if let first = timeouts.first, first > retry {
                warn("timeout below retry limits each attempt; nothing limits all of them together", first, note: "put one above retry too, such as {\"filter\": \"timeout\", \"name\": \"request-timeout\"}")
            }
        }
        if let authz = indices("authz").first {
            if let limit = indices("ratelimit").first, limit < authz {
                warn("ratelimit above authz lets refused calls use up tokens", limit, note: "put authz above it")
            }
            if let stats = indices("stats").first, stats > authz {
                warn("stats below authz does not see refused calls", stats, note: "put it above authz")
            }
        }
        if indices("stats").isEmpty { warn("without stats nothing is counted for these sidecars", list) }
    }

    // MARK: Saying it

    private func indices(_ filter: String) -> [Int] { stages.indices.filter { stages[$0].filter == filter } }

    private mutating func report(_ message: String, _ index: Int, note: String? = nil) {
        problems.append(ConfigProblem(message, at: stages[index].node, path: "\(path)[\(index)]", notes: note.map { [$0] } ?? []))
    }

    private mutating func report(_ message: String, _ node: ConfigNode, note: String? = nil) {
        problems.append(ConfigProblem(message, at: node, path: path, notes: note.map { [$0] } ?? []))
    }

    private mutating func warn(_ message: String, _ index: Int, note: String? = nil) {
        problems.append(
            ConfigProblem(message, severity: .warning, at: stages[index].node, path: "\(path)[\(index)]", notes: note.map { [$0] } ?? []))
    }

    private mutating func warn(_ message: String, _ node: ConfigNode) {
        problems.append(ConfigProblem(message, severity: .warning, at: node, path: path))
    }
}
