package enum RateLimitKey: String, CaseIterable, Sendable, ConfigValue { case source, route, total }

package struct RateLimitRule: ConfigRecord {
    package let matches: [RequestMatch]
    package let key: RateLimitKey
    package let rate: Rate
    package let burst: Int?
    package let node: ConfigNode

    package init(_ fields: inout ConfigFields) {
        matches = fields.read("matches", default: [], "Requests that count; all, if left out.", .count(0...64))
        key = fields.read("key", "Who has a bucket: each source, each route, or all together.")
        rate = fields.read("rate", "How fast a bucket refills.")
        burst = fields.read("burst", "How much a bucket holds; one second's worth, at least 1, if left out.", .in(1...1_000_000_000))
        node = fields.node
    }

    /// `burst`, or what a second brings in, at least 1.
    package var capacity: Int {
        if let burst { return burst }
        let perSecond = rate.count / Swift.max(1, rate.period.count / 1_000_000_000)
        return Int(Swift.max(1, perSecond))
    }
}

/// How often a service may be called; counted in each of its sidecars.
package struct RateLimitResource: ResourceBody {
    package static let kind = ResourceKind.rateLimit
    package let identity: ResourceIdentity
    package let target: Target?
    package let rules: [RateLimitRule]

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        target = fields.read("target", "Services it protects; all, if left out.")
        rules = fields.read("rules", "All that match must let a call pass.", .count(1...64))
    }
}
