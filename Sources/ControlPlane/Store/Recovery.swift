/// Finds the state that the files of a directory stand for, and makes the directory ready to go on.
///
/// Files of generation G: `snapshot-G` (state before the log) and `log-G`. A new generation is made in this order, each
/// step durable before the next: log-G+1 with its header, snapshot-G+1 aside, its rename. So a snapshot always has its
/// log, the highest snapshot decides, lower ones are rubbish, and a higher log without a snapshot holds only a header.
struct Recovery {
    let tables: Tables
    let generation: UInt64
    let contents: LogFormat.Contents
    let file: UInt32
    let logHandle: Int32

    static func logName(_ generation: UInt64) -> String { "log-\(generation)" }
    static func snapshotName(_ generation: UInt64) -> String { "snapshot-\(generation)" }

    /// Nil if the directory holds no state yet.
    static func run(_ files: any FileLayer) throws(StoreError) -> Recovery? {
        let names = try storing { () throws(FileFailure) in try files.names() }
        let snapshots = names.compactMap { generation(of: $0, prefix: "snapshot-") }
        let logs = names.compactMap { generation(of: $0, prefix: "log-") }
        guard let generation = snapshots.max() else {
            try removeUnbornLogs(logs, files)
            return nil
        }

        let snapshot = try content(of: snapshotName(generation), files)
        let logName = logName(generation)
        guard logs.contains(generation) else {
            throw .corrupt(path: "\(files.place)/\(logName)", offset: 0, found: "the log that belongs to \(snapshotName(generation)) is missing")
        }
        let logHandle = try storing { () throws(FileFailure) in try files.open(logName, creating: false) }
        do throws(StoreError) {
            let log = try storing { () throws(FileFailure) in try files.read(logHandle) }
            var tables: Tables
            do { tables = try SnapshotFormat.decode(snapshot, generation: generation) } catch {
                throw .corrupt(path: "\(files.place)/\(snapshotName(generation))", offset: error.offset, found: error.found)
            }
            let (contents, file): (LogFormat.Contents, UInt32)
            do { (contents, file) = try LogFormat.read(log, generation: generation) } catch {
                throw .corrupt(path: "\(files.place)/\(logName)", offset: error.offset, found: error.found)
            }
            let marks = names.contains(Mark.fileName) ? try content(of: Mark.fileName, files) : []
            if let mark = Mark.furthest(in: marks, generation: generation, file: file), mark.end > contents.end {
                throw .corrupt(
                    path: "\(files.place)/\(logName)", offset: contents.end,
                    found: "commit \(contents.sequence + 1) is damaged, and the log was known to be good up to byte \(mark.end)")
            }
            for changes in contents.transactions { tables.apply(changes) }

            // The torn tail goes before anything is appended, or its remains could later pass for commits.
            if log.count > contents.end {
                try storing { () throws(FileFailure) in
                    try files.truncate(logHandle, to: contents.end)
                    try files.sync(logHandle)
                }
            }
            try removeLeftovers(names, keeping: generation, files)
            return Recovery(tables: tables, generation: generation, contents: contents, file: file, logHandle: logHandle)
        } catch {
            files.close(logHandle)
            throw error
        }
    }

    /// Logs of an attempt that never got its snapshot: they hold a header at most. One that holds more lost its snapshot.
    private static func removeUnbornLogs(_ logs: [UInt64], _ files: any FileLayer) throws(StoreError) {
        for generation in logs {
            let name = logName(generation)
            guard try content(of: name, files).count <= LogFormat.headerSize else {
                throw .corrupt(path: "\(files.place)/\(name)", offset: 0, found: "the snapshot that belongs to this log is missing")
            }
            try storing { () throws(FileFailure) in try files.remove(name) }
        }
    }

    private static func removeLeftovers(_ names: [String], keeping generation: UInt64, _ files: any FileLayer) throws(StoreError) {
        for name in names {
            let isTemporary = name.hasSuffix(".tmp")
            let isOldSnapshot = Recovery.generation(of: name, prefix: "snapshot-").map { $0 < generation } ?? false
            let log = Recovery.generation(of: name, prefix: "log-")
            if let log, log > generation, try content(of: name, files).count > LogFormat.headerSize {
                throw .corrupt(path: "\(files.place)/\(name)", offset: 0, found: "the snapshot that belongs to this log is missing")
            }
            if isTemporary || isOldSnapshot || log.map({ $0 != generation }) == true {
                try storing { () throws(FileFailure) in try files.remove(name) }
            }
        }
    }

    private static func content(of name: String, _ files: any FileLayer) throws(StoreError) -> [UInt8] {
        try storing { () throws(FileFailure) in
            let handle = try files.open(name, creating: false)
            defer { files.close(handle) }
            return try files.read(handle)
        }
    }

    private static func generation(of name: String, prefix: String) -> UInt64? {
        guard name.hasPrefix(prefix) else { return nil }
        return UInt64(name.dropFirst(prefix.count))
    }
}

/// Runs calls to the file system and tells their failure as the store's.
func storing<T>(_ body: () throws(FileFailure) -> T) throws(StoreError) -> T {
    do { return try body() } catch { throw .file(error) }
}
