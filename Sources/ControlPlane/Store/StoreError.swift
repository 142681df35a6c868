/// Why the store cannot start, or cannot go on.
package enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file system refused something. When it happened in a commit, the store is poisoned from then on.
    case file(FileFailure)
    /// A file does not hold what was written and acknowledged; starting would lose or falsify state.
    case corrupt(path: String, offset: Int, found: String)
    /// The disk is nearly full: nothing was changed, and the store goes on. Answer 507 and say so.
    case diskFull(freeBytes: Int, reserveBytes: Int)
    /// A change is larger than the store takes; nothing was changed.
    case tooLarge(what: String, bytes: Int, bytesMax: Int)
    /// An earlier commit failed. Memory may be ahead of the disk, so the process has to end and recover from the disk.
    case poisoned(because: String)

    package var description: String {
        switch self {
        case .file(let failure):
            failure.description
        case .corrupt(let path, let offset, let found):
            """
            \(path): damaged at byte \(offset): \(found). \
            The control plane does not start on damaged state. Restore the directory from a backup; \
            or move it away, start empty, and apply the resources and join the sidecars again (they keep running meanwhile).
            """
        case .diskFull(let free, let reserve):
            "the disk has \(free) bytes left and \(reserve) are kept in reserve: free some space, then try again"
        case .tooLarge(let what, let bytes, let bytesMax):
            "\(what) has \(bytes) bytes; at most \(bytesMax) are stored"
        case .poisoned(let reason):
            "the store stopped because a commit failed (\(reason)); the process must end and start again"
        }
    }
}
