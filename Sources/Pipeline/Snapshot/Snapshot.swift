/// All that one sidecar runs on: immutable, versioned, in four separately accepted parts.
///
/// Compiled from resources (by the control plane, or by the sidecar itself from local files), checked and turned into
/// chains by `ChainBuilder`. A rejected part never holds back another.
package struct Snapshot: Sendable, Equatable {
    package enum Part: String, Sendable, CaseIterable, Hashable { case chain, traffic, access, trust }

    package var chain: ChainPart
    package var traffic: TrafficPart
    package var access: AccessPart
    package var trust: TrustPart

    package init(chain: ChainPart, traffic: TrafficPart, access: AccessPart, trust: TrustPart) {
        self.chain = chain
        self.traffic = traffic
        self.access = access
        self.trust = trust
    }
}

/// Where a value came from, for `weft explain` and for errors: `Service default/payment`, `payment.json:3`.
package struct Origin: Sendable, Equatable, Hashable {
    package var resource: String
    /// Empty if it was applied over the API without a file name.
    package var file: String
    package var line: Int

    package init(resource: String, file: String = "", line: Int = 0) {
        self.resource = resource
        self.file = file
        self.line = line
    }
}

/// The order of the stages, with their own configs, and the mesh's settings for them.
package struct ChainPart: Sendable, Equatable {
    package struct Stage: Sendable, Equatable {
        package var id: String
        package var filter: String
        /// JSON text of the stage's own config, `{}` if it has none.
        package var config: String
        package var origin: Origin
        /// A pushed chain that lacks it is refused by this sidecar (local files only).
        package var required: Bool

        package init(id: String, filter: String, config: String = "{}", origin: Origin, required: Bool = false) {
            self.id = id
            self.filter = filter
            self.config = config
            self.origin = origin
            self.required = required
        }
    }

    package var inbound: [Stage]
    package var outbound: [Stage]
    /// Mesh `inboundSettings` and `settings`.
    package var inboundSettings: [SettingsLayer]
    package var outboundSettings: [SettingsLayer]

    package init(inbound: [Stage], outbound: [Stage], inboundSettings: [SettingsLayer] = [], outboundSettings: [SettingsLayer] = []) {
        self.inbound = inbound
        self.outbound = outbound
        self.inboundSettings = inboundSettings
        self.outboundSettings = outboundSettings
    }
}

/// One layer of `settings`: stage id → JSON text of an object, and who said it.
package struct SettingsLayer: Sendable, Equatable {
    package var origin: Origin
    package var stages: [String: String]

    package init(origin: Origin, stages: [String: String]) {
        self.origin = origin
        self.stages = stages
    }
}

/// What this sidecar can reach, and what it stands in front of.
package struct TrafficPart: Sendable, Equatable {
    /// The workload this sidecar belongs to.
    package var workload: WorkloadRef
    /// `inboundSettings` of its own service.
    package var inboundSettings: [SettingsLayer]
    /// Everything it may call.
    package var services: [ServiceEntry]
    /// Whether names outside the mesh are refused.
    package var deniesEgress: Bool
    /// What its own application speaks behind the inbound port.
    package var applicationProtocol: PortProtocol

    package init(
        workload: WorkloadRef, inboundSettings: [SettingsLayer] = [], services: [ServiceEntry], deniesEgress: Bool = true,
        applicationProtocol: PortProtocol = .http
    ) {
        self.applicationProtocol = applicationProtocol
        self.workload = workload
        self.inboundSettings = inboundSettings
        self.services = services
        self.deniesEgress = deniesEgress
    }

    package struct WorkloadRef: Sendable, Equatable {
        package var service: String
        package var namespace: String
        /// Empty for a service without versions.
        package var version: String

        package init(service: String, namespace: String, version: String) {
            self.service = service
            self.namespace = namespace
            self.version = version
        }
    }

    package struct ServiceEntry: Sendable, Equatable {
        package var name: String
        package var namespace: String
        /// One entry per port that is served.
        package var port: Int
        package var `protocol`: PortProtocol
        /// Raw streams, not HTTP.
        package var isStream: Bool { `protocol` == .tcp }
        /// `settings` of the Service, for its callers; the lowest layer above the chain's stage.
        package var settings: [SettingsLayer]
        /// Nil: no Route; `defaultVersion`, else all versions.
        package var route: [RuleEntry]?
        package var routeName: String
        package var defaultVersion: String?
        package var versions: [VersionEntry]

        package init(
            name: String, namespace: String, port: Int, protocol: PortProtocol = .http, settings: [SettingsLayer] = [], route: [RuleEntry]? = nil,
            routeName: String = "", defaultVersion: String? = nil, versions: [VersionEntry] = []
        ) {
            self.name = name
            self.namespace = namespace
            self.port = port
            self.protocol = `protocol`
            self.settings = settings
            self.route = route
            self.routeName = routeName
            self.defaultVersion = defaultVersion
            self.versions = versions
        }
    }

    package struct RuleEntry: Sendable, Equatable {
        package var name: String
        package var matches: [MatchEntry]
        package var backends: [BackendEntry]
        package var settings: [SettingsLayer]

        package init(name: String, matches: [MatchEntry], backends: [BackendEntry], settings: [SettingsLayer] = []) {
            self.name = name
            self.matches = matches
            self.backends = backends
            self.settings = settings
        }
    }

    /// All that is named must match; nothing named matches everything.
    package struct MatchEntry: Sendable, Equatable {
        package enum Path: Sendable, Equatable { case any, exact(String), prefix(String) }

        package var path: Path
        package var method: String?
        package var headers: [HeaderEntry]

        /// Asks for nothing that a raw stream lacks.
        package var takesStreams: Bool { method == nil && headers.isEmpty && (path == .any || path == .prefix("/")) }

        package init(path: Path = .any, method: String? = nil, headers: [HeaderEntry] = []) {
            self.path = path
            self.method = method
            self.headers = headers
        }
    }

    package struct HeaderEntry: Sendable, Equatable {
        package enum Value: Sendable, Equatable { case exact(String), prefix(String), present(Bool) }

        package var name: String
        package var value: Value

        package init(name: String, value: Value) {
            self.name = name
            self.value = value
        }
    }

    package struct BackendEntry: Sendable, Equatable {
        /// Name and namespace of another service; nil for the Route's own.
        package var service: String?
        package var namespace: String?
        /// Nil: the service's default version, else all of them.
        package var version: String?
        package var weight: Int

        package init(service: String? = nil, namespace: String? = nil, version: String? = nil, weight: Int = 1) {
            self.service = service
            self.namespace = namespace
            self.version = version
            self.weight = weight
        }
    }

    package struct VersionEntry: Sendable, Equatable {
        /// Empty for workloads without a version.
        package var name: String
        package var endpoints: [EndpointEntry]

        package init(name: String, endpoints: [EndpointEntry]) {
            self.name = name
            self.endpoints = endpoints
        }
    }

    package struct EndpointEntry: Sendable, Equatable {
        /// The workload's name: stable over address changes.
        package var id: String
        /// `host:port` or `unix:/path`.
        package var address: String
        package var weight: Int
        package var isHealthy: Bool
        /// Announced that it will go: no new requests.
        package var isDraining: Bool
        /// A sidecar stands in front of it and speaks mTLS; otherwise plaintext.
        package var hasSidecar: Bool

        package init(
            id: String, address: String, weight: Int = 1, isHealthy: Bool = true, isDraining: Bool = false, hasSidecar: Bool = true
        ) {
            self.id = id
            self.address = address
            self.weight = weight
            self.isHealthy = isHealthy
            self.isDraining = isDraining
            self.hasSidecar = hasSidecar
        }
    }
}

/// Who may call this workload, and how often.
package struct AccessPart: Sendable, Equatable {
    package enum MTLS: String, Sendable, CaseIterable { case strict, permissive }
    package enum Action: String, Sendable, CaseIterable { case allow, deny }
    package enum Key: String, BitwiseCopyable, Sendable, CaseIterable { case source, route, total }

    package var mtls: MTLS
    package var allowsByDefault: Bool
    /// Those whose target is this workload's service, its labels or the mesh.
    package var policies: [Policy]
    package var rateLimits: [RateLimit]
    /// Those of the services that this workload can call; nil unless its outbound chain asks them.
    package var callees: [CalleePolicy]?

    package init(
        mtls: MTLS = .strict, allowsByDefault: Bool = true, policies: [Policy] = [], rateLimits: [RateLimit] = [],
        callees: [CalleePolicy]? = nil
    ) {
        self.mtls = mtls
        self.allowsByDefault = allowsByDefault
        self.policies = policies
        self.rateLimits = rateLimits
        self.callees = callees
    }

    /// A policy as its callers know it: which of the services in their traffic part it covers.
    package struct CalleePolicy: Sendable, Equatable {
        package var policy: Policy
        /// Ignored where the policy targets no service: then it covers all of them.
        package var services: [ServiceName]

        package init(policy: Policy, services: [ServiceName] = []) {
            self.policy = policy
            self.services = services
        }

        package func covers(_ service: TrafficPart.ServiceEntry) -> Bool {
            !policy.targetsService || services.contains(ServiceName(name: service.name, namespace: service.namespace))
        }
    }

    package struct ServiceName: Sendable, Hashable {
        package var name: String
        package var namespace: String

        package init(name: String, namespace: String) {
            self.name = name
            self.namespace = namespace
        }
    }

    package struct Policy: Sendable, Equatable {
        /// `default/no-analytics`.
        package var name: String
        package var action: Action
        /// Counted, never enforced.
        package var isShadow: Bool
        package var rules: [Rule]
        package var origin: Origin
        /// Names this service or its labels, rather than the mesh: an enforced allow of this kind flips the default.
        package var targetsService: Bool

        package init(name: String, action: Action, isShadow: Bool = false, rules: [Rule], origin: Origin, targetsService: Bool = true) {
            self.name = name
            self.action = action
            self.isShadow = isShadow
            self.rules = rules
            self.origin = origin
            self.targetsService = targetsService
        }
    }

    /// `from` and `to` must both match; an empty list matches everything.
    package struct Rule: Sendable, Equatable {
        package var from: [Source]
        package var to: [Operation]

        package init(from: [Source] = [], to: [Operation] = []) {
            self.from = from
            self.to = to
        }
    }

    package enum Source: Sendable, Equatable {
        /// Exactly `spiffe://<own trust domain>/ns/<namespace>/sa/<service>`.
        case service(namespace: String, name: String)
        /// The SPIFFE id begins with this.
        case prefix(String)
        case namespace(String)
        /// No identity we trust.
        case external
    }

    /// Empty lists match everything; what is named must all match.
    package struct Operation: Sendable, Equatable {
        package var ports: [Int]
        package var methods: [String]
        /// Exact, or a prefix on segment borders if it ends in `/*`.
        package var paths: [String]

        package init(ports: [Int] = [], methods: [String] = [], paths: [String] = []) {
            self.ports = ports
            self.methods = methods
            self.paths = paths
        }
    }

    package struct RateLimit: Sendable, Equatable {
        /// `default/payment`.
        package var name: String
        package var rules: [RateRule]
        package var origin: Origin

        package init(name: String, rules: [RateRule], origin: Origin) {
            self.name = name
            self.rules = rules
            self.origin = origin
        }
    }

    package struct RateRule: Sendable, Equatable {
        package var matches: [TrafficPart.MatchEntry]
        package var key: Key
        /// As written: `"100/s"`.
        package var rate: String
        package var burst: Int

        package init(matches: [TrafficPart.MatchEntry] = [], key: Key, rate: String, burst: Int) {
            self.matches = matches
            self.key = key
            self.rate = rate
            self.burst = burst
        }
    }
}

/// Whom to believe.
package struct TrustPart: Sendable, Equatable {
    package var trustDomain: String
    /// PEM, one or several roots: during a rotation both are trusted.
    package var roots: String

    package init(trustDomain: String, roots: String) {
        self.trustDomain = trustDomain
        self.roots = roots
    }
}
