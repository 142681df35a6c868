/// Which sidecar may still use a certificate of which root, and which roots it is known to trust: what a root rotation waits for.
///
/// Pure: each event answers with the change to store. It errs on the side of waiting: a certificate that left counts until it
/// ends, or until its holder opened a stream with a later one, which is proof that it has it.
package struct CertificateLedger: Sendable {
    package struct Leaf: Equatable, Sendable {
        /// The issuing root: the beginning of its key id.
        package var root: UInt64
        package var ends: UnixTime
    }

    package struct Holder: Equatable, Sendable {
        /// One per root, the latest.
        package var leaves: [Leaf] = []
        /// The last root that it said it trusts; 0 if it never did.
        package var trusts: UInt64 = 0
        /// It said that it will not come back.
        package var hasLeft = false
    }

    package static let table = "certificate"
    /// Beyond it, holders of one identity are counted as one.
    package static let holdersMax = 100_000

    /// By namespace, service and the sidecar's name, as `SidecarRecord.key`.
    package private(set) var holders: [String: Holder] = [:]

    package init() {}

    /// From the store; nil if an entry is of another version.
    package init?(_ entries: [(key: String, entry: Tables.Entry)]) {
        for (key, entry) in entries {
            guard let holder = Holder(encoded: entry.value) else { return nil }
            holders[key] = holder
        }
    }

    // === events ===

    /// A certificate goes out.
    ///
    /// - Parameter sidecar: nil from one that does not say its name.
    package mutating func issued(_ namespace: String, _ service: String, _ sidecar: String?, serial: String, _ leaf: Leaf) -> Change {
        var key = "\(namespace)/\(service)/\(sidecar ?? "~\(serial)")"
        if holders[key] == nil, holders.count >= Self.holdersMax { key = "\(namespace)/\(service)/~" }
        var holder = holders[key] ?? Holder()
        holder.add(leaf)
        holder.hasLeft = false
        return put(key, holder)
    }

    /// It showed this certificate in a handshake, so it has none of before any more.
    package mutating func showed(_ key: String, _ leaf: Leaf) -> Change? {
        var holder = holders[key] ?? Holder()
        holder.hasLeft = false
        if holder.leaves.contains(where: { $0.root == leaf.root && $0.ends > leaf.ends }) {
            // A later one of the same root is on its way to it.
            holder.leaves.removeAll { $0.root != leaf.root }
        } else {
            holder.leaves = [leaf]
        }
        return holder == holders[key] ? nil : put(key, holder)
    }

    /// It runs on a trust part with this root in it.
    package mutating func trusts(_ key: String, _ root: UInt64) -> Change? {
        guard var holder = holders[key], holder.trusts != root else { return nil }
        holder.trusts = root
        return put(key, holder)
    }

    package mutating func left(_ key: String) -> Change? {
        guard var holder = holders[key], !holder.hasLeft else { return nil }
        holder.hasLeft = true
        return put(key, holder)
    }

    /// Nobody waits for this identity's sidecars any more: it is revoked.
    package mutating func forget(_ namespace: String, _ service: String) -> [Change] {
        remove { key, _ in key.hasPrefix("\(namespace)/\(service)/") }
    }

    /// Forgets whose certificates have all ended; call it now and then.
    package mutating func sweep(at now: UnixTime) -> [Change] {
        remove { _, holder in !holder.leaves.contains { $0.isUsable(at: now) } }
    }

    // === what a rotation asks ===

    /// Who has not said that it trusts `root`, sorted. Who has left for good is not waited for.
    package func withoutTrust(in root: UInt64, at now: UnixTime) -> [String] {
        holders.filter { $0.value.trusts != root && !$0.value.hasLeft && $0.value.leaves.contains { $0.isUsable(at: now) } }.keys.sorted()
    }

    /// Who may still use a certificate of `root`, sorted: who has left too, since it may be started again.
    package func holders(of root: UInt64, at now: UnixTime) -> [String] {
        holders.filter { $0.value.leaves.contains { $0.root == root && $0.isUsable(at: now) } }.keys.sorted()
    }

    // === helpers ===

    private mutating func put(_ key: String, _ holder: Holder) -> Change {
        holders[key] = holder
        return .set(Self.table, key, holder.encode())
    }

    private mutating func remove(_ matches: (String, Holder) -> Bool) -> [Change] {
        let gone = holders.filter { matches($0.key, $0.value) }.keys.sorted()
        for key in gone { holders[key] = nil }
        return gone.map { .delete(Self.table, $0) }
    }
}

extension CertificateLedger.Leaf {
    /// Clocks of the mesh may differ.
    func isUsable(at now: UnixTime) -> Bool { now < ends + RootRotation.skew }
}

// === on disk ===

extension CertificateLedger.Holder {
    fileprivate mutating func add(_ leaf: CertificateLedger.Leaf) {
        guard let index = leaves.firstIndex(where: { $0.root == leaf.root }) else { return leaves.append(leaf) }
        leaves[index].ends = max(leaves[index].ends, leaf.ends)
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(trusts)
        writer.write(UInt8(hasLeft ? 1 : 0))
        writer.write(UInt32(leaves.count))
        for leaf in leaves {
            writer.write(leaf.root)
            writer.write(leaf.ends.seconds)
        }
        return writer.bytes
    }

    init?(encoded: [UInt8]) {
        var reader = ByteReader(encoded)
        guard reader.read(UInt8.self) == 1, let trusts = reader.read(UInt64.self), let left = reader.read(UInt8.self),
            let count = reader.read(UInt32.self)
        else { return nil }
        for _ in 0..<count {
            guard let root = reader.read(UInt64.self), let ends = reader.read(Int64.self) else { return nil }
            leaves.append(CertificateLedger.Leaf(root: root, ends: UnixTime(ends)))
        }
        guard reader.isAtEnd else { return nil }
        self.trusts = trusts
        hasLeft = left == 1
    }
}
