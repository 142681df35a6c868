internal import Pipeline

/// What a sidecar shows and whom it believes: its key, its certificate chain and the roots of its trust domain.
struct WorkloadCredentials: Sendable {
    let identity: LocalIdentity
    let id: SPIFFEID
    let roots: [Certificate]
    /// PEM, as it came: for the state folder.
    let rootsPEM: String
    /// SHA-256 of the root that the join token named; nil if that is not known. Roots are rotated, the token stays where it
    /// was put: by this it is known again.
    let joinRoot: [UInt8]?

    /// Throws when the parts do not fit each other.
    init(identity: LocalIdentity, id: SPIFFEID, rootsPEM: String, joinRoot: [UInt8]? = nil) throws(CertificateError) {
        guard identity.id == id else { throw CertificateError("the certificate is for \(identity.id?.description ?? "nobody"), not for \(id)") }
        self.identity = identity
        self.id = id
        self.rootsPEM = rootsPEM
        self.joinRoot = joinRoot
        roots = try Certificate.all(inPEM: Array(rootsPEM.utf8))
    }

    /// The same identity under other roots.
    func trusting(_ rootsPEM: String) throws(CertificateError) -> WorkloadCredentials {
        try WorkloadCredentials(identity: identity, id: id, rootsPEM: rootsPEM, joinRoot: joinRoot)
    }

    /// Whether it could show its own certificate to those who trust `rootsPEM`: a sidecar under roots that its certificate
    /// does not lead to is cut off from everybody, the control plane included.
    func stands(under rootsPEM: String) throws(CertificateError) -> Bool {
        identity.leads(to: try Certificate.all(inPEM: Array(rootsPEM.utf8)))
    }

    func trustsSame(as other: WorkloadCredentials) -> Bool { Set(roots.map(\.sha256)) == Set(other.roots.map(\.sha256)) }

    /// For inbound mesh traffic. Raw streams come there too, if the port declares no protocol.
    func serverContext() throws(CertificateError) -> TLSContext {
        try TLSContext.server(
            identity: identity, trust: roots, trustDomain: id.trustDomain,
            applicationProtocols: ["\(Downstream.http2Protocol)", "http/1.1", "\(Downstream.streamProtocol)"], scope: "inbound")
    }

    /// For calls of other sidecars, and of the control plane.
    func clientContext() throws(CertificateError) -> TLSContext {
        try TLSContext.client(identity: identity, trust: .roots(roots), trustDomain: id.trustDomain)
    }

    /// For calls of other sidecars that share a connection: HTTP/2, or HTTP/1 where it is not known.
    func sharedClientContext() throws(CertificateError) -> TLSContext {
        try TLSContext.client(
            identity: identity, trust: .roots(roots), trustDomain: id.trustDomain,
            applicationProtocols: ["\(Downstream.http2Protocol)", "http/1.1"])
    }

    /// For inbound raw streams of the mesh. Sessions of the one are none of the other.
    func streamServerContext() throws(CertificateError) -> TLSContext {
        try TLSContext.server(
            identity: identity, trust: roots, trustDomain: id.trustDomain, applicationProtocols: ["\(Downstream.streamProtocol)"],
            scope: "inbound-tcp")
    }

    func streamClientContext() throws(CertificateError) -> TLSContext {
        try TLSContext.client(
            identity: identity, trust: .roots(roots), trustDomain: id.trustDomain, applicationProtocols: ["\(Downstream.streamProtocol)"])
    }

    // MARK: As a file

    /// One text, so that key, certificate and roots change together or not at all.
    func encoded() throws(CertificateError) -> [UInt8] {
        var chain = ""
        for certificate in [identity.certificate] + identity.intermediates { chain += String(decoding: try certificate.pem, as: UTF8.self) }
        let key = String(decoding: try identity.key.pem, as: UTF8.self)
        var writer = JSONWriter(pretty: true)
        writer.object {
            $0.member("id", id.description)
            $0.member("key", key)
            $0.member("certificate", chain)
            $0.member("roots", rootsPEM)
            if let joinRoot { $0.member("joinRoot", Hex.text(joinRoot)) }
        }
        return writer.utf8
    }

    init(decoding bytes: [UInt8]) throws(CertificateError) {
        guard let root = ConfigReader.read(bytes: bytes, name: "identity.json").root, let idText = root["id"]?.string,
            let key = root["key"]?.string, let chain = root["certificate"]?.string, let roots = root["roots"]?.string,
            let id = try? SPIFFEID(idText)
        else { throw CertificateError("the file is damaged") }
        try self.init(
            identity: LocalIdentity(keyPEM: Array(key.utf8), chainPEM: Array(chain.utf8)), id: id, rootsPEM: roots,
            joinRoot: root["joinRoot"]?.string.flatMap(Hex.bytes))
    }
}
