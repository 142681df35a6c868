/// Which paths: one of `exact` and `prefix`. A prefix ends at a segment: `/a` has `/a` and `/a/b`, not `/ab`.
package struct PathMatch: ConfigRecord {
    package let exact: String?
    package let prefix: String?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        exact = fields.read("exact", "The whole path.", .path, .count(1...Self.bytesMax))
        prefix = fields.read("prefix", "The path's first segments.", .path, .count(1...Self.bytesMax))
        node = fields.node
    }

    /// Bytes. No request line is longer.
    package static let bytesMax = 8192
}

/// Which values of a header: one of `exact`, `prefix` and `present`.
package struct HeaderMatch: ConfigRecord {
    package let name: HeaderName
    package let exact: String?
    package let prefix: String?
    package let present: Bool?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        name = fields.read("name", "The header.")
        exact = fields.read("exact", "The whole value.")
        prefix = fields.read("prefix", "How the value begins.")
        present = fields.read("present", "Whether the header is there at all.")
        node = fields.node
    }
}

/// Which requests: all that is given must hold.
package struct RequestMatch: ConfigRecord {
    package let path: PathMatch?
    package let headers: [HeaderMatch]
    package let method: String?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        path = fields.read("path", "Paths it takes; all, if left out.")
        headers = fields.read("headers", default: [], "Headers that must all match.", .count(0...16))
        method = fields.read("method", "The method, such as \"GET\".", .nonEmpty)
        node = fields.node
    }
}

/// Which services: one, by name, or all that carry the labels.
package struct Target: ConfigRecord {
    package let service: ServiceReference?
    package let labels: [String: String]?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        service = fields.read("service", "One service.")
        labels = fields.read("labels", "Every service with all of these labels.", .nonEmpty)
        node = fields.node
    }

    package func covers(_ candidate: ServiceResource, from namespace: String) -> Bool {
        if let service { return service.key(in: namespace) == candidate.key }
        guard let labels else { return false }
        return candidate.namespace == namespace && labels.allSatisfy { candidate.labels[$0.key] == $0.value }
    }
}

extension Target? {
    /// No target means every service.
    package func covers(_ candidate: ServiceResource, from namespace: String) -> Bool {
        map { $0.covers(candidate, from: namespace) } ?? true
    }
}
