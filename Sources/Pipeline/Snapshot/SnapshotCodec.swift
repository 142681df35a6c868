/// A snapshot's parts as JSON text: what is pushed, kept on disk and shown by `/config`.
///
/// Canonical: one part has one text, so a version is the hash of the text, and what did not change is not sent again. Reading is
/// total, bounded by `ConfigLimits`, and strict: an unknown key, a missing one or two that exclude each other refuse the part.
package enum SnapshotCodec {
    /// A part that this sidecar cannot read; the reason goes back as a NACK.
    package struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }

    package static func encode(_ part: Snapshot.Part, of snapshot: Snapshot) -> String {
        var writer = JSONWriter()
        switch part {
        case .chain: write(snapshot.chain, to: &writer)
        case .traffic: write(snapshot.traffic, to: &writer)
        case .access: write(snapshot.access, to: &writer)
        case .trust:
            writer.object {
                $0.member("trustDomain", snapshot.trust.trustDomain)
                $0.member("roots", snapshot.trust.roots)
            }
        }
        return writer.text
    }

    /// Replaces one part of `snapshot` by what `text` says; changes nothing if it throws.
    package static func decode(_ part: Snapshot.Part, _ text: String, into snapshot: inout Snapshot) throws(Failure) {
        let result = ConfigReader.read(text, name: part.rawValue)
        if let problem = result.problems.first(where: { $0.severity == .error }) {
            throw Failure("\(part.rawValue):\(problem.line):\(problem.column): \(problem.message)")
        }
        guard let root = result.root else { throw Failure("\(part.rawValue): empty") }
        let node = Reader(node: root, path: part.rawValue)
        switch part {
        case .chain: snapshot.chain = try ChainPart(node)
        case .traffic: snapshot.traffic = try TrafficPart(node)
        case .access: snapshot.access = try AccessPart(node)
        case .trust:
            try node.only("trustDomain", "roots")
            snapshot.trust = TrustPart(trustDomain: try node.string("trustDomain"), roots: try node.string("roots"))
        }
    }

    /// 16 hexadecimal digits of a 64-bit hash (FNV-1a, finished like SplitMix64): the name of this very text.
    package static func version(of text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        let digits = String(hash ^ (hash >> 31), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    // MARK: Writing

    private static func write(_ part: ChainPart, to writer: inout JSONWriter) {
        writer.object {
            $0.key("inbound")
            write(part.inbound, to: &$0)
            $0.key("outbound")
            write(part.outbound, to: &$0)
            $0.key("inboundSettings")
            write(part.inboundSettings, to: &$0)
            $0.key("outboundSettings")
            write(part.outboundSettings, to: &$0)
        }
    }

    private static func write(_ stages: [ChainPart.Stage], to writer: inout JSONWriter) {
        writer.array {
            for stage in stages {
                $0.object {
                    $0.member("id", stage.id)
                    $0.member("filter", stage.filter)
                    $0.key("config")
                    $0.raw(stage.config)
                    write(stage.origin, to: &$0)
                    if stage.required { $0.member("required", true) }
                }
            }
        }
    }

    private static func write(_ layers: [SettingsLayer], to writer: inout JSONWriter) {
        writer.array {
            for layer in layers {
                $0.object {
                    write(layer.origin, to: &$0)
                    $0.key("stages")
                    $0.object {
                        for (stage, text) in layer.stages.sorted(by: { $0.key < $1.key }) {
                            $0.key(stage)
                            $0.raw(text)
                        }
                    }
                }
            }
        }
    }

    private static func write(_ origin: Origin, to writer: inout JSONWriter) {
        writer.key("origin")
        writer.object {
            $0.member("resource", origin.resource)
            if !origin.file.isEmpty { $0.member("file", origin.file) }
            if origin.line != 0 { $0.member("line", origin.line) }
        }
    }

    private static func write(_ part: TrafficPart, to writer: inout JSONWriter) {
        writer.object {
            $0.key("workload")
            $0.object {
                $0.member("service", part.workload.service)
                $0.member("namespace", part.workload.namespace)
                $0.member("version", part.workload.version)
            }
            $0.key("inboundSettings")
            write(part.inboundSettings, to: &$0)
            $0.member("deniesEgress", part.deniesEgress)
            if part.applicationProtocol != .http { $0.member("applicationProtocol", part.applicationProtocol.rawValue) }
            $0.key("services")
            $0.array { for service in part.services { write(service, to: &$0) } }
        }
    }

    private static func write(_ service: TrafficPart.ServiceEntry, to writer: inout JSONWriter) {
        writer.object {
            $0.member("name", service.name)
            $0.member("namespace", service.namespace)
            $0.member("port", service.port)
            if service.protocol != .http { $0.member("protocol", service.protocol.rawValue) }
            if let version = service.defaultVersion { $0.member("defaultVersion", version) }
            $0.key("settings")
            write(service.settings, to: &$0)
            if !service.routeName.isEmpty { $0.member("routeName", service.routeName) }
            if let rules = service.route {
                $0.key("route")
                $0.array { for rule in rules { write(rule, to: &$0) } }
            }
            $0.key("versions")
            $0.array {
                for version in service.versions {
                    $0.object {
                        $0.member("name", version.name)
                        $0.key("endpoints")
                        $0.array { for endpoint in version.endpoints { write(endpoint, to: &$0) } }
                    }
                }
            }
        }
    }

    private static func write(_ rule: TrafficPart.RuleEntry, to writer: inout JSONWriter) {
        writer.object {
            $0.member("name", rule.name)
            $0.key("matches")
            write(rule.matches, to: &$0)
            $0.key("backends")
            $0.array {
                for backend in rule.backends {
                    $0.object {
                        if let service = backend.service { $0.member("service", service) }
                        if let namespace = backend.namespace { $0.member("namespace", namespace) }
                        if let version = backend.version { $0.member("version", version) }
                        $0.member("weight", backend.weight)
                    }
                }
            }
            $0.key("settings")
            write(rule.settings, to: &$0)
        }
    }

    private static func write(_ matches: [TrafficPart.MatchEntry], to writer: inout JSONWriter) {
        writer.array {
            for match in matches {
                $0.object {
                    switch match.path {
                    case .any: break
                    case .exact(let path): $0.member("pathExact", path)
                    case .prefix(let path): $0.member("pathPrefix", path)
                    }
                    if let method = match.method { $0.member("method", method) }
                    $0.key("headers")
                    $0.array {
                        for header in match.headers {
                            $0.object {
                                $0.member("name", header.name)
                                switch header.value {
                                case .exact(let value): $0.member("exact", value)
                                case .prefix(let value): $0.member("prefix", value)
                                case .present(let flag): $0.member("present", flag)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private static func write(_ endpoint: TrafficPart.EndpointEntry, to writer: inout JSONWriter) {
        writer.object {
            $0.member("id", endpoint.id)
            $0.member("address", endpoint.address)
            if endpoint.weight != 1 { $0.member("weight", endpoint.weight) }
            if !endpoint.isHealthy { $0.member("healthy", false) }
            if endpoint.isDraining { $0.member("draining", true) }
            if !endpoint.hasSidecar { $0.member("sidecar", false) }
        }
    }

    private static func write(_ part: AccessPart, to writer: inout JSONWriter) {
        writer.object {
            $0.member("mtls", part.mtls.rawValue)
            $0.member("allowsByDefault", part.allowsByDefault)
            $0.key("policies")
            $0.array { for policy in part.policies { write(policy, to: &$0) } }
            $0.key("rateLimits")
            $0.array {
                for limit in part.rateLimits {
                    $0.object {
                        $0.member("name", limit.name)
                        write(limit.origin, to: &$0)
                        $0.key("rules")
                        $0.array {
                            for rule in limit.rules {
                                $0.object {
                                    $0.key("matches")
                                    write(rule.matches, to: &$0)
                                    $0.member("key", rule.key.rawValue)
                                    $0.member("rate", rule.rate)
                                    $0.member("burst", rule.burst)
                                }
                            }
                        }
                    }
                }
            }
            if let callees = part.callees {
                $0.key("callees")
                $0.array { for callee in callees { write(callee, to: &$0) } }
            }
        }
    }

    private static func write(_ callee: AccessPart.CalleePolicy, to writer: inout JSONWriter) {
        writer.object {
            $0.key("policy")
            write(callee.policy, to: &$0)
            $0.key("services")
            $0.array {
                for service in callee.services {
                    $0.object {
                        $0.member("name", service.name)
                        $0.member("namespace", service.namespace)
                    }
                }
            }
        }
    }

    private static func write(_ policy: AccessPart.Policy, to writer: inout JSONWriter) {
        writer.object {
            $0.member("name", policy.name)
            $0.member("action", policy.action.rawValue)
            if policy.isShadow { $0.member("shadow", true) }
            $0.member("targetsService", policy.targetsService)
            write(policy.origin, to: &$0)
            $0.key("rules")
            $0.array {
                for rule in policy.rules {
                    $0.object {
                        $0.key("from")
                        $0.array { for source in rule.from { write(source, to: &$0) } }
                        $0.key("to")
                        $0.array {
                            for operation in rule.to {
                                $0.object {
                                    $0.key("ports")
                                    $0.array { for port in operation.ports { $0.integer(port) } }
                                    $0.member("methods", operation.methods)
                                    $0.member("paths", operation.paths)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private static func write(_ source: AccessPart.Source, to writer: inout JSONWriter) {
        writer.object {
            switch source {
            case .service(let namespace, let name):
                $0.member("service", name)
                $0.member("namespace", namespace)
            case .prefix(let prefix): $0.member("prefix", prefix)
            case .namespace(let namespace): $0.member("namespace", namespace)
            case .external: $0.member("external", true)
            }
        }
    }
}
