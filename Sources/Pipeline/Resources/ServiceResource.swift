package enum ServiceLocation: String, CaseIterable, Sendable, ConfigValue { case `internal`, external }

package struct ServicePort: ConfigRecord {
    package let port: Int
    package let `protocol`: PortProtocol
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        port = fields.read("port", "Number that callers use.", .in(1...65535))
        let declared: PortProtocol = fields.read(
            "protocol", default: .auto,
            "What the application speaks there: HTTP/1.1 (http), HTTP/2 in the clear (http2, grpc), anything (tcp), or what its first bytes say (auto).")
        `protocol` = declared.resolved(onPort: port)
        node = fields.node
    }
}

/// A named destination.
package struct ServiceResource: ResourceBody {
    package static let kind = ResourceKind.service
    package let identity: ResourceIdentity
    package let ports: [ServicePort]
    package let labels: [String: String]
    package let defaultVersion: String?
    package let mtls: MTLSMode?
    /// Nil: all.
    package let reachableServices: [ServiceReference]?
    package let location: ServiceLocation
    package let settings: Settings
    package let inboundSettings: Settings

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        ports = fields.read("ports", "Where callers reach it.", .count(1...64))
        labels = fields.read("labels", default: [:], "Words that policies can target.")
        defaultVersion = fields.read("defaultVersion", "Version that gets all calls while no Route says otherwise.", .label)
        mtls = fields.read("mtls", "Overrides the mesh's mtls for calls to this service.")
        reachableServices = fields.read("reachableServices", "Services its sidecars know of; all, if left out.")
        location = fields.read("location", default: .internal, "Where it runs.", .notYet("external"))
        fields.refuse("hosts", "Host names of an external service.")
        settings = fields.read("settings", "Values for stages of its callers' outbound chains, by stage id.")
        inboundSettings = fields.read("inboundSettings", "Values for stages of its own inbound chain, by stage id.")
    }

    package var speaksHTTP: Bool { httpPort != nil }

    /// The port that callers reach it at with HTTP: the first one. This version serves one.
    package var httpPort: Int? { ports.first(where: \.protocol.isHTTP)?.port }
    /// What is spoken there; http if there is none.
    package var httpProtocol: PortProtocol { ports.first(where: \.protocol.isHTTP)?.protocol ?? .http }
    /// Ports of raw streams, as they are listed.
    package var tcpPorts: [Int] { ports.lazy.filter { $0.protocol == .tcp }.map(\.port) }
}
