/// A SPIFFE id, `spiffe://trust-domain/path`, valid by the SPIFFE-ID standard §2: what a certificate says its holder is.
///
/// Strict on purpose: no normalising, no percent-encoding, no port, user, query or fragment, so that two ids are one only if
/// their bytes are. Mesh workloads use `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
package struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
    /// The whole id.
    package let description: String
    /// UTF-8 bytes of the trust domain, after `spiffe://`.
    private let trustDomainCount: Int

    /// Bytes in an id (SPIFFE-ID §2.3).
    package static let countMax = 2048
    /// Bytes in a trust domain (SPIFFE-ID §2.1).
    package static let trustDomainCountMax = 255

    package enum Problem: Error, Equatable, Sendable {
        case empty, tooLong, wrongScheme, missingTrustDomain, badTrustDomainCharacter, badPathCharacter, emptySegment, dotSegment
        case trailingSlash
    }

    package init(_ text: String) throws(Problem) { try self.init(Array(text.utf8)) }

    /// From a certificate's bytes, which may hold anything.
    package init(_ bytes: [UInt8]) throws(Problem) {
        guard !bytes.isEmpty else { throw .empty }
        guard bytes.count <= Self.countMax else { throw .tooLong }
        guard bytes.starts(with: Self.scheme) else { throw .wrongScheme }
        let rest = bytes.dropFirst(Self.scheme.count)
        let domain = rest.prefix { $0 != 0x2F }
        try Self.check(domain: domain)
        try Self.check(path: rest.dropFirst(domain.count))
        description = String(decoding: bytes, as: UTF8.self)
        trustDomainCount = domain.count
    }

    /// The id of a workload of `service`; throws what makes one of the names unfit.
    package init(trustDomain: String, namespace: String, service: String) throws(Problem) {
        guard !namespace.contains("/"), !service.contains("/") else { throw .badPathCharacter }
        try self.init("spiffe://\(trustDomain)/ns/\(namespace)/sa/\(service)")
    }

    package var trustDomain: String {
        String(decoding: description.utf8.dropFirst(Self.scheme.count).prefix(trustDomainCount), as: UTF8.self)
    }

    /// With its leading slash; empty if the id names the trust domain itself.
    package var path: String {
        String(decoding: description.utf8.dropFirst(Self.scheme.count + trustDomainCount), as: UTF8.self)
    }

    /// The workload this id names; nil if its path is not `/ns/<namespace>/sa/<service>`.
    package var workload: (namespace: String, service: String)? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "ns", parts[3] == "sa" else { return nil }
        return (String(parts[2]), String(parts[4]))
    }

    // MARK: Rules

    private static let scheme = Array("spiffe://".utf8)

    private static func check(domain: ArraySlice<UInt8>) throws(Problem) {
        guard !domain.isEmpty else { throw .missingTrustDomain }
        guard domain.count <= trustDomainCountMax else { throw .tooLong }
        for byte in domain {
            switch byte {
            case 0x61...0x7A, 0x30...0x39, 0x2D, 0x2E, 0x5F: continue  // a–z 0–9 - . _
            default: throw .badTrustDomainCharacter
            }
        }
    }

    private static func check(path: ArraySlice<UInt8>) throws(Problem) {
        guard !path.isEmpty else { return }
        guard path.last != 0x2F else { throw .trailingSlash }
        for segment in path.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false) {
            if segment.isEmpty { throw .emptySegment }
            if segment.elementsEqual([0x2E]) || segment.elementsEqual([0x2E, 0x2E]) { throw .dotSegment }
            for byte in segment {
                switch byte {
                case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, 0x2D, 0x2E, 0x5F: continue
                default: throw .badPathCharacter
                }
            }
        }
    }
}
