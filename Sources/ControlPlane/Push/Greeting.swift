internal import Host
internal import Pipeline

/// What a sidecar may say of itself. Its names and addresses go into what others are pushed, so one that made no sense would
/// be everybody's rejected snapshot.
extension PushMessage.Hello {
    /// Bytes of a sidecar's name: with namespace and service it is a key of the store.
    static let sidecarNameBytesMax = 253

    static func isSidecarName(_ name: String) -> Bool {
        (1...sidecarNameBytesMax).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    static let sidecarNameRule = "a sidecar's name has 1 to \(sidecarNameBytesMax) printable characters without spaces"

    /// Why this sidecar is not listened to; nil if it is.
    ///
    /// - Parameter workload: whom its certificate names.
    func objection(as workload: (namespace: String, service: String)) -> String? {
        guard service == workload.service, namespace == workload.namespace else {
            return "it says it is of \(namespace)/\(service), its certificate says \(workload.namespace)/\(workload.service)"
        }
        guard Self.isSidecarName(sidecar) else { return Self.sidecarNameRule }
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
