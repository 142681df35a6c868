internal import Pipeline

extension Sidecar {
    /// Where a sidecar listens, with the ports that the kernel chose.
    package struct Addresses: Sendable {
        package let dataplane: Dataplane.Addresses
        /// By service, in the order they were asked for; `service:port` where a port was named.
        package let outbound: [(service: String, address: SocketAddress)]
        /// Inbound ports of raw streams, by the service's port.
        package let streams: [(port: Int, address: SocketAddress)]
        private let isStream: [Bool]

        /// - Parameter services: as far as they are known yet, for the ready line.
        init(_ settings: SidecarSettings, _ dataplane: Dataplane.Addresses, services: [TrafficPart.ServiceEntry]) {
            self.dataplane = dataplane
            streams = zip(settings.entrances.streams, dataplane.streams).map { ($0.port, $1) }
            isStream = settings.entrances.outbound.map { entrance in entrance.index(in: services).map { services[$0].isStream } ?? false }
            outbound = zip(settings.entrances.outbound, dataplane.outbound).map { entrance, address in
                let name = entrance.namespace == settings.workload.namespace ? entrance.service : "\(entrance.service).\(entrance.namespace)"
                return (entrance.port.map { "\(name):\($0)" } ?? name, address)
            }
        }

        /// For `endpoints.json`.
        func json(admin: SocketAddress?) -> String {
            var writer = JSONWriter(pretty: true)
            writer.object { writer in
                if let inbound = dataplane.inbound { writer.member("inbound", inbound.description) }
                if !streams.isEmpty {
                    writer.key("tcp")
                    writer.object { writer in for (port, address) in streams { writer.member("\(port)", address.description) } }
                }
                if let proxy = dataplane.proxy { writer.member("proxy", proxy.description) }
                if let admin { writer.member("admin", admin.description) }
                writer.key("outbound")
                writer.object { writer in
                    for (service, address) in outbound { writer.member(service, address.description) }
                }
            }
            return writer.text + "\n"
        }

        func readyLine(_ name: String, admin: SocketAddress?) -> String {
            var words = ["READY", name]
            if let inbound = dataplane.inbound { words.append("inbound=\(inbound)") }
            for (port, address) in streams { words.append("tcp.\(port)=\(address)") }
            if let proxy = dataplane.proxy { words.append("proxy=http://\(proxy)") }
            for (entrance, isStream) in zip(outbound, isStream) {
                words.append("outbound.\(entrance.service)=\(isStream ? "tcp" : "http")://\(entrance.address)")
            }
            if let admin { words.append("admin=http://\(admin)") }
            return words.joined(separator: " ")
        }
    }
}
