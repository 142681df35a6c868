/// Where an endpoint listens: plain old data.
@frozen
public enum EndpointAddress: BitwiseCopyable, Hashable, Sendable {
    /// Address in host byte order (127.0.0.1 is 0x7F000001).
    case ipv4(UInt32, port: UInt16)
    /// Address as two big-endian halves in host byte order.
    case ipv6(UInt64, UInt64, port: UInt16)
    /// A unix socket: an index into the snapshot's table of paths.
    case unix(path: UInt32)
}

/// One running instance behind an upstream, as the control plane described it.
@frozen
public struct Endpoint: BitwiseCopyable, Hashable, Sendable {
    /// Whose instance: stable over updates and restarts of the control plane. State is kept by (upstream, id).
    public var id: UInt64
    public var address: EndpointAddress
    public var version: LabelID
    /// Share of the traffic relative to the others; 0 gets none.
    public var weight: UInt32
    /// Its own checks pass.
    public var isHealthy: Bool
    /// It has announced that it will go; it gets nothing new.
    public var isDraining: Bool

    public init(
        id: UInt64, address: EndpointAddress, version: LabelID = .none, weight: UInt32 = 1, isHealthy: Bool = true,
        isDraining: Bool = false
    ) {
        self.id = id
        self.address = address
        self.version = version
        self.weight = weight
        self.isHealthy = isHealthy
        self.isDraining = isDraining
    }
}

/// Endpoints an exchange has tried: a small set by value. The ninth overwrites the oldest.
@frozen
public struct TriedSet: BitwiseCopyable, Sendable, Equatable {
    /// Identities mixed to a non-zero word each; 0 is an empty place.
    private var ids: SIMD8<UInt64> = .zero
    private var next: UInt8 = 0

    public init() {}

    public mutating func insert(_ id: UInt64) {
        guard !contains(id) else { return }
        ids[Int(next & 7)] = Self.word(id)
        next &+= 1
    }

    public func contains(_ id: UInt64) -> Bool {
        any(ids .== SIMD8(repeating: Self.word(id)))
    }

    public var isEmpty: Bool { next == 0 }

    /// Identity 0 is a legal id; it shares a word with `UInt64.max`, which costs at most one avoided endpoint.
    private static func word(_ id: UInt64) -> UInt64 { id == 0 ? .max : id }
}
