/// What calls are counted apart by.
package struct CallSeries: Hashable, Sendable {
    package enum Reporter: UInt8, Sendable { case source, destination }

    /// Whose sidecar counted.
    package var reporter: Reporter
    package var source: String
    package var destination: String
    package var version: String
    package var route: String
    /// 1…5 for 1xx…5xx; 0 if the caller went away before there was a status.
    package var codeClass: UInt8

    package init(
        reporter: Reporter, source: String, destination: String, version: String = "none", route: String = "none", codeClass: UInt8
    ) {
        self.reporter = reporter
        self.source = source
        self.destination = destination
        self.version = version
        self.route = route
        self.codeClass = codeClass
    }

    /// A label, in bytes.
    package static let labelBytesMax = 200

    /// Labels are names of resources: short, and without control characters.
    var isValid: Bool {
        codeClass <= 5
            && [source, destination, version, route].allSatisfy { label in
                !label.isEmpty && label.utf8.count <= CallSeries.labelBytesMax && label.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
            }
    }

    /// Where calls go that may have no series of their own: source, reporter and class are kept.
    var overflow: CallSeries {
        CallSeries(reporter: reporter, source: source, destination: "other", version: "other", route: "other", codeClass: codeClass)
    }

    // === as the store's key ===

    /// No label holds the separator: see `isValid`.
    var key: String { "\(reporter.rawValue)\u{1F}\(codeClass)\u{1F}\(source)\u{1F}\(destination)\u{1F}\(version)\u{1F}\(route)" }

    init?(key: String) {
        let parts = key.split(separator: "\u{1F}", omittingEmptySubsequences: false)
        guard parts.count == 6, let reporter = UInt8(parts[0]).flatMap(Reporter.init), let codeClass = UInt8(parts[1]) else { return nil }
        self.init(
            reporter: reporter, source: String(parts[2]), destination: String(parts[3]), version: String(parts[4]),
            route: String(parts[5]), codeClass: codeClass)
        guard isValid else { return nil }
    }
}
