internal import Pipeline

/// The identities that ever proved themselves to this process, each once, in memory that stays: an exchange points at its
/// caller's.
///
/// Only a certificate signed by a root of ours makes an entry, so the table grows with the mesh and not with its attackers.
enum Peers {
    /// Past it a peer shares the record of its service's label `other`, and its own text lives as long as the process.
    private static let table = Lock<[SPIFFEID: Interned]>([:])

    private struct Interned: @unchecked Sendable {
        let record: UnsafePointer<PeerRecord>
    }

    static func record(of id: SPIFFEID, _ labels: LabelTable) -> UnsafePointer<PeerRecord> {
        table.withLock { table in
            if let known = table[id] { return known }
            let workload = id.workload
            let record = UnsafeMutablePointer<PeerRecord>.allocate(capacity: 1)
            record.initialize(
                to: PeerRecord(
                    id: UInt32(table.count + 1), serviceLabel: workload.map { labels.service($0.service, namespace: $0.namespace) } ?? labels.id(id.description),
                    spiffeID: pinned(id.description), trustDomain: pinned(id.trustDomain),
                    namespace: pinned(workload?.namespace ?? ""), service: pinned(workload?.service ?? "")))
            let interned = Interned(record: UnsafePointer(record))
            table[id] = interned
            return interned
        }.record
    }

    private static func pinned(_ text: String) -> Bytes {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        memory.initialize(from: bytes, count: bytes.count)
        return Bytes(UnsafePointer(memory), count: bytes.count)
    }
}
