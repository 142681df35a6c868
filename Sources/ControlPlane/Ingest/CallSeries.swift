package import Pipeline

/// What calls are counted apart by.
package struct CallSeries: Hashable, Sendable {
    package enum Reporter: UInt8, Sendable { case source, destination }

    /// Whose sidecar counted.
    package var reporter: Reporter
    package var source: String
    package var destination: String
    package var version: String
    package var route: String
    /// The status the caller saw, or `CallCode` of a gRPC status; 0 if it went away before there was one.
    package var code: UInt16
    package var answeredBy: CallKey.Answerer

    package init(
        reporter: Reporter, source: String, destination: String, version: String = "none", route: String = "none", code: UInt16,
        answeredBy: CallKey.Answerer = .service
    ) {
        self.reporter = reporter
        self.source = source
        self.destination = destination
        self.version = version
        self.route = route
        self.code = code
        self.answeredBy = answeredBy
    }

    /// What a caller did not get because of the service or the mesh: any 5xx, and whatever the mesh refused in the service's place.
    /// A service's own 4xx is what it has to say.
    /// Raw streams know no success.
    var isFailure: Bool {
        if let status = CallCode.grpc(code) { return answeredBy == .mesh ? status != .ok : status.isFailure }
        return answeredBy != .stream && code >= (answeredBy == .mesh ? 400 : 500)
    }

    /// A label, in bytes.
    package static let labelBytesMax = 200

    /// Labels are names of resources: short, and without control characters.
    var isValid: Bool {
        CallCode.isValid(code)
            && [source, destination, version, route].allSatisfy { label in
                !label.isEmpty && label.utf8.count <= CallSeries.labelBytesMax && label.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
            }
    }

    /// Where calls go that may have no series of their own: source, reporter, the class of the code and who answered are kept.
    var overflow: CallSeries {
        CallSeries(
            reporter: reporter, source: source, destination: "other", version: "other", route: "other", code: CallCode.folded(code),
            answeredBy: answeredBy)
    }

    // === as the store's key ===

    /// No label holds the separator: see `isValid`.
    var key: String {
        "\(reporter.rawValue)\u{1F}\(code)\u{1F}\(source)\u{1F}\(destination)\u{1F}\(version)\u{1F}\(route)"
            + (answeredBy == .service ? "" : "\u{1F}\(answeredBy.text)")
    }

    init?(key: String) {
        let parts = key.split(separator: "\u{1F}", omittingEmptySubsequences: false)
        guard parts.count == 6 || parts.count == 7, let reporter = UInt8(parts[0]).flatMap(Reporter.init), let code = UInt16(parts[1]),
            let answeredBy = parts.count == 6 ? .service : CallKey.Answerer(text: String(parts[6]))
        else { return nil }
        self.init(
            reporter: reporter, source: String(parts[2]), destination: String(parts[3]), version: String(parts[4]),
            route: String(parts[5]), code: code, answeredBy: answeredBy)
        guard isValid else { return nil }
    }
}
