/// What raw streams (protocol tcp) have no use for: stages that wait for requests, rules about what only requests have.
package enum StreamRules {
    /// Standard filters that take no part in raw streams. Filters of one's own do if they have a connection or a stream phase.
    private static let skippedFilters: Set<String> = ["retry", "timeout", "breaker"]

    /// Ids of the stages of a chain that streams pass by, in its order.
    package static func skipped(_ stages: [StageEntry]) -> [String] { stages.filter { skippedFilters.contains($0.filter) }.map(\.id) }

    /// One line per service that has ports for tcp: what its connections pass by on the way there.
    package static func notes(_ resources: [Resource]) -> [String] {
        let chains = resources.compactMap { if case .chain(let chain) = $0, chain.direction == .outbound { chain } else { nil } }
        let stages = chains.isEmpty ? [ChainRules.defaultStages(.outbound)] : chains.map(\.stages)
        let skipped = stages.flatMap(Self.skipped).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        guard !skipped.isEmpty else { return [] }
        return resources.compactMap { resource in
            guard case .service(let service) = resource, !service.tcpPorts.isEmpty else { return nil }
            let ports = service.tcpPorts.map { "\($0)" }.joined(separator: ", ")
            return "\(service.key), port \(ports), is tcp: its connections pass by \(skipped.joined(separator: ", "))"
        }
    }
}

extension RequestMatch {
    /// Asks for nothing that a raw stream lacks.
    var takesStreams: Bool { method == nil && headers.isEmpty && (path == nil || path?.prefix == "/") }
}

extension ResourceValidation {
    /// Settings of a service that serves nothing but tcp, for stages that its connections pass by.
    mutating func streamSettings(of service: ServiceResource) {
        guard !service.speaksHTTP else { return }
        for (settings, direction, path) in [(service.settings, ChainDirection.outbound, "settings"), (service.inboundSettings, .inbound, "inboundSettings")] {
            let stages = chains.filter { $0.direction == direction }.flatMap(\.stages) + ChainRules.defaultStages(direction)
            let skipped = Set(StreamRules.skipped(stages))
            for member in settings.node.members ?? [] where skipped.contains(member.key) {
                problems.append(
                    ConfigProblem(
                        "\(service.key) speaks tcp: its connections pass by \(JSONWriter.quoted(member.key)), nobody reads these settings",
                        severity: .warning, source: settings.node.source, range: member.keyRange, path: "\(path).\(member.key)"))
            }
        }
    }

    /// A rule that asks for what no connection has takes none of them: on a service that serves nothing else that is an error, for it
    /// would never take anything; beside http it is worth a word if no rule takes the connections.
    mutating func streamRules(of route: RouteResource) {
        guard let service = services[route.serviceKey], !service.tcpPorts.isEmpty else { return }
        let dead = route.rules.enumerated().filter { !$0.element.matches.isEmpty && !$0.element.matches.contains(where: \.takesStreams) }
        let takesAny = dead.count < route.rules.count
        for (index, rule) in dead where !service.speaksHTTP || !takesAny {
            problems.append(
                ConfigProblem(
                    "no connection to port \(service.tcpPorts[0]) of \(service.key) matches this rule: tcp has no path, method or headers",
                    severity: service.speaksHTTP ? .warning : .error, at: rule.node["matches"] ?? rule.node, path: "rules[\(index)].matches",
                    notes: takesAny ? [] : ["without a rule that takes everything such connections are closed"]))
        }
    }

    /// A limit of requests by what only they have, on a service that serves nothing but tcp.
    mutating func streamLimits(_ limit: RateLimitResource) {
        guard let target = limit.target else { return }
        let covered = services.values.filter { target.covers($0, from: limit.namespace) }
        guard !covered.isEmpty, covered.allSatisfy({ !$0.speaksHTTP }) else { return }
        for (index, rule) in limit.rules.enumerated() where !rule.matches.isEmpty && !rule.matches.contains(where: \.takesStreams) {
            problems.append(
                ConfigProblem(
                    "a tcp connection has no path, method or headers: this limit never counts one", at: rule.node["matches"] ?? rule.node,
                    path: "rules[\(index)].matches",
                    notes: ["\(covered.map(\.key).sorted().map(\.description).joined(separator: ", ")) speaks tcp: leave matches out to count connections"]))
        }
    }
}
