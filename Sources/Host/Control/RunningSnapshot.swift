internal import Pipeline

/// The snapshot in force: checks what is offered, swaps to what is good, and keeps it on disk as the last good one.
final class RunningSnapshot {
    /// Who said what is in force.
    enum Source: String, Sendable {
        case waiting = "nothing yet"
        case lastGood = "the last good version on disk"
        case controlPlane = "the control plane"
        case local = "local files"
    }

    private(set) var snapshot: Snapshot
    private(set) var versions: [SnapshotPart: String] = [:]
    private(set) var sources: [SnapshotPart: Source] = [:]
    /// The stages that a pushed chain may not lack.
    private(set) var required: [ChainBuilder.Direction: [String]] = [:]

    /// Parts that are in force and could not be kept on disk.
    private(set) var storeFailures: UInt64 = 0

    private let folder: StateFolder
    private let log: SidecarLog

    init(waiting snapshot: Snapshot, _ folder: StateFolder, log: SidecarLog) {
        self.snapshot = snapshot
        self.folder = folder
        self.log = log
    }

    /// Everything that traffic needs has been told at least once.
    var isComplete: Bool { [SnapshotPart.chain, .traffic, .access].allSatisfy { sources[$0] != nil } }

    // MARK: Start

    /// Takes the last good parts from disk, before there is a data path. What is damaged counts as absent.
    func loadLastGood() {
        let waiting = snapshot
        defer {
            if snapshot.traffic.workload != waiting.traffic.workload {
                log.warning("the last good snapshot is \(snapshot.traffic.workload.service)'s: it is not used")
                forgetLastGood(waiting)
            }
        }
        for part in SnapshotPart.allCases {
            switch folder.read(part) {
            case .absent: continue
            case .damaged(let why): log.error("the last good \(part.rawValue) is not used: \(why)")
            case .part(let stored):
                do {
                    snapshot = try merging(stored.part, stored.body)
                    versions[part] = stored.version
                    sources[part] = .lastGood
                } catch {
                    log.error("the last good \(part.rawValue) is not used: \(error)")
                }
            }
        }
    }

    /// Goes back to what was before anything was told: the parts on disk do not build here.
    func forgetLastGood(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        versions = [:]
        sources = [:]
    }

    // MARK: Local files

    /// The sidecar's own files are in force now.
    func take(_ files: SidecarFiles) {
        required = files.requiredStages
        guard let whole = files.snapshot else { return }
        snapshot = whole
        for part in SnapshotPart.allCases { sources[part] = .local }
    }

    // MARK: Pushes

    /// What a pushed part would make of the snapshot; throws the reason why it cannot be taken.
    func candidate(_ pushed: PushedPart) throws -> Snapshot {
        let candidate = try merging(pushed.part, pushed.body)
        if pushed.part == .chain {
            let missing = ChainBuilder.Direction.allCases.flatMap { direction in
                let stages = direction == .inbound ? candidate.chain.inbound : candidate.chain.outbound
                return (required[direction] ?? []).filter { id in !stages.contains { $0.id == id } }
                    .map { "\(direction.rawValue) stage \"\($0)\"" }
            }
            guard missing.isEmpty else { throw Refusal.lacksRequired(missing) }
        }
        return candidate
    }

    /// `candidate` is in force now: remembers it, on disk too.
    func install(_ pushed: PushedPart, _ candidate: Snapshot) {
        snapshot = candidate
        versions[pushed.part] = pushed.version
        sources[pushed.part] = .controlPlane
        do {
            try folder.write(StateFolder.StoredPart(part: pushed.part, version: pushed.version, body: pushed.body))
        } catch {
            storeFailures += 1
            log.error("\(pushed.part.rawValue) \(pushed.version) is in force but cannot be stored: \(error)")
        }
    }

    private func merging(_ part: SnapshotPart, _ body: [UInt8]) throws -> Snapshot {
        guard let which = Snapshot.Part(rawValue: part.rawValue) else { return snapshot }
        var candidate = snapshot
        try SnapshotCodec.decode(which, String(decoding: body, as: UTF8.self), into: &candidate)
        return candidate
    }

    enum Refusal: Error, CustomStringConvertible {
        case lacksRequired([String])

        var description: String {
            switch self {
            case .lacksRequired(let stages): "it lacks \(stages.joined(separator: ", ")), which this sidecar's own files require"
            }
        }
    }
}
