import Pipeline

/// The access policies of everything that a sidecar can call, for `authz` in its outbound chain. The caller is this
/// sidecar's own service.
///
/// What is said here is advice: the called sidecar decides anew, with policies of its own that may be newer.
struct CalleeTables: BitwiseCopyable {
    private struct Row: BitwiseCopyable {
        /// Services with the same policies share a table.
        let table: Int32
        let port: UInt16
    }

    private let tables: PinnedTable<AccessTable>
    /// By `Destination.callee`.
    private let rows: PinnedTable<Row>
    /// One record: who calls.
    private let caller: PinnedTable<PeerRecord>

    /// Nil where nothing is known of the destination: the router has the word, or the called sidecar.
    func decide(_ exchange: borrowing Exchange) -> AccessTable.Decision? {
        let callee = Int(exchange.storage.pointee.destination.callee)
        guard callee >= 0, callee < rows.count else { return nil }
        let row = rows[callee]
        return tables[Int(row.table)].decide(
            AccessTable.Call(
                peer: caller.base, port: row.port, method: exchange.isStream ? nil : exchange.storage.pointee.request.methodText,
                path: exchange.isStream ? nil : exchange.storage.pathNow))
    }

    init(_ snapshot: Snapshot?, in memory: PinnedMemory) {
        var tables: [AccessTable] = []
        var rows: [Row] = []
        var known: [[Int]: Int32] = [:]
        // Without callees the part is older than the chain that asks for them.
        if let snapshot, let callees = snapshot.access.callees {
            for service in snapshot.traffic.services {
                let covering = callees.indices.filter { callees[$0].covers(service) }
                let table = known[covering] ?? Int32(tables.count)
                if known[covering] == nil {
                    let access = AccessPart(allowsByDefault: snapshot.access.allowsByDefault, policies: covering.map { callees[$0].policy })
                    tables.append(AccessTable(access, trustDomain: snapshot.trust.trustDomain, in: memory))
                    known[covering] = table
                }
                rows.append(Row(table: table, port: UInt16(clamping: service.port)))
            }
        }
        self.tables = memory.table(tables)
        self.rows = memory.table(rows)
        caller = memory.table(snapshot.map { [Self.caller($0, in: memory)] } ?? [])
    }

    private static func caller(_ snapshot: Snapshot, in memory: PinnedMemory) -> PeerRecord {
        let own = snapshot.traffic.workload, domain = snapshot.trust.trustDomain
        return PeerRecord(
            id: 0, serviceLabel: .unknown, spiffeID: memory.text("spiffe://\(domain)/ns/\(own.namespace)/sa/\(own.service)"),
            trustDomain: memory.text(domain), namespace: memory.text(own.namespace), service: memory.text(own.service))
    }
}
