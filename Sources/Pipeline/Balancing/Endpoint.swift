/// Where an endpoint listens: plain old data.
package enum EndpointAddress: BitwiseCopyable, Hashable, Sendable {
    /// Address in host byte order (127.0.0.1 is 0x7F000001).
    case ipv4(UInt32, port: UInt16)
    /// Address as two big-endian halves in host byte order.
    case ipv6(UInt64, UInt64, port: UInt16)
    /// A unix socket: an index into the snapshot's table of paths.
    case unix(path: UInt32)
}

/// One running instance behind an upstream, as the control plane described it.
package struct Endpoint: BitwiseCopyable, Hashable, Sendable {
    /// Whose instance: stable over updates and restarts of the control plane. State is kept by (upstream, id).
    package var id: UInt64
    package var address: EndpointAddress
    package var version: LabelID
    /// Share of the traffic relative to the others; 0 gets none.
    package var weight: UInt32
    /// Its own checks pass.
    package var isHealthy: Bool
    /// It has announced that it will go; it gets nothing new.
    package var isDraining: Bool

    package init(
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
package struct TriedSet: BitwiseCopyable, Sendable {
    private static let capacity = 8

    private var ids = InlineArray<8, UInt64>(repeating: 0)
    private var count: UInt8 = 0
    private var next: UInt8 = 0

    package init() {}

    package mutating func insert(_ id: UInt64) {
        guard !contains(id) else { return }
        ids[Int(next)] = id
        count = min(count &+ 1, UInt8(Self.capacity))
        next = (next &+ 1) % UInt8(Self.capacity)
    }

    package func contains(_ id: UInt64) -> Bool {
        var place = 0
        while place < Int(count) {
            if ids[place] == id { return true }
            place &+= 1
        }
        return false
    }

    package var isEmpty: Bool { count == 0 }
}
