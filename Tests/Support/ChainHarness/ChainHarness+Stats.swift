import Pipeline

extension ChainHarness {
    /// The value of a counter or gauge, `weft_<filter>_<name>`, over all stages or of one.
    public func stat(_ name: String, stage: String? = nil) -> Int {
        context.stats.read().filter { $0.name == name && (stage == nil || $0.labels.contains(.init("stage", stage!))) }.reduce(0) {
            switch $1.value {
            case .counter(let count): $0 + Int(count)
            case .gauge(let amount): $0 + Int(amount)
            case .histogram(let snapshot): $0 + Int(snapshot.count)
            }
        }
    }

    /// Names of gauges that are not zero.
    public var gaugesNotZero: [String] {
        context.stats.read().filter { if case .gauge(let amount) = $0.value { amount != 0 } else { false } }.map(\.name)
    }

    /// What the topmost `stats` counted, streams among it: `source → destination version route status`, and how often.
    public var calls: [String: Int] {
        var calls: [String: Int] = [:]
        for row in context.calls[0].read() {
            let key = row.key
            let words = [key.version, key.route].map(context.labels.text)
            let name =
                "\(context.labels.text(key.source)) → \(context.labels.text(key.destination)) \(words[0]) \(words[1]) \(key.status)"
            calls[name, default: 0] += Int(row.calls)
        }
        return calls
    }
}
