extension PushMessage {
    // === writing ===

    package func json(session: UInt64) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("type", type)
            writer.member("session", session)
            switch self {
            case .hello(let hello): hello.write(to: &writer)
            case .welcome(let heartbeat): writer.member("heartbeatMilliseconds", heartbeat.count / 1_000_000)
            case .part(let pushed):
                writer.member("part", pushed.part.rawValue)
                writer.member("version", pushed.version)
                writer.member("generation", pushed.generation)
                writer.key("body")
                writer.raw(String(decoding: pushed.body, as: UTF8.self))
            case .ack(let part, let version, let generation):
                writer.member("part", part.rawValue)
                writer.member("version", version)
                writer.member("generation", generation)
            case .nack(let part, let version, let generation, let reason):
                writer.member("part", part.rawValue)
                writer.member("version", version)
                writer.member("generation", generation)
                writer.member("reason", PushMessage.cut(reason))
            case .health(let isHealthy, let reason):
                writer.member("healthy", isHealthy)
                writer.member("reason", PushMessage.cut(reason))
            case .renewCertificate(let within): writer.member("withinMilliseconds", within.count / 1_000_000)
            case .refused(let reason): writer.member("reason", PushMessage.cut(reason))
            case .heartbeat, .draining, .leaving, .unknown: break
            }
        }
        return writer.utf8
    }

    private var type: String {
        switch self {
        case .hello: "hello"
        case .welcome: "welcome"
        case .part: "part"
        case .ack: "ack"
        case .nack: "nack"
        case .heartbeat: "heartbeat"
        case .health: "health"
        case .draining: "draining"
        case .leaving: "leaving"
        case .renewCertificate: "renew-certificate"
        case .refused: "refused"
        case .unknown(let type): type
        }
    }

    /// At most `reasonBytesMax`, never through a character.
    private static func cut(_ reason: String) -> String {
        guard reason.utf8.count > PushLimits.reasonBytesMax else { return reason }
        var count = 0
        let kept = reason.prefix { character in
            count += character.utf8.count
            return count <= PushLimits.reasonBytesMax - 3
        }
        return kept + "…"
    }

    // === reading ===

    /// Total: any bytes give a message or a failure. Keys it does not know are ignored, for later versions' sake.
    package static func read(_ json: [UInt8]) throws(PushFrame.Failure) -> (message: PushMessage, session: UInt64) {
        var limits = ConfigLimits()
        limits.bytesMax = PushLimits.frameBytesMax
        limits.nodesMax = PushLimits.nodesMax
        limits.problemsMax = 1
        let result = ConfigReader.read(bytes: json, name: "<push>", limits: limits)
        if let problem = result.problems.first { throw .malformed(problem.message) }
        guard let root = result.root, root.isObject else { throw .malformed("not a JSON object") }
        let type = try root.name("type")
        let session = try root.unsigned("session")
        return (try read(type, root, json), session)
    }

    private static func read(_ type: String, _ root: ConfigNode, _ json: [UInt8]) throws(PushFrame.Failure) -> PushMessage {
        switch type {
        case "hello": return .hello(try Hello(root))
        case "welcome":
            let milliseconds = try root.unsigned("heartbeatMilliseconds")
            guard (100...600_000).contains(milliseconds) else { throw .malformed("a heartbeat every \(milliseconds) ms") }
            return .welcome(heartbeat: .milliseconds(Int64(milliseconds)))
        case "part":
            guard let body = root["body"], body.isObject else { throw .malformed("a part without a body") }
            return .part(
                PushedPart(
                    part: try root.part, version: try root.name("version"), generation: try root.unsigned("generation"),
                    body: Array(json[body.range])))
        case "ack": return .ack(try root.part, version: try root.name("version"), generation: try root.unsigned("generation"))
        case "nack":
            return .nack(
                try root.part, version: try root.name("version"), generation: try root.unsigned("generation"), reason: try root.reason)
        case "heartbeat": return .heartbeat
        case "health":
            guard let isHealthy = root["healthy"]?.bool else { throw .malformed("health without \"healthy\"") }
            return .health(isHealthy: isHealthy, reason: try root.reason)
        case "draining": return .draining
        case "leaving": return .leaving
        case "refused": return .refused(reason: try root.reason)
        case "renew-certificate":
            let milliseconds = try root.unsigned("withinMilliseconds")
            guard (0...86_400_000).contains(milliseconds) else { throw .malformed("a renewal within \(milliseconds) ms") }
            return .renewCertificate(within: .milliseconds(Int64(milliseconds)))
        default: return .unknown(type)
        }
    }
}

extension PushMessage.Hello {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.member("sidecar", sidecar)
        writer.member("incarnation", incarnation)
        writer.member("namespace", namespace)
        writer.member("service", service)
        writer.member("version", version)
        writer.member("software", software)
        writer.key("endpoints")
        writer.array { writer in
            for endpoint in endpoints {
                writer.object { writer in
                    writer.member("port", endpoint.port)
                    writer.member("address", endpoint.address)
                    if endpoint.isStream { writer.member("protocol", "tcp") }
                }
            }
        }
        writer.key("filters")
        writer.array { writer in
            for filter in filters {
                writer.object { writer in
                    writer.member("name", filter.name)
                    writer.key("schema")
                    writer.raw(filter.schema)
                }
            }
        }
        writer.key("have")
        writer.object { writer in
            for part in SnapshotPart.allCases {
                if let version = have[part] { writer.member(part.rawValue, version) }
            }
        }
    }

    fileprivate init(_ root: ConfigNode) throws(PushFrame.Failure) {
        let (endpointNodes, filterNodes) = (root["endpoints"]?.elements ?? [], root["filters"]?.elements ?? [])
        guard endpointNodes.count <= PushLimits.endpointsMax else { throw .malformed("\(endpointNodes.count) endpoints") }
        guard filterNodes.count <= PushLimits.filtersMax else { throw .malformed("\(filterNodes.count) filters") }
        var endpoints: [PushMessage.Endpoint] = []
        for node in endpointNodes {
            let port = try node.unsigned("port")
            guard (1...65_535).contains(port) else { throw .malformed("port \(port)") }
            let isStream = try node["protocol"] == nil ? false : node.name("protocol") == "tcp"
            endpoints.append(PushMessage.Endpoint(port: Int(port), address: try node.name("address"), isStream: isStream))
        }
        var filters: [PushMessage.Filter] = []
        for node in filterNodes {
            guard let schema = node["schema"], schema.isObject else { throw .malformed("a filter without a schema") }
            filters.append(PushMessage.Filter(name: try node.name("name"), schema: schema.json))
        }
        var have: [SnapshotPart: String] = [:]
        for part in SnapshotPart.allCases where root["have"]?[part.rawValue] != nil {
            have[part] = try root["have"]?.name(part.rawValue)
        }
        self.init(
            sidecar: try root.name("sidecar"), incarnation: try root.name("incarnation"), namespace: try root.name("namespace"),
            service: try root.name("service"), version: try root.name("version"), software: try root.name("software"),
            endpoints: endpoints, filters: filters, have: have)
    }
}

extension ConfigNode {
    fileprivate func name(_ key: String) throws(PushFrame.Failure) -> String {
        guard let text = self[key]?.string else { throw .malformed("\"\(key)\" is missing or no string") }
        guard text.utf8.count <= PushLimits.nameBytesMax else { throw .malformed("\"\(key)\" has \(text.utf8.count) bytes") }
        return text
    }

    fileprivate func unsigned(_ key: String) throws(PushFrame.Failure) -> UInt64 {
        guard let number = self[key]?.integer, number >= 0 else { throw .malformed("\"\(key)\" is missing or no number") }
        return UInt64(number)
    }

    fileprivate var part: SnapshotPart {
        get throws(PushFrame.Failure) {
            let text = try name("part")
            guard let part = SnapshotPart(rawValue: text) else { throw .malformed("there is no part \"\(text)\"") }
            return part
        }
    }

    fileprivate var reason: String {
        get throws(PushFrame.Failure) {
            guard let text = self["reason"]?.string, text.utf8.count <= PushLimits.reasonBytesMax else {
                throw .malformed("\"reason\" is missing or too long")
            }
            return text
        }
    }
}
