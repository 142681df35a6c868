/// Who a workload is: `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
///
/// Parsing is strict (the SPIFFE ID standard §2, and our two fixed words): what is not exactly of this shape is nobody.
package struct WorkloadIdentity: Hashable, Sendable, CustomStringConvertible {
    package let trustDomain: String
    package let namespace: String
    package let service: String

    /// Names come from validated resources; nil if one could not stand in an identity all the same.
    package init?(trustDomain: String, namespace: String, service: String) {
        guard WorkloadIdentity.isTrustDomain(trustDomain), WorkloadIdentity.isSegment(namespace), WorkloadIdentity.isSegment(service)
        else { return nil }
        self.trustDomain = trustDomain
        self.namespace = namespace
        self.service = service
    }

    package init?(uri: String) {
        let prefix = "spiffe://"
        guard uri.utf8.count <= 2048, uri.hasPrefix(prefix) else { return nil }
        let parts = uri.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "ns", parts[3] == "sa" else { return nil }
        self.init(trustDomain: String(parts[0]), namespace: String(parts[2]), service: String(parts[4]))
    }

    /// The control plane's own.
    package static func controlPlane(of trustDomain: String) -> WorkloadIdentity? {
        WorkloadIdentity(trustDomain: trustDomain, namespace: "weft-system", service: "control-plane")
    }

    package var uri: String { "spiffe://\(trustDomain)/ns/\(namespace)/sa/\(service)" }
    package var description: String { uri }

    /// Lower-case letters, digits, `.`, `-`, `_`; at most 255 bytes.
    package static func isTrustDomain(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { isPlain($0) && !(0x41...0x5A).contains($0) }
    }

    /// Letters, digits, `.`, `-`, `_`, but not `.` or `..`; at most 253 bytes.
    private static func isSegment(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count) && text.utf8.allSatisfy(isPlain) && text != "." && text != ".."
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}

/// Seconds since 1970: what certificates and tokens count in. The loop reads it and passes it in.
package struct UnixTime: Hashable, Comparable, Sendable {
    package let seconds: Int64

    package init(_ seconds: Int64) { self.seconds = seconds }

    package static func < (a: UnixTime, b: UnixTime) -> Bool { a.seconds < b.seconds }

    /// Saturates.
    package static func + (time: UnixTime, seconds: Int64) -> UnixTime {
        let (sum, overflow) = time.seconds.addingReportingOverflow(seconds)
        return UnixTime(overflow ? (seconds > 0 ? .max : .min) : sum)
    }
}
