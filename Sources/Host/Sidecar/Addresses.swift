internal import Pipeline

extension Sidecar {
    /// Where a sidecar listens, with the ports that the kernel chose.
    package struct Addresses: Sendable {
        package let dataplane: Dataplane.Addresses
        /// By service, in the order they were asked for.
        package let outbound: [(service: String, address: SocketAddress)]

        init(_ settings: SidecarSettings, _ dataplane: Dataplane.Addresses) {
            self.dataplane = dataplane
            outbound = zip(settings.entrances.outbound, dataplane.outbound).map { entrance, address in
                (entrance.namespace == settings.workload.namespace ? entrance.service : "\(entrance.service).\(entrance.namespace)", address)
            }
        }

        /// For `endpoints.json`.
        func json(admin: SocketAddress?) -> String {
            var writer = JSONWriter(pretty: true)
            writer.object { writer in
                if let inbound = dataplane.inbound { writer.member("inbound", inbound.description) }
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
            if let proxy = dataplane.proxy { words.append("proxy=http://\(proxy)") }
            for (service, address) in outbound { words.append("outbound.\(service)=http://\(address)") }
            if let admin { words.append("admin=http://\(admin)") }
            return words.joined(separator: " ")
        }
    }
}
