import Pipeline

/// The file of `weft sidecar --config FILE`: a sidecar on local files alone (ARCHITECTURE §10).
struct SidecarFile: ConfigRecord {
    struct ServiceName: ConfigRecord {
        let name: String
        let namespace: String
        /// Empty if it has none.
        let version: String
        let node: ConfigNode

        init(_ fields: inout ConfigFields) {
            name = fields.read("name", "The service this sidecar stands beside.", .label)
            namespace = fields.read("namespace", default: "default", "Its namespace.", .label)
            version = (fields.read("version", "Its version, such as v1, if it has one.", .label) as String?) ?? ""
            node = fields.node
        }
    }

    struct Inbound: ConfigRecord {
        let address: String
        let plaintext: Bool
        let trustedProxies: [String]
        let takesProxyProtocol: Bool
        let node: ConfigNode

        init(_ fields: inout ConfigFields) {
            address = fields.read("address", "Where callers come in: host:port.", .nonEmpty)
            plaintext = fields.read("plaintext", default: false, "Take plaintext and know no identities. For tests and closed networks.")
            trustedProxies = fields.read(
                "trustedProxies", default: [],
                "Addresses or ranges, such as 10.0.0.0/8, of proxies in front that prove no identity and whose x-forwarded-for is believed.",
                .count(0...64))
            takesProxyProtocol = fields.read(
                "proxyProtocolIn", default: false, "Those proxies begin each connection with a PROXY header of version 2; without it they are closed.")
            node = fields.node
        }
    }

    struct TCP: ConfigRecord {
        let port: Int
        let address: String
        let application: String
        let trustedProxies: [String]
        let takesProxyProtocol: Bool
        let sendsProxyProtocol: Bool
        let node: ConfigNode

        init(_ fields: inout ConfigFields) {
            port = fields.read("port", "Of the service, which has it with protocol tcp.", .in(1...65535))
            address = fields.read("address", "Where callers' sidecars come in: host:port.", .nonEmpty)
            application = fields.read("application", "Where the application serves it: host:port, or unix:/path.", .nonEmpty)
            trustedProxies = fields.read(
                "trustedProxies", default: [], "Addresses or ranges of proxies in front that may say where a connection came from.", .count(0...64))
            takesProxyProtocol = fields.read(
                "proxyProtocolIn", default: false, "Those proxies begin each connection with a PROXY header of version 2; without it they are closed.")
            sendsProxyProtocol = fields.read(
                "proxyProtocolOut", default: false, "Tell the application where each connection came from, in a PROXY header of version 2.")
            node = fields.node
        }
    }

    struct Outbound: ConfigRecord {
        let service: String
        let namespace: String?
        let port: Int?
        let address: String
        let node: ConfigNode

        init(_ fields: inout ConfigFields) {
            service = fields.read("service", "The service that this local port leads to.", .label)
            namespace = fields.read("namespace", "Its namespace; the sidecar's own, if left out.", .label)
            port = fields.read("port", "Which of its ports; by default the one for http, or its first.", .in(1...65535))
            address = fields.read("address", "Where the application calls it: host:port, or unix:/path.", .nonEmpty)
            node = fields.node
        }
    }

    struct Files: ConfigRecord {
        let certificate: String
        let key: String
        let bundle: String

        init(_ fields: inout ConfigFields) {
            certificate = fields.read("certificate", "PEM: this workload's X.509-SVID, intermediates behind it.", .nonEmpty)
            key = fields.read("key", "PEM: its private key.", .nonEmpty)
            bundle = fields.read("bundle", "PEM: the roots to trust.", .nonEmpty)
        }
    }

    struct Chains: ConfigRecord {
        let inbound: [StageEntry]
        let outbound: [StageEntry]

        init(_ fields: inout ConfigFields) {
            inbound = fields.read("inbound", default: [], "Stages of the inbound chain; empty: the default chain.", .count(0...64))
            outbound = fields.read("outbound", default: [], "Stages of the outbound chain; empty: the default chain.", .count(0...64))
        }
    }

    let service: ServiceName
    let trustDomain: String
    let workers: Int
    let seed: Int?
    let inbound: Inbound?
    let tcp: [TCP]
    let proxy: String?
    let outbound: [Outbound]
    let application: String?
    let admin: String?
    let state: String
    let tls: Files?
    let filters: String?
    let chains: Chains
    let limits: SidecarLimits
    let resources: [ConfigNode]
    let node: ConfigNode

    init(_ fields: inout ConfigFields) {
        service = fields.read("service", "Who this sidecar is.")
        trustDomain = fields.read("trustDomain", default: "weft.internal", "Of all identities, unless a Mesh resource says so.", .domain)
        workers = fields.read("workers", default: 1, "Event loops; one per core at most.", .in(1...255))
        seed = fields.read(
            "seed", "Makes random choices (versions, endpoints, back-offs) repeatable, for tests.", .in(0...9_007_199_254_740_991))
        inbound = fields.read("inbound", "The port in front of the application.")
        tcp = fields.read("tcp", default: [], "Ports of the service for raw streams, each in front of the application that serves it.", .count(0...63))
        proxy = fields.read("proxy", "The HTTP proxy port for the application (HTTP_PROXY).")
        outbound = fields.read("outbound", default: [], "One local port per service the application calls.", .count(0...256))
        application = fields.read("application", "Where the application listens: host:port, or unix:/path.")
        admin = fields.read("admin", "Loopback port of /livez, /readyz, /config and /metrics; the unix socket is always there.")
        state = fields.read("state", default: "weft-state", "Directory for what must survive a restart.", .nonEmpty)
        tls = fields.read("tls", "Certificate files; without them no mTLS can be spoken.")
        filters = fields.read("filters", "A folder with inbound/NN-name.json and outbound/NN-name.json.", .nonEmpty)
        chains = fields.read("chains", "The chains, in place of a folder.")
        limits = fields.read("limits", "Bounds of the data path, read at the start.")
        resources = fields.read("resources", default: [], "Resources of the mesh, as for weft apply.", .count(0...10_000))
        node = fields.node
    }
}
