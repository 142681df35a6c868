package import Pipeline

/// Which connections are open between services, as the sidecars said last.
///
/// Every batch repeats what is open, so nothing of it is stored: a control plane that starts anew knows it after the next batch
/// of each. A sidecar that is gone stops repeating it, and after ``lapse`` what it said no longer counts.
package struct OpenConnections: Sendable {
    /// Five times the interval in which sidecars report.
    package static let lapse = Nanoseconds.seconds(10)
    /// Pairs of one sidecar's life; more are not taken.
    package static let pairsPerIncarnationMax = 1_000
    package static let incarnationsMax = 20_000
    /// Connections of one pair; more is no number of connections.
    package static let countMax: Int64 = 1 << 32

    package struct Pair: Hashable, Sendable {
        package var reporter: CallSeries.Reporter
        package var source: String
        package var destination: String
        package var version: String

        package init(reporter: CallSeries.Reporter, source: String, destination: String, version: String) {
            self.reporter = reporter
            self.source = source
            self.destination = destination
            self.version = version
        }

        package init(_ series: CallSeries) {
            self.init(reporter: series.reporter, source: series.source, destination: series.destination, version: series.version)
        }

        var reporting: String { reporter == .source ? source : destination }

        var isValid: Bool {
            CallSeries(reporter: reporter, source: source, destination: destination, version: version, code: 0).isValid
        }
    }

    /// What a batch says of one pair.
    package struct Point: Sendable {
        package var pair: Pair
        package var open: Int64

        package init(pair: Pair, open: Int64) {
            self.pair = pair
            self.open = open
        }
    }

    private struct Said: Sendable {
        var open: Int64
        var at: Instant
    }

    private struct Incarnation: Sendable {
        var heard: Instant
        var pairs: [Pair: Said] = [:]
    }

    private var incarnations: [String: Incarnation] = [:]

    package init() {}

    /// - Returns: how many points were not taken: impossible ones, and those past the limits.
    mutating func take(_ points: [Point], of name: String, from reporter: String?, at now: Instant) -> Int {
        if incarnations[name] == nil, incarnations.count >= Self.incarnationsMax {
            incarnations = incarnations.filter { now < $0.value.heard + Self.lapse }
            guard incarnations.count < Self.incarnationsMax else { return points.count }
        }
        var known = incarnations.removeValue(forKey: name) ?? Incarnation(heard: now)
        known.heard = now
        var refused = 0
        for point in points {
            guard point.pair.isValid, (0...Self.countMax).contains(point.open), reporter.map({ $0 == point.pair.reporting }) ?? true,
                known.pairs[point.pair] != nil || known.pairs.count < Self.pairsPerIncarnationMax
            else {
                refused += 1
                continue
            }
            known.pairs[point.pair] = Said(open: point.open, at: now)
        }
        incarnations[name] = known
        return refused
    }

    /// The process of this name has ended: what it said is over.
    package mutating func forget(_ incarnation: String) { incarnations[incarnation] = nil }

    /// By pair, over all sidecars that were heard of lately. A pair that is known to have none is there with 0.
    package func open(at now: Instant) -> [Pair: Int64] {
        var result: [Pair: Int64] = [:]
        for incarnation in incarnations.values where now < incarnation.heard + Self.lapse {
            for (pair, said) in incarnation.pairs {
                result[pair, default: 0] += now < said.at + Self.lapse ? said.open : 0
            }
        }
        return result
    }
}
