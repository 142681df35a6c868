extension SnapshotCodec {
    /// A value of a part and where it stands, for the reason of a NACK.
    struct Reader {
        let node: ConfigNode
        let path: String

        /// Ports, weights, bursts and lines are no larger.
        static let countMax = 1_000_000_000

        func fail(_ expected: String) -> Failure {
            Failure("\(path): expected \(expected), line \(node.line)")
        }

        /// An object of these keys and no others. What a newer control plane says and this sidecar does not know may be what
        /// narrows a policy: it is refused, never passed over.
        func only(_ keys: String...) throws(Failure) {
            guard let members = node.members else { throw fail("an object") }
            guard let stranger = members.first(where: { !keys.contains($0.key) }) else { return }
            throw Failure("\(path): unknown key \(JSONWriter.quoted(stranger.key.prefix(64))), line \(stranger.value.line)")
        }

        /// The one of these keys that is there.
        func one(of keys: String...) throws(Failure) -> String {
            let found = keys.filter { node[$0] != nil }
            guard found.count == 1, let key = found.first else { throw fail("one of \(keys.map { "\"\($0)\"" }.joined(separator: ", "))") }
            return key
        }

        func child(_ key: String) throws(Failure) -> Reader {
            guard let child = node[key] else { throw Failure("\(path): lacks \"\(key)\", line \(node.line)") }
            return Reader(node: child, path: "\(path).\(key)")
        }

        func optional(_ key: String) -> Reader? { node[key].map { Reader(node: $0, path: "\(path).\(key)") } }

        var text: String {
            get throws(Failure) {
                guard let text = node.string else { throw fail("a string") }
                return text
            }
        }

        var count: Int {
            get throws(Failure) { try integer(within: 0...Self.countMax) }
        }

        func integer(within range: ClosedRange<Int>) throws(Failure) -> Int {
            guard let number = node.integer, let number = Int(exactly: number), range.contains(number) else {
                throw fail("a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }

        var flag: Bool {
            get throws(Failure) {
                guard let flag = node.bool else { throw fail("true or false") }
                return flag
            }
        }

        /// The text of an object, for whoever knows what it holds.
        var object: String {
            get throws(Failure) {
                guard node.isObject else { throw fail("an object") }
                return node.json
            }
        }

        func string(_ key: String) throws(Failure) -> String { try child(key).text }
        func string(_ key: String, default value: String) throws(Failure) -> String { try optional(key)?.text ?? value }
        func integer(_ key: String) throws(Failure) -> Int { try child(key).count }
        func integer(_ key: String, default value: Int) throws(Failure) -> Int { try optional(key)?.count ?? value }
        func bool(_ key: String) throws(Failure) -> Bool { try child(key).flag }
        func bool(_ key: String, default value: Bool) throws(Failure) -> Bool { try optional(key)?.flag ?? value }

        func list<Element>(_ key: String, _ read: (Reader) throws(Failure) -> Element) throws(Failure) -> [Element] {
            let list = try child(key)
            guard let elements = list.node.elements else { throw list.fail("a list") }
            var result: [Element] = []
            for (index, element) in elements.enumerated() {
                result.append(try read(Reader(node: element, path: "\(list.path)[\(index)]")))
            }
            return result
        }

        func choice<Choice: RawRepresentable & CaseIterable>(_ key: String) throws(Failure) -> Choice where Choice.RawValue == String {
            let value = try child(key)
            guard let choice = Choice(rawValue: try value.text) else {
                throw value.fail("one of \(Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))")
            }
            return choice
        }

        var origin: Origin {
            get throws(Failure) {
                let origin = try child("origin")
                try origin.only("resource", "file", "line")
                return Origin(
                    resource: try origin.string("resource"), file: try origin.string("file", default: ""),
                    line: try origin.integer("line", default: 0))
            }
        }
    }
}

private typealias Reader = SnapshotCodec.Reader
private typealias Failure = SnapshotCodec.Failure

extension ChainPart {
    init(_ node: SnapshotCodec.Reader) throws(SnapshotCodec.Failure) {
        try node.only("inbound", "outbound", "inboundSettings", "outboundSettings")
        self.init(
            inbound: try node.list("inbound", Stage.read), outbound: try node.list("outbound", Stage.read),
            inboundSettings: try node.list("inboundSettings", SettingsLayer.read),
            outboundSettings: try node.list("outboundSettings", SettingsLayer.read))
    }
}

extension ChainPart.Stage {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("id", "filter", "config", "origin", "required")
        return Self(
            id: try node.string("id"), filter: try node.string("filter"), config: try node.child("config").object,
            origin: try node.origin, required: try node.bool("required", default: false))
    }
}

extension SettingsLayer {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("origin", "stages")
        let list = try node.child("stages")
        guard let members = list.node.members else { throw Failure("\(list.path): expected an object") }
        var stages: [String: String] = [:]
        for member in members {
            stages[member.key] = try Reader(node: member.value, path: "\(list.path).\(member.key)").object
        }
        return Self(origin: try node.origin, stages: stages)
    }
}

extension TrafficPart {
    init(_ node: SnapshotCodec.Reader) throws(SnapshotCodec.Failure) {
        try node.only("workload", "inboundSettings", "deniesEgress", "applicationProtocol", "services")
        let own = try node.child("workload")
        try own.only("service", "namespace", "version")
        self.init(
            workload: WorkloadRef(
                service: try own.string("service"), namespace: try own.string("namespace"), version: try own.string("version")),
            inboundSettings: try node.list("inboundSettings", SettingsLayer.read),
            services: try node.list("services", ServiceEntry.read), deniesEgress: try node.bool("deniesEgress"),
            applicationProtocol: try node.portProtocol("applicationProtocol"))
    }
}

extension SnapshotCodec.Reader {
    fileprivate func portProtocol(_ key: String) throws(SnapshotCodec.Failure) -> PortProtocol {
        let spoken = try string(key, default: "http")
        guard let known = PortProtocol(rawValue: spoken) else {
            throw fail("\"\(key)\" is one of \(PortProtocol.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return known
    }
}

extension TrafficPart.ServiceEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "namespace", "port", "protocol", "defaultVersion", "settings", "routeName", "route", "versions")
        let route = node.optional("route") == nil ? nil : try node.list("route", TrafficPart.RuleEntry.read)
        return Self(
            name: try node.string("name"), namespace: try node.string("namespace"), port: try node.child("port").integer(within: 0...65_535),
            protocol: try node.portProtocol("protocol"), settings: try node.list("settings", SettingsLayer.read), route: route,
            routeName: try node.string("routeName", default: ""), defaultVersion: try node.optional("defaultVersion")?.text,
            versions: try node.list("versions", TrafficPart.VersionEntry.read))
    }
}

extension TrafficPart.VersionEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "endpoints")
        return Self(name: try node.string("name"), endpoints: try node.list("endpoints", TrafficPart.EndpointEntry.read))
    }
}

extension TrafficPart.EndpointEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("id", "address", "weight", "healthy", "draining", "sidecar")
        return Self(
            id: try node.string("id"), address: try node.string("address"), weight: try node.integer("weight", default: 1),
            isHealthy: try node.bool("healthy", default: true), isDraining: try node.bool("draining", default: false),
            hasSidecar: try node.bool("sidecar", default: true))
    }
}

extension TrafficPart.RuleEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "matches", "backends", "settings")
        return Self(
            name: try node.string("name"), matches: try node.list("matches", TrafficPart.MatchEntry.read),
            backends: try node.list("backends", TrafficPart.BackendEntry.read),
            settings: try node.list("settings", SettingsLayer.read))
    }
}

extension TrafficPart.BackendEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("service", "namespace", "version", "weight")
        let service = try node.optional("service")?.text
        // Both or neither: half a name would lead somewhere else.
        let namespace = service == nil ? nil : try node.string("namespace")
        guard service != nil || node.optional("namespace") == nil else { throw node.fail("\"service\" beside \"namespace\"") }
        return Self(service: service, namespace: namespace, version: try node.optional("version")?.text, weight: try node.integer("weight"))
    }
}

extension TrafficPart.MatchEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("pathExact", "pathPrefix", "method", "headers")
        var path = Path.any
        if node.optional("pathExact") != nil || node.optional("pathPrefix") != nil {
            let key = try node.one(of: "pathExact", "pathPrefix")
            path = key == "pathExact" ? .exact(try node.string(key)) : .prefix(try node.string(key))
        }
        return Self(
            path: path, method: try node.optional("method")?.text,
            headers: try node.list("headers", TrafficPart.HeaderEntry.read))
    }
}

extension TrafficPart.HeaderEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        let key = try node.one(of: "exact", "prefix", "present")
        try node.only("name", key)
        let value: Value =
            switch key {
            case "exact": .exact(try node.string(key))
            case "prefix": .prefix(try node.string(key))
            default: .present(try node.bool(key))
            }
        return Self(name: try node.string("name"), value: value)
    }
}

extension AccessPart {
    init(_ node: SnapshotCodec.Reader) throws(SnapshotCodec.Failure) {
        try node.only("mtls", "allowsByDefault", "policies", "rateLimits", "callees")
        self.init(
            mtls: try node.choice("mtls"), allowsByDefault: try node.bool("allowsByDefault"),
            policies: try node.list("policies", Policy.read), rateLimits: try node.list("rateLimits", RateLimit.read),
            callees: node.optional("callees") == nil ? nil : try node.list("callees", CalleePolicy.read))
    }
}

extension AccessPart.CalleePolicy {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("policy", "services")
        return Self(
            policy: try AccessPart.Policy.read(try node.child("policy")), services: try node.list("services", AccessPart.ServiceName.read))
    }
}

extension AccessPart.ServiceName {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "namespace")
        return Self(name: try node.string("name"), namespace: try node.string("namespace"))
    }
}

extension AccessPart.Policy {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "action", "shadow", "targetsService", "origin", "rules")
        return Self(
            name: try node.string("name"), action: try node.choice("action"), isShadow: try node.bool("shadow", default: false),
            rules: try node.list("rules", AccessPart.Rule.read), origin: try node.origin,
            targetsService: try node.bool("targetsService"))
    }
}

extension AccessPart.Rule {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("from", "to")
        return Self(from: try node.list("from", AccessPart.Source.read), to: try node.list("to", AccessPart.Operation.read))
    }
}

extension AccessPart.Source {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        if node.optional("service") != nil {
            try node.only("service", "namespace")
            return .service(namespace: try node.string("namespace"), name: try node.string("service"))
        }
        // Anything else must not become a source that matches more than was meant.
        let key = try node.one(of: "prefix", "namespace", "external")
        try node.only(key)
        switch key {
        case "prefix": return .prefix(try node.string(key))
        case "namespace": return .namespace(try node.string(key))
        default:
            guard try node.bool(key) else { throw node.fail("\"external\": true") }
            return .external
        }
    }
}

extension AccessPart.Operation {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("ports", "methods", "paths")
        return Self(
            ports: try node.list("ports") { port throws(Failure) in try port.integer(within: 1...65_535) },
            methods: try node.list("methods") { method throws(Failure) in try method.text },
            paths: try node.list("paths") { path throws(Failure) in try path.text })
    }
}

extension AccessPart.RateLimit {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("name", "origin", "rules")
        return Self(name: try node.string("name"), rules: try node.list("rules", AccessPart.RateRule.read), origin: try node.origin)
    }
}

extension AccessPart.RateRule {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        try node.only("matches", "key", "rate", "burst")
        let rate = try node.string("rate")
        guard Rate(rate) != nil else { throw Failure("\(node.path).rate: \"\(rate)\" is no rate") }
        return Self(
            matches: try node.list("matches", TrafficPart.MatchEntry.read), key: try node.choice("key"), rate: rate,
            burst: try node.integer("burst"))
    }
}
