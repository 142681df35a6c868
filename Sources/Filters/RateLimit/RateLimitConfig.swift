package import Pipeline

package struct RateLimitConfig: FilterConfig {
    package enum Mode: String, CaseIterable, ConfigValue { case enforce, shadow }

    let mode: Mode
    let rules: [RateLimitRule]

    package init(_ fields: inout ConfigFields) {
        mode = fields.read("mode", default: .enforce, "Refuse what is over a limit, or only count it.")
        rules = fields.read(
            "rules", default: [], "Limits of this stage's own, beside those of RateLimit resources (inbound).", .count(0...64))
    }
}

/// A limit, from a resource or from the stage's config, in one shape.
struct RateRule {
    /// Who said it: `RateLimit default/payment`, `stage ratelimit`.
    var owner: String
    /// From 1.
    var number: Int
    var matches: [TrafficPart.MatchEntry]
    var key: AccessPart.Key
    var rate: Rate
    var burst: Int

    /// What its buckets are kept under: who said it, whom it counts and what it takes, not how much, so that tokens
    /// survive a change of rate or burst and of the rules around it.
    var subject: String { "\(owner) \(key.rawValue) \(matches)" }

    var description: String { "\(owner), rule \(number)" }

    var limit: String {
        switch key {
        case .source: "\(rate) per source"
        case .route: "\(rate) per route"
        case .total: "\(rate) in total"
        }
    }

    static func all(_ config: RateLimitConfig, _ stage: borrowing StageSetup) -> [RateRule] {
        var rules: [RateRule] = []
        if stage.isInbound {
            for resource in stage.snapshot?.access.rateLimits ?? [] {
                for (index, rule) in resource.rules.enumerated() {
                    rules.append(
                        RateRule(
                            owner: "RateLimit \(resource.name)", number: index + 1, matches: rule.matches, key: rule.key,
                            rate: Rate(rule.rate) ?? Rate(0), burst: rule.burst))
                }
            }
        }
        for (index, rule) in config.rules.enumerated() {
            rules.append(
                RateRule(
                    owner: "stage \(stage.id)", number: index + 1, matches: rule.matches.map(TrafficPart.MatchEntry.init),
                    key: AccessPart.Key(rawValue: rule.key.rawValue) ?? .total, rate: rule.rate, burst: rule.capacity))
        }
        return rules
    }
}

extension TrafficPart.MatchEntry {
    /// As operators write it to as sidecars run on it.
    init(_ match: RequestMatch) {
        let path: Path =
            switch (match.path?.exact, match.path?.prefix) {
            case (let exact?, _): .exact(exact)
            case (nil, let prefix?): .prefix(prefix)
            case (nil, nil): .any
            }
        let headers = match.headers.map { header in
            let value: TrafficPart.HeaderEntry.Value =
                if let exact = header.exact { .exact(exact) } else if let prefix = header.prefix { .prefix(prefix) } else { .present(header.present ?? true) }
            return TrafficPart.HeaderEntry(name: header.name.string, value: value)
        }
        self.init(path: path, method: match.method, headers: headers)
    }
}
