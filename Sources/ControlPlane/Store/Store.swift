/// The control plane's memory: tables of keys and values that survive every crash once acknowledged.
///
/// It belongs to the control plane's one loop. During a turn owners `append` transactions, which they and everybody else
/// see in memory at once; at the end of the turn the loop calls `commit()`, one write and one sync for all of them, and
/// only then lets the answers of that turn go out. A turn without changes costs nothing.
///
///     append … append … append   commit()   → release the turn's answers
///     append                      commit()   throws → nothing of the turn was promised: end the process, recover
///
/// A commit that fails poisons the store: memory may be ahead of the disk, and a sync that failed once may report success
/// the next time without having written anything (the kernel drops the pages). So it is never tried again; the process
/// ends, and its successor starts from what is really there.
package final class Store {
    package struct Limits: Sendable {
        /// Table and key names together, in bytes.
        package var nameBytesMax = 1024
        /// One value, in bytes; above it `append` throws `tooLarge`.
        package var valueBytesMax = 16 << 20
        /// One turn's changes, in bytes; above it `append` throws `tooLarge` until the next commit.
        package var commitBytesMax = 64 << 20
        /// The log is folded into a snapshot when it is larger than this and than the state itself, in bytes. It bounds
        /// what a start has to replay.
        package var logBytesBeforeSnapshot = 8 << 20
        /// Below this many free bytes `append` throws `diskFull`, so that a full disk refuses changes cleanly instead of
        /// poisoning the store in the middle of a commit.
        package var freeBytesReserve = 64 << 20

        package init() {}
    }

    /// Counts transactions; durable once `commit()` returned.
    package typealias Ticket = UInt64

    private let files: any FileLayer
    private let limits: Limits
    private var tables: Tables
    private var generation: UInt64
    private var logHandle: Int32
    private var markHandle: Int32
    private var markSlot = 0
    private var logEnd: Int
    private var sequence: UInt64
    private var chain: UInt32
    private var file: UInt32
    private var pending = ByteWriter()
    /// Where the log must have grown to before a snapshot is tried again; grows when one could not be written.
    private var snapshotAt: Int
    /// What is free, if that was below the reserve when last looked at.
    private var freeBelowReserve: Int?
    private var poison: String?
    private var isClosed = false

    /// Takes the directory for this process, recovers, and returns ready to serve.
    ///
    /// - Throws: `file` if it is in use or cannot be read; `corrupt` if acknowledged state is damaged.
    package init(_ files: any FileLayer, limits: Limits = Limits()) throws(StoreError) {
        try storing { () throws(FileFailure) in try files.lock() }
        do throws(StoreError) {
            if let recovery = try Recovery.run(files) {
                (tables, generation, logHandle) = (recovery.tables, recovery.generation, recovery.logHandle)
                (logEnd, sequence) = (recovery.contents.end, recovery.contents.sequence)
                (chain, file) = (recovery.contents.chain, recovery.file)
            } else {
                tables = Tables()
                generation = 1
                (logHandle, file) = try Store.makeGeneration(1, of: tables, files)
                (logEnd, sequence, chain) = (LogFormat.headerSize, 0, file)
            }
            // The mark is remade: what it said was used above, and a stale slot must not outlive its log.
            markHandle = try storing { () throws(FileFailure) in try files.open(Mark.fileName, creating: true) }
        } catch {
            files.unlock()
            throw error
        }
        self.files = files
        self.limits = limits
        durable = tables.revision
        snapshotAt = limits.logBytesBeforeSnapshot
        writeMark()
        freeBelowReserve = try? freeBytesIfBelowReserve()
    }

    // === reading ===

    /// Of the last transaction appended.
    package var revision: UInt64 { tables.revision }
    /// All transactions up to this one outlive a loss of power.
    package private(set) var durable: Ticket
    /// Bytes of the log since its last snapshot.
    package var logBytes: Int { logEnd }
    /// Set once a commit failed.
    package var isPoisoned: Bool { poison != nil }

    package func value(_ table: String, _ key: String) -> [UInt8]? { tables.entries[table]?[key]?.value }

    package func entry(_ table: String, _ key: String) -> Tables.Entry? { tables.entries[table]?[key] }

    /// All keys of a table, sorted.
    package func entries(_ table: String) -> [(key: String, entry: Tables.Entry)] {
        (tables.entries[table] ?? [:]).sorted { $0.key < $1.key }.map { (key: $0.key, entry: $0.value) }
    }

    package func count(_ table: String) -> Int { tables.entries[table]?.count ?? 0 }

    // === a turn ===

    /// Applies changes that belong together: after a crash all of them are there, or none.
    ///
    /// - Throws: `diskFull`, `tooLarge` (nothing changed, the store goes on) or `poisoned`.
    @discardableResult
    package func append(_ changes: [Change]) throws(StoreError) -> Ticket {
        try admit()
        var size = 4
        for change in changes {
            let names = change.table.utf8.count + change.key.utf8.count
            guard names <= limits.nameBytesMax else {
                throw .tooLarge(what: "the name \(change.table)/\(change.key.prefix(64))…", bytes: names, bytesMax: limits.nameBytesMax)
            }
            let value = change.value?.count ?? 0
            guard value <= limits.valueBytesMax else {
                throw .tooLarge(what: "\(change.table)/\(change.key)", bytes: value, bytesMax: limits.valueBytesMax)
            }
            size += names + value + 16
        }
        guard pending.bytes.count + size <= limits.commitBytesMax else {
            throw .tooLarge(what: "this turn's changes", bytes: pending.bytes.count + size, bytesMax: limits.commitBytesMax)
        }
        Change.encode(changes, into: &pending)
        tables.apply(changes)
        return tables.revision
    }

    /// Whether a change would be taken just now: for whoever must know before it changes something of its own.
    ///
    /// - Throws: `diskFull` or `poisoned`. If it does not, no `append` before the next commit throws these.
    package func admit() throws(StoreError) {
        precondition(!isClosed)
        if let poison { throw .poisoned(because: poison) }
        if freeBelowReserve != nil { freeBelowReserve = try? freeBytesIfBelowReserve() }
        if let free = freeBelowReserve { throw .diskFull(freeBytes: free, reserveBytes: limits.freeBytesReserve) }
    }

    /// Makes all that was appended durable: one write, one sync. Call it once at the end of a turn.
    ///
    /// - Returns: the last durable transaction.
    /// - Throws: `file` the first time, `poisoned` ever after. None of the turn's answers may go out; end the process.
    @discardableResult
    package func commit() throws(StoreError) -> Ticket {
        precondition(!isClosed)
        if let poison { throw .poisoned(because: poison) }
        guard !pending.bytes.isEmpty else { return tables.revision }
        let frame = LogFormat.frame(pending.bytes, sequence: sequence + 1, file: file, previous: chain)
        do {
            try files.writeAll(frame.bytes, at: logEnd, to: logHandle)
            try files.sync(logHandle)
        } catch {
            throw poisoned(by: error)
        }
        (logEnd, chain, sequence) = (logEnd + frame.bytes.count, frame.chain, sequence + 1)
        pending = ByteWriter()
        durable = tables.revision
        writeMark()
        if logEnd >= snapshotAt && logEnd >= tables.weight { try fold() }
        freeBelowReserve = try? freeBytesIfBelowReserve()
        return durable
    }

    /// Syncs the mark and gives the directory back. What was appended and not committed is dropped.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        try? files.sync(markHandle)
        files.close(markHandle)
        files.close(logHandle)
        files.unlock()
    }

    deinit { close() }

    // === folding the log into a snapshot ===

    /// Starts a new generation. Before the new snapshot has its name a failure to write costs nothing: the old generation
    /// goes on, and the next try waits until the log has doubled. A failed sync, or anything after the rename, poisons.
    private func fold() throws(StoreError) {
        let next = generation + 1
        do throws(StoreError) {
            let (handle, newFile) = try Store.makeGeneration(next, of: tables, files)
            files.close(logHandle)
            let old = generation
            (generation, logHandle, file) = (next, handle, newFile)
            (logEnd, sequence, chain) = (LogFormat.headerSize, 0, newFile)
            snapshotAt = limits.logBytesBeforeSnapshot
            // Rubbish from here on; whatever stays is removed at the next start.
            try? files.remove(Recovery.snapshotName(old))
            try? files.remove(Recovery.logName(old))
            writeMark()
        } catch {
            guard case .file(let failure) = error, failure.call == .write || failure.call == .open || failure.call == .truncate else {
                poison = error.description
                throw error
            }
            try? files.remove(Recovery.snapshotName(next) + ".tmp")
            snapshotAt = logEnd * 2
        }
    }

    /// The order that `Recovery` relies on.
    private static func makeGeneration(
        _ generation: UInt64, of tables: Tables, _ files: any FileLayer
    ) throws(StoreError) -> (log: Int32, file: UInt32) {
        let header = LogFormat.header(generation: generation, salt: .random(in: .min ... .max))
        guard let file = LogFormat.readHeader(header, generation: generation) else { preconditionFailure("own header unreadable") }
        let log = try storing { () throws(FileFailure) in try files.open(Recovery.logName(generation), creating: true) }
        do throws(FileFailure) {
            try files.writeAll(header, at: 0, to: log)
            try files.sync(log)
            let name = Recovery.snapshotName(generation)
            let aside = try files.open(name + ".tmp", creating: true)
            defer { files.close(aside) }
            try files.writeAll(SnapshotFormat.encode(tables, generation: generation), at: 0, to: aside)
            try files.sync(aside)
            try files.syncDirectory()
            try files.rename(name + ".tmp", to: name)
            try files.syncDirectory()
            return (log, file)
        } catch {
            files.close(log)
            throw .file(error)
        }
    }

    // === helpers ===

    private func writeMark() {
        let mark = Mark(generation: generation, file: file, end: logEnd)
        // Only a note: failing to write it takes nothing from what is durable.
        try? files.writeAll(mark.encode(), at: markSlot * Mark.slotSize, to: markHandle)
        markSlot = 1 - markSlot
    }

    private func freeBytesIfBelowReserve() throws -> Int? {
        let free = try files.freeBytes()
        return free < limits.freeBytesReserve ? free : nil
    }

    private func poisoned(by failure: FileFailure) -> StoreError {
        poison = failure.description
        return .file(failure)
    }
}
