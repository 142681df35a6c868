extension SnapshotCodec {
    /// A value of a part and where it stands, for the reason of a NACK.
    struct Reader {
        let node: ConfigNode
        let path: String

        private func fail(_ expected: String) -> Failure {
            Failure("\(path): expected \(expected), line \(node.line)")
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

        /// An integer within what counts, ports and weights may be.
        var count: Int {
            get throws(Failure) {
                guard let number = node.integer, 0...1_000_000_000 ~= number else { throw fail("a count") }
                return Int(number)
            }
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
        self.init(
            inbound: try node.list("inbound", Stage.read), outbound: try node.list("outbound", Stage.read),
            inboundSettings: try node.list("inboundSettings", SettingsLayer.read),
            outboundSettings: try node.list("outboundSettings", SettingsLayer.read))
    }
}

extension ChainPart.Stage {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            id: try node.string("id"), filter: try node.string("filter"), config: try node.child("config").object,
            origin: try node.origin, required: try node.bool("required", default: false))
    }
}

extension SettingsLayer {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
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
        let own = try node.child("workload")
        self.init(
            workload: WorkloadRef(
                service: try own.string("service"), namespace: try own.string("namespace"), version: try own.string("version")),
            inboundSettings: try node.list("inboundSettings", SettingsLayer.read),
            services: try node.list("services", ServiceEntry.read), deniesEgress: try node.bool("deniesEgress"))
    }
}

extension TrafficPart.ServiceEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        let route = node.optional("route") == nil ? nil : try node.list("route", TrafficPart.RuleEntry.read)
        return Self(
            name: try node.string("name"), namespace: try node.string("namespace"), port: try node.integer("port"),
            settings: try node.list("settings", SettingsLayer.read), route: route,
            routeName: try node.string("routeName", default: ""), defaultVersion: try node.optional("defaultVersion")?.text,
            versions: try node.list("versions", TrafficPart.VersionEntry.read))
    }
}

extension TrafficPart.VersionEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(name: try node.string("name"), endpoints: try node.list("endpoints", TrafficPart.EndpointEntry.read))
    }
}

extension TrafficPart.EndpointEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            id: try node.string("id"), address: try node.string("address"), weight: try node.integer("weight", default: 1),
            isHealthy: try node.bool("healthy", default: true), isDraining: try node.bool("draining", default: false),
            hasSidecar: try node.bool("sidecar", default: true))
    }
}

extension TrafficPart.RuleEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            name: try node.string("name"), matches: try node.list("matches", TrafficPart.MatchEntry.read),
            backends: try node.list("backends", TrafficPart.BackendEntry.read),
            settings: try node.list("settings", SettingsLayer.read))
    }
}

extension TrafficPart.BackendEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            service: try node.optional("service")?.text, namespace: try node.optional("namespace")?.text,
            version: try node.optional("version")?.text, weight: try node.integer("weight"))
    }
}

extension TrafficPart.MatchEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        var path = Path.any
        if let exact = try node.optional("pathExact")?.text { path = .exact(exact) }
        if let prefix = try node.optional("pathPrefix")?.text { path = .prefix(prefix) }
        return Self(
            path: path, method: try node.optional("method")?.text,
            headers: try node.list("headers", TrafficPart.HeaderEntry.read))
    }
}

extension TrafficPart.HeaderEntry {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        let name = try node.string("name")
        if let exact = try node.optional("exact")?.text { return Self(name: name, value: .exact(exact)) }
        if let prefix = try node.optional("prefix")?.text { return Self(name: name, value: .prefix(prefix)) }
        return Self(name: name, value: .present(try node.bool("present")))
    }
}

extension AccessPart {
    init(_ node: SnapshotCodec.Reader) throws(SnapshotCodec.Failure) {
        self.init(
            mtls: try node.choice("mtls"), allowsByDefault: try node.bool("allowsByDefault"),
            policies: try node.list("policies", Policy.read), rateLimits: try node.list("rateLimits", RateLimit.read))
    }
}

extension AccessPart.Policy {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            name: try node.string("name"), action: try node.choice("action"), isShadow: try node.bool("shadow", default: false),
            rules: try node.list("rules", AccessPart.Rule.read), origin: try node.origin,
            targetsService: try node.bool("targetsService"))
    }
}

extension AccessPart.Rule {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(from: try node.list("from", AccessPart.Source.read), to: try node.list("to", AccessPart.Operation.read))
    }
}

extension AccessPart.Source {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        if let service = try node.optional("service")?.text {
            return .service(namespace: try node.string("namespace"), name: service)
        }
        if let prefix = try node.optional("prefix")?.text { return .prefix(prefix) }
        if let namespace = try node.optional("namespace")?.text { return .namespace(namespace) }
        // Anything else must not become a source that matches more than was meant.
        guard try node.bool("external") else { throw Failure("\(node.path): names no source") }
        return .external
    }
}

extension AccessPart.Operation {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(
            ports: try node.list("ports") { port throws(Failure) in try port.count },
            methods: try node.list("methods") { method throws(Failure) in try method.text },
            paths: try node.list("paths") { path throws(Failure) in try path.text })
    }
}

extension AccessPart.RateLimit {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        Self(name: try node.string("name"), rules: try node.list("rules", AccessPart.RateRule.read), origin: try node.origin)
    }
}

extension AccessPart.RateRule {
    fileprivate static func read(_ node: Reader) throws(Failure) -> Self {
        let rate = try node.string("rate")
        guard Rate(rate) != nil else { throw Failure("\(node.path).rate: \"\(rate)\" is no rate") }
        return Self(
            matches: try node.list("matches", TrafficPart.MatchEntry.read), key: try node.choice("key"), rate: rate,
            burst: try node.integer("burst"))
    }
}
