internal import Host
internal import Pipeline

/// What a sidecar may say of itself. Its names and addresses go into what others are pushed, so one that made no sense would
/// be everybody's rejected snapshot.
extension PushMessage.Hello {
    /// Bytes of a sidecar's name: with namespace and service it is a key of the store.
    static let sidecarNameBytesMax = 253

    /// Why this sidecar is not listened to; nil if it is.
    ///
    /// - Parameter workload: whom its certificate names.
    func objection(as workload: (namespace: String, service: String)) -> String? {
        guard service == workload.service, namespace == workload.namespace else {
            return "it says it is of \(namespace)/\(service), its certificate says \(workload.namespace)/\(workload.service)"
        }
        guard (1...Self.sidecarNameBytesMax).contains(sidecar.utf8.count), sidecar.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return "a sidecar's name has 1 to \(Self.sidecarNameBytesMax) printable characters without spaces"
        }
        guard !incarnation.isEmpty else { return "it names no incarnation" }
        guard version.isEmpty || ConfigRule.isLabel(version) else { return "\(JSONWriter.quoted(version)) is no version: a DNS label is" }
        for endpoint in endpoints {
            guard let address = SocketAddress(endpoint.address), address.family == .unix || address.port != 0 else {
                return "\(JSONWriter.quoted(endpoint.address)) is no address: host:port is, with a numeric host"
            }
        }
        return nil
    }
}
