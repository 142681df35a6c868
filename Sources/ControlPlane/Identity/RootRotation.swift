/// Which roots the mesh trusts and which one issues, while one root takes the place of another.
///
///     steady ──begin──▶ spreading ──everybody trusts the new one──▶ retiring ──old leaves have ended──▶ steady
///       issues: old        issues: old, trusted: both                 issues: new, trusted: both         issues: new
///
/// At no moment does anybody hold a certificate that somebody else does not trust: the new root issues only once all have
/// it, the old one goes only once nothing it issued is still in use.
package struct RootRotation: Equatable, Sendable {
    package struct Root: Equatable, Sendable {
        /// DER.
        package let certificate: [UInt8]
        /// SHA-256 of the DER; join tokens carry it.
        package let fingerprint: [UInt8]

        package init(certificate: [UInt8], fingerprint: [UInt8]) {
            self.certificate = certificate
            self.fingerprint = fingerprint
        }
    }

    package enum Phase: Equatable, Sendable {
        case steady(Root)
        case spreading(old: Root, new: Root)
        case retiring(old: Root, new: Root, until: UnixTime)
    }

    package private(set) var phase: Phase

    package init(_ root: Root) { phase = .steady(root) }

    package var issuer: Root {
        switch phase {
        case .steady(let root): root
        case .spreading(let old, _): old
        case .retiring(_, let new, _): new
        }
    }

    /// What every sidecar must trust, the issuer first.
    package var trusted: [Root] {
        switch phase {
        case .steady(let root): [root]
        case .spreading(let old, let new): [old, new]
        case .retiring(let old, let new, _): [new, old]
        }
    }

    /// The one of longest standing: everybody trusts it, who was away meanwhile too.
    package var eldest: Root {
        switch phase {
        case .steady(let root): root
        case .spreading(let old, _), .retiring(let old, _, _): old
        }
    }

    /// The one that will stay.
    package var newest: Root {
        switch phase {
        case .steady(let root): root
        case .spreading(_, let new), .retiring(_, let new, _): new
        }
    }

    /// - Returns: false if a rotation is under way.
    package mutating func begin(with new: Root) -> Bool {
        guard case .steady(let old) = phase, old != new else { return false }
        phase = .spreading(old: old, new: new)
        return true
    }

    package enum Effect: Equatable, Sendable {
        case none
        /// Persist; from now on the new root issues, and every sidecar should renew at its next chance.
        case issueFromNew
        /// Persist; push the bundle without the old root and delete its key.
        case dropOld(Root)
    }

    /// Goes on if it may.
    ///
    /// - Parameters:
    ///   - sidecarsWithoutNew: with a certificate still valid and no ACK of a bundle with the new root; those away count.
    ///   - leavesOfOld: certificates of the old root that may still be in use.
    ///   - leafLife: the longest life of a certificate the old root issued, in seconds.
    package mutating func advance(at now: UnixTime, sidecarsWithoutNew: Int, leavesOfOld: Int, leafLife: Int64) -> Effect {
        switch phase {
        case .steady:
            return .none
        case .spreading(let old, let new):
            guard sidecarsWithoutNew == 0 else { return .none }
            phase = .retiring(old: old, new: new, until: now + leafLife + RootRotation.skew)
            return .issueFromNew
        case .retiring(let old, let new, let until):
            guard leavesOfOld == 0 || now >= until else { return .none }
            phase = .steady(new)
            return .dropOld(old)
        }
    }

    /// Clocks of the mesh may differ by this much, in seconds.
    package static let skew: Int64 = 600

    // === on disk ===

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        func write(_ root: Root) {
            writer.write(counted: root.certificate)
            writer.write(counted: root.fingerprint)
        }
        switch phase {
        case .steady(let root):
            writer.write(UInt8(0))
            write(root)
        case .spreading(let old, let new):
            writer.write(UInt8(1))
            write(old)
            write(new)
        case .retiring(let old, let new, let until):
            writer.write(UInt8(2))
            write(old)
            write(new)
            writer.write(until.seconds)
        }
        return writer.bytes
    }

    package init?(encoded: [UInt8]) {
        var reader = ByteReader(encoded)
        func root() -> Root? {
            guard let certificate = reader.readCounted(), let fingerprint = reader.readCounted() else { return nil }
            return Root(certificate: certificate, fingerprint: fingerprint)
        }
        guard let kind = reader.read(UInt8.self), let first = root() else { return nil }
        switch kind {
        case 0:
            phase = .steady(first)
        case 1:
            guard let second = root() else { return nil }
            phase = .spreading(old: first, new: second)
        case 2:
            guard let second = root(), let until = reader.read(Int64.self) else { return nil }
            phase = .retiring(old: first, new: second, until: UnixTime(until))
        default:
            return nil
        }
        guard reader.isAtEnd else { return nil }
    }
}
