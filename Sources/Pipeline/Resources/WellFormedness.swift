/// What must hold within one resource, beyond the types and bounds of its fields.
package struct WellFormedness {
    private var problems: [ConfigProblem] = []

    package static func check(_ resource: Resource, by author: ResourceReader.Author) -> [ConfigProblem] {
        var check = WellFormedness()
        switch resource {
        case .mesh: break
        case .service(let service): check.service(service)
        case .workload(let workload): check.workload(workload, author)
        case .route(let route): check.route(route)
        case .accessPolicy(let policy): check.policy(policy)
        case .rateLimit(let limit): check.limit(limit)
        case .chain(let chain): check.target(chain.target, "target")
        }
        return check.problems
    }

    // MARK: Kinds

    private mutating func service(_ service: ServiceResource) {
        unique(service.ports.map { ($0.port, $0.node) }, "port", "ports")
        for (index, port) in service.ports.enumerated() where port.protocol.isHTTP && port.port != service.httpPort {
            problems.append(
                ConfigProblem(
                    "port \(port.port) of \(service.key) is a second one for HTTP: stored, NOT SERVED", severity: .warning,
                    at: port.node["port"] ?? port.node, path: "ports[\(index)].port",
                    notes: ["this version serves one HTTP port of a service, the first; write another Service for it"]))
        }
        for (index, reference) in (service.reachableServices ?? []).enumerated() {
            self.reference(reference, "reachableServices[\(index)]")
        }
    }

    private mutating func workload(_ workload: WorkloadResource, _ author: ResourceReader.Author) {
        reference(workload.service, "service")
        unique(workload.ports.map { ($0.port, $0.node) }, "port", "ports")
        guard author == .operator, workload.sidecar else { return }
        let at = workload.node["sidecar"] ?? workload.node["name"] ?? workload.node
        problems.append(
            ConfigProblem(
                "\(workload.key) is written by hand and has a sidecar", at: at, path: "sidecar",
                label: workload.node["sidecar"] == nil ? "add \"sidecar\": false" : "write false",
                notes: ["a workload with a sidecar registers itself"]))
    }

    private mutating func route(_ route: RouteResource) {
        reference(route.service, "service")
        var names: [(String, ConfigNode)] = []
        for (index, rule) in route.rules.enumerated() {
            let path = "rules[\(index)]"
            if let name = rule.name { names.append((name, rule.node["name"] ?? rule.node)) }
            matches(rule.matches, "\(path).matches")
            for (number, backend) in rule.backends.enumerated() {
                if let service = backend.service { reference(service, "\(path).backends[\(number)].service") }
            }
            // 64 backends of at most 1,000,000 each: the sum cannot overflow.
            if rule.backends.reduce(0, { $0 + $1.weight }) == 0 {
                problems.append(
                    ConfigProblem(
                        "the weights of rule \(rule.name.map(JSONWriter.quoted) ?? "\(index)") add up to 0",
                        at: rule.node["backends"] ?? rule.node, path: "\(path).backends", label: "nobody would get its calls"))
            }
            let isCatchAll = rule.matches.isEmpty || rule.matches.contains { $0.headers.isEmpty && $0.method == nil && ($0.path == nil || $0.path?.prefix == "/") }
            if isCatchAll, index + 1 < route.rules.count {
                problems.append(
                    ConfigProblem(
                        "rule \(rule.name.map(JSONWriter.quoted) ?? "\(index)") takes every request: those below it get none",
                        severity: .warning, at: route.rules[index + 1].node, path: "rules[\(index + 1)]",
                        notes: ["the first rule that matches decides; put it last"]))
            }
        }
        unique(names, "rule name", "rules")
    }

    private mutating func policy(_ policy: AccessPolicyResource) {
        target(policy.target, "target")
        for (index, rule) in policy.rules.enumerated() {
            for (number, source) in rule.from.enumerated() { self.source(source, "rules[\(index)].from[\(number)]") }
            for (number, operation) in rule.to.enumerated() {
                let path = "rules[\(index)].to[\(number)]"
                for (place, method) in operation.methods.enumerated() {
                    self.method(method, operation.node["methods"]?.elements?[place], "\(path).methods[\(place)]")
                }
                for (place, match) in operation.paths.enumerated() {
                    one(of: ["exact", "prefix"], in: match.node, "\(path).paths[\(place)]")
                    // In a snapshot such an ending says prefix: the policy would cover more than one path.
                    guard let exact = match.exact, exact.hasSuffix("/*") else { continue }
                    problems.append(
                        ConfigProblem(
                            "\(JSONWriter.quoted(exact)) is no whole path: * stands for nothing there", at: match.node["exact"] ?? match.node,
                            path: "\(path).paths[\(place)].exact", notes: ["for all below it write {\"prefix\": \(JSONWriter.quoted(exact.dropLast(2)))}"]))
                }
            }
        }
        if policy.rules.isEmpty, policy.action == .deny {
            problems.append(
                ConfigProblem(
                    "\(policy.key) denies nothing: it has no rules", severity: .warning, at: policy.node["rules"] ?? policy.node,
                    path: "rules", notes: ["to deny every call write \"rules\": [{}]"]))
        }
    }

    private mutating func limit(_ limit: RateLimitResource) {
        target(limit.target, "target")
        for (index, rule) in limit.rules.enumerated() { matches(rule.matches, "rules[\(index)].matches") }
    }

    // MARK: Parts

    private mutating func source(_ source: AccessSource, _ path: String) {
        one(of: ["service", "prefix", "namespace", "external"], in: source.node, path)
        if let service = source.service { reference(service, "\(path).service") }
        if let prefix = source.prefix, !prefix.hasPrefix("spiffe://") {
            problems.append(
                ConfigProblem(
                    "an identity begins with spiffe://", at: source.node["prefix"] ?? source.node, path: "\(path).prefix",
                    notes: ["like spiffe://shop.internal/ns/default/"]))
        }
        if source.external == false {
            problems.append(
                ConfigProblem(
                    "\"external\" may only be true", at: source.node["external"] ?? source.node, path: "\(path).external",
                    notes: ["for callers of the mesh name services, identities or namespaces"]))
        }
    }

    private mutating func matches(_ matches: [RequestMatch], _ path: String) {
        for (index, match) in matches.enumerated() {
            let place = "\(path)[\(index)]"
            if let path = match.path { one(of: ["exact", "prefix"], in: path.node, "\(place).path") }
            for (number, header) in match.headers.enumerated() {
                one(of: ["exact", "prefix", "present"], in: header.node, "\(place).headers[\(number)]")
            }
            if let method = match.method { self.method(method, match.node["method"], "\(place).method") }
        }
    }

    /// RFC 9110 §9.1: a token, and case counts.
    private mutating func method(_ method: String, _ node: ConfigNode?, _ path: String) {
        let isToken = !method.isEmpty && method.utf8.allSatisfy(ASCII.isToken)
        guard !isToken || method != method.uppercased(), let node else { return }
        problems.append(
            ConfigProblem(
                "\(JSONWriter.quoted(method)) is no method", at: node, path: path, suggestion: isToken ? method.uppercased() : nil,
                notes: ["methods are written in capitals: GET, POST, …"]))
    }

    private mutating func target(_ target: Target?, _ path: String) {
        guard let target else { return }
        one(of: ["service", "labels"], in: target.node, path)
        if let service = target.service { reference(service, "\(path).service") }
    }

    private mutating func reference(_ reference: ServiceReference, _ path: String) {
        let parts = reference.text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count > 2 || !parts.allSatisfy({ ConfigRule.isLabel(String($0)) }) else { return }
        problems.append(
            ConfigProblem(
                "\(JSONWriter.quoted(reference.text)) is no name of a service", at: reference.node, path: path,
                notes: ["like payment, or payment.shop for one in namespace shop"]))
    }

    private mutating func one(of keys: [String], in node: ConfigNode, _ path: String) {
        let present = keys.filter { node[$0].map { !$0.isNull } ?? false }
        guard present.count != 1 else { return }
        let choices = keys.dropLast().joined(separator: ", ") + " or " + (keys.last ?? "")
        problems.append(
            ConfigProblem(
                present.isEmpty ? "one of \(choices) belongs here" : "only one of \(present.joined(separator: " and ")) may stand here",
                at: node, path: path, notes: present.isEmpty ? [] : ["write two entries to allow either"]))
    }

    private mutating func unique<Value: Hashable>(_ values: [(Value, ConfigNode)], _ noun: String, _ path: String) {
        var first: [Value: ConfigNode] = [:]
        for (value, node) in values {
            guard let known = first[value] else {
                first[value] = node
                continue
            }
            problems.append(
                ConfigProblem(
                    "\(noun) \(value) stands here twice", at: node, path: path, label: "again",
                    related: .init(source: known.source, range: known.range, label: "first")))
        }
    }
}
