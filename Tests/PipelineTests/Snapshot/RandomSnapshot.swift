import Pipeline

/// Snapshots by seed: every field, every case, awkward strings, empty and full lists.
struct RandomSnapshot {
    private var random: Random

    init(seed: UInt64) { random = Random(seed: seed) }

    mutating func snapshot() -> Snapshot {
        Snapshot(
            chain: ChainPart(
                inbound: list(0...4) { $0.stage() }, outbound: list(0...4) { $0.stage() }, inboundSettings: layers(), outboundSettings: layers()),
            traffic: TrafficPart(
                workload: TrafficPart.WorkloadRef(service: text(), namespace: text(), version: text()), inboundSettings: layers(),
                services: list(0...3) { $0.service() }, deniesEgress: chance(), applicationProtocol: pick(PortProtocol.allCases)),
            access: AccessPart(
                mtls: pick([.strict, .permissive]), allowsByDefault: chance(), policies: list(0...3) { $0.policy() },
                rateLimits: list(0...2) { $0.limit() },
                callees: chance() ? nil : list(0...2) { this in
                    AccessPart.CalleePolicy(
                        policy: this.policy(), services: this.list(0...2) { AccessPart.ServiceName(name: $0.text(), namespace: $0.text()) })
                }),
            trust: TrustPart(trustDomain: text(), roots: text()))
    }

    private mutating func stage() -> ChainPart.Stage {
        ChainPart.Stage(id: text(), filter: text(), config: object(), origin: origin(), required: chance())
    }

    private mutating func layers() -> [SettingsLayer] {
        list(0...2) { this in
            let stages = this.list(0...3) { ($0.text(), $0.object()) }
            return SettingsLayer(origin: this.origin(), stages: Dictionary(stages) { first, _ in first })
        }
    }

    private mutating func service() -> TrafficPart.ServiceEntry {
        TrafficPart.ServiceEntry(
            name: text(), namespace: text(), port: integer(0...65_535), protocol: pick(PortProtocol.allCases), settings: layers(),
            route: chance() ? nil : list(0...2) { $0.rule() }, routeName: text(), defaultVersion: chance() ? nil : text(),
            versions: list(0...2) { this in
                TrafficPart.VersionEntry(name: this.text(), endpoints: this.list(0...2) { $0.endpoint() })
            })
    }

    private mutating func endpoint() -> TrafficPart.EndpointEntry {
        TrafficPart.EndpointEntry(
            id: text(), address: text(), weight: integer(0...1_000_000), isHealthy: chance(), isDraining: chance(), hasSidecar: chance())
    }

    private mutating func rule() -> TrafficPart.RuleEntry {
        TrafficPart.RuleEntry(
            name: text(), matches: matches(),
            backends: list(0...2) { this in
                let isOther = this.chance()
                return TrafficPart.BackendEntry(
                    service: isOther ? this.text() : nil, namespace: isOther ? this.text() : nil, version: this.chance() ? nil : this.text(),
                    weight: this.integer(0...1_000_000))
            }, settings: layers())
    }

    private mutating func matches() -> [TrafficPart.MatchEntry] {
        list(0...2) { this in
            TrafficPart.MatchEntry(
                path: this.pick([.any, .exact(this.text()), .prefix(this.text())]), method: this.chance() ? nil : this.text(),
                headers: this.list(0...2) { this in
                    TrafficPart.HeaderEntry(
                        name: this.text(), value: this.pick([.exact(this.text()), .prefix(this.text()), .present(this.chance())]))
                })
        }
    }

    private mutating func policy() -> AccessPart.Policy {
        AccessPart.Policy(
            name: text(), action: pick([.allow, .deny]), isShadow: chance(),
            rules: list(0...2) { this in
                AccessPart.Rule(
                    from: this.list(0...2) { this in
                        this.pick([.service(namespace: this.text(), name: this.text()), .prefix(this.text()), .namespace(this.text()), .external])
                    },
                    to: this.list(0...2) { this in
                        AccessPart.Operation(
                            ports: this.list(0...2) { $0.integer(1...65_535) }, methods: this.list(0...2) { $0.text() },
                            paths: this.list(0...2) { $0.text() })
                    })
            }, origin: origin(), targetsService: chance())
    }

    private mutating func limit() -> AccessPart.RateLimit {
        AccessPart.RateLimit(
            name: text(),
            rules: list(0...2) { this in
                AccessPart.RateRule(
                    matches: this.matches(), key: this.pick([.source, .route, .total]), rate: this.pick(["100/s", "0/s", "7/m"]),
                    burst: this.integer(0...1_000_000_000))
            }, origin: origin())
    }

    private mutating func origin() -> Origin { Origin(resource: text(), file: text(), line: integer(0...9_999)) }

    // MARK: Chance

    private mutating func text() -> String {
        pick(["", "payment", "v1", "a \"quoted\" \\ thing", "line\nbreak\u{0}\u{1F}\u{7F}", "größe €😀", "\u{2028}", "{}", "/x/*", "null"])
    }

    /// Canonical JSON, as the compiler takes it from a resource.
    private mutating func object() -> String {
        pick(["{}", #"{"after":"2s"}"#, #"{"b":[1,-2.5e3,null,true],"a":{"c":"\n\u007f"}}"#])
    }

    private mutating func chance() -> Bool { Bool.random(using: &random) }
    private mutating func integer(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    private mutating func pick<Element>(_ choices: [Element]) -> Element { choices[integer(0...choices.count - 1)] }
    private mutating func list<Element>(_ count: ClosedRange<Int>, _ make: (inout Self) -> Element) -> [Element] {
        (0..<integer(count)).map { _ in make(&self) }
    }
}
