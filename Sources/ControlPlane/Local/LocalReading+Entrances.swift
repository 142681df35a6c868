internal import Host
internal import Pipeline

/// Where the sidecar listens, and where its ports lead.
extension LocalReading {
    mutating func entrances(into settings: inout SidecarSettings) {
        var taken: [SocketAddress: ConfigNode] = [:]
        if let inbound = file.inbound {
            settings.entrances.inbound = listener(inbound.address, inbound.node["address"], "inbound.address", &taken)
            settings.entrances.inboundIsPlain = inbound.plaintext
            settings.entrances.trustedProxies = ranges(inbound.trustedProxies, inbound.node, "inbound")
            settings.entrances.inboundTakesProxyHeader = inbound.takesProxyProtocol
            proxies(inbound.takesProxyProtocol, inbound.trustedProxies, inbound.node, "inbound")
            if file.application == nil {
                problems.append(
                    ConfigProblem(
                        "an inbound port without an application could serve nobody", severity: .warning, at: inbound.node, path: "inbound",
                        notes: ["say where it listens: \"application\": \"127.0.0.1:8080\", or \"unix:/path\""]))
            }
        }
        for (index, stream) in file.tcp.enumerated() {
            guard let at = listener(stream.address, stream.node["address"], "tcp[\(index)].address", &taken),
                let application = address(stream.application, stream.node["application"], "tcp[\(index)].application")
            else { continue }
            var entrance = Dataplane.Entrances.Stream(port: stream.port, address: at, application: application)
            entrance.trustedProxies = ranges(stream.trustedProxies, stream.node, "tcp[\(index)]")
            entrance.takesProxyHeader = stream.takesProxyProtocol
            entrance.sendsProxyHeader = stream.sendsProxyProtocol
            proxies(stream.takesProxyProtocol, stream.trustedProxies, stream.node, "tcp[\(index)]")
            settings.entrances.streams.append(entrance)
        }
        settings.application = address(file.application, file.node["application"], "application")
        settings.entrances.proxy = lent(file.proxy, file.node["proxy"], "proxy", &taken)
        for (index, outbound) in file.outbound.enumerated() {
            guard let address = lent(outbound.address, outbound.node["address"], "outbound[\(index)].address", &taken) else { continue }
            settings.entrances.outbound.append(
                Dataplane.Entrances.Outbound(
                    service: outbound.service, namespace: outbound.namespace ?? file.service.namespace, port: outbound.port, address: address))
        }
        settings.admin = listener(file.admin, file.node["admin"], "admin", &taken)
        if let admin = settings.admin, !admin.isLoopback {
            problems.append(
                ConfigProblem("the admin port must be on a loopback address", at: file.node["admin"] ?? file.node, path: "admin"))
        }
    }

    /// Each outbound port leads to a service that there is, that is served and that this workload may reach.
    mutating func destinations(_ resources: ResourceSet, _ snapshot: Snapshot, _ own: ServiceResource?) {
        let services = services(of: resources)
        for (index, outbound) in file.outbound.enumerated() {
            let key = ResourceKey(.service, outbound.service, namespace: outbound.namespace ?? file.service.namespace)
            let node = outbound.node["service"] ?? outbound.node, path = "outbound[\(index)].service"
            guard case .service(let service)? = resources[key] else {
                problems.append(missing(key, among: services, at: node, path: path, near: key.namespace))
                continue
            }
            if let port = outbound.port, port != service.httpPort, !service.tcpPorts.contains(port) {
                let served = (service.httpPort.map { [$0] } ?? []) + service.tcpPorts
                problems.append(
                    ConfigProblem(
                        "\(key) serves no port \(port)", at: outbound.node["port"] ?? node, path: "outbound[\(index)].port",
                        notes: ["its ports: \(served.map { "\($0)" }.joined(separator: ", "))"]))
            } else if let own, !snapshot.traffic.services.contains(where: { $0.name == key.name && $0.namespace == key.namespace }) {
                problems.append(ConfigProblem("\(key) is not among the reachableServices of \(own.key)", at: node, path: path))
            }
        }
    }

    /// Each port of raw streams is one of the own Service, if that is known.
    mutating func streams(_ own: ServiceResource?) {
        var first: [Int: ConfigNode] = [:]
        for (index, stream) in file.tcp.enumerated() {
            let node = stream.node["port"] ?? stream.node, path = "tcp[\(index)].port"
            if let known = first[stream.port] {
                problems.append(
                    ConfigProblem(
                        "port \(stream.port) stands here twice", at: node, path: path, label: "again",
                        related: .init(source: known.source, range: known.range, label: "first")))
            }
            first[stream.port] = first[stream.port] ?? node
            guard let own, !own.tcpPorts.contains(stream.port) else { continue }
            problems.append(
                ConfigProblem(
                    "\(own.key) has no port \(stream.port) with protocol tcp: nobody would call it", at: node, path: path,
                    notes: ["its ports: \(own.ports.map { "\($0.port) \($0.protocol.rawValue)" }.joined(separator: ", "))"]))
        }
    }

    /// Whoever may say where a connection came from is named, and says it.
    private mutating func proxies(_ takesHeader: Bool, _ named: [String], _ node: ConfigNode, _ path: String) {
        guard takesHeader, named.isEmpty else { return }
        problems.append(
            ConfigProblem(
                "PROXY headers are believed of nobody: trustedProxies is empty", at: node["proxyProtocolIn"] ?? node, path: "\(path).proxyProtocolIn",
                notes: ["name the proxies in front of this port in \"trustedProxies\""]))
    }

    private mutating func ranges(_ texts: [String], _ owner: ConfigNode, _ place: String) -> [AddressRange] {
        let nodes = owner["trustedProxies"]?.elements ?? []
        var ranges: [AddressRange] = []
        for (index, text) in texts.enumerated() {
            let node = index < nodes.count ? nodes[index] : owner, path = "\(place).trustedProxies[\(index)]"
            guard let range = AddressRange(text) else {
                problems.append(
                    ConfigProblem(
                        "\(JSONWriter.quoted(text)) is no address and no range of addresses", at: node, path: path,
                        notes: ["write 10.1.2.3, 10.0.0.0/8 or fd00::/8, with no bit set behind the prefix"]))
                continue
            }
            if range.isEverything {
                problems.append(
                    ConfigProblem(
                        "everybody may say where a request came from", severity: .warning, at: node, path: path,
                        notes: ["name the proxies in front of this sidecar"]))
            }
            ranges.append(range)
        }
        return ranges
    }

    /// For the application alone: who connects is taken for it.
    private mutating func lent(
        _ text: String?, _ node: ConfigNode?, _ path: String, _ taken: inout [SocketAddress: ConfigNode]
    ) -> SocketAddress? {
        let address = listener(text, node, path, &taken)
        if let address, !address.isLoopback {
            problems.append(
                ConfigProblem(
                    "\(address) is open to other machines: whoever reaches it calls as \(file.service.name)", severity: .warning,
                    at: node ?? file.node, path: path, notes: ["listen on 127.0.0.1, or on a unix socket"]))
        }
        return address
    }

    /// Loops share their ports (SO_REUSEPORT), so the kernel would not object to two entrances at one address: it would give
    /// each some of the connections.
    private mutating func listener(
        _ text: String?, _ node: ConfigNode?, _ path: String, _ taken: inout [SocketAddress: ConfigNode]
    ) -> SocketAddress? {
        guard let address = address(text, node, path) else { return nil }
        guard address.family == .unix || address.port != 0 else { return address }
        let node = node ?? file.node
        if let first = taken[address] {
            problems.append(
                ConfigProblem(
                    "\(address) is an address of two entrances", at: node, path: path, label: "again",
                    related: .init(source: first.source, range: first.range, label: "first")))
        }
        taken[address] = node
        return address
    }

    private mutating func address(_ text: String?, _ node: ConfigNode?, _ path: String) -> SocketAddress? {
        guard let text else { return nil }
        if let address = SocketAddress(text) { return address }
        problems.append(
            ConfigProblem(
                "\(JSONWriter.quoted(text)) is no address", at: node ?? file.node, path: path,
                notes: ["write 127.0.0.1:8080, [::1]:8080 or unix:/path; names are not resolved"]))
        return nil
    }
}
